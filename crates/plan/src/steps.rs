//! The plan: what will be done, in which order, and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{FieldChange, Key, ObjectRef, Order};

/// What is done to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It does not exist and will.
    Create,
    /// It exists, is nobody's environment's, and becomes this one's; fields may change in place.
    Adopt,
    /// Some of its fields change in place.
    Update,
    /// It is deleted and made again, because a field cannot change in place or a Job has to run again.
    Recreate,
    /// It is deleted.
    Delete,
}

impl Action {
    /// What is done, as a verb.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Adopt => "adopt",
            Self::Update => "update",
            Self::Recreate => "recreate",
            Self::Delete => "delete",
        }
    }

    /// The sign in front of a line of a diff.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Create => "+",
            Self::Adopt => "*",
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
    /// Fields taken from other managers because the spec declares it, as `field (manager)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub takes: Vec<String>,
    /// The object is on its way out already: it is waited for, not deleted again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub going: bool,
    /// It is deleted before the first wave, as every Job that runs again is: it uses what is made again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ahead: bool,
    /// uid of the live object the plan saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// resourceVersion of the live object the plan saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Digest of the fields mimeo owned of that object, and of one that is adopted, of everything but its status:
    /// a write that comes late compares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owned: Option<String>,
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
    /// What the record will say otherwise, such as `protected: no → yes`: no object changes with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<String>,
    /// What was kept, skipped or waits.
    pub notes: Vec<Note>,
    /// What is lost when this plan runs: it needs an approval bound to the plan's digest.
    pub at_stake: Vec<String>,
}

impl Step {
    /// Every field that is taken from another manager, whatever gives the right to it.
    pub fn taken(&self) -> impl Iterator<Item = &String> {
        self.takes_back.iter().chain(&self.takes)
    }
}

impl Plan {
    /// Every step, in the order in which it runs.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.waves.iter().flat_map(|wave| &wave.steps).chain(&self.prune)
    }

    /// What is deleted before the first wave: Jobs that run again, because a result that is out of date must not be
    /// there when the run is cut short and started again; and what uses a volume that is made again.
    pub fn stale(&self) -> impl Iterator<Item = &Step> {
        self.steps()
            .filter(|step| step.action == Action::Recreate && (step.ahead || step.object.is("batch", "Job")))
    }

    /// Whether no object changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps().next().is_none()
    }

    /// Short digest that an approval names: 12 hexadecimal digits over every step and what is at stake. A
    /// status that changes meanwhile does not change it.
    #[must_use]
    pub fn digest(&self) -> String {
        let value = serde_json::to_value(self.timeless()).unwrap_or_default();
        crate::digest(&value).chars().take(12).collect()
    }

    /// In what another plan for the same environment differs from this one, a line for each object; empty
    /// when both do the same to the same objects.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (ours, theirs) = (self.timeless(), other.timeless());
        if ours == theirs {
            return Vec::new();
        }
        let steps = |plan: &Self| -> BTreeMap<Key, Step> {
            plan.steps().map(|step| (step.object.key(), step.clone())).collect()
        };
        let (before, after) = (steps(&ours), steps(&theirs));
        let keys: BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
        let mut lines: Vec<String> =
            keys.into_iter().filter_map(|key| difference(before.get(key), after.get(key))).collect();
        if lines.is_empty() {
            lines.push("the order, the settings, the notes or the commit are other ones".to_owned());
        }
        lines
    }

    /// The same plan without the resourceVersions, which change with every status.
    fn timeless(&self) -> Self {
        let mut plan = self.clone();
        let waves = plan.waves.iter_mut().flat_map(|wave| &mut wave.steps);
        for step in waves.chain(&mut plan.prune) {
            step.resource_version = None;
        }
        plan
    }
}

fn difference(before: Option<&Step>, after: Option<&Step>) -> Option<String> {
    let line = |step: &Step, text: &str| Some(format!("{}: {text}", step.object));
    match (before, after) {
        (Some(step), None) => line(step, &format!("nothing is left to {}", step.action.verb())),
        (None, Some(step)) => {
            line(step, &format!("there is more to do: {}, {}", step.action.verb(), step.reason))
        }
        (Some(before), Some(after)) if before.uid != after.uid => line(after, "it is another object now"),
        (Some(before), Some(after)) if before != after => {
            line(after, &format!("{} for another reason or with other fields", after.action.verb()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stage;

    fn plan(steps: Vec<Step>) -> Plan {
        let order = Order { level: 0, stage: Stage::Config };
        Plan {
            version: 1,
            environment: "e".into(),
            revision: "r".into(),
            manifests: "m".into(),
            waves: vec![Wave { order, steps, wait_for: Vec::new() }],
            prune: Vec::new(),
            notes: Vec::new(),
            settings: Vec::new(),
            at_stake: Vec::new(),
        }
    }

    fn update(name: &str, uid: &str, resource_version: &str) -> Step {
        Step {
            action: Action::Update,
            object: ObjectRef {
                group: String::new(),
                version: "v1".into(),
                kind: "ConfigMap".into(),
                namespace: Some("n".into()),
                name: name.into(),
            },
            component: "c".into(),
            order: Order { level: 0, stage: Stage::Config },
            reason: "r".into(),
            changes: Vec::new(),
            takes_back: Vec::new(),
            takes: Vec::new(),
            going: false,
            ahead: false,
            uid: Some(uid.into()),
            resource_version: Some(resource_version.into()),
            owned: None,
        }
    }

    #[test]
    fn a_status_that_changes_changes_no_plan() {
        let (one, other) = (plan(vec![update("a", "u", "1")]), plan(vec![update("a", "u", "2")]));
        assert_eq!(one.digest(), other.digest());
        assert!(one.differences(&other).is_empty());
    }

    #[test]
    fn what_moved_is_named() {
        let one = plan(vec![update("a", "u", "1")]);
        for (other, said) in [
            (plan(vec![update("a", "w", "1")]), "another object"),
            (plan(Vec::new()), "nothing is left to update"),
            (plan(vec![update("a", "u", "1"), update("b", "u", "1")]), "ConfigMap/b"),
            (Plan { revision: "other".into(), ..one.clone() }, "commit"),
        ] {
            let lines = one.differences(&other);
            assert!(lines.iter().any(|line| line.contains(said)), "{said}: {lines:?}");
            assert_ne!(one.digest(), other.digest(), "{said}");
        }
    }
}
