//! One test's corner of a cluster: its names, its account, its cleanup, and what is shown when it fails.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Account, Cluster, GitRepo, Mimeo, checkout, dump, random_name, state};

const RECORDS: &str = "/apis/mimeo.dev/v1alpha1/namespaces/mimeo-system";

/// One test.
pub struct Case<'a> {
    /// Where it runs.
    pub cluster: &'a Cluster,
    /// Who it runs as: a mimeo user.
    pub account: Account,
    spec: String,
    home: TempDir,
}

/// An environment of a case, as its record tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its name, which is its namespace's.
    pub name: String,
    /// Its id.
    pub id: String,
}

impl<'a> Case<'a> {
    /// Runs a test on a cluster with mimeo installed. When it fails, objects, events and logs of its
    /// namespaces are part of the error; `KEEP=1` leaves everything as it is.
    ///
    /// # Errors
    /// The test's own.
    pub fn run(cluster: &'a Cluster, body: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        cluster.install()?;
        let home = tempfile::Builder::new().prefix("mimeo-test-").tempdir()?;
        let spec = format!("t-{}", random_name());
        let account = cluster.account(&spec, home.path())?;
        let mut case = Self { cluster, account, spec, home };
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&case)));
        let keep = std::env::var_os("KEEP").is_some();
        let result = match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(case.explained(&format!("{error:#}"), keep)),
            // The hook has printed message and place already.
            Err(_) => Err(case.explained("the test panicked, see above", keep)),
        };
        if keep && result.is_err() {
            case.home.disable_cleanup(true);
            return result;
        }
        let cleaned = case.clean().context("cleaning up after the test");
        result.and(cleaned)
    }

    /// The name of the spec, and the beginning of every name of this test.
    #[must_use]
    pub fn spec(&self) -> &str {
        &self.spec
    }

    /// A directory of the test's own.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The program, run as this test's account.
    #[must_use]
    pub fn mimeo<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>) -> Mimeo {
        Mimeo::new(self.cluster.program(), self.home()).kubeconfig(&self.account.kubeconfig).args(arguments)
    }

    /// A repository with a fixture of `tests/fixtures` on branch `main`. The word SPEC becomes the
    /// test's spec, and the first commit is this test's own, so that no two tests share an identity.
    ///
    /// # Errors
    /// When there is no such fixture.
    pub fn repo(&self, fixture: &str) -> Result<GitRepo> {
        let repo = GitRepo::new()?;
        repo.write("README.md", &format!("Made by a test, {}\n", random_name()))?;
        repo.copy(&checkout().join("tests/fixtures").join(fixture), &[("SPEC", &self.spec)])?;
        repo.commit("Begin")?;
        Ok(repo)
    }

    /// Arguments of a command on this test's spec: `up SPEC --repo … --rev …`.
    #[must_use]
    pub fn on(&self, command: &str, repo: &GitRepo, rev: &str) -> Vec<String> {
        [command, &self.spec, "--repo", &repo.arg(), "--rev", rev].map(str::to_owned).to_vec()
    }

    /// The environments that have a record now.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn environments(&self) -> Result<Vec<Environment>> {
        let records = self.cluster.api.list(&format!("{RECORDS}/environments"))?;
        Ok(records.iter().filter_map(|record| self.own(record)).collect())
    }

    fn own(&self, record: &Value) -> Option<Environment> {
        let name = record["metadata"]["name"].as_str()?;
        name.starts_with(&format!("{}-", self.spec)).then_some(())?;
        Some(Environment { name: name.to_owned(), id: record["spec"]["id"].as_str()?.to_owned() })
    }

    /// The only environment that has a record.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn environment(&self) -> Result<Environment> {
        let mut all = self.environments()?;
        if all.len() != 1 {
            bail!("expected one environment, found {all:?}");
        }
        all.pop().context("just counted")
    }

    /// The record of an environment as it is now; null when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn record(&self, environment: &Environment) -> Result<Value> {
        let record = self.cluster.api.get(&format!("{RECORDS}/environments/{}", environment.name))?;
        Ok(record.unwrap_or_default())
    }

    /// Nothing of an environment is left, and a receipt proves it.
    ///
    /// # Errors
    /// Names what is left, or what the receipt lacks.
    pub fn is_gone(&self, environment: &Environment) -> Result<()> {
        let look = || state::leftovers(&self.cluster.api, &environment.name, &environment.id);
        let mut left = look()?;
        // A `gc` that comes just then takes the lease, finds nothing, and drops it again. The controller of
        // EndpointSlices makes one more from a late view of its Service, which the garbage collector takes.
        let passing = |left: &String| left.starts_with("leases ") || left.starts_with("EndpointSlice ");
        for _ in 0..20 {
            if left.is_empty() || !left.iter().all(passing) {
                break;
            }
            thread::sleep(Duration::from_millis(500));
            left = look()?;
        }
        if !left.is_empty() {
            bail!("left of {}:\n  {}", environment.name, left.join("\n  "));
        }
        let receipts = state::receipts(&self.cluster.api, &environment.name)?;
        let [receipt] = receipts.as_slice() else {
            bail!("expected one receipt of {}, found {}", environment.name, json!(receipts));
        };
        if receipt["spec"]["proven"] != true {
            bail!("the receipt of {} proves nothing: {receipt}", environment.name);
        }
        Ok(())
    }

    /// Objects, events and logs of the namespaces whose names begin like this, as a failure shows them.
    #[must_use]
    pub fn dump(&self, beginning: &str) -> String {
        match dump::of(&self.cluster.api, beginning) {
            Ok(dump) => dump::cut(&dump),
            Err(error) => format!("(no dump: {error:#})"),
        }
    }

    fn explained(&self, what: &str, keep: bool) -> anyhow::Error {
        let kept = if keep {
            format!("\nkept: {} and its namespaces", self.home().display())
        } else {
            String::new()
        };
        anyhow!("{what}\n{}{kept}", self.dump(&self.spec))
    }

    /// Removes whatever the test has left, without asking the program under test.
    fn clean(&self) -> Result<()> {
        let api = &self.cluster.api;
        let prefix = format!("{}-", self.spec);
        let named = |object: &Value| {
            object["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(&prefix))
        };
        for environment in self.environments()? {
            api.delete(&format!("/api/v1/namespaces/{}", environment.name))?;
            let selector = format!("labelSelector=mimeo.dev/environment%3D{}", environment.id);
            for part in api.list(&format!("{RECORDS}/inventories?{selector}"))? {
                remove(self.cluster, &format!("{RECORDS}/inventories"), &part)?;
            }
        }
        let leases = "/apis/coordination.k8s.io/v1/namespaces/mimeo-system/leases";
        let collections = [
            format!("{RECORDS}/environments"),
            format!("{RECORDS}/receipts"),
            leases.to_owned(),
            "/api/v1/namespaces".to_owned(),
        ];
        for collection in collections {
            for object in api.list(&collection)?.iter().filter(|object| named(object)) {
                remove(self.cluster, &collection, object)?;
            }
        }
        // Repositories of a test have its spec in their names.
        let pulls = format!("{RECORDS}/pullrequests");
        for pull in api.list(&pulls)? {
            if pull["spec"]["repository"].as_str().is_some_and(|name| name.contains(&format!("/{prefix}"))) {
                remove(self.cluster, &pulls, &pull)?;
            }
        }
        let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", self.account.namespace);
        api.delete(&format!("{accounts}/{}", self.account.name))?;
        Ok(())
    }
}

impl Environment {
    /// Path of a collection of the core group in its namespace.
    #[must_use]
    pub fn core(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.name)
    }

    /// Waits until its namespace is gone.
    ///
    /// # Errors
    /// When it is not.
    pub fn wait_gone(&self, cluster: &Cluster) -> Result<()> {
        cluster.api.wait_gone(&format!("/api/v1/namespaces/{}", self.name), Duration::from_secs(60))
    }
}

fn remove(cluster: &Cluster, collection: &str, object: &Value) -> Result<()> {
    let path = format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
    if object["metadata"]["finalizers"].is_array() {
        cluster.api.merge(&path, &json!({"metadata": {"finalizers": null}}))?;
    }
    cluster.api.delete(&path)?;
    Ok(())
}
