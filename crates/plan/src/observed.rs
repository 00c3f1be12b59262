//! What the cluster showed, and how sure that is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Key;

/// The server's answer to a dry run of one apply.
#[derive(Debug, Clone, PartialEq)]
pub enum DryRun {
    /// What the object would be.
    Becomes(Value),
    /// What the object would be once fields are taken back that somebody else changed since mimeo
    /// applied exactly this; the fields, each with its manager.
    TakesBack(Value, Vec<String>),
    /// What the object would be once fields are taken that the spec declares to take; the fields, each with its
    /// manager.
    Takes(Value, Vec<String>),
    /// Another manager owns a field that mimeo never owned; the fields, each with its manager.
    Conflict(Vec<String>),
    /// The server refuses because a field cannot change in place; its message.
    Immutable(String),
}

/// Live objects, read for one plan.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Objects that exist.
    pub live: BTreeMap<Key, Value>,
    /// Objects of which a live read said 404, or whose namespace this run has just made.
    pub absent: BTreeSet<Key>,
    /// Of every shared CustomResourceDefinition, the versions at which the server serves its kind; none where
    /// it does not know the kind.
    pub served: BTreeMap<Key, Vec<String>>,
    /// CustomResourceDefinitions that are owned and no longer wanted, but of whose kind objects are left that this
    /// plan does not delete, or that nobody could look for; and why.
    pub in_use: BTreeMap<Key, String>,
    /// Answers to the dry runs that [`crate::compare`] asked for.
    pub dry_runs: BTreeMap<Key, DryRun>,
    /// What [`crate::compare`] found as it was applied; the planner looks itself at what is not here.
    pub settled: BTreeSet<Key>,
}

impl Observed {
    /// Notes a live object.
    pub fn saw(&mut self, key: Key, live: Value) {
        self.absent.remove(&key);
        self.settled.remove(&key);
        self.live.insert(key, live);
    }

    /// Notes a proven absence.
    pub fn missed(&mut self, key: Key) {
        self.live.remove(&key);
        self.settled.remove(&key);
        self.absent.insert(key);
    }

    /// Whether anything is known about the object.
    #[must_use]
    pub fn knows(&self, key: &Key) -> bool {
        self.live.contains_key(key) || self.absent.contains(key)
    }
}
