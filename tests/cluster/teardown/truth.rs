//! A teardown tells the truth: what was not seen gone is left, and nobody's tampering makes a proof.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Case, Environment, Fault, GitRepo, Outcome, Relay, in_plane, state};

use super::stage::prepare;
use crate::program;

const RECORDS: &str = "/apis/mimeo.dev/v1alpha1/namespaces/mimeo-system";
const HOLD: &str = "example.com/hold";

/// What happens to an environment of two ConfigMaps in a namespace that somebody lent.
type Scene = fn(&Stage<'_>) -> Result<()>;

const SCENES: [(&str, Scene); 8] = [
    ("unread", what_gc_cannot_read_is_left),
    ("blind", what_down_cannot_read_is_left),
    ("kept", what_is_kept_is_listed),
    ("entry", a_removed_entry_is_missed),
    ("record", a_removed_record_is_noticed),
    ("parts", parts_that_were_left_go_later),
    ("owned", a_record_alone_makes_no_namespace_its_own),
    ("served", a_kind_that_is_not_served_is_not_gone),
];

#[test]
fn what_is_proven_was_seen() -> Result<()> {
    in_plane("teardown::truth::what_is_proven_was_seen", program(), |cluster| {
        Case::run(cluster, |case| {
            prepare(cluster)?;
            let repo = case.repo("config")?;
            for (name, scene) in SCENES {
                let stage = Stage::up(case, &repo, name).with_context(|| name.to_owned())?;
                scene(&stage).with_context(|| name.to_owned())?;
            }
            Ok(())
        })
    })
}

struct Stage<'a> {
    case: &'a Case<'a>,
    repo: &'a GitRepo,
    name: &'a str,
    environment: Environment,
}

impl<'a> Stage<'a> {
    fn up(case: &'a Case<'a>, repo: &'a GitRepo, name: &'a str) -> Result<Self> {
        let lent = format!("lent-{name}");
        case.cluster.lend(&lent)?;
        repo.git(&["checkout", "--quiet", "-b", name, "main"])?;
        let spec = format!("environments/{}.yaml", case.spec());
        repo.edit(&spec, "spec:\n", &format!("spec:\n  policy: {{namespace: {{borrowed: {lent}}}}}\n"))?;
        if name == "served" {
            let widget = "apiVersion: widgets.example.com/v1\nkind: Widget\nmetadata: {name: one}\n";
            repo.write("templates/notes/manifests/widget.yaml", widget)?;
        }
        repo.commit("In a namespace that is lent")?;
        case.mimeo(case.on("up", repo, name)).succeed()?;
        let all = case.environments()?;
        let environment = all.into_iter().find(|one| one.name.contains(&format!("-{name}-")));
        let environment = environment.with_context(|| format!("no record of {name}"))?;
        Ok(Self { case, repo, name, environment })
    }

    fn map(&self, name: &str) -> String {
        format!("/api/v1/namespaces/lent-{}/configmaps/{name}", self.name)
    }

    fn part(&self, number: usize) -> String {
        format!("{RECORDS}/inventories/inv-{}-{number}", self.environment.id)
    }

    fn record(&self) -> String {
        format!("{RECORDS}/environments/{}", self.environment.name)
    }

    fn live(&self, path: &str) -> Result<Value> {
        Ok(self.case.cluster.api.get(path)?.unwrap_or_default())
    }

    fn merge(&self, path: &str, patch: &Value) -> Result<()> {
        let answer = self.case.cluster.api.merge(path, patch)?;
        ensure!(answer.is_ok(), "{path}: {}", answer.message());
        Ok(())
    }

    fn hold(&self, name: &str, finalizers: &[&str]) -> Result<()> {
        self.merge(&self.map(name), &json!({"metadata": {"finalizers": finalizers}}))
    }

    fn down(&self, more: &[&str]) -> Result<Outcome> {
        let words = [&["down", &self.environment.name, "--yes", "--timeout", "3s"], more].concat();
        self.case.mimeo(words).run()
    }

    /// Runs a command whose requests for some path are answered with a status.
    fn struck(&self, words: &[&str], on: &str, method: &str, status: u16) -> Result<Outcome> {
        let relay = Relay::start(self.case.cluster.api.config())?;
        relay.inject(Fault::on(on).method(method).status(status));
        let path = self.case.home().join("struck.kubeconfig");
        let config = self.case.cluster.api.config().with_token(&self.case.account.token);
        config.by_way_of(&relay.url()).write(&path)?;
        self.case.mimeo(words).kubeconfig(&path).run()
    }

