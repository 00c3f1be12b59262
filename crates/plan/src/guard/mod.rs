//! Guards: reasons not to run a plan, one file each, and what they say.

use std::collections::BTreeMap;

use crate::{Desired, ObjectRef, declared};

pub(crate) mod adoption;
pub(crate) mod cluster_scoped;
pub(crate) mod foreign_owner;
pub(crate) mod immutable_field;
pub(crate) mod mass_deletion;
mod policy;
pub mod protected;
mod quota;

/// What the policy of an environment allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// The environment's namespace.
    pub namespace: &'a str,
    /// Hard limits by resource, such as `cpu: "4"`.
    pub quota: &'a BTreeMap<String, String>,
    /// Kinds that no template may use.
    pub deny: &'a [String],
}

/// Everything in a rendering that its policy does not allow, whatever the cluster holds.
#[must_use]
pub fn beyond(desired: &[Desired], limits: &Limits<'_>) -> Vec<Refusal> {
    let mut refusals = policy::check(desired, limits.deny);
    refusals.extend(quota::check(desired, limits.namespace, limits.quota));
    refusals
}

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
        /// The component it belongs to.
        component: String,
        /// The fields, each with its manager.
        fields: Vec<String>,
        /// What the component would declare to take them.
        declaration: Option<String>,
    },
    /// An object that is to be adopted belongs to somebody.
    Adopted {
        /// Which object.
        object: ObjectRef,
        /// The component that wants it.
        component: String,
        /// To whom.
        owner: String,
    },
    /// An object that is to be adopted cannot become what the template says.
    Unfit {
        /// Which object.
        object: ObjectRef,
        /// The component that wants it.
        component: String,
        /// What the server says.
        message: String,
    },
    /// The cluster has the definition, but without versions that the rendering carries.
    Definition {
        /// The CustomResourceDefinition.
        object: ObjectRef,
        /// Versions that are served.
        served: Vec<String>,
        /// Versions that are not.
        missing: Vec<String>,
    },
    /// An object outside of namespaces with that name exists and is not ours.
    ClusterScoped {
        /// Which object.
        object: ObjectRef,
        /// The component that wants the name.
        component: String,
        /// Whose it is.
        why: String,
    },
    /// The policy does not allow the kind.
    Denied {
        /// Which object.
        object: ObjectRef,
        /// The component it belongs to.
        component: String,
        /// The rule of the policy.
        rule: String,
    },
    /// The workloads ask for more than the quota has.
    Quota {
        /// The resource as the quota names it.
        resource: String,
        /// What is asked for in all.
        asked: String,
        /// What the quota has.
        allowed: String,
        /// Objects that ask for most, each with its part.
        largest: Vec<String>,
    },
    /// The environment goes only when somebody asks for it.
    Protected {
        /// Its name.
        environment: String,
    },
    /// Nothing is left of an environment that had objects.
    EmptyRendering,
}

impl Refusal {
    /// A conflict, with the declaration that would settle it.
    pub(crate) fn conflict(desired: &Desired, fields: &[String]) -> Self {
        Self::Conflict {
            object: desired.object.clone(),
            component: desired.component.clone(),
            fields: fields.to_vec(),
            declaration: declared::declaration(desired, fields),
        }
    }

    /// Stable code of the refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Foreign { .. } => "OBJ019",
            Self::ClusterScoped { .. } => "OBJ028",
            Self::Denied { .. } => "POL001",
            Self::Quota { .. } => "POL002",
            Self::Protected { .. } => "PRV008",
            Self::Unknown { .. } => "CLU010",
            Self::Terminating { .. } => "OBJ024",
            Self::Conflict { .. } => "OBJ017",
            Self::Adopted { .. } => "OBJ042",
            Self::Unfit { .. } => "OBJ043",
            Self::Definition { .. } => "OBJ027",
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
            Self::Conflict { object, .. }
            | Self::Adopted { object, .. }
            | Self::Unfit { object, .. }
            | Self::Definition { object, .. }
            | Self::ClusterScoped { object, .. }
            | Self::Denied { object, .. } => Some(object),
            Self::EmptyRendering | Self::Quota { .. } | Self::Protected { .. } => None,
        }
    }

    /// What is wrong, and what to do.
    #[must_use]
    pub fn explain(&self) -> (String, String) {
        match self {
            Self::Foreign { component, why, .. } => (
                format!("component {component} wants this name, but {why}"),
                "Rename the object in the template, delete the other one if nobody needs it, or take it over with `adopt` in the component".to_owned(),
            ),
            Self::ClusterScoped { component, why, .. } => (
                format!("component {component} wants this name outside of namespaces, but {why}"),
                "Put `{{ env.name }}` into its name, or remove the other one if nobody in the cluster needs it"
                    .to_owned(),
            ),
            Self::Denied { component, rule, .. } => (
                format!("the policy denies {rule}, and component {component} has it"),
                "Leave it out of the template, or change `policy.deny` where the policy stands".to_owned(),
            ),
            Self::Quota { resource, asked, allowed, largest } => (
                format!("the workloads ask for {asked} of {resource}, the quota has {allowed}; most: {}", largest.join(", ")),
                "Ask for less in the components' values, or raise `policy.quota`".to_owned(),
            ),
            Self::Protected { environment } => (
                "the environment is protected and stays".to_owned(),
                format!("Take it down with `mimeo down {environment}` if it may go"),
            ),
            Self::Unknown { .. } => (
                "no live read answered for this object, so nothing is decided about it".to_owned(),
                "Run the command again once the cluster answers".to_owned(),
            ),
            Self::Terminating { .. } => (
                "it is being deleted".to_owned(),
                "Wait until it is gone and run the command again; `kubectl get -o yaml` shows which finalizer holds it".to_owned(),
            ),
            Self::Conflict { component, fields, declaration, .. } => (
                format!("another field manager owns {}", fields.join(", ")),
                match declaration {
                    Some(text) => format!(
                        "Remove the field from the template, make the other manager give it up, or take it from it: `{text}` in component {component} of the spec"
                    ),
                    None => "Remove the field from the template, or make the other manager give it up".to_owned(),
                },
            ),
            Self::Adopted { component, owner, .. } => (
                format!("component {component} adopts it, but it belongs to {owner}"),
                "Have its owner let it go first, or take it out of `adopt` and give yours another name; nothing was done".to_owned(),
            ),
            Self::Unfit { component, message, .. } => (
                format!("component {component} adopts it, but a field that cannot change in place is another one: {message}"),
                "Give the field the value that it has, or delete the object if nobody needs it; mimeo deletes nothing to adopt it".to_owned(),
            ),
            Self::Definition { served, missing, .. } => (
                format!(
                    "the cluster has this definition and serves {}, but not {}",
                    served.join(", "),
                    missing.join(", ")
                ),
                "Ask an admin to update the definition: mimeo never changes one that others may use".to_owned(),
            ),
            Self::EmptyRendering => (
                "the rendering has no object, but the environment has".to_owned(),
                "Use `mimeo down` to remove the environment".to_owned(),
            ),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::Value;

    use crate::{Desired, ObjectRef, Order, Origin, Stage};

    /// An object of component `c`, as a template has it.
    pub(crate) fn desired(manifest: Value) -> Desired {
        Desired {
            object: ObjectRef::of(&manifest).unwrap(),
            component: "c".into(),
            order: Order { level: 0, stage: Stage::Config },
            manifest,
            origin: Origin::Template { file: "f".into(), line: 1 },
            reruns_after: Vec::new(),
            declared: crate::Declared::default(),
        }
    }
}
