//! An object that is made again, as the server is asked about it while the old one is still there.
//!
//! What the old one holds, such as a port or its share of a quota, is free once it is gone: a refusal that
//! may come from that alone says nothing.

use serde_json::Value;
use spec::quantity;

use crate::{Plan, Step};

/// Kinds whose objects decide about others: group and kind; an empty kind stands for the whole group.
const DECIDING: [(&str, &str); 8] = [
    ("", "Namespace"),
    ("", "ResourceQuota"),
    ("", "LimitRange"),
    ("", "ServiceAccount"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("node.k8s.io", "RuntimeClass"),
    ("rbac.authorization.k8s.io", ""),
    ("admissionregistration.k8s.io", ""),
];

/// Whether a plan writes something that may decide what the server admits: then an answer of before it
/// does not count.
#[must_use]
pub fn changes_admission(plan: &Plan) -> bool {
    plan.waves.iter().flat_map(|wave| &wave.steps).any(|step| {
        let object = &step.object;
        DECIDING
            .iter()
            .any(|(group, kind)| object.group == *group && (kind.is_empty() || object.kind == *kind))
    })
}

/// The manifest to ask about: without the addresses and ports of a Service that the old one may hold.
#[must_use]
pub fn rehearsal(step: &Step, manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    if !step.object.is("", "Service") {
        return manifest;
    }
    let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) else { return manifest };
    spec.remove("healthCheckNodePort");
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            port.remove("nodePort");
        }
    }
    let changes = |field: &str| step.changes.iter().any(|change| change.path.starts_with(field));
    // The two fields say the same: the server refuses one that contradicts the other.
    if !changes("spec.clusterIP") {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
    manifest
}

/// Whether the words of a quota leave room for the new object once the old one is gone, or do not tell.
#[must_use]
pub fn may_fit(step: &Step, message: &str) -> bool {
    let Some((_, words)) = message.split_once("requested: ") else { return true };
    let Some((requested, words)) = words.split_once(", used: ") else { return true };
    let Some((used, limited)) = words.split_once(", limited: ") else { return true };
    let amount = |list: &str, resource: &str| {
        let mut pairs = list.split(',').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == resource).and_then(|(_, text)| quantity::number(text))
    };
    requested.split(',').filter_map(|pair| pair.trim().split_once('=')).all(|(resource, asked)| {
        let known = (|| {
            let asked = quantity::number(asked)?;
            Some((asked, held(step, resource, asked)?, amount(used, resource)?, amount(limited, resource)?))
        })();
        known.is_none_or(|(asked, held, used, limited)| used - held + asked <= limited)
    })
}

/// How much of a resource the old object takes; `None` where that cannot be told.
fn held(step: &Step, resource: &str, asked: f64) -> Option<f64> {
    let counted = ["configmaps", "secrets", "services", "pods", "replicationcontrollers"].contains(&resource)
        || resource.starts_with("count/")
        || resource.ends_with("persistentvolumeclaims");
    if counted {
        return Some(1.0);
    }
    if !resource.ends_with("requests.storage") {
        return None;
    }
    match step.changes.iter().find(|change| change.path == "spec.resources.requests.storage") {
        Some(change) => quantity::number(change.before.as_ref()?.as_str()?),
        None => Some(asked),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Action, FieldChange, guard::tests::desired, planner::step};

    fn again(manifest: Value, changes: &[(&str, Value)]) -> Step {
        let changes = changes.iter().map(|(path, before)| FieldChange {
            path: (*path).to_owned(),
            before: Some(before.clone()),
            after: Some(json!("new")),
        });
        step(&desired(manifest), Action::Recreate, "r", changes.collect(), None)
    }

    fn claim() -> Value {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "n"}})
    }

    #[test]
    fn what_the_old_one_takes_of_a_quota_is_free_for_the_new_one() {
        let unchanged = again(claim(), &[]);
        let smaller = again(claim(), &[("spec.resources.requests.storage", json!("8Gi"))]);
        for (step, words, fits) in [
            (
                &unchanged,
                "requested: persistentvolumeclaims=1, used: persistentvolumeclaims=2, limited: persistentvolumeclaims=2",
                true,
            ),
            (
                &unchanged,
                "requested: persistentvolumeclaims=1, used: persistentvolumeclaims=2, limited: persistentvolumeclaims=1",
                false,
            ),
            (
                &unchanged,
                "requested: requests.storage=4Gi, used: requests.storage=4Gi, limited: requests.storage=4Gi",
                true,
            ),
            (
                &smaller,
                "requested: requests.storage=4Gi, used: requests.storage=8Gi, limited: requests.storage=4Gi",
                true,
            ),
            (
                &smaller,
                "requested: requests.storage=9Gi, used: requests.storage=8Gi, limited: requests.storage=8Gi",
                false,
            ),
            (
                &unchanged,
                "requested: count/a=1,b.storageclass.storage.k8s.io/requests.storage=1Gi, used: count/a=1,b.storageclass.storage.k8s.io/requests.storage=2Gi, limited: count/a=1,b.storageclass.storage.k8s.io/requests.storage=1Gi",
                false,
            ),
            // Nobody knows how many ports the old one has.
            (
                &unchanged,
                "requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=0",
                true,
            ),
            (&unchanged, "must specify limits.cpu", true),
        ] {
            let message = format!("persistentvolumeclaims \"c\" is forbidden: exceeded quota: q, {words}");
            assert_eq!(may_fit(step, &message), fits, "{words}");
        }
    }

    #[test]
    fn what_the_old_service_holds_is_not_asked_for() {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"clusterIP": "10.0.0.7", "type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}]},
        });
        let asked = rehearsal(&again(service.clone(), &[("spec.type", json!("x"))]), &service);
        assert_eq!(asked["spec"], json!({"type": "NodePort", "ports": [{"port": 80}]}));
        let moved = rehearsal(&again(service.clone(), &[("spec.clusterIP", json!("10.0.0.6"))]), &service);
        assert_eq!(moved["spec"]["clusterIP"], "10.0.0.7");
    }
}
