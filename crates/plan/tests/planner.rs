//! What the planner decides, one situation a test: from a small environment that is as it should be.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

#[path = "planner/adopt.rs"]
mod adopt;

use std::collections::BTreeMap;

use plan::{
    Action, Declared, Desired, DryRun, ENVIRONMENT_LABEL, Entry, FIELD_MANAGER, Inputs, Inventory,
    OWNER_ANNOTATION, ObjectRef, Observed, Order, Origin, Plan, Provenance, Refusal, Rerun, Stage, Taking,
    desired_digest, needs_dry_run, owned_digest,
};
use serde_json::{Value, json};

const WHO: Provenance<'static> = Provenance { environment: "e1", record_uid: "r1" };

struct World {
    desired: Vec<Desired>,
    inventory: Inventory,
    observed: Observed,
}

impl World {
    /// A namespace, a ConfigMap, a Secret, a PVC and a StatefulSet of `store`, its data Job, a dbt Job of
    /// `models`, and a gate: applied, live, unchanged.
    fn settled() -> Self {
        let mut world =
            Self { desired: Vec::new(), inventory: Inventory::default(), observed: Observed::default() };
        let engine = Origin::Engine;
        let file = || Origin::Template { file: "templates/t/manifests/a.yaml".into(), line: 1 };
        world.add(
            "",
            "Namespace",
            "ns",
            None,
            "environment",
            (0, Stage::Namespace),
            engine.clone(),
            json!({}),
            vec![],
        );
        world.add(
            "",
            "ConfigMap",
            "settings",
            Some("ns"),
            "store",
            (0, Stage::Config),
            file(),
            json!({"data": {"a": "1"}}),
            vec![],
        );
        world.add(
            "",
            "Secret",
            "login",
            Some("ns"),
            "store",
            (0, Stage::Config),
            file(),
            json!({"data": {"p": "aHVudGVyMg=="}}),
            vec![],
        );
        world.add(
            "",
            "PersistentVolumeClaim",
            "disk",
            Some("ns"),
            "store",
            (0, Stage::Config),
            file(),
            json!({"spec": {"size": 1}}),
            vec![],
        );
        world.add(
            "apps",
            "StatefulSet",
            "store",
            Some("ns"),
            "store",
            (0, Stage::Workload),
            file(),
            json!({"spec": {"replicas": 1}}),
            vec![],
        );
        let copy = vec![Rerun::AfterStorageOf("store".into())];
        world.add(
            "batch",
            "Job",
            "copy",
            Some("data"),
            "store",
            (0, Stage::Data),
            engine.clone(),
            json!({"spec": {"n": 1}}),
            copy,
        );
        let models = vec![Rerun::AfterDataOf("store".into())];
        world.add(
            "batch",
            "Job",
            "models",
            Some("ns"),
            "models",
            (1, Stage::Workload),
            file(),
            json!({"spec": {"n": 1}}),
            models,
        );
        world.add(
            "batch",
            "Job",
            "gate",
            Some("ns"),
            "store",
            (2, Stage::Gate),
            engine,
            json!({"spec": {"n": 1}}),
            vec![Rerun::AfterAnything],
        );
        world
    }

