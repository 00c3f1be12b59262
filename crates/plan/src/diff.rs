//! Field-level differences between two versions of one object.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::redact;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Path such as `spec.template.spec.containers[name=web].image`.
    pub path: String,
    /// The value now; absent when the field is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value after; absent when the field goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Compares two versions of an object as the server stores them. Bookkeeping of the server (status,
/// resourceVersion, generation, managedFields, …) is left out; values of a Secret are never shown.
#[must_use]
pub fn diff(before: &Value, after: &Value) -> Vec<FieldChange> {
    let (before, after) = (comparable(before), comparable(after));
    let mut changes = Vec::new();
    walk(String::new(), Some(&before), Some(&after), &mut changes);
    if redact::is_secret(&before) || redact::is_secret(&after) {
        for change in &mut changes {
            hide(change);
        }
    }
    changes
}

/// Compares only the fields that `after` has: for a manifest that the server has not defaulted.
#[must_use]
pub fn diff_present(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut changes = diff(before, after);
    changes.retain(|change| change.after.is_some());
    changes
}

fn comparable(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in
            ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"]
        {
            metadata.remove(field);
        }
    }
    object
}

fn hide(change: &mut FieldChange) {
    if !(change.path.starts_with("data") || change.path.starts_with("stringData")) {
        return;
    }
    for (side, label) in [(&mut change.before, "(secret before)"), (&mut change.after, "(secret after)")] {
        if let Some(value) = side {
            *value = Value::from(label);
        }
    }
}

fn walk(path: String, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            for (key, value) in before {
                walk(join(&path, key), Some(value), after.get(key), changes);
            }
            for (key, value) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
                walk(join(&path, key), None, Some(value), changes);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => walk_list(&path, before, after, changes),
        (before, after) => {
            changes.push(FieldChange { path, before: before.cloned(), after: after.cloned() });
        }
    }
}

fn walk_list(path: &str, before: &[Value], after: &[Value], changes: &mut Vec<FieldChange>) {
    let Some(key) = list_key(before, after) else {
        for index in 0..before.len().max(after.len()) {
            walk(format!("{path}[{index}]"), before.get(index), after.get(index), changes);
        }
        return;
    };
    let find =
        |items: &'_ [Value], wanted: &Value| items.iter().find(|item| item.get(key) == Some(wanted)).cloned();
    let label = |wanted: &Value| {
        format!("{path}[{key}={}]", wanted.as_str().map_or(wanted.to_string(), str::to_owned))
    };
    for item in before {
        let wanted = &item[key];
        walk(label(wanted), Some(item), find(after, wanted).as_ref(), changes);
    }
    for item in after.iter().filter(|item| find(before, &item[key]).is_none()) {
        walk(label(&item[key]), None, Some(item), changes);
    }
}

/// The field that identifies the items of a list on both sides, if there is one.
fn list_key(before: &[Value], after: &[Value]) -> Option<&'static str> {
    ["name", "containerPort", "port", "key", "mountPath", "ip", "type"].into_iter().find(|key| {
        let unique = |items: &[Value]| {
            let mut seen: Vec<&Value> = Vec::new();
            items.iter().all(|item| match item.get(key) {
                Some(value) if !seen.contains(&value) => {
                    seen.push(value);
                    true
                }
                _ => false,
            })
        };
        unique(before) && unique(after) && !(before.is_empty() && after.is_empty())
    })
}

fn join(path: &str, key: &str) -> String {
    let quoted = key.contains(['.', '/']);
    match (path.is_empty(), quoted) {
        (true, _) => key.to_owned(),
        (false, true) => format!("{path}[\"{key}\"]"),
        (false, false) => format!("{path}.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_the_field_that_changed() {
        let before = json!({"kind": "Deployment", "spec": {"containers": [{"name": "web", "image": "a:1"}, {"name": "side", "image": "b:1"}]}});
        let after = json!({"kind": "Deployment", "spec": {"containers": [{"name": "side", "image": "b:1"}, {"name": "web", "image": "a:2"}]}});
        let changes = diff(&before, &after);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].path, "spec.containers[name=web].image");
        assert_eq!(
            (changes[0].before.clone(), changes[0].after.clone()),
            (Some(json!("a:1")), Some(json!("a:2")))
        );
    }

    #[test]
    fn never_shows_a_secret_value() {
        let before = json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": "aHVudGVyMg=="}});
        let after = json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": "Y2FuYXJ5", "new": "Y2FuYXJ5"}});
        let shown = serde_json::to_string(&diff(&before, &after)).unwrap();
        assert!(shown.contains("data.password") && shown.contains("data.new"), "{shown}");
        assert!(!shown.contains("aHVudGVyMg") && !shown.contains("Y2FuYXJ5"), "{shown}");
    }
}
