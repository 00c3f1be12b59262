//! What must happen, by rules of their own: nothing here is the product's.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, RngExt as _, seq::IndexedRandom as _};
use serde_json::Value;

/// Names of components.
const NAMES: [&str; 7] = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"];

/// Kind and name of an object in the environment's namespace.
pub type Object = (Kind, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ConfigMap,
    ServiceAccount,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::ConfigMap, Self::ServiceAccount];

    pub fn plural(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmaps",
            Self::ServiceAccount => "serviceaccounts",
        }
    }
}

/// An object that is there.
#[derive(Debug, Clone)]
pub enum Thing {
    Ours(Ours),
    /// Exactly as somebody made it, or as it became theirs.
    Foreign(Value),
}

/// An object that a run of the environment made.
#[derive(Debug, Clone)]
pub struct Ours {
    pub uid: String,
    /// What was applied last.
    pub text: String,
    /// Somebody has written another text.
    pub drifted: bool,
    /// Somebody has taken our label away.
    pub stripped: bool,
    /// Somebody has asked that it be kept.
    pub keep: bool,
    /// What somebody has written into a field of their own.
    pub theirs: Option<String>,
}

/// One step of a history.
#[derive(Debug, Clone)]
pub enum Step {
    /// Another text of a component.
    Edit(&'static str, String),
    Add(&'static str, String),
    Remove(&'static str),
    Rename(&'static str, &'static str),
    /// The spec as it was one commit before.
    Revert,
    Up,
    Diff,
    /// `up` that is killed at this write, and again.
    KilledUp(usize, testkit::Cut),
    Down,
    KilledDown(usize, testkit::Cut),
    /// Somebody writes a field that is ours.
    Drift(Object),
    /// Somebody writes a field of their own.
    Annotate(Object, String),
    Strip(Object),
    Keep(Object),
    Delete(Object),
    /// Somebody deletes it and makes another of the same name, with our labels; under our manager's name or not.
    Replace(Object, bool),
    /// Somebody makes an object of a name that nobody has, with our labels or without.
    Plant(Object, bool),
    /// Somebody removes what is theirs.
    Clear(Object),
}

/// What a run of `up` has to do, or why it must not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    pub refusals: BTreeSet<&'static str>,
    pub creates: BTreeSet<Object>,
    pub updates: BTreeSet<Object>,
    pub deletes: BTreeSet<Object>,
    /// More than half of what is owned goes: somebody has to approve it.
    pub approval: bool,
}

impl Expected {
    pub fn is_refused(&self) -> bool {
        !self.refusals.is_empty()
    }

    pub fn is_nothing(&self) -> bool {
        self.creates.is_empty() && self.updates.is_empty() && self.deletes.is_empty()
    }
}

/// The environment, its namespace and its repository.
#[derive(Debug, Clone)]
pub struct World {
    pub owned: bool,
    pub up: bool,
    /// Component to text.
    pub spec: BTreeMap<&'static str, String>,
    pub before: Vec<BTreeMap<&'static str, String>>,
    pub things: BTreeMap<Object, Thing>,
    /// What the inventory has to name, with uids.
    pub inventory: BTreeMap<Object, String>,
    counter: usize,
}

impl World {
    pub fn new(owned: bool) -> Self {
        let spec = [("ant", "first".to_owned()), ("bee", "first".to_owned()), ("cat", "first".to_owned())];
        Self {
            owned,
            up: false,
            spec: spec.into_iter().collect(),
            before: Vec::new(),
            things: BTreeMap::new(),
            inventory: BTreeMap::new(),
            counter: 0,
        }
    }

    /// What the spec asks for, with its text.
    pub fn wanted(&self) -> BTreeMap<Object, &str> {
        let objects = |name: &&'static str| Kind::ALL.map(|kind| (kind, (*name).to_owned()));
        self.spec
            .iter()
            .flat_map(|(name, text)| objects(name).map(|object| (object, text.as_str())))
            .collect()
    }

    /// What `up` has to do now.
    pub fn expected(&self) -> Expected {
        let mut expected = Expected::default();
        let wanted = self.wanted();
        for (object, text) in &wanted {
            match self.things.get(object) {
                None => drop(expected.creates.insert(object.clone())),
                Some(Thing::Foreign(_)) => drop(expected.refusals.insert("OBJ019")),
                // A field that somebody took since exactly this was applied is taken back; any other is theirs.
                Some(Thing::Ours(ours)) if ours.drifted && ours.text != *text => {
                    expected.refusals.insert("OBJ017");
                }
                Some(Thing::Ours(ours)) if ours.drifted || ours.stripped || ours.text != *text => {
                    expected.updates.insert(object.clone());
                }
                Some(Thing::Ours(_)) => {}
            }
        }
        for object in self.inventory.keys().filter(|object| !wanted.contains_key(object)) {
            if let Some(Thing::Ours(ours)) = self.things.get(object)
                && !ours.keep
                && !ours.stripped
            {
                expected.deletes.insert(object.clone());
            }
        }
        // The namespace and the binding of an environment that has them.
        let before = self.inventory.len() + if self.owned && self.up { 2 } else { 0 };
        expected.approval = expected.deletes.len() * 2 > before;
        expected
    }

    /// What is left in the inventory of what is not wanted: what lives, whosever it is.
    pub fn is_remembered(&self, object: &Object) -> bool {
        self.things.contains_key(object)
    }

    fn ours(&self) -> Vec<Object> {
        let ours = self.things.iter().filter(|(_, thing)| matches!(thing, Thing::Ours(_)));
        ours.map(|(object, _)| object.clone()).collect()
    }

    fn foreign(&self) -> Vec<Object> {
        let foreign = self.things.iter().filter(|(_, thing)| matches!(thing, Thing::Foreign(_)));
        foreign.map(|(object, _)| object.clone()).collect()
    }

    fn text(&mut self) -> String {
        self.counter += 1;
        format!("text-{}", self.counter)
    }

    /// A step that means something now.
    pub fn next(&mut self, dice: &mut impl Rng) -> Step {
        loop {
            if let Some(step) = self.propose(dice) {
                return step;
            }
        }
    }

    fn propose(&mut self, dice: &mut impl Rng) -> Option<Step> {
        let text = self.text();
        let present: Vec<&'static str> = self.spec.keys().copied().collect();
        let absent: Vec<&'static str> =
            NAMES.into_iter().filter(|name| !self.spec.contains_key(name)).collect();
        let cut = testkit::Cut::ALL[dice.random_range(0..3)];
        let one = |objects: Vec<Object>, dice: &mut _| objects.choose(dice).cloned();
        Some(match dice.random_range(0..100) {
            0..7 => Step::Edit(present.choose(dice)?, text),
            7..12 => Step::Add(absent.choose(dice)?, text),
            12..21 if present.len() > 1 => Step::Remove(present.choose(dice)?),
            21..26 => Step::Rename(present.choose(dice)?, absent.choose(dice)?),
            26..30 if !self.before.is_empty() => Step::Revert,
            30..48 => Step::Up,
            48..52 => Step::Diff,
            52..60 => Step::KilledUp(dice.random_range(1..10), cut),
            60..63 if self.up => Step::Down,
            63..65 if self.up => Step::KilledDown(dice.random_range(1..9), cut),
            65..71 => Step::Drift(one(self.ours(), dice)?),
            71..74 => Step::Annotate(one(self.ours(), dice)?, text),
            74..78 => Step::Strip(one(self.ours(), dice)?),
            78..82 => Step::Keep(one(self.ours(), dice)?),
            82..86 => Step::Delete(one(self.ours(), dice)?),
            86..89 => Step::Replace(one(self.ours(), dice)?, dice.random()),
            89..93 if self.up || !self.owned => {
                // Of a name that may be wanted later, or that never will be.
                let stranger = format!("stranger-{}", self.counter);
                let names = absent.iter().map(|name| (*name).to_owned()).chain([stranger]);
                let free: Vec<Object> = names
                    .flat_map(|name| Kind::ALL.map(|kind| (kind, name.clone())))
                    .filter(|object| !self.things.contains_key(object))
                    .collect();
                Step::Plant(one(free, dice)?, dice.random())
            }
            93..100 => Step::Clear(one(self.foreign(), dice)?),
            _ => return None,
        })
    }

    /// What a change of the spec makes of it.
    pub fn edit(&mut self, step: &Step) -> bool {
        let old = self.spec.clone();
        match step {
            Step::Edit(name, text) | Step::Add(name, text) => drop(self.spec.insert(name, text.clone())),
            Step::Remove(name) => drop(self.spec.remove(name)),
            Step::Rename(from, to) => {
                if let Some(text) = self.spec.remove(from) {
                    self.spec.insert(to, text);
                }
            }
            Step::Revert => {
                if let Some(before) = self.before.pop() {
                    self.spec = before;
                }
                return true;
            }
            _ => return false,
        }
        self.before.push(old);
        true
    }
}
