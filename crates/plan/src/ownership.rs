//! Whether a live object is ours.
//!
//! Ours is what the inventory names by uid and what carries our field manager and our label. An
//! entry that is still pending has no uid to compare: there the annotation with the uid of the
//! record stands for it. A label alone proves nothing, since controllers and people copy labels.

use serde_json::Value;

use crate::{
    Desired, Entry, FIELD_MANAGER, OWNER_ANNOTATION, desired::ENVIRONMENT_LABEL, guard::foreign_owner,
    other_managers, text, uid,
};

/// Who the environment is, for the comparison.
#[derive(Debug, Clone, Copy)]
pub struct Provenance<'a> {
    /// Id of the environment (32 hexadecimal digits).
    pub environment: &'a str,
    /// uid of its record.
    pub record_uid: &'a str,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// The object the inventory names: it may be changed; to be deleted it must carry our label too.
    Ours {
        /// Whether manager and label are still in place.
        marked: bool,
    },
    /// Not ours, and why.
    Foreign(String),
}

/// Judges a live object. `entry` is its inventory entry, if there is one.
#[must_use]
pub fn ownership(live: &Value, entry: Option<&Entry>, who: Provenance<'_>) -> Ownership {
    let Some(entry) = entry else {
        return Ownership::Foreign(not_made(live, who));
    };
    let labelled = text(live, &["metadata", "labels", ENVIRONMENT_LABEL]) == Some(who.environment);
    let managed = is_managed(live);
    let same = entry.uid.is_some() && entry.uid.as_deref() == uid(live);
    if same && !entry.adopting {
        return Ownership::Ours { marked: labelled && managed };
    }
    let owner = live
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(OWNER_ANNOTATION))
        .and_then(Value::as_str);
    if same && labelled && managed && owner == Some(who.record_uid) {
        return Ownership::Ours { marked: true };
    }
    if entry.pending && labelled && managed && owner == Some(who.record_uid) {
        return Ownership::Ours { marked: true };
    }
    Ownership::Foreign(match &entry.uid {
        Some(_) if same => format!("its adoption was not carried out ({})", described(live)),
        Some(known) if !entry.pending && !entry.adopting => {
            format!(
                "the object mimeo made (uid {known}) was deleted and another one has its name ({})",
                described(live)
            )
        }
        _ => not_made(live, who),
    })
}

fn not_made(live: &Value, who: Provenance<'_>) -> String {
    let own = text(live, &["metadata", "labels", ENVIRONMENT_LABEL]) == Some(who.environment);
    if own && is_managed(live) && foreign_owner::owner(live).is_none() {
        return "it was kept or left by an earlier life of this environment: adopt it or delete it"
            .to_owned();
    }
    format!("it exists and mimeo did not make it ({})", described(live))
}

/// Whether a live object is one that a run of the same environment sent: it carries our manager, and label
/// and annotation as `desired` has them.
#[must_use]
pub fn is_sent_by(live: &Value, desired: &Desired) -> bool {
    let same = |path: &[&str]| {
        let sent = text(&desired.manifest, path);
        sent.is_some_and(|sent| !sent.is_empty()) && sent == text(live, path)
    };
    is_managed(live)
        && same(&["metadata", "labels", ENVIRONMENT_LABEL])
        && same(&["metadata", "annotations", OWNER_ANNOTATION])
}

/// Annotations by which somebody asks that an object outlives what made it: Helm's, and Flux's.
const KEEP: [(&str, &str); 2] =
    [("helm.sh/resource-policy", "keep"), ("kustomize.toolkit.fluxcd.io/prune", "disabled")];

/// The annotation by which a live object asks to be kept when the rendering no longer has it.
#[must_use]
pub fn keeps(live: &Value) -> Option<&'static str> {
    let annotations = live.pointer("/metadata/annotations")?;
    KEEP.iter()
        .find(|(name, value)| annotations.get(*name).and_then(Value::as_str) == Some(*value))
        .map(|(name, _)| *name)
}

fn is_managed(live: &Value) -> bool {
    live.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(|entries| {
        entries.iter().any(|entry| entry.get("manager").and_then(Value::as_str) == Some(FIELD_MANAGER))
    })
}

