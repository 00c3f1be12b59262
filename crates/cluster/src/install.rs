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

/// The label by which a namespace says what its pods may do (Pod Security Admission).
pub const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";
/// The level in namespaces of environments: a privileged pod would be root on its node, and could read
/// what no mimeo user may.
pub const ENVIRONMENT_LEVEL: &str = "baseline";

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

/// What an admin may choose.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Image of data and gate Jobs, and of the garbage collector.
    pub image: Option<String>,
    /// Who is given [`USER_ROLE`].
    pub grants: Vec<Subject>,
    /// How far apart two listings without a branch must be, as `5m`; `None` for the default.
    pub absence_gap: Option<String>,
    /// Whether the garbage collector runs in the cluster.
    pub gc: bool,
    /// When it runs, in the five fields of cron; `None` for [`SCHEDULE`].
    pub gc_schedule: Option<String>,
}

/// When the garbage collector runs unless somebody says otherwise.
pub const SCHEDULE: &str = "*/15 * * * *";

/// Key of [`CONFIG`] with [`Choices::absence_gap`].
pub const ABSENCE_GAP: &str = "absenceGap";
/// Secret in [`SYSTEM_NAMESPACE`] with the keys `url` and `token` of the forge that the collector asks.
pub const FORGE_SECRET: &str = "mimeo-forge";

