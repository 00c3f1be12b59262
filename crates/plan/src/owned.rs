//! Which values of a live object are ours: the fields that our field manager owns by server-side apply.
//!
//! The format is `fieldsV1` of `metadata.managedFields` (KEP-555, `structured-merge-diff`):
//! `f:<field>`, `k:<key of a list map as JSON>`, `v:<value of a set as JSON>`, `i:<index>`, and `.`
//! for the element itself.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The field manager under which mimeo writes.
pub const FIELD_MANAGER: &str = "mimeo";

/// The part of `live` that `manager` owns through server-side apply, or `None` where it owns nothing.
#[must_use]
pub fn owned_fields(live: &Value, manager: &str) -> Option<Value> {
    owned(live, manager).and_then(|part| serde_json::to_value(part).ok())
}

fn owned<'a>(live: &'a Value, manager: &str) -> Option<Part<'a>> {
    let entry = live.get("metadata")?.get("managedFields")?.as_array()?.iter().find(|entry| {
        entry.get("manager").and_then(Value::as_str) == Some(manager)
            && entry.get("operation").and_then(Value::as_str) == Some("Apply")
            && entry.get("subresource").and_then(Value::as_str).unwrap_or_default().is_empty()
    })?;
    Some(project(live, entry.get("fieldsV1")?))
}

/// Other managers that own fields of `live`, in order of first appearance.
#[must_use]
pub fn other_managers(live: &Value, manager: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for entry in live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = entry.get("manager").and_then(Value::as_str)
            && name != manager
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// SHA-256 of the owned values. Values of a Secret do not enter it: a short secret could be guessed
/// from a digest, so the planner compares those values directly and keeps none of them.
#[must_use]
pub fn owned_digest(live: &Value, manager: &str) -> Option<String> {
    let owned = owned(live, manager)?;
    if !crate::redact::is_secret(live) {
        return Some(digest_of(&owned));
    }
    let mut owned = serde_json::to_value(owned).ok()?;
    crate::redact::drop_secret_values(&mut owned);
    Some(digest(&owned))
}

/// SHA-256, in hexadecimal, of a value with its keys sorted.
#[must_use]
pub fn digest(value: &Value) -> String {
    digest_of(&Sorted(value))
}

fn digest_of(value: &impl Serialize) -> String {
    // It cannot fail: keys are strings, and memory takes everything.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    hex::encode(Sha256::digest(bytes))
}

/// A value that is written with the keys of every object sorted.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
                fields.sort_unstable_by_key(|(key, _)| *key);
                serializer.collect_map(fields.into_iter().map(|(key, value)| (key, Sorted(value))))
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Sorted)),
            other => other.serialize(serializer),
        }
    }
}

/// A part of a live object, which is not copied: every object of an environment is looked at in every plan.
enum Part<'a> {
    /// All of it.
    Whole(&'a Value),
    /// Some fields, in the order of their names.
    Fields(Vec<(&'a str, Part<'a>)>),
    /// Some items.
    Items(Vec<Part<'a>>),
    /// The key of a list map, or the value of a set, as `fieldsV1` has it.
    Named(Value),
    /// Owned, and the server leaves it out.
    Nothing,
}

impl Part<'_> {
    fn is_null(&self) -> bool {
        matches!(self, Part::Nothing | Part::Whole(Value::Null))
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Part::Whole(value) => Sorted(value).serialize(serializer),
            Part::Fields(fields) => serializer.collect_map(fields.iter().map(|(name, part)| (name, part))),
            Part::Items(items) => serializer.collect_seq(items),
            Part::Named(value) => Sorted(value).serialize(serializer),
            Part::Nothing => serializer.serialize_unit(),
        }
    }
}

fn project<'a>(live: &'a Value, fields: &'a Value) -> Part<'a> {
    let Some(fields) = fields.as_object() else { return Part::Whole(live) };
    if fields.keys().all(|key| key == ".") {
        // A leaf, or an element that is owned as a whole without any of its fields.
        return if fields.is_empty() { Part::Whole(live) } else { Part::Nothing };
    }
    match live {
        Value::Object(_) => project_object(live, fields),
        Value::Array(items) => project_list(items, fields),
        other => Part::Whole(other),
    }
}

