//! The plan: what will be done, in which order, and why.

use serde::{Deserialize, Serialize};

use crate::{FieldChange, ObjectRef, Order};

/// What is done to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It does not exist and will.
    Create,
    /// Some of its fields change in place.
    Update,
    /// It is deleted and made again, because a field cannot change in place or a Job has to run again.
    Recreate,
    /// It is deleted.
    Delete,
}

impl Action {
    /// The sign in front of a line of a diff.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Create => "+",
            Self::Update => "~",
            Self::Recreate => "±",
            Self::Delete => "-",
        }
    }
}

/// One change of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// To which object.
    pub object: ObjectRef,
    /// The component it belongs to.
    pub component: String,
    /// Place in the order of apply.
    pub order: Order,
    /// Why.
    pub reason: String,
    /// Field by field; empty for create and delete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// Fields taken back from other managers, as `field (manager)`; shown before anything is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub takes_back: Vec<String>,
    /// The object is on its way out already: it is waited for, not deleted again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub going: bool,
    /// uid of the live object the plan saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// resourceVersion of the live object the plan saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// Steps that run side by side, and what must be healthy before the next wave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    /// Place in the order of apply.
    pub order: Order,
    /// The steps, by kind and name.
    pub steps: Vec<Step>,
    /// Objects that must be healthy before the next wave starts.
    pub wait_for: Vec<ObjectRef>,
}

/// Something worth saying that is no step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The object concerned.
    pub object: ObjectRef,
    /// What is to be said.
    pub text: String,
}

/// Everything that will be done. Immutable: the executor has no choices.
#[must_use]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this format.
    pub version: u32,
    /// Name of the environment.
    pub environment: String,
    /// The commit it was made for.
    pub revision: String,
    /// Digest of the rendered manifests.
    pub manifests: String,
    /// Waves in order of apply.
    pub waves: Vec<Wave>,
    /// Deletes, in reverse order of apply, after everything is healthy.
    pub prune: Vec<Step>,
    /// What was kept, skipped or waits.
    pub notes: Vec<Note>,
    /// What is lost when this plan runs: it needs an approval bound to the plan's digest.
    pub at_stake: Vec<String>,
}

impl Plan {
    /// Every step, in the order in which it runs.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.waves.iter().flat_map(|wave| &wave.steps).chain(&self.prune)
    }

    /// Jobs that run again. They are deleted before the first wave: a result that is out of date must
    /// not be there when the run is cut short and started again.
    pub fn stale(&self) -> impl Iterator<Item = &Step> {
        self.steps().filter(|step| step.action == Action::Recreate && step.object.is("batch", "Job"))
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps().next().is_none()
    }

    /// Short digest that an approval names: 12 hexadecimal digits over every step and what is at stake.
    #[must_use]
    pub fn digest(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        crate::digest(&value).chars().take(12).collect()
    }
}
