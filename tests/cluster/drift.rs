//! What others do to live objects: fields of mimeo's are shown by `diff` and undone by `up`, others are left.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::{Case, Environment, Fault, GitRepo, Outcome, Relay, in_plane};

use crate::program;

const MANIFESTS: &str = "templates/corpus/manifests/all.yaml";
const OBJECTS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: "1", b: "2", c: "3"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: fixed}
spec:
  replicas: 0
  selector: {matchLabels: {app: fixed}}
  template:
    metadata: {labels: {app: fixed}}
    spec: {containers: [{name: main, image: "registry.example.com/app:1"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ordered}
spec:
  replicas: 0
  selector: {matchLabels: {app: ordered}}
  template:
    metadata: {labels: {app: ordered}}
    spec: {containers: [{name: main, image: "registry.example.com/app:1", env: [{name: A, value: "1"}, {name: B, value: "$(A)"}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: scaled}
spec:
  selector: {matchLabels: {app: scaled}}
  template:
    metadata: {labels: {app: scaled}}
    spec: {containers: [{name: main, image: "registry.example.com/app:1"}]}
"#;

/// An environment, and what is done to it.
struct Stage<'a> {
    case: &'a Case<'a>,
    repo: GitRepo,
    environment: Environment,
}

impl<'a> Stage<'a> {
    fn begin(case: &'a Case<'a>) -> Result<Self> {
        let repo = case.repo("corpus")?;
        repo.write(MANIFESTS, OBJECTS)?.commit("Objects")?;
        case.mimeo(case.on("up", &repo, "main")).succeed()?;
        Ok(Self { case, environment: case.environment()?, repo })
    }

    fn run(&self, command: &str, code: i32) -> Result<Outcome> {
        self.case.mimeo(self.case.on(command, &self.repo, "main")).run()?.expect(code)
    }

    fn path(&self, object: &str) -> String {
        let root = if object.starts_with("deployments") { "/apis/apps/v1" } else { "/api/v1" };
        format!("{root}/namespaces/{}/{object}", self.environment.name)
    }

    fn live(&self, object: &str) -> Result<Value> {
        self.case.cluster.api.get(&self.path(object))?.with_context(|| format!("no {object}"))
    }

    fn merge(&self, object: &str, manager: &str, patch: &Value) -> Result<()> {
        let answer =
            self.case.cluster.api.merge(&format!("{}?fieldManager={manager}", self.path(object)), patch)?;
        ensure!(answer.is_ok(), "{}", answer.message());
        Ok(())
    }

    /// Replaces the object with what `change` makes of it, as `kubectl edit` does.
    fn edit(&self, object: &str, change: impl Fn(&mut Value)) -> Result<()> {
        let path = format!("{}?fieldManager=kubectl-edit", self.path(object));
        loop {
            let mut live = self.live(object)?;
            change(&mut live);
            let body = live.to_string();
            let answer = self.case.cluster.api.send("PUT", &path, "application/json", body.as_bytes())?;
            // A controller may have been faster.
            if answer.status != 409 {
                ensure!(answer.is_ok(), "{}", answer.message());
                return Ok(());
            }
        }
    }
}

fn on_stage(test: &str, body: impl Fn(&Stage<'_>) -> Result<()>) -> Result<()> {
    in_plane(test, program(), |cluster| Case::run(cluster, |case| body(&Stage::begin(case)?)))
}

#[test]
fn is_undone_where_it_is_ours_and_left_where_it_is_not() -> Result<()> {
    on_stage("drift::is_undone_where_it_is_ours_and_left_where_it_is_not", |stage| {
        // What the template does not set is nobody's business: replicas, a sidecar, its annotation, a default.
        stage.merge("deployments/scaled/scale", "kubectl", &json!({"spec": {"replicas": 2}}))?;
        stage.edit("deployments/scaled", |live| {
            let template = &mut live["spec"]["template"];
            template["metadata"]["annotations"] = json!({"injector.example.com/status": "injected"});
            let sidecar = json!({"name": "sidecar", "image": "registry.example.com/sidecar:1"});
            if let Some(containers) = template["spec"]["containers"].as_array_mut() {
                containers.insert(0, sidecar);
                containers[1]["imagePullPolicy"] = json!("Always");
            }
        })?;
        let left = stage.live("deployments/scaled")?["spec"].clone();
        stage.run("diff", 0)?;
        // What it sets comes back, whoever took it.
        stage.merge("deployments/fixed/scale", "kubectl", &json!({"spec": {"replicas": 1}}))?;
        let swap = |live: &mut Value| {
            if let Some(env) = live["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut() {
                env.swap(0, 1);
            }
        };
        stage.edit("deployments/ordered", swap)?;
        stage
            .edit("configmaps/settings", |live| live["data"] = json!({"a": "theirs", "c": "3", "d": "4"}))?;
        let shown = stage.run("diff", 1)?;
        let texts =
            ["spec.replicas: 1 → 0", "env (order)", "data.a: theirs → 1", "data.b: (none) → 2", "takes back"];
        let shown = shown.says(texts)?;
        ensure!(!shown.stdout.contains("scaled") && !shown.stdout.contains("data.d"), "{shown}");
        stage.run("up", 0)?;
        ensure!(
            stage.live("configmaps/settings")?["data"] == json!({"a": "1", "b": "2", "c": "3", "d": "4"})
        );
        let (fixed, ordered) = (stage.live("deployments/fixed")?, stage.live("deployments/ordered")?);
        let names = ordered["spec"]["template"]["spec"]["containers"][0]["env"].as_array().cloned();
        let names: Vec<Value> =
            names.into_iter().flatten().map(|variable| variable["name"].clone()).collect();
        ensure!(fixed["spec"]["replicas"] == 0 && names == ["A", "B"], "{fixed}\n{ordered}");
        ensure!(stage.live("deployments/scaled")?["spec"] == left, "what is not ours is left");
        stage.run("diff", 0).map(drop)
    })
}

#[test]
fn there_and_back_and_there_again_is_seen() -> Result<()> {
    on_stage("drift::there_and_back_and_there_again_is_seen", |stage| {
        for value in ["theirs", "1"] {
            stage.edit("configmaps/settings", |live| live["data"]["a"] = json!(value))?;
        }
        stage.run("diff", 0)?;
        stage.run("up", 0)?;
        stage.edit("configmaps/settings", |live| live["data"]["a"] = json!("theirs again"))?;
        stage.run("diff", 1)?.says(["data.a: theirs again → 1"])?;
        stage.run("up", 0)?;
        ensure!(stage.live("configmaps/settings")?["data"]["a"] == "1");
        stage.run("diff", 0).map(drop)
    })
}

#[test]
fn a_field_taken_while_the_plan_runs_is_not_forced() -> Result<()> {
    on_stage("drift::a_field_taken_while_the_plan_runs_is_not_forced", |stage| {
        // The plan takes `a` back; while its write is on the way, somebody takes `b`.
        stage.edit("configmaps/settings", |live| live["data"]["a"] = json!("theirs"))?;
        let refused =
            late(stage, || stage.merge("configmaps/settings", "other", &json!({"data": {"b": "taken"}})))?;
        refused.expect(3)?.says(["PLN003", "somebody changed fields that mimeo owns"])?;
        let data = stage.live("configmaps/settings")?["data"].clone();
        ensure!(data == json!({"a": "theirs", "b": "taken", "c": "3"}), "nothing is forced: {data}");
        // The next plan shows both, and takes both.
        stage.run("diff", 1)?.says(["data.a: theirs → 1", "data.b: taken → 2"])?;
        stage.run("up", 0)?;
        // A field that is nobody's of ours does not stop it.
        stage.edit("configmaps/settings", |live| live["data"]["a"] = json!("theirs"))?;
        let done = late(stage, || stage.merge("configmaps/settings", "other", &json!({"data": {"z": "9"}})))?;
        done.expect(0)?;
        let data = stage.live("configmaps/settings")?["data"].clone();
        ensure!(data == json!({"a": "1", "b": "2", "c": "3", "z": "9"}), "{data}");
        Ok(())
    })
}

/// Runs `up` with its forced write held back until `meanwhile` is done.
fn late(stage: &Stage<'_>, meanwhile: impl Fn() -> Result<()>) -> Result<Outcome> {
    let config = stage.case.cluster.api.config();
    let relay = Relay::start(config)?;
    let place = "configmaps/settings?fieldManager=mimeo&force=true";
    relay.inject(Fault::on(place).method("PATCH").times(1).delay(Duration::from_secs(4)));
    let kubeconfig = stage.case.home().join("late.kubeconfig");
    config.with_token(&stage.case.account.token).by_way_of(&relay.url()).write(&kubeconfig)?;
    let up = stage.case.mimeo(stage.case.on("up", &stage.repo, "main")).kubeconfig(&kubeconfig);
    let running = up.start()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_held = || {
        relay.log().iter().any(|exchange| {
            exchange.method == "PATCH"
                && exchange.path.ends_with("configmaps/settings")
                && exchange.query == "fieldManager=mimeo&force=true"
        })
    };
    while !is_held() {
        if Instant::now() > deadline {
            bail!("no forced write came:\n{}\n{}", relay.transcript(), running.kill()?);
        }
        thread::sleep(Duration::from_millis(20));
    }
    meanwhile()?;
    running.wait()
}
