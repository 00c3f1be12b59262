//! What an admin installs once per cluster: kinds, roles, admission policies.
//!
//! Nobody gets more than the work needs. `mimeo-user` may make labelled namespaces and bind only
//! `mimeo-env` in them; admission policies refuse it everything else that those two verbs would allow.

mod policies;
mod roles;

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
    all.extend(roles::roles());
    all.extend(policies::policies(image));
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
        all.extend(roles::bindings(subject));
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
