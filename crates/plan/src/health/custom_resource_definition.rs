//! CustomResourceDefinitions.

use serde_json::Value;

use super::read::{condition, condition_status, name, text, words};
use super::{Finding, Health, Trouble};

/// A definition is healthy when the server offers its resources.
pub(super) fn assess(object: &Value) -> Health {
    let refused =
        |kind| condition(object, kind).filter(|c| text(c, &["status"]) == Some("False")).map(|c| (kind, c));
    if let Some((_, names)) = refused("NamesAccepted") {
        let cause = format!("the names of {} were not accepted: {}", name(object), words(names));
        return Health::Failed(Finding::new(Trouble::NamesRejected, cause));
    }
    if condition_status(object, "Established") == Some("True") {
        return Health::healthy();
    }
    match refused("Established").filter(|(_, c)| text(c, &["reason"]) != Some("Installing")) {
        Some((_, established)) => {
            let cause = format!("{} was not established: {}", name(object), words(established));
            Health::Failed(Finding::new(Trouble::NamesRejected, cause))
        }
        None => Health::progressing("not established yet"),
    }
}