    #[expect(clippy::too_many_arguments, reason = "a table is easier to read than a builder")]
    fn add(
        &mut self,
        group: &str,
        kind: &str,
        name: &str,
        namespace: Option<&str>,
        component: &str,
        (level, stage): (usize, Stage),
        origin: Origin,
        body: Value,
        reruns_after: Vec<Rerun>,
    ) {
        let object = ObjectRef {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            namespace: namespace.map(str::to_owned),
            name: name.into(),
        };
        let mut manifest = json!({
            "apiVersion": object.api_version(), "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "labels": {ENVIRONMENT_LABEL: "e1"}},
        });
        for (key, value) in body.as_object().unwrap() {
            manifest[key] = value.clone();
        }
        let order = Order { level, stage };
        let declared = Declared::default();
        let component = component.to_owned();
        let desired =
            Desired { object, component, order, manifest, origin, reruns_after, declared }.owned_by("r1");
        let live = live(&desired);
        self.inventory.put(entry(&desired, &live));
        self.observed.saw(desired.object.key(), live);
        self.desired.push(desired);
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            environment: "qa-main-12345678",
            who: WHO,
            revision: "0123456789abcdef",
            manifests: "digest",
            desired: &self.desired,
            inventory: &self.inventory,
            observed: &self.observed,
        }
    }

    fn plan(&self) -> Result<Plan, Vec<Refusal>> {
        plan::plan(&self.inputs())
    }

    fn steps(&self) -> BTreeMap<String, Action> {
        self.plan().unwrap().steps().map(|step| (step.object.short(), step.action)).collect()
    }

    fn desired(&mut self, name: &str) -> &mut Desired {
        self.desired.iter_mut().find(|desired| desired.object.short() == name).unwrap()
    }

    fn live(&mut self, name: &str) -> &mut Value {
        let key = self.desired(name).object.key();
        self.observed.live.get_mut(&key).unwrap()
    }

    fn gone(&mut self, name: &str) {
        let key = self.desired(name).object.key();
        self.observed.missed(key);
    }

    fn answer(&mut self, name: &str, answer: DryRun) {
        let key = self.desired(name).object.key();
        self.observed.dry_runs.insert(key, answer);
    }

    /// Changes the template of an object, and has the server agree to it.
    fn change(&mut self, name: &str, field: &str, value: Value) {
        self.desired(name).manifest[field] = value.clone();
        let mut after = self.live(name).clone();
        after[field] = value;
        self.answer(name, DryRun::Becomes(after));
    }
}