/// Everything `mimeo install` applies, in order.
#[must_use]
pub fn manifests(choices: &Choices) -> Vec<Value> {
    let Choices { image, grants, absence_gap, gc: collects, gc_schedule } = choices;
    let image = image.as_deref();
    let mut all = vec![namespace(SYSTEM_NAMESPACE, "restricted"), namespace(DATA_NAMESPACE, "restricted")];
    all.extend(definitions());
    all.extend(roles());
    all.extend(policies(image));
    let mut data = serde_json::Map::new();
    data.extend(image.map(|image| ("image".to_owned(), json!(image))));
    data.extend(absence_gap.as_ref().map(|gap| (ABSENCE_GAP.to_owned(), json!(gap))));
    if !data.is_empty() {
        all.push(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": CONFIG, "namespace": SYSTEM_NAMESPACE, "labels": labels()},
            "data": data,
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
    if *collects {
        all.push(collector(gc_schedule.as_deref().unwrap_or(SCHEDULE), image.unwrap_or_default()));
    }
    all
}

/// The garbage collector: one pass at a time. The forge's Secret is optional: without it only
/// repositories that everybody may read are asked.
fn collector(schedule: &str, image: &str) -> Value {
    let secret = |key: &str| json!({"secretKeyRef": {"name": FORGE_SECRET, "key": key, "optional": true}});
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": GC_ACCOUNT, "namespace": SYSTEM_NAMESPACE, "labels": labels()},
        "spec": {
            "schedule": schedule, "concurrencyPolicy": "Forbid", "startingDeadlineSeconds": 300,
            "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 3,
            "jobTemplate": {"spec": {
                "backoffLimit": 0, "activeDeadlineSeconds": 3600,
                "template": {
                    "metadata": {"labels": labels()},
                    "spec": {
                        "serviceAccountName": GC_ACCOUNT, "restartPolicy": "Never",
                        "securityContext": {
                            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "containers": [{
                            "name": "gc", "image": image, "args": ["gc"],
                            "env": [
                                {"name": "HOME", "value": "/tmp"},
                                {"name": "MIMEO_FORGE_URL", "valueFrom": secret("url")},
                                {"name": "MIMEO_FORGE_TOKEN", "valueFrom": secret("token")},
                            ],
                            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
                            "securityContext": {
                                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }],
                    },
                },
            }},
        },
    })
}

fn labels() -> Value {
    json!({"app.kubernetes.io/managed-by": "mimeo", "app.kubernetes.io/part-of": "mimeo"})
}

fn namespace(name: &str, level: &str) -> Value {
    let mut labels = labels();
    labels[POD_SECURITY] = json!(level);
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
        // They say whether a claim can be bound, and when.
        rule("storage.k8s.io", &["storageclasses"], &["get", "list"]),
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

fn data_jobs(image: Option<&str>, rule: &Value) -> [Value; 2] {
    let mut policy = policy("mimeo-data-jobs", rule, true, &job_checks(image));
    policy[0]["spec"]["variables"] = json!([
        {"name": "pod", "expression": "object.spec.template.spec"},
        {"name": "c", "expression": "variables.pod.containers[0]"},
    ]);
    policy
}

/// What a Job in `mimeo-data` must look like: exactly what `up` makes for a copy. Its environment holds
/// the credentials of a source, so nothing may lead them anywhere but into mimeo's own process:
/// Kubernetes expands `$(NAME)` in arguments and values, a hook or probe runs a shell, another resolver
/// or host name leads to another server.
fn job_checks(image: Option<&str>) -> Value {
    let check = |expression: &str, message: &str| json!({"expression": expression, "message": message});
    let image = image.unwrap_or("none: run mimeo install --image").replace('\'', "");
    let absent = |parent: &str, fields: &[&str]| {
        fields.iter().map(|field| format!("!has({parent}.{field})")).collect::<Vec<_>>().join(" && ")
    };
    let off = |fields: &[&str]| {
        fields
            .iter()
            .map(|field| format!("(!has(variables.pod.{field}) || !variables.pod.{field})"))
            .collect::<Vec<_>>()
            .join(" && ")
    };
    json!([
        check(
            &format!(
                "variables.pod.containers.size() == 1 && !has(variables.pod.initContainers) && variables.c.image == '{image}' \
                 && !has(variables.c.command) && has(variables.c.args) && variables.c.args == ['data', 'copy']"
            ),
            "only mimeo's own image, with its data entrypoint, runs in mimeo-data"
        ),
        check(
            "has(variables.c.env) && variables.c.env.size() == 3 \
             && variables.c.env[0].name == 'MIMEO_REQUEST' && has(variables.c.env[0].value) \
             && !variables.c.env[0].value.replace('$$', '').contains('$(') \
             && variables.c.env[1].name == 'MIMEO_SOURCE_URI' && has(variables.c.env[1].valueFrom) \
             && has(variables.c.env[1].valueFrom.secretKeyRef) && variables.c.env[1].valueFrom.secretKeyRef.key == 'uri' \
             && variables.c.env[2].name == 'MIMEO_TARGET_PASSWORD' && has(variables.c.env[2].valueFrom) \
             && has(variables.c.env[2].valueFrom.secretKeyRef) \
             && variables.c.env[2].valueFrom.secretKeyRef.name == object.metadata.name \
             && variables.c.env[2].valueFrom.secretKeyRef.key == 'password'",
            "a data Job's environment is its request, the URI of its source, and the password of its own Secret"
        ),
        check(
            &format!(
                "{} && (!has(variables.c.terminationMessagePath) || variables.c.terminationMessagePath == '/dev/termination-log') \
                 && (!has(variables.c.stdin) || !variables.c.stdin) && (!has(variables.c.tty) || !variables.c.tty)",
                absent(
                    "variables.c",
                    &[
                        "envFrom",
                        "lifecycle",
                        "livenessProbe",
                        "readinessProbe",
                        "startupProbe",
                        "volumeMounts",
                        "volumeDevices",
                        "workingDir",
                    ]
                )
            ),
            "a data Job's container runs nothing beside its entrypoint and mounts nothing"
        ),
        check(
            &format!(
                "{} && {} && has(variables.pod.automountServiceAccountToken) && !variables.pod.automountServiceAccountToken \
                 && (!has(variables.pod.dnsPolicy) || variables.pod.dnsPolicy == 'ClusterFirst') \
                 && (!has(variables.pod.serviceAccountName) || variables.pod.serviceAccountName in ['', 'default'])",
                absent("variables.pod", &["volumes", "hostAliases", "dnsConfig", "hostname", "subdomain"]),
                off(&["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"])
            ),
            "a data Job's pod has no volumes, no account, no host's namespaces and no resolver of its own"
        ),
    ])
}

fn policies(image: Option<&str>) -> Vec<Value> {
    let label = plan::ENVIRONMENT_LABEL;
    let operations = |group: &str, resource: &str, operations: &[&str]| json!({"apiGroups": [group], "apiVersions": ["*"], "operations": operations, "resources": [resource]});
    let labelled =
        |object: &str| format!("has({object}.metadata.labels) && '{label}' in {object}.metadata.labels");
    let check = |expression: String, message: &str| json!({"expression": expression, "message": message});
    [
        policy(
            "mimeo-namespaces",
            &operations("", "namespaces", &["CREATE", "UPDATE", "DELETE"]),
            false,
            &json!([
                check(
                    format!(
                        "request.operation == 'CREATE' ? ({}) : ({})",
                        labelled("object"),
                        labelled("oldObject")
                    ),
                    "a mimeo user touches only namespaces that carry the label of an environment"
                ),
                check(
                    format!(
                        "request.operation != 'UPDATE' || ({} && object.metadata.labels['{label}'] == oldObject.metadata.labels['{label}'])",
                        labelled("object")
                    ),
                    "the label of an environment stays as it is"
                ),
                check(
                    format!(
                        "request.operation == 'DELETE' || ('{POD_SECURITY}' in object.metadata.labels \
                         && object.metadata.labels['{POD_SECURITY}'] in ['baseline', 'restricted'])"
                    ),
                    "the namespace of an environment enforces Pod Security baseline or restricted"
                ),
            ]),
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
        data_jobs(image, &operations("batch", "jobs", &["CREATE", "UPDATE"])),
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