fn project_object<'a>(live: &'a Value, fields: &'a Map<String, Value>) -> Part<'a> {
    let mut kept: Vec<(&str, Part<'_>)> = fields
        .iter()
        .filter_map(|(key, inner)| {
            let name = key.strip_prefix("f:")?;
            // `false`, `0` and the like are owned, but the server leaves them out: whether they are still ours
            // must show, or nobody sees it when another manager sets them.
            Some((name, live.get(name).map_or(Part::Nothing, |value| project(value, inner))))
        })
        .collect();
    kept.sort_unstable_by_key(|(name, _)| *name);
    Part::Fields(kept)
}

fn project_list<'a>(items: &'a [Value], fields: &'a Map<String, Value>) -> Part<'a> {
    let mut kept: Vec<(usize, Part<'_>)> = Vec::new();
    for (key, inner) in fields {
        if let Some(wanted) = key.strip_prefix("k:").and_then(parse) {
            if let Some(index) = items.iter().position(|item| has_key(item, &wanted)) {
                let element = project(&items[index], inner);
                kept.push((index, if element.is_null() { Part::Named(wanted) } else { element }));
            }
        } else if let Some(wanted) = key.strip_prefix("v:").and_then(parse) {
            if let Some(index) = items.iter().position(|item| *item == wanted) {
                kept.push((index, Part::Named(wanted)));
            }
        } else if let Some(index) = key.strip_prefix("i:").and_then(|index| index.parse::<usize>().ok())
            && let Some(item) = items.get(index)
        {
            kept.push((index, project(item, inner)));
        }
    }
    // As they stand in the object: the server names them in any order, and an apply puts ours back in order.
    kept.sort_by_key(|(index, _)| *index);
    Part::Items(kept.into_iter().map(|(_, item)| item).collect())
}

fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn has_key(item: &Value, wanted: &Value) -> bool {
    wanted.as_object().is_some_and(|keys| keys.iter().all(|(key, value)| item.get(key) == Some(value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live() -> Value {
        json!({
            "metadata": {
                "name": "web",
                "labels": {"ours": "1", "theirs": "2"},
                "managedFields": [{
                    "manager": "mimeo", "operation": "Apply",
                    "fieldsV1": {
                        "f:metadata": {"f:labels": {"f:ours": {}}},
                        "f:spec": {
                            "f:replicas": {},
                            "f:ports": {"k:{\"port\":80}": {".": {}, "f:port": {}, "f:name": {}}},
                            "f:args": {},
                            "f:finalizers": {"v:\"a\"": {}}
                        }
                    }
                }, {
                    "manager": "kubectl", "operation": "Update",
                    "fieldsV1": {"f:metadata": {"f:labels": {"f:theirs": {}}}}
                }]
            },
            "spec": {
                "replicas": 2, "paused": true,
                "ports": [{"port": 80, "name": "http", "protocol": "TCP"}, {"port": 81}],
                "args": ["x", "y"],
                "finalizers": ["a", "b"]
            }
        })
    }

    #[test]
    fn keeps_what_the_manager_owns_and_nothing_else() {
        assert_eq!(
            owned_fields(&live(), "mimeo"),
            Some(json!({
                "metadata": {"labels": {"ours": "1"}},
                "spec": {"replicas": 2, "ports": [{"port": 80, "name": "http"}], "args": ["x", "y"], "finalizers": ["a"]}
            }))
        );
        assert_eq!(owned_fields(&live(), "helm"), None);
        assert_eq!(other_managers(&live(), "mimeo"), ["kubectl"]);
    }

    /// Inventories hold digests: what was written by another version of the program must still be read.
    #[test]
    fn a_digest_is_that_of_the_sorted_json() {
        let text = r#"{"a":{"b":1,"c":"é\"\n"},"z":[null,true,-1.5,{"x":1,"y":[]}]}"#;
        let value = json!({"z": [null, true, -1.5, {"y": [], "x": 1}], "a": {"c": "é\"\n", "b": 1}});
        assert_eq!(digest(&value), hex::encode(Sha256::digest(text)));
        let owned = r#"{"metadata":{"labels":{"ours":"1"}},"spec":{"args":["x","y"],"finalizers":["a"],"ports":[{"name":"http","port":80}],"replicas":2}}"#;
        assert_eq!(owned_digest(&live(), "mimeo"), Some(hex::encode(Sha256::digest(owned))));
    }

    #[test]
    fn foreign_fields_do_not_move_the_digest_and_ours_do() {
        let before = owned_digest(&live(), "mimeo");
        let mut foreign = live();
        foreign["spec"]["paused"] = json!(false);
        foreign["metadata"]["labels"]["theirs"] = json!("3");
        foreign["spec"]["ports"][1]["port"] = json!(82);
        assert_eq!(before, owned_digest(&foreign, "mimeo"));
        let mut ours = live();
        ours["spec"]["ports"][0]["name"] = json!("web");
        assert_ne!(before, owned_digest(&ours, "mimeo"));
    }

    #[test]
    fn items_of_ours_that_change_places_move_the_digest_and_foreign_ones_do_not() {
        let live = |names: &[&str]| {
            let items: Vec<Value> = names.iter().map(|name| json!({"name": name, "value": "1"})).collect();
            let own = json!({".": {}, "f:name": {}, "f:value": {}});
            let fields = json!({"f:env": {"k:{\"name\":\"B\"}": own, "k:{\"name\":\"A\"}": own}});
            json!({"env": items, "metadata": {"managedFields": [
                {"manager": "mimeo", "operation": "Apply", "fieldsV1": fields}
            ]}})
        };
        let digest = |names: &[&str]| owned_digest(&live(names), "mimeo").unwrap();
        assert_eq!(digest(&["A", "B"]), digest(&["X", "A", "X2", "B"]));
        assert_ne!(digest(&["A", "B"]), digest(&["B", "A"]));
    }

    #[test]
    fn a_field_that_the_server_leaves_out_is_seen_when_another_manager_takes_it() {
        let live = |fields: Value, spec: Value| {
            let entry = json!({"manager": "mimeo", "operation": "Apply", "fieldsV1": {"f:spec": fields}});
            json!({"spec": spec, "metadata": {"managedFields": [entry]}})
        };
        let ours = json!({"f:type": {}, "f:publishNotReadyAddresses": {}});
        let before = live(ours, json!({"type": "ClusterIP"}));
        let after =
            live(json!({"f:type": {}}), json!({"type": "ClusterIP", "publishNotReadyAddresses": true}));
        assert_ne!(owned_digest(&before, "mimeo"), owned_digest(&after, "mimeo"));
    }
}