fn live(desired: &Desired) -> Value {
    let mut live = desired.manifest.clone();
    live["metadata"]["uid"] = json!(format!("uid-{}", desired.object.name));
    live["metadata"]["resourceVersion"] = json!("7");
    let mut fields = json!({"f:metadata": {"f:labels": {format!("f:{ENVIRONMENT_LABEL}"): {}}}});
    for key in ["data", "spec"] {
        if let Some(body) = desired.manifest.get(key).and_then(Value::as_object) {
            fields[format!("f:{key}")] = body
                .keys()
                .map(|name| (format!("f:{name}"), json!({})))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
    }
    live["metadata"]["managedFields"] =
        json!([{"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields}]);
    live
}

fn entry(desired: &Desired, live: &Value) -> Entry {
    Entry {
        object: desired.object.clone(),
        component: desired.component.clone(),
        order: desired.order,
        uid: plan::uid(live).map(str::to_owned),
        pending: false,
        adopting: false,
        outside: false,
        desired: desired_digest(desired),
        owned: owned_digest(live, FIELD_MANAGER).unwrap(),
    }
}

fn map<const N: usize>(steps: [(&str, Action); N]) -> BTreeMap<String, Action> {
    steps.into_iter().map(|(name, action)| (name.to_owned(), action)).collect()
}

#[test]
fn nothing_to_do_asks_nothing_and_does_nothing() {
    let world = World::settled();
    assert!(needs_dry_run(&world.inputs()).is_empty());
    assert!(world.plan().unwrap().is_empty());
}

#[test]
fn a_changed_template_is_one_update_and_the_gate_is_asked_again() {
    let mut world = World::settled();
    world.change("ConfigMap/settings", "data", json!({"a": "2"}));
    assert_eq!(needs_dry_run(&world.inputs()).len(), 1);
    assert_eq!(world.steps(), map([("ConfigMap/settings", Action::Update), ("Job/gate", Action::Recreate)]));
    let plan = world.plan().unwrap();
    let step = plan.steps().next().unwrap();
    assert_eq!(step.changes[0].path, "data.a");
    assert_eq!((step.uid.as_deref(), step.resource_version.as_deref()), (Some("uid-settings"), Some("7")));
}

#[test]
fn a_foreign_change_of_a_field_of_ours_is_undone_and_of_another_left() {
    let mut world = World::settled();
    world.live("StatefulSet/store")["spec"]["paused"] = json!(true);
    assert!(needs_dry_run(&world.inputs()).is_empty(), "a field that is not ours");
    world.live("StatefulSet/store")["spec"]["replicas"] = json!(5);
    let back = live(world.desired("StatefulSet/store"));
    world.answer("StatefulSet/store", DryRun::TakesBack(back, vec!["spec.replicas (kubectl)".into()]));
    let plan = world.plan().unwrap();
    let step = plan.steps().find(|step| step.object.kind == "StatefulSet").unwrap();
    assert_eq!((step.action, step.takes_back.len()), (Action::Update, 1));
}

#[test]
fn an_empty_list_of_a_custom_resource_that_somebody_removed_is_asked_about() {
    let mut world = World::settled();
    let body = json!({"spec": {"tags": [], "more": {"free": {}}}});
    let file = Origin::Template { file: "templates/t/manifests/a.yaml".into(), line: 1 };
    let order = (0, Stage::Workload);
    world.add("example.com", "Widget", "widget", Some("ns"), "store", order, file, body, vec![]);
    assert!(needs_dry_run(&world.inputs()).is_empty());
    let kept = world.live("Widget/widget").clone();
    for pointer in ["/spec", "/spec/more"] {
        *world.live("Widget/widget") = kept.clone();
        let field = if pointer == "/spec" { "tags" } else { "free" };
        let live = world.live("Widget/widget");
        live.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(field);
        // As the server has it: nobody owns what is empty.
        let spec = live.pointer_mut("/metadata/managedFields/0/fieldsV1").unwrap();
        spec.as_object_mut().unwrap().remove("f:spec");
        let live = live.clone();
        let key = world.desired("Widget/widget").object.key();
        let mut entry = world.inventory.get(&key).unwrap().clone();
        entry.owned = owned_digest(&live, FIELD_MANAGER).unwrap();
        world.inventory.put(entry);
        assert_eq!(needs_dry_run(&world.inputs()).len(), 1, "{pointer}");
    }
}

#[test]
fn a_conflict_over_a_field_that_never_was_ours_is_refused() {
    let mut world = World::settled();
    world.desired("StatefulSet/store").manifest["spec"]["replicas"] = json!(3);
    world.answer(
        "StatefulSet/store",
        DryRun::Conflict(vec![".spec.replicas: conflict with \"hpa\" using apps/v1".into()]),
    );
    match &world.plan().unwrap_err()[..] {
        [refusal @ Refusal::Conflict { .. }] => {
            let (_, help) = refusal.explain();
            assert!(
                help.contains("`overrides: {StatefulSet/store: [spec.replicas]}` in component store"),
                "{help}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn fields_that_the_spec_overrides_are_taken_and_shown() {
    let mut world = World::settled();
    world.desired("StatefulSet/store").manifest["spec"]["replicas"] = json!(3);
    let fields = vec![".spec.replicas: conflict with \"hpa\" using apps/v1".to_owned()];
    let right = |world: &mut World| {
        let desired = world.desired("StatefulSet/store").clone();
        plan::taking(&world.inputs(), &desired, &fields)
    };
    assert_eq!(right(&mut world), Taking::Refused);
    world.desired("StatefulSet/store").declared.overrides = vec![vec!["spec".into(), "replicas".into()]];
    assert_eq!(right(&mut world), Taking::Declared);
    let mut after = world.live("StatefulSet/store").clone();
    after["spec"]["replicas"] = json!(3);
    world.answer("StatefulSet/store", DryRun::Takes(after, fields.clone()));
    let plan = world.plan().unwrap();
    let step = plan.steps().find(|step| step.object.kind == "StatefulSet").unwrap();
    assert_eq!((step.action, &step.takes, step.takes_back.len()), (Action::Update, &fields, 0));
    assert_eq!(step.changes[0].path, "spec.replicas");
    // What mimeo applied before is taken back, whatever is declared.
    let desired = world.desired("StatefulSet/store").clone();
    world.inventory.get_mut(&desired.object.key()).unwrap().desired = desired_digest(&desired);
    assert_eq!(right(&mut world), Taking::Back);
}

#[test]
fn a_secret_that_somebody_changed_is_seen_without_any_digest_of_its_value() {
    let mut world = World::settled();
    let before = world.inventory.clone();
    world.live("Secret/login")["data"]["p"] = json!("Y2FuYXJ5");
    assert_eq!(needs_dry_run(&world.inputs()).len(), 1);
    let live = world.live("Secret/login").clone();
    let desired = world.desired("Secret/login").clone();
    assert_eq!(
        entry(&desired, &live),
        *before.get(&desired.object.key()).unwrap(),
        "the value entered a digest"
    );
    let after = self::live(&desired);
    world.answer("Secret/login", DryRun::Becomes(after));
    let shown = serde_json::to_string(&world.plan().unwrap()).unwrap();
    assert!(!shown.contains("Y2FuYXJ5") && !shown.contains("aHVudGVyMg"), "{shown}");
}

#[test]
fn a_job_whose_template_changes_runs_again() {
    let mut world = World::settled();
    world.desired("Job/models").manifest["spec"]["n"] = json!(2);
    world.answer("Job/models", DryRun::Immutable("field is immutable".into()));
    assert_eq!(world.steps(), map([("Job/models", Action::Recreate), ("Job/gate", Action::Recreate)]));
    assert_eq!(world.plan().unwrap().stale().count(), 2);
}

#[test]
fn a_failed_job_runs_again() {
    let mut world = World::settled();
    world.live("Job/models")["status"] = json!({"conditions": [{"type": "Failed", "status": "True"}]});
    assert_eq!(world.steps()["Job/models"], Action::Recreate);
}

#[test]
fn new_storage_copies_data_again_and_what_builds_on_it() {
    let mut world = World::settled();
    world.gone("PersistentVolumeClaim/disk");
    assert_eq!(
        world.steps(),
        map([
            ("PersistentVolumeClaim/disk", Action::Create),
            ("Job/copy", Action::Recreate),
            ("Job/models", Action::Recreate),
            ("Job/gate", Action::Recreate),
        ])
    );
}

#[test]
fn a_volume_that_must_be_made_again_is_at_stake() {
    let mut world = World::settled();
    world.desired("PersistentVolumeClaim/disk").manifest["spec"]["size"] = json!(2);
    world.answer("PersistentVolumeClaim/disk", DryRun::Immutable("spec is immutable after creation".into()));
    let plan = world.plan().unwrap();
    assert_eq!(plan.at_stake, ["PersistentVolumeClaim/disk: its data is lost"]);
    assert_eq!(plan.digest(), world.plan().unwrap().digest(), "an approval must mean this plan");
}

#[test]
fn what_mounts_a_volume_that_is_made_again_goes_first_and_comes_again() {
    let mounting = |claim: &str| {
        let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]);
        json!({"spec": {"template": {"spec": {"volumes": volumes}}}})
    };
    let file = || Origin::Template { file: "templates/t/manifests/a.yaml".into(), line: 1 };
    let mut world = World::settled();
    for (group, kind, name, claim, order) in [
        ("apps", "Deployment", "user", "disk", (1, Stage::Workload)),
        ("batch", "Job", "fills", "disk", (0, Stage::Before)),
        ("apps", "Deployment", "other", "other", (1, Stage::Workload)),
    ] {
        world.add(group, kind, name, Some("ns"), "app", order, file(), mounting(claim), vec![]);
    }
    assert!(world.plan().unwrap().is_empty());
    world.desired("PersistentVolumeClaim/disk").manifest["spec"]["size"] = json!(2);
    world.answer("PersistentVolumeClaim/disk", DryRun::Immutable("spec is immutable after creation".into()));
    // It no longer mounts it, but its pods do until they are gone.
    world.change("Deployment/user", "spec", json!({"replicas": 2}));
    let plan = world.plan().unwrap();
    let again = [("Deployment/user", Action::Recreate), ("Job/fills", Action::Recreate)];
    let steps = world.steps();
    for (name, action) in again {
        assert_eq!(steps.get(name), Some(&action), "{name}");
    }
    assert!(!steps.contains_key("Deployment/other"));
    let first: Vec<String> = plan.stale().map(|step| step.object.short()).collect();
    assert!(again.iter().all(|(name, _)| first.iter().any(|one| one == name)), "{first:?}");
    assert!(!first.contains(&"PersistentVolumeClaim/disk".to_owned()), "it goes in its wave");
    let reason = &plan.steps().find(|step| step.object.name == "user").unwrap().reason;
    assert!(reason.contains("mounts PersistentVolumeClaim/disk"), "{reason}");

    // A claim that is on its way out needs no approval any more; what holds it goes all the same.
    world.live("PersistentVolumeClaim/disk")["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
    let plan = world.plan().unwrap();
    assert_eq!(plan.at_stake, [] as [String; 0]);
    assert!(plan.stale().any(|step| step.object.name == "user"));

    // What is not known to be ours is not deleted for it.
    world.live("Deployment/user")["metadata"]["labels"] = json!({});
    assert!(matches!(&world.plan().unwrap_err()[..], [Refusal::Foreign { .. }]));
}

#[test]
fn an_object_without_any_live_read_decides_nothing() {
    let mut world = World::settled();
    let key = world.desired("ConfigMap/settings").object.key();
    world.observed.live.remove(&key);
    assert!(matches!(&world.plan().unwrap_err()[..], [Refusal::Unknown { .. }]));
}

#[test]
fn a_foreign_object_with_a_wanted_name_is_refused() {
    let mut world = World::settled();
    let key = world.desired("ConfigMap/settings").object.key();
    world.inventory.remove(&key);
    assert!(matches!(&world.plan().unwrap_err()[..], [Refusal::Foreign { .. }]));
}

#[test]
fn what_the_rendering_no_longer_has_goes_in_reverse_order() {
    let mut world = World::settled();
    world.desired.retain(|desired| !["settings", "models"].contains(&desired.object.name.as_str()));
    let plan = world.plan().unwrap();
    let names: Vec<String> = plan.prune.iter().map(|step| step.object.short()).collect();
    assert_eq!(names, ["Job/models", "ConfigMap/settings"]);
    assert!(plan.at_stake.is_empty());
}

#[test]
fn prune_leaves_what_is_foreign_unmarked_unseen_or_a_namespace() {
    for (case, twist) in [
        (
            "another uid",
            Box::new(|world: &mut World| world.live("ConfigMap/settings")["metadata"]["uid"] = json!("x"))
                as Box<dyn Fn(&mut World)>,
        ),
        ("label gone", Box::new(|world| world.live("ConfigMap/settings")["metadata"]["labels"] = json!({}))),
        (
            "manager gone",
            Box::new(|world| world.live("ConfigMap/settings")["metadata"]["managedFields"] = json!([])),
        ),
        (
            "asked to be kept",
            Box::new(|world| {
                let metadata = &mut world.live("ConfigMap/settings")["metadata"];
                metadata["annotations"]["helm.sh/resource-policy"] = json!("keep");
            }),
        ),
        (
            "not seen",
            Box::new(|world| {
                let key = world.desired("ConfigMap/settings").object.key();
                world.observed.live.remove(&key);
            }),
        ),
    ] {
        let mut world = World::settled();
        twist(&mut world);
        world.desired.retain(|desired| desired.object.name != "settings");
        let plan = world.plan().unwrap();
        assert!(plan.prune.is_empty(), "{case}");
        assert_eq!(plan.notes.len(), 1, "{case}");
    }
    let mut world = World::settled();
    world.desired.retain(|desired| desired.object.kind != "Namespace");
    assert!(world.plan().unwrap().prune.is_empty(), "a namespace");
}

#[test]
fn losing_more_than_half_needs_an_approval_and_losing_all_is_refused() {
    let mut world = World::settled();
    world.desired.retain(|desired| ["ns", "store"].contains(&desired.object.name.as_str()));
    assert!(!world.plan().unwrap().at_stake.is_empty());
    world.desired.retain(|desired| desired.object.kind == "Namespace");
    assert!(matches!(&world.plan().unwrap_err()[..], [Refusal::EmptyRendering]));
}

#[test]
fn a_pending_object_is_ours_only_with_owner_label_and_manager() {
    let pending = |world: &mut World| {
        let key = world.desired("ConfigMap/settings").object.key();
        let entry = world.inventory.get_mut(&key).unwrap();
        (entry.uid, entry.pending) = (None, true);
        entry.desired.clear();
        entry.owned.clear();
    };
    let mut world = World::settled();
    pending(&mut world);
    let after = world.live("ConfigMap/settings").clone();
    world.answer("ConfigMap/settings", DryRun::Becomes(after));
    assert!(world.plan().unwrap().is_empty(), "it was made by the run that was killed");
    world.live("ConfigMap/settings")["metadata"]["annotations"] = json!({OWNER_ANNOTATION: "r2"});
    assert!(matches!(&world.plan().unwrap_err()[..], [Refusal::Foreign { .. }]));
}

#[test]
fn waves_wait_for_config_and_workload_of_a_level_together() {
    let plan = World::settled().plan().unwrap();
    let waits: Vec<(usize, Stage, usize)> =
        plan.waves.iter().map(|wave| (wave.order.level, wave.order.stage, wave.wait_for.len())).collect();
    assert_eq!(
        waits,
        [
            (0, Stage::Namespace, 1),
            (0, Stage::Config, 0),
            (0, Stage::Workload, 4),
            (0, Stage::Data, 1),
            (1, Stage::Workload, 1),
            (2, Stage::Gate, 1),
        ]
    );
}

/// As after a renaming: the label of `settings` and of the gate is another one, and nothing else.
#[test]
fn a_moved_component_changes_one_label_and_no_job_runs_again() {
    let mut world = World::settled();
    for name in ["ConfigMap/settings", "Job/copy", "Job/gate", "StatefulSet/store"] {
        let desired = world.desired(name);
        desired.component = "db".into();
        desired.manifest["metadata"]["labels"]["mimeo.dev/component"] = json!("db");
        world.live(name)["metadata"]["labels"]["mimeo.dev/component"] = json!("store");
        let mut after = world.live(name).clone();
        after["metadata"]["labels"]["mimeo.dev/component"] = json!("db");
        world.answer(name, DryRun::Becomes(after));
    }
    let plan = world.plan().unwrap();
    assert_eq!(plan.steps().count(), 4);
    for step in plan.steps() {
        assert_eq!((step.action, step.reason.as_str()), (Action::Update, "moved from store"), "{step:?}");
    }
    assert_eq!(plan.notes.len(), 1, "one for the component: {:?}", plan.notes);
    assert!(plan.at_stake.is_empty());
    // Whatever else changes is no mere move.
    let mut after = world.live("ConfigMap/settings").clone();
    after["data"] = json!({"a": "2"});
    world.answer("ConfigMap/settings", DryRun::Becomes(after));
    assert_eq!(world.steps()["Job/gate"], Action::Recreate);
}

#[test]
fn what_is_waited_for_is_told_after_the_first_change_only() {
    use plan::StepKind::{Data, Recreate, Update, Wait};
    let kinds = |world: &World| {
        let plan = world.plan().unwrap();
        plan.outline().iter().map(|line| (line.kind, line.objects.len())).collect::<Vec<_>>()
    };
    let mut world = World::settled();
    assert_eq!(kinds(&world), [], "nothing changes, nothing is waited for");
    world.change("ConfigMap/settings", "data", json!({"a": "2"}));
    let waits = [(Update, 1), (Wait, 4), (Wait, 1), (Wait, 1), (Data, 1), (Wait, 1)];
    assert_eq!(kinds(&world), waits, "the gate is asked again");
    let mut world = World::settled();
    world.live("Job/models")["status"] = json!({"conditions": [{"type": "Failed", "status": "True"}]});
    assert_eq!(kinds(&world), [(Recreate, 1), (Wait, 1), (Data, 1), (Wait, 1)]);
}

/// One definition that environments share, and what the cluster serves of its kind.
fn definition(world: &mut World, served: &[&str]) {
    let manifest = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "topics.example.com"},
        "spec": {"group": "example.com", "names": {"kind": "Topic"}, "versions": [{"name": "v1", "served": true}]},
    });
    let desired = Desired {
        object: ObjectRef::of(&manifest).unwrap(),
        component: "broker".into(),
        order: Order { level: 0, stage: Stage::Definitions },
        manifest,
        origin: Origin::Template { file: "f".into(), line: 1 },
        reruns_after: Vec::new(),
        declared: Declared::default(),
    }
    .owned_by("r1");
    let versions = served.iter().map(|version| (*version).to_owned()).collect();
    world.observed.served.insert(desired.object.key(), versions);
    world.desired.insert(0, desired);
}

#[test]
fn a_shared_definition_is_made_or_left_alone_and_never_anybodys() {
    let mut world = World::settled();
    definition(&mut world, &[]);
    assert!(world.desired[0].manifest["metadata"]["annotations"].is_null(), "it has no owner");
    let plan = world.plan().unwrap();
    assert_eq!(
        (plan.waves[0].steps[0].action, plan.waves[0].order.stage),
        (Action::Create, Stage::Definitions)
    );
    let mut world = World::settled();
    definition(&mut world, &["v1", "v2"]);
    let plan = world.plan().unwrap();
    assert!(plan.is_empty() && plan.notes[0].text.contains("left alone"), "{:?}", plan.notes);
    let mut world = World::settled();
    definition(&mut world, &["v1beta1"]);
    assert!(matches!(&world.plan().unwrap_err()[..], [Refusal::Definition { .. }]));
    let mut world = World::settled();
    definition(&mut world, &["v1"]);
    world.observed.served.clear();
    assert!(matches!(&world.plan().unwrap_err()[..], [Refusal::Unknown { .. }]), "nobody asked");
}

#[test]
fn what_lost_its_marks_is_changed_in_place_but_never_made_again() {
    let mut world = World::settled();
    world.live("StatefulSet/store")["metadata"]["labels"] = json!({});
    world.answer("StatefulSet/store", DryRun::Immutable("field is immutable".into()));
    world.desired("StatefulSet/store").manifest["spec"]["replicas"] = json!(2);
    match &world.plan().unwrap_err()[..] {
        [Refusal::Foreign { why, .. }] => assert!(why.contains("removed its mimeo label"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_taken_name_outside_of_namespaces_is_refused_with_its_owner() {
    let mut world = World::settled();
    let file = Origin::Template { file: "f".into(), line: 1 };
    let group = "rbac.authorization.k8s.io";
    world.add(group, "ClusterRole", "reader", None, "store", (0, Stage::Roles), file, json!({}), vec![]);
    let key = world.desired("ClusterRole/reader").object.key();
    world.inventory.remove(&key);
    let live = world.live("ClusterRole/reader");
    live["metadata"]["annotations"] = json!({"meta.helm.sh/release-name": "db"});
    match &world.plan().unwrap_err()[..] {
        [Refusal::ClusterScoped { why, .. }] => assert!(why.contains("the Helm release db"), "{why}"),
        other => panic!("{other:?}"),
    }
}
