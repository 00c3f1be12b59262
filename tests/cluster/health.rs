//! Health by watch: custom resources by their template's rule, environments of thousands of objects, and how
//! soon the command returns once the last object is ready.

#![expect(clippy::print_stderr, reason = "tests of minutes tell how far they are, and what they measured")]

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use testkit::{Case, Outcome, in_plane, tally};

use crate::program;

/// Definitions of the custom resources of the fixture, and what mimeo users may do with them.
fn define(case: &Case<'_>) -> Result<()> {
    let api = &case.cluster.api;
    for (kind, plural) in [("KafkaTopic", "kafkatopics"), ("Lake", "lakes")] {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.kafka.example.com")},
            "spec": {
                "group": "kafka.example.com", "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }],
            },
        });
        api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition)?;
    }
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "mimeo-env-kafka", "labels": {"mimeo.dev/aggregate-to-env": "true"}},
        "rules": [{"apiGroups": ["kafka.example.com"], "resources": ["*"], "verbs": ["*"]}],
    });
    api.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", &role)?;
    let path = "/apis/kafka.example.com/v1/lakes";
    wait_until(Duration::from_secs(20), || Ok(api.get(path)?.is_some())).context("the definitions")
}

fn wait_until(limit: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !holds()? {
        ensure!(Instant::now() < deadline, "not within {limit:?}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn topic(namespace: &str) -> String {
    format!("/apis/kafka.example.com/v1/namespaces/{namespace}/kafkatopics/topics")
}

/// Plays the topic's controller: once a topic of so many partitions is there, and has been looked at for a
/// while, its status says this. Returns when the server had answered.
fn control(case: &Case<'_>, partitions: u64, status: &Value) -> Result<Timestamp> {
    let api = &case.cluster.api;
    let mut namespace = String::new();
    wait_until(Duration::from_secs(60), || {
        let Some(environment) = case.environments()?.pop() else { return Ok(false) };
        namespace = environment.name;
        let live = api.get(&topic(&namespace))?;
        Ok(live.is_some_and(|live| live["spec"]["partitions"] == partitions))
    })
    .with_context(|| format!("a topic of {partitions} partitions"))?;
    thread::sleep(Duration::from_millis(300));
    let answer = api.merge(&format!("{}/status", topic(&namespace)), &json!({"status": status}))?;
    ensure!(answer.is_ok(), "{}", answer.message());
    Ok(Timestamp::now())
}

/// The state and cause of the only component, as JSON has them.
fn state(outcome: &Outcome) -> Result<(String, String)> {
    let all = outcome.json()?;
    let component = &all["items"][0]["components"][0];
    let text = |field: &str| component[field].as_str().unwrap_or_default().to_owned();
    Ok((text("state"), text("cause")))
}

#[test]
fn a_template_knows_when_its_custom_resources_are_healthy() -> Result<()> {
    in_plane("health::a_template_knows_when_its_custom_resources_are_healthy", program(), |cluster| {
        Case::run(cluster, |case| {
            define(case)?;
            let repo = case.repo("topics")?;
            let up = case.on("up", &repo, "main");
            // The rule holds for this many partitions only.
            let running = case.mimeo(&up).start()?;
            control(case, 1, &json!({"partitions": 0}))?;
            running.wait_for("its health rule does not hold yet", Duration::from_secs(30))?;
            control(case, 1, &json!({"partitions": 1}))?;
            let _ = running.wait()?.expect(0)?.says(["Healthy"])?;
            let name = case.environment()?.name;
            // By the rule in the record: no repository is asked.
            let status = || case.mimeo(["status", &name, "-o", "json"]).succeed();
            ensure!(state(&status()?)?.0 == "Healthy", "{}", status()?);
            case.cluster
                .api
                .merge(&format!("{}/status", topic(&name)), &json!({"status": {"partitions": 7}}))?;
            ensure!(state(&status()?)?.0 == "Progressing", "{}", status()?);
            // An unchanged environment is not ready because nothing is to be written.
            let running = case.mimeo(&up).start()?;
            running.wait_for("its health rule does not hold yet", Duration::from_secs(30))?;
            control(case, 1, &json!({"partitions": 1}))?;
            let _ = running.wait()?.expect(0)?;

            let args = [up.clone(), vec!["--set".to_owned(), "partitions=2".to_owned()]].concat();
            let running = case.mimeo(&args).start()?;
            control(case, 2, &json!({"error": "no broker has room"}))?;
            let failed = running.wait()?.expect(7)?.says(["CMP001", "topics", "no broker has room"])?;
            ensure!(failed.took < Duration::from_secs(30), "at once: {failed}");
            ensure!(state(&status()?)? == ("Failed".into(), "no broker has room".into()), "{}", status()?);

            // Nobody knows when a lake is healthy, and that is said everywhere. The controller of the topic does
            // not say which generation its status is about, so the old failure has to go first.
            control(case, 2, &json!({"error": null}))?;
            let args = [up, vec!["--set".to_owned(), "lakes=true".to_owned()]].concat();
            let running = case.mimeo(&args).start()?;
            control(case, 1, &json!({"partitions": 1}))?;
            let _ = running
                .wait()?
                .expect(0)?
                .says(["Current (unverified)", "no rule says when Lake/topics is healthy"])?;
            ensure!(state(&status()?)?.0 == "Current (unverified)", "{}", status()?);
            case.mimeo(["down", &name, "--yes"]).succeed()?;
            Ok(())
        })
    })
}

/// An environment of 2,000 objects, 500 of them Deployments with a pod; 400 without `MIMEO_SOAK`.
#[test]
fn many_objects() -> Result<()> {
    in_plane("health::many_objects", program(), |cluster| {
        Case::run(cluster, |case| {
            let count = if std::env::var_os("MIMEO_SOAK").is_some() { 500 } else { 100 };
            let repo = case.repo("many")?;
            let limit = Duration::from_secs(20 * 60);
            let up =
                [case.on("up", &repo, "main"), vec!["--set".to_owned(), format!("count={count}")]].concat();
            let timed = |what: &str, arguments: &[String]| {
                let mark = case.cluster.audit.mark()?;
                let outcome = case.mimeo(arguments).args(["--timeout", "18m"]).limit(limit).succeed()?;
                let calls = case.cluster.audit.since(&mark, &case.cluster.api)?;
                let mine: Vec<_> = calls.iter().filter(|call| call.user == case.account.username()).collect();
                let took = outcome.took.as_secs_f32();
                eprintln!("{what}: {} objects, {took:.1} s, {} requests", 4 * count, mine.len());
                eprintln!("  {:?}", tally(mine.iter().copied()));
                let writes =
                    mine.iter().filter(|call| call.is_write() && call.namespace != "mimeo-system").count();
                Ok::<_, anyhow::Error>((outcome, writes))
            };
            let (outcome, writes) = timed("up", &up)?;
            let _ = outcome.says([format!("{} created", 4 * count + 2).as_str()])?;
            ensure!(writes >= 4 * count, "{writes} writes");
            let (_, writes) = timed("up, unchanged", &up)?;
            ensure!(writes == 0, "nothing is written again: {writes}");
            let environment = case.environment()?;
            let mark = &case.record(&environment)?["spec"]["inventory"];
            eprintln!("inventory: {} entries in {} parts", mark["entries"], mark["shards"]);
            ensure!(mark["entries"] == 4 * count + 2, "{mark}");
            let down = ["down", &environment.name, "--yes"].map(str::to_owned);
            let _ = timed("down", &down)?;
            case.is_gone(&environment)
        })
    })
}

/// What the object is that is ready last.
#[derive(Debug, Clone, Copy)]
enum Last {
    /// A custom resource, whose controller this test plays.
    Topic,
    /// A Deployment, whose controller is Kubernetes' own.
    Deployment,
}

/// From the answer to the last status that was missing to the end of the command. A measurement: only that
/// each command ends well is asserted. `MIMEO_TRIALS` says how many, else a few.
#[test]
fn from_ready_to_return() -> Result<()> {
    in_plane("health::from_ready_to_return", program(), |cluster| {
        let trials = std::env::var("MIMEO_TRIALS").ok().map_or(Ok(3), |text| text.parse::<u64>())?;
        Case::run(cluster, |case| {
            define(case)?;
            let repo = case.repo("topics")?;
            report(
                "custom resource",
                (0..trials).map(|n| trial(case, &repo, Last::Topic, n)).collect::<Result<_>>()?,
            )
        })?;
        Case::run(cluster, |case| {
            let repo = case.repo("many")?;
            let spec = format!("environments/{}.yaml", case.spec());
            repo.edit(&spec, "default: 100", "default: 1")?;
            repo.commit("one of each")?;
            report(
                "Deployment",
                (0..trials).map(|n| trial(case, &repo, Last::Deployment, n)).collect::<Result<_>>()?,
            )
        })
    })
}

fn trial(case: &Case<'_>, repo: &testkit::GitRepo, last: Last, number: u64) -> Result<Duration> {
    let up = case.on("up", repo, "main");
    let (ready, ended) = match last {
        Last::Topic => {
            let set = format!("partitions={}", number + 1);
            let running = case.mimeo(&up).args(["--set", &set]).start()?;
            let ready = control(case, number + 1, &json!({"partitions": number + 1}))?;
            let _ = running.wait()?.expect(0)?;
            (ready, Timestamp::now())
        }
        Last::Deployment => {
            let file = "templates/many/manifests/many.yaml";
            let (old, new) =
                (format!("app-{{{{ n }}}}}}, annotations: {{trial: \"{number}\"}}}}"), number + 1);
            if number == 0 {
                repo.edit(
                    file,
                    "metadata: {labels: {app: app-{{ n }}}}",
                    "metadata: {labels: {app: app-{{ n }}}, annotations: {trial: \"1\"}}",
                )?;
            } else {
                repo.edit(file, &old, &old.replace(&format!("\"{number}\""), &format!("\"{new}\"")))?;
            }
            repo.commit("another pod")?;
            let mark = case.cluster.audit.mark()?;
            let outcome = case.mimeo(&up).run()?.expect(0)?;
            let ended = Timestamp::now();
            let calls = case.cluster.audit.since(&mark, &case.cluster.api)?;
            let statuses = calls.iter().filter(|call| {
                ["deployments/status", "endpointslices"].contains(&call.resource.as_str())
                    && call.is_write()
                    && call.code < 300
            });
            let times =
                statuses.filter_map(|call| call.at.parse::<Timestamp>().ok()).filter(|at| *at < ended);
            let Some(ready) = times.max() else { bail!("no status was written: {outcome}") };
            (ready, ended)
        }
    };
    Duration::try_from(ended.duration_since(ready)).context("the end came before the status")
}

fn report(what: &str, mut times: Vec<Duration>) -> Result<()> {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1000.0;
    ensure!(!times.is_empty(), "no trial");
    eprintln!(
        "from ready to return, {what}: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms, {} trials",
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
    Ok(())
}
