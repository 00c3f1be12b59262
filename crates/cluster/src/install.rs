//! What an admin installs once per cluster: kinds, roles, admission policies.
//!
//! Nobody gets more than the work needs. `mimeo-user` may make labelled namespaces and bind only
//! `mimeo-env` in them; admission policies refuse it everything else that those two verbs would allow.

use serde_json::{Value, json};

use crate::{DATA_NAMESPACE, SYSTEM_NAMESPACE, definitions};

/// Role for people and pipelines that bring environments up and down.
pub const USER_ROLE: &str = "mimeo-user";
/// Role inside the namespace of one environment.
pub const ENVIRONMENT_ROLE: &str = "mimeo-env";
/// ServiceAccount of the garbage collector, in [`SYSTEM_NAMESPACE`].
pub const GC_ACCOUNT: &str = "mimeo-gc";
/// ConfigMap in [`SYSTEM_NAMESPACE`] with what everybody may know: the image of data Jobs.
pub const CONFIG: &str = "mimeo-config";

/// Who is given [`USER_ROLE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A user name.
    User(String),
    /// A group name.
    Group(String),
    /// Namespace and name of a ServiceAccount.
    ServiceAccount(String, String),
}

impl std::str::FromStr for Subject {
    type Err = String;

    /// `user:NAME`, `group:NAME` or `serviceaccount:NAMESPACE/NAME`.
    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("{text:?} is none of user:NAME, group:NAME, serviceaccount:NAMESPACE/NAME");
        match text.split_once(':').ok_or_else(usage)? {
            (_, "") => Err(usage()),
            ("user", name) => Ok(Self::User(name.to_owned())),
            ("group", name) => Ok(Self::Group(name.to_owned())),
            ("serviceaccount", name) => match name.split_once('/') {
                Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                    Ok(Self::ServiceAccount(namespace.to_owned(), name.to_owned()))
                }
                _ => Err(usage()),
            },
            _ => Err(usage()),
        }
    }
}

impl Subject {
    /// The subject as a binding names it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let api_group = "rbac.authorization.k8s.io";
        match self {
            Self::User(name) => json!({"apiGroup": api_group, "kind": "User", "name": name}),
            Self::Group(name) => json!({"apiGroup": api_group, "kind": "Group", "name": name}),
            Self::ServiceAccount(namespace, name) => {
                json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
            }
        }
    }

    /// The subject behind a user name as the API server knows it.
    #[must_use]
    pub fn from_username(username: &str) -> Self {
        match username.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
            Some((namespace, name)) => Self::ServiceAccount(namespace.to_owned(), name.to_owned()),
            None => Self::User(username.to_owned()),
        }
    }

    fn binding_name(&self) -> String {
        let text = match self {
            Self::User(name) => format!("user-{name}"),
            Self::Group(name) => format!("group-{name}"),
            Self::ServiceAccount(namespace, name) => format!("{namespace}-{name}"),
        };
        let safe: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '-' })
            .collect();
        // The digest keeps two names apart that differ in other characters only.
        let digest = plan::digest(&json!(text));
        format!("mimeo-{}-{}", safe.chars().take(40).collect::<String>().trim_matches('-'), &digest[..6])
    }
}

/// Everything `mimeo install` applies, in order. `image` is the image of data and gate Jobs.
#[must_use]
pub fn manifests(image: Option<&str>, grants: &[Subject]) -> Vec<Value> {
    let mut all = vec![namespace(SYSTEM_NAMESPACE, "restricted"), namespace(DATA_NAMESPACE, "restricted")];
    all.extend(definitions());
    all.extend(roles());
    all.extend(policies(image));
    if let Some(image) = image {
        all.push(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": CONFIG, "namespace": SYSTEM_NAMESPACE, "labels": labels()},
            "data": {"image": image},
        }));
    }
    all.push(json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": GC_ACCOUNT, "namespace": SYSTEM_NAMESPACE, "labels": labels()},
    }));
    let gc = Subject::ServiceAccount(SYSTEM_NAMESPACE.to_owned(), GC_ACCOUNT.to_owned());
    for subject in std::iter::once(&gc).chain(grants) {
        all.extend(bindings(subject));
    }
    all
}

fn labels() -> Value {
    json!({"app.kubernetes.io/managed-by": "mimeo", "app.kubernetes.io/part-of": "mimeo"})
}

fn namespace(name: &str, level: &str) -> Value {
    let mut labels = labels();
    labels["pod-security.kubernetes.io/enforce"] = json!(level);
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

fn role(kind: &str, name: &str, namespace: Option<&str>, rules: &Value) -> Value {
    let mut metadata = json!({"name": name, "labels": labels()});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules})
}

const ALL_VERBS: [&str; 8] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const WRITE_VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