    fn unreadable(&self) -> String {
        format!("/namespaces/lent-{}/configmaps", self.name)
    }

    fn receipt(&self) -> Result<Value> {
        let mut all = state::receipts(&self.case.cluster.api, &self.environment.name)?;
        all.pop().context("there is no receipt")
    }

    fn ends_well(&self) -> Result<()> {
        self.down(&[])?.expect(0)?;
        self.case.is_gone(&self.environment)
    }
}

fn leftovers(receipt: &Value) -> usize {
    receipt["spec"]["leftovers"].as_array().map_or(0, Vec::len)
}

fn what_gc_cannot_read_is_left(stage: &Stage<'_>) -> Result<()> {
    stage.hold("notes", &[HOLD])?;
    stage.down(&["--abandon"])?.expect(0)?.says(["abandoned"])?;
    let first = stage.receipt()?;
    let gc = stage.struck(&["gc"], &stage.unreadable(), "GET", 403)?;
    ensure!(!gc.all().contains("nothing is left any more"), "{gc}");
    let receipt = stage.receipt()?;
    ensure!(receipt["spec"]["proven"] == false && leftovers(&receipt) >= 1, "{receipt}");
    ensure!(receipt["spec"]["looks"].to_string().contains("could not be looked for"), "{receipt}");
    ensure!(receipt["spec"]["finished"] == first["spec"]["finished"], "it was given up once: {receipt}");
    stage.hold("notes", &[])?;
    // One pass deletes what is left, the next sees it gone.
    stage.case.mimeo(["gc"]).succeed()?;
    stage.case.mimeo(["gc"]).succeed()?;
    let last = stage.receipt()?;
    ensure!(last["spec"]["proven"] == true && leftovers(&last) == 0, "{last}");
    ensure!(last["spec"]["abandoned"] == first["spec"]["finished"], "{last}");
    stage.case.is_gone(&stage.environment)
}

fn what_down_cannot_read_is_left(stage: &Stage<'_>) -> Result<()> {
    let words = ["down", &stage.environment.name, "--yes", "--timeout", "3s", "--abandon"];
    let down = stage.struck(&words, &stage.unreadable(), "GET", 403)?.expect(0)?;
    down.says(["objects left: 2"])?;
    let receipt = stage.receipt()?;
    ensure!(receipt["spec"]["proven"] == false && leftovers(&receipt) == 2, "{receipt}");
    ensure!(receipt["spec"]["looks"].to_string().contains("could not be looked for"), "{receipt}");
    stage.case.mimeo(["gc"]).succeed()?;
    stage.case.mimeo(["gc"]).succeed()?.says(["nothing is left any more"])?;
    stage.case.is_gone(&stage.environment)
}

fn what_is_kept_is_listed(stage: &Stage<'_>) -> Result<()> {
    let keep = json!({"metadata": {"annotations": {"helm.sh/resource-policy": "keep"}}});
    stage.merge(&stage.map("notes-where"), &keep)?;
    stage.hold("notes", &[HOLD])?;
    stage.down(&[])?.expect(4)?;
    stage.case.mimeo(["status", &stage.environment.name]).succeed()?.says(["0 of 1 gone, 1 kept"])?;
    stage.down(&["--abandon"])?.expect(0)?.says(["objects left: 1"])?;
    stage.hold("notes", &[])?;
    stage.case.mimeo(["gc"]).succeed()?;
    stage.case.mimeo(["gc"]).succeed()?;
    let receipts = stage.case.mimeo(["receipts", &stage.environment.name]).succeed()?;
    receipts.says(["1 object gone, 1 kept", "notes-where", "(kept: its annotation asks for it)"])?;
    // What an earlier life left is called that.
    let up = stage.case.mimeo(stage.case.on("up", stage.repo, stage.name)).run()?;
    up.expect(3)?.says(["OBJ019", "an earlier life of this environment"])?;
    ensure!(stage.case.cluster.api.delete(&stage.map("notes-where"))?.is_ok());
    stage.down(&[])?.expect(0).map(drop)
}

fn a_removed_entry_is_missed(stage: &Stage<'_>) -> Result<()> {
    let whole = stage.live(&stage.part(0))?["spec"]["entries"].clone();
    let less: Vec<&Value> = whole.as_array().into_iter().flatten().skip(1).collect();
    stage.merge(&stage.part(0), &json!({"spec": {"entries": less}}))?;
    stage.down(&[])?.expect(3)?.says(["ENV013", "remembers 2 entries"])?;
    stage.merge(&stage.part(0), &json!({"spec": {"entries": whole}}))?;
    stage.ends_well()
}

