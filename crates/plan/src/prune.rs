//! What the rendering no longer has: deleted after everything else is healthy, or kept, and why.

use std::collections::BTreeSet;

use crate::{
    Action, Inputs, Key, Note, Ownership, Step, is_terminating, keeps, ownership, teardown::prune_order, uid,
};

/// Deletes in reverse order of apply, and what is kept.
pub(crate) fn prune(inputs: &Inputs<'_>) -> (Vec<Step>, Vec<Note>) {
    let wanted: BTreeSet<Key> = inputs.desired.iter().map(|desired| desired.object.key()).collect();
    let (mut steps, mut notes) = (Vec::new(), Vec::new());
    for entry in inputs.inventory.entries.iter().filter(|entry| !wanted.contains(&entry.object.key())) {
        let object = entry.object.clone();
        let mut note = |text: String| notes.push(Note { object: object.clone(), text });
        if object.is("", "Namespace") {
            note("kept: a namespace goes only with the whole environment".to_owned());
            continue;
        }
        let Some(live) = inputs.observed.live.get(&object.key()) else {
            if !inputs.observed.absent.contains(&object.key()) {
                note("kept: no live read answered for it".to_owned());
            }
            continue;
        };
        if let Some(annotation) = keeps(live) {
            note(format!("kept: its annotation {annotation} asks for it; delete it yourself"));
            continue;
        }
        if let Some(why) = inputs.observed.in_use.get(&object.key()) {
            note(format!("kept: {why}"));
            continue;
        }
        match ownership(live, Some(entry), inputs.who) {
            Ownership::Ours { marked: true } => steps.push(Step {
                action: Action::Delete,
                object: object.clone(),
                component: entry.component.clone(),
                order: entry.order,
                reason: "the rendering no longer has it".to_owned(),
                changes: Vec::new(),
                takes_back: Vec::new(),
                takes: Vec::new(),
                going: is_terminating(live),
                ahead: false,
                uid: uid(live).map(str::to_owned),
                resource_version: None,
                owned: None,
            }),
            Ownership::Ours { marked: false } => {
                note(
                    "kept: somebody removed its mimeo label or field manager; delete it yourself".to_owned(),
                );
            }
            Ownership::Foreign(why) => note(format!("kept: {why}")),
        }
    }
    steps.sort_by(|a: &Step, b| (prune_order(a), &b.object).cmp(&(prune_order(b), &a.object)));
    (steps, notes)
}
