//! Rules for every kind, and for the kinds without rules of their own.

use serde_json::Value;

use super::read::{clean, condition, int, list, text, words};
use super::{Finding, Health, Trouble, related, workload};

/// Kinds that are what they were asked to be as soon as they exist.
const STATIC: &[(&str, &str)] = &[
    ("", "ConfigMap"),
    ("", "Endpoints"),
    ("", "Event"),
    ("", "LimitRange"),
    ("", "PodTemplate"),
    ("", "Secret"),
    ("", "ServiceAccount"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apps", "ControllerRevision"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("coordination.k8s.io", "Lease"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("node.k8s.io", "RuntimeClass"),
    ("policy", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "StorageClass"),
];

/// What stands in the way of any rule: being deleted, a status about an older specification, and the
/// two conditions by which any controller can say how it stands.
pub(super) fn gate(object: &Value) -> Option<Health> {
    if related::going(object) {
        let finalizers: Vec<&str> =
            list(object, &["metadata", "finalizers"]).iter().filter_map(Value::as_str).collect();
        return Some(Health::Progressing {
            cause: match finalizers.is_empty() {
                true => "being deleted".to_owned(),
                false => format!("being deleted, held by {}", clean(&finalizers.join(", "))),
            },
        });
    }
    let generation = int(object, &["metadata", "generation"]);
    let observed = int(object, &["status", "observedGeneration"]);
    if let (Some(current), Some(seen)) = (generation, observed)
        && current != seen
    {
        return Some(Health::progressing(workload::stale(generation, seen)));
    }
    if let Some(reconciling) = is_true(object, "Reconciling") {
        return Some(Health::progressing(format!("being reconciled: {}", words(reconciling))));
    }
    let stalled = is_true(object, "Stalled")?;
    Some(Health::Failed(Finding::new(Trouble::Stalled, format!("it is stalled: {}", words(stalled)))))
}

/// A kind without a file of its own: healthy as it is, or by its `Ready` condition. Where nothing is
/// known the note says so. `Ready=False` is not final: controllers set it while they work.
pub(super) fn assess(group: &str, kind: &str, object: &Value) -> Health {
    if STATIC.contains(&(group, kind)) {
        return Health::healthy();
    }
    if kind.is_empty() {
        return Health::progressing("it has no kind, so no rule can be applied");
    }
    // The one built-in kind that calls it otherwise.
    let name = if (group, kind) == ("apiregistration.k8s.io", "APIService") { "Available" } else { "Ready" };
    let Some(ready) = condition(object, name) else {
        return match name {
            "Available" => Health::progressing("its server has not been asked yet"),
            _ => Health::Unverified,
        };
    };
    let generation = int(object, &["metadata", "generation"]);
    if let (Some(current), Some(seen)) = (generation, int(ready, &["observedGeneration"]))
        && seen < current
    {
        return Health::progressing(workload::stale(generation, seen));
    }
    match text(ready, &["status"]) {
        Some("True") => Health::healthy(),
        _ => Health::progressing(format!("not {}: {}", name.to_lowercase(), words(ready))),
    }
}

/// The condition of a type, where it is true.
fn is_true<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    condition(object, kind).filter(|c| text(c, &["status"]) == Some("True"))
}
