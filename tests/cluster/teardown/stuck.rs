//! What does not go is named, with its controller and whether that runs; and whatever happens to a teardown on its
//! way, the next one finishes it.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use testkit::{Case, in_plane, state, witness_deletes, witnessed};

use super::stage::{Controllers, FINALIZER, Stage, Variant, branch, prepare};
use crate::program;

/// A namespace where operators run, and one that somebody lent.
const OPS: &str = "ops";
const LENT: usize = 1000;

/// Name of the branch, what its environment has, and what happens.
type Scene = (&'static str, Variant, fn(&Stage<'_>) -> Result<()>);

const SCENES: [Scene; 10] = [
    ("nobody", Variant::Widgets, a_controller_that_never_was),
    ("asleep", Variant::Widgets, a_controller_scaled_to_nothing),
    ("in-use", Variant::Borrowed(LENT), a_claim_in_use),
    ("slow", Variant::Whole, a_slow_load_balancer),
    ("twice", Variant::Whole, two_at_once),
    ("by-hand", Variant::Widgets, a_namespace_deleted_by_hand),
    ("record", Variant::Widgets, a_record_deleted_by_hand),
    ("kind-in-use", Variant::Kind, a_kind_that_others_use),
    ("kind-of-own", Variant::Kind, a_kind_that_nobody_uses),
    ("pruned", Variant::Whole, pruned_with_its_operator),
];

#[test]
fn what_does_not_go_is_named() -> Result<()> {
    in_plane("teardown::stuck::what_does_not_go_is_named", program(), |cluster| {
        Case::run(cluster, |case| {
            prepare(cluster)?;
            witness_deletes(cluster)?;
            cluster.api.create("/api/v1/namespaces", &json!({"metadata": {"name": OPS}}))?;
            cluster.lend(&format!("lent-{LENT}"))?;
            let repo = case.repo("teardown")?;
            cluster.lend(&format!("lent-{}", LENT + 1))?;
            for (name, variant, _) in SCENES {
                branch(case, &repo, name, variant)?;
            }
            let controllers = Controllers::play(&cluster.api, Duration::from_secs(10));
            let mark = cluster.audit.mark()?;
            together(SCENES.map(|(name, _, scene)| {
                let repo = &repo;
                move || scene(&Stage::up(case, repo, name)?).with_context(|| name.to_owned())
            }))?;
            // What these do strikes every environment of the cluster: `gc` goes on with all it finds.
            branch(case, &repo, "given-up", Variant::Borrowed(LENT + 1))?;
            given_up(&Stage::up(case, &repo, "given-up")?).context("given-up")?;
            branch(case, &repo, "stale", Variant::Widgets)?;
            a_broken_part_of_the_api(&Stage::up(case, &repo, "stale")?)?;
            controllers.end()?;
            let deletes = witnessed(cluster, &mark, &case.account.username())?;
            ensure!(deletes.len() > 20, "{} deletes were witnessed", deletes.len());
            Ok(())
        })
    })
}

/// Runs all of them at once; every failure is told.
fn together<const N: usize>(scenes: [impl FnOnce() -> Result<()> + Send; N]) -> Result<()> {
    let failures: Vec<String> = thread::scope(|scope| {
        let running = scenes.map(|scene| scope.spawn(scene));
        let ended = running.map(|one| one.join().unwrap_or_else(|_| Err(anyhow!("a scene panicked"))));
        ended.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect()
    });
    ensure!(failures.is_empty(), "{} scenes fail:\n{}", failures.len(), failures.join("\n---\n"));
    Ok(())
}

fn a_controller_that_never_was(stage: &Stage<'_>) -> Result<()> {
    stage.hold("gizmos.nowhere.org/hold", "gizmo-maker")?;
    let blocked = stage.down().args(["--timeout", "15s"]).run()?.expect(4)?;
    let early = blocked.when("waiting for Widget/one").context("it says what it waits for")?;
    // It comes 8 s after the delete, which is the first thing that happens.
    ensure!(early < Duration::from_secs(12), "soon: {blocked}");
    let blocked = blocked.says(["DEL001", "gizmos.nowhere.org/hold", "its controller was not found"])?;
    blocked.says(["gizmo-maker", "no right to look further"])?;
    // Custom resources come first: their operator runs on.
    ensure!(stage.exists(&stage.path("/apis/apps/v1", "deployments", "operator"))?);
    let name = stage.environment.name.as_str();
    stage.case.mimeo(["list"]).succeed()?.says(["DeleteBlocked: custom resources"])?;
    stage
        .case
        .mimeo(["status", name])
        .succeed()?
        .says(["custom resources, 1 of 2 gone", "gizmos.nowhere.org/hold"])?;
    stage.case.mimeo(["why", name]).succeed()?.says(["custom resources, 1 of 2 gone"])?;
    let record = stage.case.record(&stage.environment)?;
    ensure!(record["spec"]["teardown"]["blocked"].to_string().contains("was not found"), "{record}");
    let live = stage.case.cluster.api.get(&stage.widget())?.unwrap_or_default();
    ensure!(
        live["metadata"]["finalizers"].to_string().contains("gizmos.nowhere.org/hold"),
        "nobody touched it: {live}"
    );
    stage.let_go()?;
    stage.down().succeed()?;
    stage.case.is_gone(&stage.environment)
}