fn described(live: &Value) -> String {
    let managers = other_managers(live, FIELD_MANAGER);
    if let Some(owner) = foreign_owner::owner(live) {
        return format!("it belongs to {owner}");
    }
    match text(live, &["metadata", "labels", ENVIRONMENT_LABEL]) {
        Some(other) if is_managed(live) => format!("environment {other}"),
        _ if managers.is_empty() => "no field manager".to_owned(),
        _ => format!("managed by {}", managers.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{ObjectRef, Order, Stage};

    const WHO: Provenance<'static> = Provenance { environment: "e1", record_uid: "r1" };

    fn live() -> Value {
        json!({"metadata": {
            "uid": "u1", "labels": {ENVIRONMENT_LABEL: "e1"}, "annotations": {OWNER_ANNOTATION: "r1"},
            "managedFields": [{"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {}}]
        }})
    }

    fn entry(uid: Option<&str>, pending: bool) -> Entry {
        Entry {
            object: ObjectRef {
                group: String::new(),
                version: "v1".into(),
                kind: "ConfigMap".into(),
                namespace: Some("n".into()),
                name: "c".into(),
            },
            component: "c".into(),
            order: Order { level: 0, stage: Stage::Config },
            uid: uid.map(str::to_owned),
            pending,
            adopting: false,
            outside: false,
            desired: String::new(),
            owned: String::new(),
        }
    }

    #[test]
    fn what_an_earlier_life_left_is_not_called_another_environment() {
        let Ownership::Foreign(why) = ownership(&live(), None, WHO) else { panic!("it is nobody's yet") };
        assert_eq!(why, "it was kept or left by an earlier life of this environment: adopt it or delete it");
        let other = Provenance { environment: "e2", record_uid: "r1" };
        let Ownership::Foreign(why) = ownership(&live(), None, other) else { panic!("it is another's") };
        assert_eq!(why, "it exists and mimeo did not make it (environment e1)");
    }

    #[test]
    fn a_uid_in_the_inventory_is_ours() {
        assert_eq!(
            ownership(&live(), Some(&entry(Some("u1"), false)), WHO),
            Ownership::Ours { marked: true }
        );
    }

    #[test]
    fn a_lost_label_leaves_it_ours_but_unmarked() {
        let mut live = live();
        live["metadata"]["labels"] = json!({});
        assert_eq!(ownership(&live, Some(&entry(Some("u1"), false)), WHO), Ownership::Ours { marked: false });
    }

    #[test]
    fn a_pending_entry_needs_manager_label_and_owner() {
        let pending = entry(None, true);
        assert_eq!(ownership(&live(), Some(&pending), WHO), Ownership::Ours { marked: true });
        for (path, value) in [
            ("/metadata/managedFields/0/manager", json!("kubectl")),
            ("/metadata/labels", json!({})),
            ("/metadata/annotations", json!({OWNER_ANNOTATION: "r2"})),
        ] {
            let mut other = live();
            *other.pointer_mut(path).unwrap() = value;
            assert!(matches!(ownership(&other, Some(&pending), WHO), Ownership::Foreign(_)), "{path}");
        }
    }

    #[test]
    fn an_adoption_that_was_only_noted_makes_nothing_ours() {
        let adopting = Entry { adopting: true, ..entry(Some("u1"), false) };
        assert_eq!(ownership(&live(), Some(&adopting), WHO), Ownership::Ours { marked: true });
        for (path, value) in [
            ("/metadata/managedFields/0/manager", json!("kubectl")),
            ("/metadata/labels", json!({})),
            ("/metadata/annotations", json!({OWNER_ANNOTATION: "r2"})),
            ("/metadata/uid", json!("u2")),
        ] {
            let mut other = live();
            *other.pointer_mut(path).unwrap() = value;
            assert!(matches!(ownership(&other, Some(&adopting), WHO), Ownership::Foreign(_)), "{path}");
        }
    }

    #[test]
    fn what_another_run_sent_is_told_from_what_somebody_made() {
        let sent = Desired {
            object: entry(None, true).object,
            component: "c".into(),
            order: Order { level: 0, stage: Stage::Config },
            manifest: live(),
            origin: crate::Origin::Engine,
            reruns_after: Vec::new(),
            declared: crate::Declared::default(),
        };
        assert!(is_sent_by(&live(), &sent));
        for (path, value) in [
            ("/metadata/managedFields/0/manager", json!("kubectl")),
            ("/metadata/labels", json!({})),
            ("/metadata/annotations", json!({OWNER_ANNOTATION: "r2"})),
        ] {
            let mut other = live();
            *other.pointer_mut(path).unwrap() = value;
            assert!(!is_sent_by(&other, &sent), "{path}");
        }
    }

    #[test]
    fn copied_labels_and_recreated_objects_are_foreign() {
        assert!(matches!(ownership(&live(), None, WHO), Ownership::Foreign(_)));
        assert!(matches!(ownership(&live(), Some(&entry(Some("u0"), false)), WHO), Ownership::Foreign(_)));
    }
}
