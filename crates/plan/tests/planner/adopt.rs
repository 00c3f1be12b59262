//! What was there before: adopted, refused, or begun again.

use plan::{Action, DryRun, ENVIRONMENT_LABEL, OWNER_ANNOTATION, Refusal, Taking, needs_dry_run};
use serde_json::{Value, json};

use super::{World, map};

/// What somebody did to a live object.
type Twist = Box<dyn Fn(&mut Value)>;

/// A ConfigMap that somebody else made under the name of `settings`, which the spec adopts.
fn adopting(twist: impl Fn(&mut Value)) -> World {
    let mut world = World::settled();
    let key = world.desired("ConfigMap/settings").object.key();
    world.inventory.remove(&key);
    world.desired("ConfigMap/settings").declared.adopt = true;
    let live = world.live("ConfigMap/settings");
    live["data"] = json!({"a": "theirs", "b": "2"});
    live["metadata"]["labels"] = json!({});
    live["metadata"]["annotations"] = json!({});
    live["metadata"]["managedFields"] = json!([{"manager": "kubectl-create", "operation": "Update"}]);
    twist(live);
    let mut after = world.live("ConfigMap/settings").clone();
    after["data"]["a"] = json!("1");
    after["metadata"]["labels"][ENVIRONMENT_LABEL] = json!("e1");
    after["metadata"]["annotations"][OWNER_ANNOTATION] = json!("r1");
    let fields = vec![".data.a: conflict with \"kubectl-create\" using v1".to_owned()];
    world.answer("ConfigMap/settings", DryRun::Takes(after, fields));
    world
}

#[test]
fn what_is_nobodys_is_adopted_with_what_changes() {
    let mut world = adopting(|_| {});
    assert_eq!(needs_dry_run(&world.inputs()).len(), 1);
    let desired = world.desired("ConfigMap/settings").clone();
    assert_eq!(plan::taking(&world.inputs(), &desired, &[".data.a".into()]), Taking::Declared);
    assert_eq!(world.steps(), map([("ConfigMap/settings", Action::Adopt), ("Job/gate", Action::Recreate)]));
    let plan = world.plan().unwrap();
    let step = plan.steps().next().unwrap();
    let label = format!("metadata.labels[\"{ENVIRONMENT_LABEL}\"]");
    let mut paths: Vec<&str> = step.changes.iter().map(|change| change.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["data.a", label.as_str()], "and not the uid of the record");
    assert_eq!((step.uid.as_deref(), step.takes.len()), (Some("uid-settings"), 1));
    assert!(step.reason.contains("deleted with it"), "{}", step.reason);
    // A status, and what the server counts, make no other plan; anything else does.
    let before = plan.clone();
    world.live("ConfigMap/settings")["status"] = json!({"seen": true});
    world.live("ConfigMap/settings")["metadata"]["resourceVersion"] = json!("8");
    assert_eq!(before.differences(&world.plan().unwrap()), Vec::<String>::new());
    for (field, value) in [("labels", json!({"team": "x"})), ("finalizers", json!(["f"]))] {
        let world = adopting(move |live| live["metadata"][field] = value.clone());
        assert_eq!(before.differences(&world.plan().unwrap()).len(), 1, "{field}");
    }
    let world = adopting(|live| live["data"]["b"] = json!("3"));
    assert_eq!(before.differences(&world.plan().unwrap()).len(), 1, "a field that the template does not set");
}

#[test]
fn what_belongs_to_somebody_is_not_adopted() {
    let annotations = |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        Box::new(move |live: &mut Value| live["metadata"]["annotations"][name.as_str()] = json!(value))
    };
    let cases: Vec<(&str, Twist)> = vec![
        ("environment e2", Box::new(|live| live["metadata"]["labels"][ENVIRONMENT_LABEL] = json!("e2"))),
        ("record is r2", annotations(OWNER_ANNOTATION, "r2")),
        ("the Helm release db", annotations("meta.helm.sh/release-name", "db")),
        (
            "the Argo CD application shop",
            annotations("argocd.argoproj.io/tracking-id", "shop:/ConfigMap:n/c"),
        ),
        (
            "apps of Flux",
            Box::new(|live| live["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] = json!("apps")),
        ),
        (
            "Kafka/main",
            Box::new(|live| live["metadata"]["ownerReferences"] = json!([{"kind": "Kafka", "name": "main"}])),
        ),
    ];
    for (named, twist) in cases {
        let world = adopting(twist);
        assert!(needs_dry_run(&world.inputs()).is_empty(), "{named}");
        match &world.plan().unwrap_err()[..] {
            [Refusal::Adopted { owner, .. }] => assert!(owner.contains(named), "{owner}"),
            other => panic!("{named}: {other:?}"),
        }
    }
    // An earlier life of this environment had the same id.
    let world = adopting(|live| {
        live["metadata"]["labels"][ENVIRONMENT_LABEL] = json!("e1");
        live["metadata"]["annotations"][OWNER_ANNOTATION] = json!("r0");
    });
    assert_eq!(world.steps()["ConfigMap/settings"], Action::Adopt);
    let world = adopting(|live| live["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    assert!(matches!(&world.plan().unwrap_err()[..], [Refusal::Terminating { .. }]));
    let mut world = adopting(|_| {});
    world.answer("ConfigMap/settings", DryRun::Immutable("field is immutable".into()));
    assert!(matches!(&world.plan().unwrap_err()[..], [Refusal::Unfit { .. }]), "nothing is deleted for it");
    let mut world = adopting(|_| {});
    world.desired("ConfigMap/settings").declared.adopt = false;
    assert!(matches!(&world.plan().unwrap_err()[..], [Refusal::Foreign { .. }]), "nobody declared it");
}

#[test]
fn an_adoption_that_was_cut_short_is_begun_again_or_left() {
    let mut world = adopting(|_| {});
    let mut noted = World::settled().inventory.entries[1].clone();
    (noted.adopting, noted.desired, noted.owned) = (true, String::new(), String::new());
    assert_eq!(noted.object.name, "settings");
    world.inventory.put(noted.clone());
    assert_eq!(world.steps()["ConfigMap/settings"], Action::Adopt, "noted, and not written");
    let mut kept = adopting(|_| {});
    kept.inventory.put(noted.clone());
    kept.desired.retain(|desired| desired.object.name != "settings");
    let plan = kept.plan().unwrap();
    assert!(plan.prune.is_empty() && plan.notes[0].text.contains("not carried out"), "{:?}", plan.notes);
    // It was written: the object is ours, and as it should be.
    let mut world = World::settled();
    world.inventory.put(noted);
    world.desired("ConfigMap/settings").declared.adopt = true;
    let after = world.live("ConfigMap/settings").clone();
    world.answer("ConfigMap/settings", DryRun::Becomes(after));
    assert!(world.plan().unwrap().is_empty());
}

#[test]
fn an_adoption_of_nothing_is_a_create_with_a_note() {
    let mut world = adopting(|_| {});
    world.gone("ConfigMap/settings");
    assert_eq!(world.steps()["ConfigMap/settings"], Action::Create);
    let notes = world.plan().unwrap().notes;
    assert!(matches!(&notes[..], [note] if note.text.contains("nothing to adopt")), "{notes:?}");
    // What was there, and ours, is made again without that.
    let mut world = World::settled();
    world.desired("ConfigMap/settings").declared.adopt = true;
    world.gone("ConfigMap/settings");
    assert_eq!(world.plan().unwrap().notes, []);
}