fn a_controller_scaled_to_nothing(stage: &Stage<'_>) -> Result<()> {
    let api = &stage.case.cluster.api;
    let labels = json!({"app": "sprocket-operator"});
    let containers = json!([{"name": "manager", "image": "example.org/sprockets:1"}]);
    let deployment = json!({
        "metadata": {"name": "sprocket-operator"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    });
    let deployments = format!("/apis/apps/v1/namespaces/{OPS}/deployments");
    api.create(&deployments, &deployment)?;
    stage.hold("sprockets.example.org/hold", "sprocket-operator")?;
    let blocked = stage.as_admin(&["down", "--yes", "--timeout", "5s"])?.expect(4)?;
    blocked.says(["DEL001", "does not run: Deployment ops/sprocket-operator, 0/0 ready, scaled to 0"])?;
    stage.merge(&format!("{deployments}/sprocket-operator"), &json!({"spec": {"replicas": 1}}))?;
    for _ in 0..100 {
        let live = api.get(&format!("{deployments}/sprocket-operator"))?.unwrap_or_default();
        if live["status"]["readyReplicas"] == 1 {
            break;
        }
        thread::sleep(Duration::from_millis(200));
    }
    stage.as_admin(&["status"])?.expect(0)?.says(["runs: Deployment ops/sprocket-operator, 1/1 ready"])?;
    stage.let_go()?;
    stage.down().succeed()?;
    stage.case.is_gone(&stage.environment)
}

fn a_claim_in_use(stage: &Stage<'_>) -> Result<()> {
    let api = &stage.case.cluster.api;
    let pods = format!("/api/v1/namespaces/lent-{LENT}/pods");
    let holder = json!({
        "metadata": {"name": "holder"},
        "spec": {
            "containers": [{"name": "main", "image": "docker.io/library/busybox:1.36"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "store"}}],
        },
    });
    api.create(&pods, &holder)?;
    thread::sleep(Duration::from_secs(2));
    let blocked = stage.down().args(["--timeout", "20s"]).run()?.expect(4)?;
    let blocked = blocked.says([
        "PersistentVolumeClaim/store",
        "kubernetes.io/pvc-protection",
        "no pod uses the claim",
    ])?;
    blocked.says(["Pod/holder on played"])?;
    stage.case.mimeo(["list"]).succeed()?.says(["DeleteBlocked: volumes"])?;
    ensure!(api.delete(&format!("{pods}/holder"))?.is_ok());
    stage.down().succeed()?;
    stage.case.is_gone(&stage.environment)
}

fn a_slow_load_balancer(stage: &Stage<'_>) -> Result<()> {
    let mark = stage.case.cluster.audit.mark()?;
    let down = stage.down().succeed()?;
    down.says([
        "waiting for Service/edge",
        "service.kubernetes.io/load-balancer-cleanup",
        "the load balancer is gone",
    ])?;
    stage.case.is_gone(&stage.environment)?;
    let calls = stage.case.cluster.audit.since(&mark, &stage.case.cluster.api)?;
    let last = |resource: &str, verb: &str| {
        calls.iter().rposition(|call| {
            let ok = call.code == 200 && call.uri.contains(&stage.environment.name);
            ok && call.resource == resource && call.verb == verb
        })
    };
    // The cloud's controller had its Service until it was done; only then went what it may need.
    let (freed, namespace) = (last("services", "patch"), last("namespaces", "delete"));
    ensure!(freed.is_some() && freed < namespace, "the namespace goes after the load balancer");
    Ok(())
}

