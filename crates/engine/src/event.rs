//! What happens, as it happens, for whoever shows it.

use plan::{Action, ObjectRef};

/// One thing worth showing while a command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A part of the work begins.
    Phase(String),
    /// An object was written or deleted.
    Done {
        /// What was done.
        action: Action,
        /// To which object.
        object: ObjectRef,
        /// The component it belongs to.
        component: String,
    },
    /// The health of an object changed.
    Health {
        /// Which object.
        object: ObjectRef,
        /// The component it belongs to.
        component: String,
        /// `Healthy`, `Progressing`, `Trouble` or `Failed`.
        state: &'static str,
        /// What it waits for, or what is wrong.
        cause: String,
    },
    /// What is waited for, told now and then while nothing else happens.
    Waiting(Vec<String>),
    /// The last log lines that belong to a trouble.
    Logs {
        /// Pod and container.
        from: String,
        /// The lines.
        lines: Vec<String>,
    },
    /// Something worth knowing that changes nothing.
    Note(String),
}
