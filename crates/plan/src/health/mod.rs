//! Is an object what it was asked to be? Pure rules, stricter than kstatus.
//!
//! [`assess`] looks at one live object and at what surrounds it, never at a clock: it says *what* is
//! wrong, and [`Trouble::patience`] how long that may last before it counts as a failure. One file
//! per kind; what belongs to no kind is in `generic`. Objects come from a server that may be newer,
//! older or broken, so every field may be missing or have the wrong type.

mod claim;
mod container;
mod cron_job;
mod custom_resource_definition;
mod daemon_set;
mod deployment;
mod event;
mod generic;
mod ingress;
mod job;
mod judge;
mod namespace;
mod patience;
mod pod;
mod quota;
mod read;
mod related;
mod replica_set;
mod rule;
mod service;
mod stateful_set;
mod trouble;
mod unprobed;
mod workload;
mod world;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use judge::Judge;
pub use patience::{Grace, Patience};
pub use rule::{Rule, RuleText};
pub use trouble::Trouble;
pub use unprobed::{Unprobed, newest_unprobed};
pub use world::{Part, Question, Surroundings, World};

/// The note of everything that asks for no pods.
pub const NO_REPLICAS: &str = "no replicas asked for";

/// The state of an object about which no rule knows anything.
pub const UNVERIFIED: &str = "Current (unverified)";

/// The judgement on one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Health {
    /// It is what was asked for.
    Healthy {
        /// Something worth saying, such as "no replicas asked for".
        note: Option<String>,
    },
    /// It exists, and nothing is known of what it should become.
    Unverified,
    /// On its way.
    Progressing {
        /// What it waits for.
        cause: String,
    },
    /// Something is wrong that may still mend itself; [`Trouble::patience`] says how long to wait.
    Trouble(Finding),
    /// It will not become healthy by waiting.
    Failed(Finding),
}

/// What is wrong and where its logs are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind of trouble.
    pub trouble: Trouble,
    /// One sentence for people, with the name of the pod and container, the image or the condition.
    pub cause: String,
    /// The pod whose logs tell more.
    pub pod: Option<String>,
    /// The container in that pod.
    pub container: Option<String>,
    /// Whether the logs of the container's previous run are the ones to read.
    pub previous: bool,
}

impl Health {
    /// Healthy, with nothing to add.
    #[must_use]
    pub fn healthy() -> Self {
        Self::Healthy { note: None }
    }

    /// Healthy, with something worth saying.
    #[must_use]
    pub fn noted(note: impl Into<String>) -> Self {
        Self::Healthy { note: Some(note.into()) }
    }

    /// On its way.
    #[must_use]
    pub fn progressing(cause: impl Into<String>) -> Self {
        Self::Progressing { cause: cause.into() }
    }

    /// Whether it is what was asked for, as far as anything is known.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy { .. } | Self::Unverified)
    }

    /// The name of the state, as tables show it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Healthy { .. } => "Healthy",
            Self::Unverified => UNVERIFIED,
            Self::Progressing { .. } => "Progressing",
            Self::Trouble(_) => "Trouble",
            Self::Failed(_) => "Failed",
        }
    }

    /// What is wrong, where something is.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Trouble(finding) | Self::Failed(finding) => Some(finding),
            Self::Healthy { .. } | Self::Unverified | Self::Progressing { .. } => None,
        }
    }
}

impl Finding {
    /// A finding about the object itself; no pod has logs for it.
    pub(crate) fn new(trouble: Trouble, cause: impl Into<String>) -> Self {
        Self { trouble, cause: cause.into(), pod: None, container: None, previous: false }
    }

    /// Pod, container and whether the previous run is meant, where there are log lines to show.
    #[must_use]
    pub fn logs(&self) -> Option<(&str, &str, bool)> {
        if !self.trouble.leaves_logs() {
            return None;
        }
        Some((self.pod.as_deref()?, self.container.as_deref()?, self.previous))
    }
}

/// The name of the state, and the cause or note that goes with it.
#[must_use]
pub fn summary(health: &Health) -> (&'static str, Option<&str>) {
    let text = match health {
        Health::Healthy { note } => note.as_deref(),
        Health::Unverified => None,
        Health::Progressing { cause } => Some(cause.as_str()),
        Health::Trouble(finding) | Health::Failed(finding) => Some(finding.cause.as_str()),
    };
    (health.name(), text)
}

/// Judges one live object. The kind is read from its `apiVersion` and `kind`: a custom resource that
/// shares its kind's name with a built-in one (a Knative `Service`) is not mistaken for it.
#[must_use]
pub fn assess(object: &Value, around: &Surroundings<'_>) -> Health {
    let (group, kind) = read::group_kind(object);
    if (group, kind) == ("", "Namespace") {
        return namespace::assess(object);
    }
    if let Some(verdict) = generic::gate(object) {
        return verdict;
    }
    match (group, kind) {
        ("apps", "Deployment") => deployment::assess(object, around),
        ("apps", "StatefulSet") => stateful_set::assess(object, around),
        ("apps", "DaemonSet") => daemon_set::assess(object, around),
        ("apps", "ReplicaSet") => replica_set::assess(object, around),
        ("batch", "Job") => job::assess(object, around),
        ("batch", "CronJob") => cron_job::assess(object),
        ("", "Pod") => pod::assess(object, around),
        ("", "PersistentVolumeClaim") => claim::assess(object, around),
        ("", "Service") => service::assess(object, around),
        ("", "ResourceQuota") => quota::assess(object),
        ("networking.k8s.io", "Ingress") => ingress::assess(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => custom_resource_definition::assess(object),
        _ => match around.own_rule() {
            Some(rule) => rule.assess(object),
            None => generic::assess(group, kind, object),
        },
    }
}