fn roles() -> Vec<Value> {
    let rbac = "rbac.authorization.k8s.io";
    let mut bind = rule(rbac, &["clusterroles"], &["bind"]);
    bind["resourceNames"] = json!([ENVIRONMENT_ROLE]);
    let mut config = rule("", &["configmaps"], &["get"]);
    config["resourceNames"] = json!([CONFIG]);
    let user = json!([
        rule("", &["namespaces"], &WRITE_VERBS),
        rule("", &["persistentvolumes"], &["get", "list"]),
        rule(rbac, &["rolebindings"], &WRITE_VERBS),
        bind,
        // Nothing stands behind this resource: having this verb and not the opposite one is what the
        // admission policies recognise a mimeo user by.
        rule("mimeo.dev", &["guardrails"], &["obey"]),
    ]);
    let records = json!([
        rule("mimeo.dev", &["environments", "inventories", "receipts"], &WRITE_VERBS),
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
fn bindings(subject: &Subject) -> Vec<Value> {
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

/// Admins hold every verb, `ignore` too, and are left alone.
const OBEYS: &str = "authorizer.group('mimeo.dev').resource('guardrails').check('obey').allowed() \
                     && !authorizer.group('mimeo.dev').resource('guardrails').check('ignore').allowed()";

fn policy(name: &str, rule: &Value, data_only: bool, validations: &Value) -> [Value; 2] {
    let api_version = "admissionregistration.k8s.io/v1";
    let mut constraints = json!({"resourceRules": [rule]});
    if data_only {
        constraints["namespaceSelector"] =
            json!({"matchLabels": {"kubernetes.io/metadata.name": DATA_NAMESPACE}});
    }
    [
        json!({
            "apiVersion": api_version, "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name, "labels": labels()},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": constraints,
                "matchConditions": [{"name": "mimeo-user", "expression": OBEYS}],
                "validations": validations,
            },
        }),
        json!({
            "apiVersion": api_version, "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name, "labels": labels()},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }),
    ]
}

fn policies(image: Option<&str>) -> Vec<Value> {
    let label = plan::ENVIRONMENT_LABEL;
    let operations = |group: &str, resource: &str, operations: &[&str]| json!({"apiGroups": [group], "apiVersions": ["*"], "operations": operations, "resources": [resource]});
    let labelled =
        |object: &str| format!("has({object}.metadata.labels) && '{label}' in {object}.metadata.labels");
    let check = |expression: String, message: &str| json!({"expression": expression, "message": message});
    let job_checks = json!([
        check(
            format!(
                "object.spec.template.spec.containers.all(c, c.image == '{}' && !has(c.command) && has(c.args) \
                 && c.args.size() > 0 && c.args[0] == 'data') && !has(object.spec.template.spec.initContainers)",
                image.unwrap_or("none: run mimeo install --image").replace('\'', "")
            ),
            "only mimeo's own image, with its data entrypoint, runs in mimeo-data"
        ),
        check(
            "!has(object.spec.template.spec.volumes) && has(object.spec.template.spec.automountServiceAccountToken) \
             && object.spec.template.spec.automountServiceAccountToken == false"
                .to_owned(),
            "a data Job mounts neither volumes nor an account's token"
        ),
    ]);
    [
        policy(
            "mimeo-namespaces",
            &operations("", "namespaces", &["CREATE", "UPDATE", "DELETE"]),
            false,
            &json!([check(
                format!("request.operation == 'CREATE' ? ({}) : ({})", labelled("object"), labelled("oldObject")),
                "a mimeo user touches only namespaces that carry the label of an environment"
            )]),
        ),
        policy(
            "mimeo-rolebindings",
            &operations("rbac.authorization.k8s.io", "rolebindings", &["CREATE", "UPDATE", "DELETE"]),
            false,
            &json!([check(
                labelled("namespaceObject"),
                "a mimeo user binds roles only in namespaces that carry the label of an environment"
            )]),
        ),
        policy("mimeo-data-jobs", &operations("batch", "jobs", &["CREATE", "UPDATE"]), true, &job_checks),
        policy(
            "mimeo-data-secrets",
            &operations("", "secrets", &["CREATE", "UPDATE"]),
            true,
            &json!([check(
                "has(object.metadata.ownerReferences) && object.metadata.ownerReferences.all(o, o.kind == 'Job')".to_owned(),
                "a Secret that a mimeo user makes in mimeo-data belongs to a Job and goes with it"
            )]),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_and_refused() {
        assert_eq!("user:alice".parse(), Ok(Subject::User("alice".into())));
        assert_eq!("serviceaccount:ci/bot".parse(), Ok(Subject::ServiceAccount("ci".into(), "bot".into())));
        for wrong in ["alice", "user:", "serviceaccount:ci", "serviceaccount:/x", "role:x"] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_bindings_stay_apart() {
        let name = |user: &str| Subject::User(user.into()).binding_name();
        assert_ne!(name("a@b"), name("a.b"));
        assert!(name(&"x".repeat(300)).len() <= 63);
    }
}
