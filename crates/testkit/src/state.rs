//! What there is of an environment, written so that two runs can be compared line by line.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{Api, Call};

const SYSTEM: &str = "mimeo-system";

/// Kinds that controllers make out of others, under names that differ from run to run.
const DERIVED: [&str; 7] =
    ["Event", "Endpoints", "EndpointSlice", "Pod", "ReplicaSet", "ControllerRevision", "PersistentVolume"];

/// Every field of every object of an environment, one per line, with everything that chance decides
/// masked: uids, times, addresses, secret values. Pods are counted by the workload they belong to.
///
/// # Errors
/// When something cannot be listed.
pub fn snapshot(api: &Api, name: &str, id: &str) -> Result<Vec<String>> {
    snapshot_in(api, name, name, id)
}

/// The same for an environment that lives in a namespace of another name.
///
/// # Errors
/// When something cannot be listed.
pub fn snapshot_in(api: &Api, name: &str, namespace: &str, id: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    if let Some(live) = api.get(&format!("/api/v1/namespaces/{namespace}"))? {
        fields("Namespace", &live, name, id, &mut lines);
    }
    for kind in api.kinds()?.iter().filter(|kind| kind.namespaced) {
        for object in api.list(&kind.path(Some(namespace)))? {
            if !DERIVED.contains(&kind.kind.as_str()) {
                fields(&kind.kind, &object, name, id, &mut lines);
            }
        }
    }
    let mut pods: BTreeMap<String, usize> = BTreeMap::new();
    for pod in api.list(&format!("/api/v1/namespaces/{namespace}/pods"))? {
        let component = pod["metadata"]["labels"]["mimeo.dev/component"].as_str().unwrap_or("none");
        let owner = pod["metadata"]["ownerReferences"][0]["kind"].as_str().unwrap_or("nobody");
        let phase = pod["status"]["phase"].as_str().unwrap_or("no phase");
        *pods.entry(format!("Pod of {component}, {owner}, {phase}")).or_default() += 1;
    }
    lines.extend(pods.iter().map(|(what, count)| format!("{what}: {count}")));
    let records = format!("/apis/mimeo.dev/v1alpha1/namespaces/{SYSTEM}");
    let record = api.get(&format!("{records}/environments/{name}"))?;
    if let Some(record) = &record {
        fields("Environment", record, name, id, &mut lines);
    }
    for part in api.list(&format!("{records}/inventories?labelSelector=mimeo.dev/environment%3D{id}"))? {
        fields("Inventory", &part, name, id, &mut lines);
    }
    lines.sort();
    Ok(lines)
}

/// Everything that is still there of an environment: in its namespace, under its label, in its name.
///
/// # Errors
/// When something cannot be listed.
pub fn leftovers(api: &Api, name: &str, id: &str) -> Result<Vec<String>> {
    let mut left = Vec::new();
    let mut note = |kind: &str, object: &Value| {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or("-").to_owned();
        left.push(format!("{kind} {}/{}", text("namespace"), text("name")));
    };
    if let Some(namespace) = api.get(&format!("/api/v1/namespaces/{name}"))? {
        note("Namespace", &namespace);
    }
    for kind in api.kinds()? {
        if kind.namespaced {
            for object in api.list(&kind.path(Some(name)))? {
                note(&kind.kind, &object);
            }
        }
        // A receipt is what is meant to stay.
        if kind.kind != "Receipt" {
            for object in
                api.list(&format!("{}?labelSelector=mimeo.dev/environment%3D{id}", kind.path(None)))?
            {
                note(&kind.kind, &object);
            }
        }
    }
    for volume in api.list("/api/v1/persistentvolumes")? {
        if volume["spec"]["claimRef"]["namespace"] == name {
            note("PersistentVolume", &volume);
        }
    }
    let system = [
        format!("/apis/mimeo.dev/v1alpha1/namespaces/{SYSTEM}/environments/{name}"),
        format!("/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/{name}"),
    ];
    for path in system {
        if let Some(object) = api.get(&path)? {
            note(path.rsplit('/').nth(1).unwrap_or_default(), &object);
        }
    }
    left.sort();
    left.dedup();
    Ok(left)
}

/// The receipts of an environment.
///
/// # Errors
/// When they cannot be listed.
pub fn receipts(api: &Api, name: &str) -> Result<Vec<Value>> {
    let all = api.list(&format!("/apis/mimeo.dev/v1alpha1/namespaces/{SYSTEM}/receipts"))?;
    Ok(all.into_iter().filter(|receipt| receipt["spec"]["environment"] == name).collect())
}

