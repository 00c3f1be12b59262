//! Objects whose component was renamed: they stay what they are, but for one label.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Desired, Entry, FieldChange, Inputs, Key, Note};

/// Where `mimeo.dev/component` stands in a diff.
const COMPONENT: &str = "metadata.labels[\"mimeo.dev/component\"]";

/// Whether nothing but the component's name changes: no work is lost with that, so no Job runs again for it.
pub(crate) fn is_all(changes: &[FieldChange]) -> bool {
    !changes.is_empty() && changes.iter().all(|change| change.path == COMPONENT)
}

/// Why the label changes; `None` where the object belonged to the component before.
pub(crate) fn reason(entry: Option<&Entry>, desired: &Desired) -> Option<String> {
    let before = &entry?.component;
    (*before != desired.component).then(|| format!("moved from {before}"))
}

/// One note for each component that was moved, on the first of its objects.
pub(crate) fn notes(inputs: &Inputs<'_>, known: &BTreeMap<Key, &Entry>) -> Vec<Note> {
    let mut told = BTreeSet::new();
    let mut notes = Vec::new();
    for desired in inputs.desired {
        let entry = known.get(&desired.object.key());
        let Some(reason) = reason(entry.copied(), desired) else { continue };
        if told.insert((desired.component.clone(), reason.clone())) {
            let text = format!("component {}: {reason}, its objects stay", desired.component);
            notes.push(Note { object: desired.object.clone(), text });
        }
    }
    notes
}
