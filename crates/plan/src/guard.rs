//! Refusals: reasons not to run a plan, each with what to do about it.

use crate::ObjectRef;

/// Why a plan is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// An object with that name exists and is not ours.
    Foreign {
        /// Which object.
        object: ObjectRef,
        /// The component that wants the name.
        component: String,
        /// Whose it is.
        why: String,
    },
    /// Nothing is known about an object: no live read answered.
    Unknown {
        /// Which object.
        object: ObjectRef,
    },
    /// The object is being deleted by somebody.
    Terminating {
        /// Which object.
        object: ObjectRef,
    },
    /// Another manager owns fields that the template sets.
    Conflict {
        /// Which object.
        object: ObjectRef,
        /// The fields, each with its manager.
        fields: Vec<String>,
    },
    /// Nothing is left of an environment that had objects.
    EmptyRendering,
}

impl Refusal {
    /// Stable code of the refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Foreign { .. } => "OBJ019",
            Self::Unknown { .. } => "CLU010",
            Self::Terminating { .. } => "OBJ024",
            Self::Conflict { .. } => "OBJ017",
            Self::EmptyRendering => "YML006",
        }
    }

    /// The object concerned.
    #[must_use]
    pub fn object(&self) -> Option<&ObjectRef> {
        match self {
            Self::Foreign { object, .. } | Self::Unknown { object } | Self::Terminating { object } => {
                Some(object)
            }
            Self::Conflict { object, .. } => Some(object),
            Self::EmptyRendering => None,
        }
    }

    /// What is wrong, and what to do.
    #[must_use]
    pub fn explain(&self) -> (String, String) {
        match self {
            Self::Foreign { component, why, .. } => (
                format!("component {component} wants this name, but {why}"),
                "Rename the object in the template, or delete the other one if nobody needs it".to_owned(),
            ),
            Self::Unknown { .. } => (
                "no live read answered for this object, so nothing is decided about it".to_owned(),
                "Run the command again once the cluster answers".to_owned(),
            ),
            Self::Terminating { .. } => (
                "it is being deleted".to_owned(),
                "Wait until it is gone and run the command again; `kubectl get -o yaml` shows which finalizer holds it".to_owned(),
            ),
            Self::Conflict { fields, .. } => (
                format!("another field manager owns {}", fields.join(", ")),
                "Remove the field from the template, or make the other manager give it up; mimeo never takes a field it did not own".to_owned(),
            ),
            Self::EmptyRendering => (
                "the rendering has no object, but the environment has".to_owned(),
                "Use `mimeo down` to remove the environment".to_owned(),
            ),
        }
    }
}
