//! Objects that a spec adopts: they were there before, and become the environment's unless they belong to somebody.

use serde_json::Value;

use super::{Refusal, foreign_owner};
use crate::{
    Action, Desired, DryRun, ENVIRONMENT_LABEL, Entry, Inputs, Note, OWNER_ANNOTATION, Ownership, Provenance,
    Step, at, diff, digest, is_terminating, ownership, planner::step, redact, text,
};

const REASON: &str = "it exists; from now on it is the environment's, and deleted with it";

/// Whether a live object is to be adopted: the spec says so, and it is not the environment's yet.
pub(crate) fn is_due(desired: &Desired, live: &Value, entry: Option<&Entry>, who: Provenance<'_>) -> bool {
    desired.declared.adopt && matches!(ownership(live, entry, who), Ownership::Foreign(_))
}

/// Refuses an object that is another environment's, another tool's, or on its way out.
pub(crate) fn check(desired: &Desired, live: &Value, who: Provenance<'_>) -> Option<Refusal> {
    let owned_by = |owner: String| Refusal::Adopted {
        object: desired.object.clone(),
        component: desired.component.clone(),
        owner,
    };
    if let Some(owner) = other_environment(live, who).or_else(|| foreign_owner::owner(live)) {
        return Some(owned_by(owner));
    }
    is_terminating(live).then(|| Refusal::Terminating { object: desired.object.clone() })
}

/// The environment whose marks a live object carries, if it is not this one. Labels can be copied: but whoever
/// copied them has to take them off before the object can be anybody else's.
fn other_environment(live: &Value, who: Provenance<'_>) -> Option<String> {
    let label = text(live, &["metadata", "labels", ENVIRONMENT_LABEL]);
    if let Some(label) = label {
        // Of an earlier life of this environment, too: its id is the same.
        return (label != who.environment).then(|| format!("environment {label}"));
    }
    let owner = at(live, &["metadata", "annotations", OWNER_ANNOTATION])?.as_str()?;
    (owner != who.record_uid).then(|| format!("the environment whose record is {owner}"))
}

/// What becomes of a live object that is to be adopted: it is changed in place, or refused.
pub(crate) fn step_for(inputs: &Inputs<'_>, desired: &Desired, live: &Value) -> Result<Step, Refusal> {
    if let Some(refusal) = check(desired, live, inputs.who) {
        return Err(refusal);
    }
    let (after, takes) = match inputs.observed.dry_runs.get(&desired.object.key()) {
        None => return Err(Refusal::Unknown { object: desired.object.clone() }),
        Some(DryRun::Becomes(after)) => (after, Vec::new()),
        Some(DryRun::Takes(after, fields) | DryRun::TakesBack(after, fields)) => (after, fields.clone()),
        Some(DryRun::Conflict(fields)) => return Err(Refusal::conflict(desired, fields)),
        Some(DryRun::Immutable(message)) => {
            return Err(Refusal::Unfit {
                object: desired.object.clone(),
                component: desired.component.clone(),
                message: message.clone(),
            });
        }
    };
    let mut step = step(desired, Action::Adopt, REASON, diff(live, &unsigned(live, after)), Some(live));
    step.takes = takes;
    step.owned = Some(shown(live));
    Ok(step)
}

/// The object as it would be, but for the uid of the record, which an environment gets with its first `up`.
fn unsigned(live: &Value, after: &Value) -> Value {
    let mut after = after.clone();
    let before = at(live, &["metadata", "annotations", OWNER_ANNOTATION]).cloned();
    let bare = at(live, &["metadata", "annotations"]).is_none();
    let Some(metadata) = after.get_mut("metadata").and_then(Value::as_object_mut) else { return after };
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        match before {
            Some(value) => annotations.insert(OWNER_ANNOTATION.to_owned(), value),
            None => annotations.remove(OWNER_ANNOTATION),
        };
        if annotations.is_empty() && bare {
            metadata.remove("annotations");
        }
    }
    after
}

/// Digest of what a person saw of an object that is to be adopted: everything but its status and what the server
/// counts. Values of a Secret do not enter it.
#[must_use]
pub fn shown(live: &Value) -> String {
    let mut seen = live.clone();
    if redact::is_secret(&seen) {
        redact::drop_secret_values(&mut seen);
    }
    if let Some(fields) = seen.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = seen.get_mut("metadata").and_then(Value::as_object_mut) {
        for counted in ["managedFields", "resourceVersion", "generation", "selfLink"] {
            metadata.remove(counted);
        }
    }
    digest(&seen)
}

/// Adoptions with nothing to adopt: the object is made instead.
pub(crate) fn notes<'a>(inputs: &Inputs<'_>, steps: impl Iterator<Item = &'a Step>) -> Vec<Note> {
    let adopted = |step: &&Step| {
        step.action == Action::Create
            && inputs.inventory.get(&step.object.key()).is_none_or(|entry| entry.uid.is_none())
            && inputs
                .desired
                .iter()
                .any(|desired| desired.declared.adopt && desired.object.same_object(&step.object))
    };
    let note = |step: &Step| Note {
        object: step.object.clone(),
        text: "there is nothing to adopt: it does not exist and is created".to_owned(),
    };
    steps.filter(adopted).map(note).collect()
}
