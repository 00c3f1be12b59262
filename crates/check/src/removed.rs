//! API versions that Kubernetes no longer has, and what to write instead.
//!
//! Source: the deprecated API migration guide of Kubernetes (kubernetes.io/docs/reference/using-api/deprecation-guide).

/// apiVersion, kinds, the minor version that had it last plus one, and the replacement.
const REMOVED: [(&str, &[&str], u8, &str); 32] = [
    ("extensions/v1beta1", &["Deployment", "DaemonSet", "ReplicaSet"], 16, "apps/v1"),
    ("extensions/v1beta1", &["NetworkPolicy"], 16, "networking.k8s.io/v1"),
    ("extensions/v1beta1", &["PodSecurityPolicy"], 16, ""),
    ("extensions/v1beta1", &["Ingress"], 22, "networking.k8s.io/v1"),
    ("apps/v1beta1", &["Deployment", "StatefulSet", "ControllerRevision"], 16, "apps/v1"),
    (
        "apps/v1beta2",
        &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ControllerRevision"],
        16,
        "apps/v1",
    ),
    (
        "admissionregistration.k8s.io/v1beta1",
        &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
        22,
        "admissionregistration.k8s.io/v1",
    ),
    ("apiextensions.k8s.io/v1beta1", &["CustomResourceDefinition"], 22, "apiextensions.k8s.io/v1"),
    ("apiregistration.k8s.io/v1beta1", &["APIService"], 22, "apiregistration.k8s.io/v1"),
    ("certificates.k8s.io/v1beta1", &["CertificateSigningRequest"], 22, "certificates.k8s.io/v1"),
    ("coordination.k8s.io/v1beta1", &["Lease"], 22, "coordination.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", &["Ingress", "IngressClass"], 22, "networking.k8s.io/v1"),
    (
        "rbac.authorization.k8s.io/v1beta1",
        &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"],
        22,
        "rbac.authorization.k8s.io/v1",
    ),
    (
        "rbac.authorization.k8s.io/v1alpha1",
        &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"],
        22,
        "rbac.authorization.k8s.io/v1",
    ),
    ("scheduling.k8s.io/v1beta1", &["PriorityClass"], 22, "scheduling.k8s.io/v1"),
    (
        "storage.k8s.io/v1beta1",
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"],
        22,
        "storage.k8s.io/v1",
    ),
    ("batch/v1beta1", &["CronJob"], 25, "batch/v1"),
    ("batch/v2alpha1", &["CronJob"], 21, "batch/v1"),
    ("discovery.k8s.io/v1beta1", &["EndpointSlice"], 25, "discovery.k8s.io/v1"),
    ("events.k8s.io/v1beta1", &["Event"], 25, "events.k8s.io/v1"),
    ("autoscaling/v2beta1", &["HorizontalPodAutoscaler"], 25, "autoscaling/v2"),
    ("autoscaling/v2beta2", &["HorizontalPodAutoscaler"], 26, "autoscaling/v2"),
    ("policy/v1beta1", &["PodDisruptionBudget"], 25, "policy/v1"),
    ("policy/v1beta1", &["PodSecurityPolicy"], 25, ""),
    ("node.k8s.io/v1beta1", &["RuntimeClass"], 25, "node.k8s.io/v1"),
    ("node.k8s.io/v1alpha1", &["RuntimeClass"], 22, "node.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", &["CSIStorageCapacity"], 27, "storage.k8s.io/v1"),
    (
        "flowcontrol.apiserver.k8s.io/v1beta1",
        &["FlowSchema", "PriorityLevelConfiguration"],
        26,
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1beta2",
        &["FlowSchema", "PriorityLevelConfiguration"],
        29,
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1beta3",
        &["FlowSchema", "PriorityLevelConfiguration"],
        32,
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    ("settings.k8s.io/v1alpha1", &["PodPreset"], 20, ""),
    ("storage.k8s.io/v1alpha1", &["CSIStorageCapacity", "VolumeAttachment"], 24, "storage.k8s.io/v1"),
];

/// The minor version that removed a kind, and what to write instead of its `apiVersion`, when there is such.
pub(crate) fn removal(api_version: &str, kind: &str) -> Option<(u8, Option<&'static str>)> {
    let row = REMOVED.iter().find(|(known, kinds, ..)| *known == api_version && kinds.contains(&kind))?;
    Some((row.2, (!row.3.is_empty()).then_some(row.3)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;
    use crate::version::{SUPPORTED, Version};

    #[test]
    fn what_is_removed_is_in_no_table_and_its_replacement_in_all() {
        for (api_version, kinds, _, replacement) in REMOVED {
            for kind in kinds {
                assert!(table::kind(api_version, kind).is_empty(), "{api_version} {kind}");
                let there =
                    |version: &Version| table::kind(replacement, kind).iter().any(|it| it.is_in(*version));
                assert!(replacement.is_empty() || SUPPORTED.iter().all(there), "{replacement} {kind}");
            }
        }
    }
}
