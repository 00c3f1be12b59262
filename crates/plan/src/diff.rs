//! Field-level differences between two versions of one object.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::redact;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Path such as `spec.template.spec.containers[name=web].image`.
    pub path: String,
    /// The value now; absent when the field is new. `null` is a value, too.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value after; absent when the field goes.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// What stands behind the path of a list whose items only change places; the values are their keys then.
pub const ORDER: &str = " (order)";

/// A field that is there has a value, even if that is `null`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
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
    let values = ["data", "stringData"].iter().any(|field| {
        change.path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    });
    if !values && !change.path.contains(redact::LAST_APPLIED) {
        redact::drop_last_applied(&mut change.before);
        redact::drop_last_applied(&mut change.after);
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
    let kept = |items: &[Value], others: &[Value]| -> Vec<Value> {
        let both = items.iter().filter(|item| find(others, &item[key]).is_some());
        both.map(|item| item[key].clone()).collect()
    };
    // Variables may refer to those before them, and init containers run one after the other.
    if kept(before, after) != kept(after, before) {
        let keys = |items: &[Value]| Some(items.iter().map(|item| item[key].clone()).collect());
        changes.push(FieldChange {
            path: format!("{path}{ORDER}"),
            before: keys(before),
            after: keys(after),
        });
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
    let quoted = key.contains(|c: char| !c.is_ascii_alphanumeric() && !"-_$".contains(c)) || key.is_empty();
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
        assert_eq!(changes.len(), 2);
        assert_eq!(changes[0].path, "spec.containers[name=web].image");
        assert_eq!(changes[1].path, "spec.containers (order)");
        assert_eq!(changes[1].after, Some(json!(["side", "web"])));
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

    #[test]
    fn an_item_that_comes_or_goes_moves_no_other() {
        let list = |names: &[&str]| {
            let items: Vec<Value> = names.iter().map(|name| json!({"name": name, "value": "1"})).collect();
            json!({"env": items})
        };
        let paths = |before: &[&str], after: &[&str]| -> Vec<String> {
            diff(&list(before), &list(after)).into_iter().map(|change| change.path).collect()
        };
        assert_eq!(paths(&["A", "B"], &["A", "C", "B"]), ["env[name=C]"]);
        assert_eq!(paths(&["A", "B", "C"], &["A", "C"]), ["env[name=B]"]);
        assert_eq!(paths(&["A", "B", "C"], &["C", "A"]), ["env[name=B]", "env (order)"]);
    }

    #[test]
    fn a_null_is_a_value_also_in_a_file() {
        let changes = diff(&json!({"spec": {"a": null, "b": 1}}), &json!({"spec": {"b": null}}));
        assert_eq!(changes.len(), 2);
        assert_eq!((&changes[0].before, &changes[0].after), (&Some(Value::Null), &None));
        assert_eq!((&changes[1].before, &changes[1].after), (&Some(json!(1)), &Some(Value::Null)));
        let text = serde_json::to_string(&changes).unwrap();
        assert_eq!(serde_json::from_str::<Vec<FieldChange>>(&text).unwrap(), changes);
    }

    #[test]
    fn a_secret_is_hidden_in_every_shape() {
        let secret = |body: Value| {
            let mut all = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
            for (key, value) in body.as_object().unwrap() {
                all[key] = value.clone();
            }
            all
        };
        let applied = |value: &str| json!({"name": "s", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": value}});
        let empty = secret(json!({}));
        for shape in [
            json!({"data": {"a": "canary"}}),
            json!({"data": {"a.b/c": "canary"}}),
            json!({"data": {"": "canary"}}),
            json!({"data": ["canary"]}),
            json!({"data": "canary"}),
            json!({"stringData": {"a": "canary\ncanary"}}),
            json!({"metadata": applied("canary")}),
        ] {
            let other =
                secret(serde_json::from_str(&shape.to_string().replace("canary", "canaries")).unwrap());
            let this = secret(shape.clone());
            for (before, after) in [(&empty, &this), (&this, &empty), (&this, &other)] {
                let changes = diff(before, after);
                assert!(!changes.is_empty(), "{shape}");
                let shown = serde_json::to_string(&changes).unwrap();
                assert!(!shown.contains("canar"), "{shown}");
                let shown = serde_json::to_string(&diff_present(before, after)).unwrap();
                assert!(!shown.contains("canar"), "{shown}");
            }
        }
    }
}
