//! What an environment owns, by uid. Written before the first apply, shrunk only after a proven delete.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Key, ObjectRef, Order};

/// One owned object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which object.
    pub object: ObjectRef,
    /// The component it belongs to.
    pub component: String,
    /// Its place in the order of apply; deletes go the other way.
    pub order: Order,
    /// The uid, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// A create may be under way: the object at this name is ours if it carries our manager, our
    /// label and the uid of the record, whatever its own uid.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    /// Its adoption may be under way: the object of this uid was there before, and is ours once it carries our
    /// manager, our label and the uid of the record. Until then it is left alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopting: bool,
    /// It has something outside the cluster, such as a cloud load balancer: deleted by itself, before
    /// the namespace takes its controller's configuration away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outside: bool,
    /// Digest of what was asked for when it was last applied.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub desired: String,
    /// Digest of the fields we own, as the server answered then.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owned: String,
}

/// Everything an environment owns, in order of apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Inventory {
    /// The entry of an object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.object.has_key(key))
    }

    /// All entries by object, for whoever asks for many.
    #[must_use]
    pub fn index(&self) -> BTreeMap<Key, &Entry> {
        self.entries.iter().map(|entry| (entry.object.key(), entry)).collect()
    }

    /// The entry of an object, to be changed.
    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.object.has_key(key))
    }

    /// Adds an entry, or replaces the one of the same object.
    pub fn put(&mut self, entry: Entry) {
        match self.get_mut(&entry.object.key()) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }

    /// Forgets an object whose delete was proven.
    pub fn remove(&mut self, key: &Key) {
        self.entries.retain(|entry| !entry.object.has_key(key));
    }

    /// Sorts by order of apply, then by kind and name, so that equal inventories are equal bytes.
    pub fn sort(&mut self) {
        self.entries.sort_by(|a, b| (a.order, &a.object).cmp(&(b.order, &b.object)));
    }
}
