//! Judges many objects as they change, each no more often than something it depends on changes.
//!
//! Views of objects come in ([`Judge::saw`], [`Judge::lost`]), verdicts come out ([`Judge::health`]). A
//! verdict is kept until its object, or the answer to a question that was asked for it, changes: with
//! thousands of objects the work grows with the changes, not with changes times objects.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::{Health, Question, Rule, Surroundings, World, assess, read};
use crate::{Key, uid};

/// Views of live objects and the verdicts on them.
#[derive(Debug, Default)]
pub struct Judge {
    live: HashMap<Key, Arc<Value>>,
    worlds: HashMap<Option<String>, World>,
    classes: Option<Vec<Value>>,
    rules: HashMap<Key, Arc<Rule>>,
    expected: HashMap<Key, (String, i64)>,
    verdicts: HashMap<Key, Verdict>,
    readers: HashMap<(Option<String>, Question), HashSet<Key>>,
    due: BTreeSet<Key>,
    judgements: u64,
}

/// A verdict, and what was asked for it.
#[derive(Debug)]
struct Verdict {
    health: Health,
    asked: BTreeSet<Question>,
}

impl Judge {
    /// A judge who has seen nothing, with the rules of templates for some objects.
    #[must_use]
    pub fn new(rules: HashMap<Key, Arc<Rule>>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Takes the newest view of an object.
    pub fn saw(&mut self, key: Key, object: Arc<Value>) {
        let changed = self.worlds.entry(key.namespace.clone()).or_default().saw(&object);
        self.answers_changed(&key.namespace, changed);
        self.live.insert(key.clone(), object);
        self.object_changed(key);
    }

    /// Takes notice that an object is gone.
    pub fn lost(&mut self, key: &Key) {
        let Some(object) = self.live.remove(key) else { return };
        let changed = self.worlds.entry(key.namespace.clone()).or_default().lost(&object);
        self.answers_changed(&key.namespace, changed);
        self.object_changed(key.clone());
    }

    /// Takes the cluster's StorageClasses.
    pub fn storage_classes(&mut self, classes: Vec<Value>) {
        self.classes = Some(classes);
        let namespaces: Vec<Option<String>> = self.worlds.keys().cloned().collect();
        for namespace in namespaces {
            self.answers_changed(&namespace, vec![Question::StorageClasses]);
        }
    }

    /// Notes what a write answered: views that are older, or of another object of that name, do not count.
    pub fn expect(&mut self, key: Key, written: &Value) {
        self.expected.insert(key.clone(), (uid(written).unwrap_or_default().to_owned(), generation(written)));
        self.object_changed(key);
    }

    /// The newest view of an object.
    #[must_use]
    pub fn live(&self, key: &Key) -> Option<&Arc<Value>> {
        self.live.get(key)
    }

    /// Pods that the object of this uid owns, by its namespace.
    #[must_use]
    pub fn pods_of(&self, namespace: &str, owner: &str) -> Vec<&Value> {
        let world = self.worlds.get(&Some(namespace.to_owned()));
        let question = Question::PodsOf(owner.to_owned());
        world.map_or_else(Vec::new, |world| Surroundings::new(world).ask(question).collect())
    }

    /// Objects whose verdict may have changed since it was last asked for.
    pub fn due(&self) -> impl Iterator<Item = &Key> {
        self.due.iter()
    }

    /// How many judgements have been made.
    #[must_use]
    pub fn judgements(&self) -> u64 {
        self.judgements
    }

    /// The verdict on an object; `None` while it has not been seen as it was written.
    pub fn health(&mut self, key: &Key) -> Option<Health> {
        self.due.remove(key);
        if let Some(known) = self.verdicts.get(key) {
            return Some(known.health.clone());
        }
        let live = Arc::clone(self.live.get(key)?);
        if let Some((uid, written)) = self.expected.get(key)
            && (crate::uid(&live) != Some(uid) || generation(&live) < *written)
        {
            return None;
        }
        self.judgements += 1;
        let around = self.surroundings(key);
        let health = assess(&live, &around);
        let asked = around.asked();
        for question in &asked {
            let place = (key.namespace.clone(), question.clone());
            self.readers.entry(place).or_default().insert(key.clone());
        }
        self.verdicts.insert(key.clone(), Verdict { health: health.clone(), asked });
        Some(health)
    }

    /// When the newest program that nobody probes was started, for a workload whose pods are in place;
    /// see [`super::newest_unprobed`].
    #[must_use]
    pub fn newest_unprobed(&self, key: &Key) -> Option<super::Unprobed> {
        super::newest_unprobed(self.live.get(key)?, &self.surroundings(key))
    }

    fn surroundings(&self, key: &Key) -> Surroundings<'_> {
        static NOTHING: std::sync::LazyLock<World> = std::sync::LazyLock::new(World::default);
        let world = self.worlds.get(&key.namespace).unwrap_or(&NOTHING);
        Surroundings::new(world).classes(self.classes.as_deref()).rule(self.rules.get(key).map(AsRef::as_ref))
    }

    fn answers_changed(&mut self, namespace: &Option<String>, changed: Vec<Question>) {
        for question in changed {
            let readers = self.readers.remove(&(namespace.clone(), question));
            for reader in readers.into_iter().flatten() {
                self.object_changed(reader);
            }
        }
    }

    fn object_changed(&mut self, key: Key) {
        if let Some(verdict) = self.verdicts.remove(&key) {
            for question in verdict.asked {
                let place = (key.namespace.clone(), question);
                if let Some(readers) = self.readers.get_mut(&place) {
                    readers.remove(&key);
                    if readers.is_empty() {
                        self.readers.remove(&place);
                    }
                }
            }
        }
        self.due.insert(key);
    }
}

fn generation(object: &Value) -> i64 {
    read::int(object, &["metadata", "generation"]).unwrap_or_default()
}