/// How often each object of an environment was created and deleted, from the request log.
#[must_use]
pub fn existence<'a>(
    calls: impl IntoIterator<Item = &'a Call>,
    user: &str,
    name: &str,
    id: &str,
) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls.into_iter().filter(|call| call.user == user) {
        let own = [&call.name, &call.namespace].iter().any(|text| *text == name)
            || call.name.starts_with(&format!("{name}-"))
            || call.name.contains(id);
        if let (true, Some(what)) = (own, call.existence()) {
            let object = masked(&format!("{} {}", call.resource, call.name), name, id);
            // The end of a receipt's name is the record's uid.
            let object = if call.resource == "receipts" { "receipts NAME".to_owned() } else { object };
            *counts.entry(format!("{what} {object}")).or_insert(0) += 1;
        }
    }
    counts
}

/// Adds the fields of one object.
fn fields(kind: &str, object: &Value, name: &str, id: &str, lines: &mut Vec<String>) {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        for field in ["status", "apiVersion", "kind"] {
            fields.shift_remove(field);
        }
    }
    if kind == "Secret" {
        for value in object["data"].as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
            *value = json!(format!("{} characters of base64", value.as_str().unwrap_or_default().len()));
        }
    }
    mask(&mut object);
    let title = format!("{kind} {}", object["metadata"]["name"].as_str().unwrap_or_default());
    let mut found = Vec::new();
    leaves(&title, &object, &mut found);
    lines.extend(found.iter().map(|line| masked(line, name, id)));
}

fn leaves(path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(field, value)| leaves(&format!("{path} {field}"), value, lines));
        }
        Value::Array(items) if !items.is_empty() => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| leaves(&format!("{path} {index}"), item, lines));
        }
        leaf => lines.push(format!("{path} = {leaf}")),
    }
}

fn masked(text: &str, name: &str, id: &str) -> String {
    text.replace(name, "NAME").replace(id, "ID").replace(&id[..id.len().min(8)], "DIGITS")
}

/// Fields whose values are chance or the clock. `generation`, `epoch` and `owned` are counted or made
/// from what another run decided in between; that they are there is all that can be compared.
fn mask(value: &mut Value) {
    const GONE: [&str; 4] = ["managedFields", "resourceVersion", "creationTimestamp", "generation"];
    const MASKED: [&str; 18] = [
        "uid",
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
        "mimeo.dev/owner",
        "clusterIP",
        "clusterIPs",
        "volumeName",
        "nodePort",
        "healthCheckNodePort",
        "epoch",
        "given",
        "lastUp",
        "owned",
        "started",
        "expiresAt",
        "desired",
        // The branch, and the digest of manifests that hold the environment's name.
        "ref",
        "manifests",
    ];
    match value {
        Value::Object(fields) => {
            fields.retain(|field, _| !GONE.contains(&field.as_str()));
            for (field, value) in fields.iter_mut() {
                if MASKED.contains(&field.as_str()) && !value.is_null() {
                    *value = json!("…");
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

/// What two snapshots do not share: `-` only the first, `+` only the second.
#[must_use]
pub fn difference(first: &[String], second: &[String]) -> Vec<String> {
    let only = |sign: &str, these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    [only("-", first, second), only("+", second, first)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_one_thing_look_alike() {
        let fields = |object: Value, name: &str, id: &str| {
            let mut lines = Vec::new();
            fields("ConfigMap", &object, name, id, &mut lines);
            lines
        };
        let object = |name: &str, id: &str, uid: &str| json!({"metadata": {"name": "x", "uid": uid, "labels": {"mimeo.dev/environment": id}}, "data": {"host": format!("db.{name}.svc")}});
        let (a, b) = ("0123456789abcdef", "fedcba9876543210");
        let first = fields(object("qa-a", a, "1"), "qa-a", a);
        assert_eq!(first.len(), 4, "{first:?}");
        assert_eq!(first, fields(object("qa-b", b, "2"), "qa-b", b));
        assert_ne!(first, fields(json!({"metadata": {"name": "x"}, "data": {}}), "qa-b", b));
    }

    #[test]
    fn a_difference_names_both_sides() {
        let (a, b) = (vec!["x".to_owned(), "y".to_owned()], vec!["y".to_owned(), "z".to_owned()]);
        assert_eq!(difference(&a, &b), ["- x", "+ z"]);
    }
}
