//! Namespaces.

use serde_json::Value;

use super::read::{list, text, words};
use super::{Health, related};

/// Conditions that say what a namespace on its way out still waits for.
const BLOCKERS: [&str; 5] = [
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
];

/// A namespace is healthy while it is active.
pub(super) fn assess(object: &Value) -> Health {
    let phase = text(object, &["status", "phase"]);
    if related::going(object) || phase == Some("Terminating") {
        let blockers = list(object, &["status", "conditions"]).iter().filter(|c| {
            text(c, &["status"]) == Some("True")
                && text(c, &["type"]).is_some_and(|kind| BLOCKERS.contains(&kind))
        });
        let told: Vec<String> = blockers.map(words).collect();
        return Health::Progressing {
            cause: if told.is_empty() {
                "being deleted".to_owned()
            } else {
                format!("being deleted: {}", told.join("; "))
            },
        };
    }
    match phase {
        Some("Active") => Health::healthy(),
        _ => Health::progressing("not active yet"),
    }
}
