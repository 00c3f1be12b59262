//! Who may do what: a user, an environment's account, the collector.

use serde_json::{Value, json};

use super::{CONFIG, ENVIRONMENT_ROLE, Subject, USER_ROLE, labels, role};
use crate::{DATA_NAMESPACE, SYSTEM_NAMESPACE};

const ALL_VERBS: [&str; 8] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const WRITE_VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

pub(super) fn roles() -> Vec<Value> {
    let rbac = "rbac.authorization.k8s.io";
    let mut bind = rule(rbac, &["clusterroles"], &["bind"]);
    bind["resourceNames"] = json!([ENVIRONMENT_ROLE]);
    let mut config = rule("", &["configmaps"], &["get"]);
    config["resourceNames"] = json!([CONFIG]);
    let user = json!([
        rule("", &["namespaces"], &WRITE_VERBS),
        rule("", &["persistentvolumes"], &["get", "list"]),
        // They say whether a claim can be bound, and when.
        rule("storage.k8s.io", &["storageclasses"], &["get", "list"]),
        // A kind that is not served has left the cluster only if nothing defines it.
        rule("apiextensions.k8s.io", &["customresourcedefinitions"], &["get", "list"]),
        rule(rbac, &["rolebindings"], &WRITE_VERBS),
        bind,
        // Nothing stands behind this resource: having this verb and not the opposite one is what the
        // admission policies recognise a mimeo user by.
        rule("mimeo.dev", &["guardrails"], &["obey"]),
    ]);
    let records = json!([
        rule("mimeo.dev", &["environments", "inventories", "receipts", "pullrequests"], &WRITE_VERBS),
        rule("mimeo.dev", &["environments/status"], &["get", "patch", "update"]),
        rule("", &["events"], &["create"]),
        rule("coordination.k8s.io", &["leases"], &["get", "create", "update", "patch", "delete"]),
        config,
    ]);
    let jobs = json!([
        rule("batch", &["jobs"], &["get", "list", "watch", "create", "patch", "delete"]),
        rule("", &["pods", "events"], &["get", "list", "watch"]),
        rule("", &["pods/log"], &["get"]),
        rule("", &["secrets"], &["create"]),
    ]);
    let mut environment = role("ClusterRole", ENVIRONMENT_ROLE, None, &json!([]));
    environment["aggregationRule"] =
        json!({"clusterRoleSelectors": [{"matchLabels": {"mimeo.dev/aggregate-to-env": "true"}}]});
    // The controller fills in the rules of an aggregated role; sending them would fight with it.
    if let Some(fields) = environment.as_object_mut() {
        fields.remove("rules");
    }
    let mut core = role("ClusterRole", "mimeo-env-core", None, &environment_rules());
    core["metadata"]["labels"]["mimeo.dev/aggregate-to-env"] = json!("true");
    vec![
        role("ClusterRole", USER_ROLE, None, &user),
        environment,
        core,
        role("Role", USER_ROLE, Some(SYSTEM_NAMESPACE), &records),
        role("Role", USER_ROLE, Some(DATA_NAMESPACE), &jobs),
    ]
}

fn environment_rules() -> Value {
    json!([
        rule(
            "",
            &[
                "configmaps",
                "secrets",
                "services",
                "serviceaccounts",
                "persistentvolumeclaims",
                "pods",
                "pods/exec",
                "pods/portforward",
                "pods/attach",
                "events",
                "limitranges",
                "resourcequotas",
                "replicationcontrollers",
                "serviceaccounts/token",
            ],
            &ALL_VERBS
        ),
        rule("", &["pods/log", "endpoints"], &["get", "list", "watch"]),
        rule(
            "apps",
            &[
                "deployments",
                "statefulsets",
                "daemonsets",
                "replicasets",
                "deployments/scale",
                "statefulsets/scale"
            ],
            &ALL_VERBS
        ),
        rule("batch", &["jobs", "cronjobs"], &ALL_VERBS),
        rule("networking.k8s.io", &["ingresses", "networkpolicies"], &ALL_VERBS),
        rule("policy", &["poddisruptionbudgets"], &ALL_VERBS),
        rule("autoscaling", &["horizontalpodautoscalers"], &ALL_VERBS),
        rule("rbac.authorization.k8s.io", &["roles", "rolebindings"], &ALL_VERBS),
        rule("discovery.k8s.io", &["endpointslices"], &["get", "list", "watch"]),
        rule("coordination.k8s.io", &["leases"], &ALL_VERBS),
    ])
}

/// The bindings that make a subject a mimeo user.
pub(super) fn bindings(subject: &Subject) -> Vec<Value> {
    let name = subject.binding_name();
    let rbac = "rbac.authorization.k8s.io";
    let binding = |kind: &str, namespace: Option<&str>| {
        let mut metadata = json!({"name": name, "labels": labels()});
        if let Some(namespace) = namespace {
            metadata["namespace"] = json!(namespace);
        }
        let role_kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": kind, "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": role_kind, "name": USER_ROLE},
            "subjects": [subject.to_value()],
        })
    };
    vec![
        binding("ClusterRoleBinding", None),
        binding("RoleBinding", Some(SYSTEM_NAMESPACE)),
        binding("RoleBinding", Some(DATA_NAMESPACE)),
    ]
}