fn two_at_once(stage: &Stage<'_>) -> Result<()> {
    let mark = stage.case.cluster.audit.mark()?;
    let (one, two) = (stage.down().start()?, stage.down().start()?);
    let codes = [one.wait()?.code, two.wait()?.code];
    // The one that comes second waits for the other, but not for ever.
    ensure!(codes.contains(&Some(0)) && codes.iter().all(|code| matches!(code, Some(0 | 3))), "{codes:?}");
    stage.case.is_gone(&stage.environment)?;
    let calls = stage.case.cluster.audit.since(&mark, &stage.case.cluster.api)?;
    let (name, id) = (&stage.environment.name, &stage.environment.id);
    let counts = state::existence(&calls, &stage.case.account.username(), name, id);
    let twice: BTreeMap<_, _> =
        counts.iter().filter(|(what, count)| **count > 1 && !what.contains("leases")).collect();
    ensure!(twice.is_empty(), "everything once: {twice:?}");
    Ok(())
}

fn a_namespace_deleted_by_hand(stage: &Stage<'_>) -> Result<()> {
    stage.hold("gizmos.nowhere.org/hold", "gizmo-maker")?;
    let running = stage.down().start()?;
    running.wait_for("waiting for Widget/one", Duration::from_secs(60))?;
    let namespace = format!("/api/v1/namespaces/{}", stage.environment.name);
    ensure!(stage.case.cluster.api.delete(&namespace)?.is_ok());
    thread::sleep(Duration::from_secs(3));
    stage.let_go()?;
    // The operator beside it may be gone already: then nobody is left to let the other one go.
    let other = stage.path("/apis/widgets.example.com/v1", "widgets", "two");
    stage.case.cluster.api.merge(&other, &json!({"metadata": {"finalizers": null}}))?;
    running.wait()?.expect(0)?;
    stage.case.is_gone(&stage.environment)
}

fn a_record_deleted_by_hand(stage: &Stage<'_>) -> Result<()> {
    let records = "/apis/mimeo.dev/v1alpha1/namespaces/mimeo-system/environments";
    let path = format!("{records}/{}", stage.environment.name);
    ensure!(stage.case.cluster.api.delete(&path)?.is_ok());
    ensure!(stage.exists(&path)? && stage.exists(&stage.widget())?, "it waits for the teardown");
    stage.down().succeed()?;
    ensure!(!stage.exists(&path)?, "the record is gone");
    stage.case.is_gone(&stage.environment)
}

/// In a namespace that stays: what is left is listed by uid, and a claim that a controller made is not forgotten.
fn given_up(stage: &Stage<'_>) -> Result<()> {
    let api = &stage.case.cluster.api;
    let place = format!("/namespaces/lent-{}", LENT + 1);
    let widget = format!("/apis/widgets.example.com/v1{place}/widgets/one");
    stage.merge(&widget, &json!({"metadata": {"finalizers": [FINALIZER, "gizmos.nowhere.org/hold"]}}))?;
    // As a StatefulSet with claim templates would have it.
    let claim = json!({
        "metadata": {"name": "data-store-0", "labels": {"mimeo.dev/environment": stage.environment.id}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    });
    api.create(&format!("/api/v1{place}/persistentvolumeclaims"), &claim)?;
    stage.down().args(["--timeout", "3s", "--abandon"]).succeed()?.says(["abandoned"])?;
    let receipts = stage.case.mimeo(["receipts", &stage.environment.name]).succeed()?;
    // It stopped at the first phase: every later one is a leftover.
    let kinds = [
        "Widget/one",
        "Service/edge",
        "Deployment/operator",
        "StatefulSet/store",
        "PersistentVolumeClaim/store",
        "PriorityClass/",
        "PersistentVolumeClaim/data-store-0",
    ];
    let receipts = receipts.says(kinds)?.says(["Proven:      no", "gizmos.nowhere.org/hold"])?;
    ensure!(!receipts.all().contains("Widget/two in"), "only what is left: {receipts}");
    let mark = stage.case.cluster.audit.mark()?;
    let look = stage.case.mimeo(["gc", "--dry-run"]).succeed()?;
    for (object, next) in [("Widget/one in ", "on its way out"), ("StatefulSet/store in ", "deleted again")] {
        let line = look.stdout.lines().find(|line| line.trim_start().starts_with(object));
        ensure!(line.is_some_and(|line| line.contains(next)), "{object}: {look}");
    }
    let calls = stage.case.cluster.audit.since(&mark, api)?;
    let user = stage.case.account.username();
    let written: Vec<_> = calls.iter().filter(|call| call.user == user && call.is_write()).collect();
    ensure!(written.is_empty(), "it only looks: {written:?}");
    stage.merge(&widget, &json!({"metadata": {"finalizers": null}}))?;
    let swept = swept(stage, |receipt| receipt["spec"]["leftovers"].as_array().is_none_or(Vec::is_empty))?;
    ensure!(swept["spec"]["proven"] == false, "the claim is still there: {swept}");
    ensure!(swept.to_string().contains("data-store-0"), "and said to be: {swept}");
    ensure!(api.delete(&format!("/api/v1{place}/persistentvolumeclaims/data-store-0"))?.is_ok());
    swept_clean(stage)
}

fn swept_clean(stage: &Stage<'_>) -> Result<()> {
    swept(stage, |receipt| receipt["spec"]["proven"] == true)?;
    stage.case.is_gone(&stage.environment)
}

/// Runs `gc` until the receipt is as wanted.
fn swept(stage: &Stage<'_>, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    for _ in 0..30 {
        stage.case.mimeo(["gc"]).run()?;
        let receipts = state::receipts(&stage.case.cluster.api, &stage.environment.name)?;
        if let Some(receipt) = receipts.into_iter().find(&wanted) {
            return Ok(receipt);
        }
        thread::sleep(Duration::from_secs(1));
    }
    Err(anyhow!(
        "gc does not finish it: {}",
        stage.case.mimeo(["receipts", &stage.environment.name]).succeed()?
    ))
}