fn a_removed_record_is_noticed(stage: &Stage<'_>) -> Result<()> {
    // An earlier life has left its receipt.
    stage.down(&[])?.expect(0)?;
    stage.case.mimeo(stage.case.on("up", stage.repo, stage.name)).succeed()?;
    stage.merge(&stage.record(), &json!({"metadata": {"finalizers": null}}))?;
    ensure!(stage.case.cluster.api.delete(&stage.record())?.is_ok());
    let refused = stage.down(&[])?.expect(3)?;
    refused.says(["ENV028", &format!("inv-{}-0", stage.environment.id), "ConfigMap/notes-where"])?;
    ensure!(!stage.live(&stage.map("notes"))?.is_null(), "nothing was deleted");
    for path in [stage.map("notes"), stage.map("notes-where"), stage.part(0)] {
        ensure!(stage.case.cluster.api.delete(&path)?.is_ok(), "{path} is deleted by hand");
    }
    stage.down(&[])?.expect(0)?.says(["gone already"]).map(drop)
}

/// As an inventory of more than 500 entries has them.
fn parts_that_were_left_go_later(stage: &Stage<'_>) -> Result<()> {
    let first = stage.live(&stage.part(0))?;
    let second = json!({
        "apiVersion": "mimeo.dev/v1alpha1", "kind": "Inventory",
        "metadata": {
            "name": format!("inv-{}-1", stage.environment.id), "labels": first["metadata"]["labels"],
        },
        "spec": {
            "environment": stage.environment.id, "shard": 1, "entries": [],
            "generation": first["spec"]["generation"],
        },
    });
    stage.case.cluster.api.create(&format!("{RECORDS}/inventories"), &second)?;
    stage.merge(&stage.record(), &json!({"spec": {"inventory": {"shards": 2}}}))?;
    let words = ["down", &stage.environment.name, "--yes"];
    let cut = stage.struck(&words, &format!("inv-{}-0", stage.environment.id), "DELETE", 422)?.expect(4)?;
    ensure!(!cut.all().contains("Correct the manifest"), "{cut}");
    let lease =
        format!("/apis/coordination.k8s.io/v1/namespaces/mimeo-system/leases/{}", stage.environment.name);
    let holder = stage.live(&lease)?["spec"]["holderIdentity"].clone();
    ensure!(holder.is_null() || holder == "", "the lease is released: {holder}");
    ensure!(stage.live(&stage.part(1))?.is_null() && !stage.live(&stage.part(0))?.is_null(), "one is left");
    stage.down(&[])?.expect(0)?;
    ensure!(stage.live(&stage.part(0))?.is_null(), "no part stays");
    stage.case.is_gone(&stage.environment)
}

fn a_record_alone_makes_no_namespace_its_own(stage: &Stage<'_>) -> Result<()> {
    stage.merge(&stage.record(), &json!({"spec": {"namespaceOwned": true}}))?;
    stage.ends_well()?;
    ensure!(stage.live(&stage.map("notes"))?.is_null(), "its objects are gone");
    let lent = stage.live("/api/v1/namespaces/lent-owned")?;
    ensure!(lent["status"]["phase"] == "Active", "and the namespace is not: {lent}");
    Ok(())
}

fn a_kind_that_is_not_served_is_not_gone(stage: &Stage<'_>) -> Result<()> {
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.widgets.example.com";
    let widgets = "/apis/widgets.example.com/v1/widgets";
    let versions = stage.live(path)?["spec"]["versions"].clone();
    let mut silent = versions.clone();
    silent[0]["served"] = json!(false);
    stage.merge(path, &json!({"spec": {"versions": silent}}))?;
    until(|| Ok(stage.case.cluster.api.get(widgets)?.is_none()))?;
    stage.down(&[])?.expect(4)?.says(["DEL005", "Widget/one"])?;
    ensure!(
        state::receipts(&stage.case.cluster.api, &stage.environment.name)?.is_empty(),
        "nothing is proven"
    );
    stage.merge(path, &json!({"spec": {"versions": versions}}))?;
    until(|| Ok(stage.case.cluster.api.get(widgets)?.is_some()))?;
    stage.ends_well()
}

fn until(holds: impl Fn() -> Result<bool>) -> Result<()> {
    for _ in 0..100 {
        if holds()? {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    anyhow::bail!("it does not come to that")
}
