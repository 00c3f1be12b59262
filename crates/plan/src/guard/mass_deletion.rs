//! An environment of which nothing, or less than half, would be left.

use super::Refusal;
use crate::{Desired, Inventory, ObjectRef, Origin, Step};

/// Refuses a rendering without objects while the environment has some.
pub(crate) fn check(desired: &[Desired], inventory: &Inventory) -> Option<Refusal> {
    let templated = desired.iter().any(|desired| !matches!(desired.origin, Origin::Engine));
    (!inventory.entries.is_empty() && !templated).then_some(Refusal::EmptyRendering)
}

/// What a person has to agree to: every deleted object, when they are more than half. Jobs do not count.
pub(crate) fn stake(inventory: &Inventory, prune: &[Step]) -> Vec<String> {
    let lasting = |object: &ObjectRef| !object.is("batch", "Job");
    let before = inventory.entries.iter().filter(|entry| lasting(&entry.object)).count();
    let going: Vec<&Step> = prune.iter().filter(|step| lasting(&step.object)).collect();
    if going.len() * 2 <= before {
        return Vec::new();
    }
    let line =
        |step: &&Step| format!("{}: deleted, with more than half of the environment", step.object.short());
    going.iter().map(line).collect()
}
