//! The kinds of trouble, and how long each may last.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long an image may be missing: a registry needs a moment, a typing error needs none.
const IMAGE: Duration = Duration::from_secs(2 * 60);

/// How long something else (an autoscaler, a provisioner, an operator, an administrator) may take to
/// give what is missing.
const OTHERS: Duration = Duration::from_secs(5 * 60);

/// What can be wrong. The order is the order of telling: of several troubles the first is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// The image's name cannot be the name of an image.
    ImageName,
    /// The image cannot be pulled.
    ImagePull,
    /// A container ends and is started again, over and over.
    CrashLoop,
    /// A container cannot be made, most often because its Secret or ConfigMap is missing.
    ContainerConfig,
    /// A quota leaves no room.
    Quota,
    /// The server, or a policy on it, refuses to create pods.
    Rejected,
    /// A volume cannot be provisioned, bound, attached or mounted, or is lost.
    Volume,
    /// No node fits the pod.
    Unschedulable,
    /// A pod ended in failure.
    PodFailed,
    /// A Job gave up.
    JobFailed,
    /// A Deployment made no progress within its own deadline.
    Deadline,
    /// A CustomResourceDefinition's names, or the definition, were not accepted.
    NamesRejected,
    /// The controller says that it is stalled.
    Stalled,
    /// The health rule of its template says that it has failed.
    Rule,
}

impl Trouble {
    /// A container that crashes after this many restarts will not be given another chance.
    pub const RESTARTS: i64 = 4;

    /// How long it may last before it counts as a failure: zero at once, `None` not by time.
    ///
    /// Two kinds never fail by time. Of a crash loop the restarts are counted: from
    /// [`Trouble::RESTARTS`] on [`super::assess`] itself says [`super::Health::Failed`]. A failed pod
    /// that something replaces is judged by what replaces it, such as the Job's back-off limit.
    #[must_use]
    pub fn patience(self) -> Option<Duration> {
        match self {
            Self::ImageName
            | Self::JobFailed
            | Self::Deadline
            | Self::NamesRejected
            | Self::Stalled
            | Self::Rule => Some(Duration::ZERO),
            Self::ImagePull => Some(IMAGE),
            Self::ContainerConfig | Self::Quota | Self::Rejected | Self::Volume | Self::Unschedulable => {
                Some(OTHERS)
            }
            Self::CrashLoop | Self::PodFailed => None,
        }
    }

    /// Whether a container has run, so that there are log lines to show.
    #[must_use]
    pub fn leaves_logs(self) -> bool {
        matches!(self, Self::CrashLoop | Self::PodFailed | Self::JobFailed | Self::Deadline)
    }

    /// The name used in JSON and in tables, such as `image-pull`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ImageName => "image-name",
            Self::ImagePull => "image-pull",
            Self::CrashLoop => "crash-loop",
            Self::ContainerConfig => "container-config",
            Self::Quota => "quota",
            Self::Rejected => "rejected",
            Self::Volume => "volume",
            Self::Unschedulable => "unschedulable",
            Self::PodFailed => "pod-failed",
            Self::JobFailed => "job-failed",
            Self::Deadline => "deadline",
            Self::NamesRejected => "names-rejected",
            Self::Stalled => "stalled",
            Self::Rule => "rule",
        }
    }
}
