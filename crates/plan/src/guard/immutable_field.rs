//! Fields that cannot change in place: the object is made again, and with a volume its data is lost.

use crate::{Action, Step};

/// What a person has to agree to before these steps run: a line for every volume that goes.
pub(crate) fn stake<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<String> {
    steps
        .filter(|step| matches!(step.action, Action::Recreate | Action::Delete))
        .filter(|step| step.object.is("", "PersistentVolumeClaim"))
        // Of what is on its way out already, nothing is left to decide.
        .filter(|step| !step.going)
        .map(|step| format!("{}: its data is lost", step.object.short()))
        .collect()
}