/// The kind would take an object of somebody else along.
fn a_kind_that_others_use(stage: &Stage<'_>) -> Result<()> {
    let api = &stage.case.cluster.api;
    let group = format!("{}.example.com", stage.environment.name);
    let doodads = format!("/apis/{group}/v1/namespaces/{OPS}/doodads");
    let theirs =
        json!({"apiVersion": format!("{group}/v1"), "kind": "Doodad", "metadata": {"name": "theirs"}});
    api.create(&doodads, &theirs)?;
    stage
        .down()
        .succeed()?
        .says(["is kept: 1 objects of its kind are left, such as Doodad/theirs in ops"])?;
    ensure!(stage.exists(&format!("{doodads}/theirs"))?, "theirs is still there");
    let receipts = state::receipts(api, &stage.environment.name)?;
    ensure!(
        receipts.len() == 1 && receipts[0].to_string().contains("objects of its kind may be left"),
        "{receipts:?}"
    );
    Ok(())
}

fn a_kind_that_nobody_uses(stage: &Stage<'_>) -> Result<()> {
    stage.down().succeed()?;
    stage.case.is_gone(&stage.environment)
}

/// Operator and custom resources leave the spec together: the operator runs until they are gone.
fn pruned_with_its_operator(stage: &Stage<'_>) -> Result<()> {
    let repo = stage.case.repo("teardown")?;
    branch(stage.case, &repo, "pruned", Variant::Whole)?;
    let up = stage.case.mimeo(stage.case.on("up", &repo, "pruned")).args(["--name", "pruned-too"]);
    up.succeed()?;
    let spec = format!("environments/{}.yaml", stage.case.spec());
    repo.checkout("pruned")?;
    for name in ["operator", "widgets"] {
        repo.edit(&spec, &format!("    {name}: {{template: {name}}}\n"), "")?;
    }
    repo.commit("Neither of them")?;
    up.succeed()?.says(["- widgets: Widget/one", "- operator: Deployment/operator"])?;
    let all = stage.case.environments()?;
    let pruned =
        all.iter().find(|one| one.name.contains("-pruned-too-")).context("there is no pruned-too")?;
    stage.case.mimeo(["down", &pruned.name, "--yes"]).succeed()?;
    stage.case.is_gone(pruned)?;
    stage.down().succeed()?;
    stage.case.is_gone(&stage.environment)
}

fn a_broken_part_of_the_api(stage: &Stage<'_>) -> Result<()> {
    let api = &stage.case.cluster.api;
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    let broken = json!({
        "metadata": {"name": "v1.stale.example.org"},
        "spec": {
            "group": "stale.example.org", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"namespace": OPS, "name": "nobody", "port": 443},
        },
    });
    api.create(services, &broken)?;
    thread::sleep(Duration::from_secs(3));
    let blocked = stage.down().args(["--timeout", "20s"]).run()?;
    let told = stage.as_admin(&["status"]);
    ensure!(api.delete(&format!("{services}/v1.stale.example.org"))?.is_ok());
    let blocked = blocked.expect(4)?.says(["DEL001", "APIService v1.stale.example.org does not answer"])?;
    blocked.says(["may not be read with these rights"])?;
    told?.expect(0)?.says(["Service ops/nobody"])?;
    stage.down().succeed()?;
    stage.case.is_gone(&stage.environment)
}
