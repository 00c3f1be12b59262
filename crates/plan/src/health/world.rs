//! What surrounds the objects of one namespace, filed by what rules ask for.
//!
//! A namespace may hold thousands of pods and Events, and one of them changes every moment. Nothing is
//! searched: a rule asks a [`Question`] and is given the few objects filed under it. Which questions a
//! judgement has asked is noted, so that it is made again when the answer to one of them changes, and not
//! before.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde_json::Value;

use super::read::{at, group_kind, list, name, text};
use super::{Rule, event, related, service};

/// As what an object explains others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// A pod.
    Pod,
    /// A ReplicaSet, by which a Deployment has its pods.
    ReplicaSet,
    /// The endpoints of a Service.
    EndpointSlice,
    /// A Deployment, StatefulSet, DaemonSet or bare Pod: who a Service may select.
    Workload,
    /// An Event of either API. Some refusals (quota for a StatefulSet, a volume that cannot be mounted or
    /// provisioned) are written nowhere else.
    Event,
}

/// What a rule may ask for; answers are objects of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// Pods that the object with this uid owns.
    PodsOf(String),
    /// Pods that mount the claim of this name.
    UsersOfClaim(String),
    /// ReplicaSets that the object with this uid owns.
    SetsOf(String),
    /// EndpointSlices of the Service of this name.
    SlicesOf(String),
    /// Workloads whose pods have this label: name, and value as JSON.
    Labelled(String, String),
    /// Events about the object with this uid.
    EventsOf(String),
    /// Events about the claim of this name: a StatefulSet's claims are known by name only.
    EventsOfClaim(String),
    /// Which StorageClasses there are.
    StorageClasses,
}

/// Objects of one namespace that explain others.
#[derive(Debug, Clone, Default)]
pub struct World {
    filed: HashMap<Question, BTreeMap<Id, Arc<Value>>>,
    known: HashMap<Id, Vec<Question>>,
}

/// Part, and an id that is unique among the objects of it.
type Id = (Part, String);

impl Part {
    /// As what a live object explains others, by its kind.
    #[must_use]
    pub fn of(object: &Value) -> &'static [Self] {
        match group_kind(object) {
            ("", "Pod") if list(object, &["metadata", "ownerReferences"]).is_empty() => {
                &[Self::Pod, Self::Workload]
            }
            ("", "Pod") => &[Self::Pod],
            ("apps", "ReplicaSet") => &[Self::ReplicaSet],
            ("apps", "Deployment" | "StatefulSet" | "DaemonSet") => &[Self::Workload],
            ("discovery.k8s.io", "EndpointSlice") => &[Self::EndpointSlice],
            ("" | "events.k8s.io", "Event") => &[Self::Event],
            _ => &[],
        }
    }

    /// The questions to which an object is an answer.
    fn answers(self, object: &Value) -> Vec<Question> {
        let text_of = |path: &[&str]| text(object, path).map(str::to_owned);
        match self {
            Self::Pod => {
                let owned = related::owners(object).map(|uid| Question::PodsOf(uid.to_owned()));
                let mounted = related::claims(object).map(|claim| Question::UsersOfClaim(claim.to_owned()));
                owned.chain(mounted).collect()
            }
            Self::ReplicaSet => related::owners(object).map(|uid| Question::SetsOf(uid.to_owned())).collect(),
            Self::EndpointSlice => text_of(&["metadata", "labels", "kubernetes.io/service-name"])
                .map(Question::SlicesOf)
                .into_iter()
                .collect(),
            Self::Workload => {
                let labels = service::pod_labels(object).into_iter().flatten();
                labels.map(|(key, value)| Question::Labelled(key.clone(), value.to_string())).collect()
            }
            Self::Event => event::about(object),
        }
    }
}

impl World {
    /// A world of some live objects, each filed as what its kind makes it.
    #[must_use]
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut world = Self::default();
        for object in objects {
            let _ = world.saw(&Arc::new(object.clone()));
        }
        world
    }

    /// Files a live object as what its kind makes it; returns the questions whose answers changed.
    pub fn saw(&mut self, object: &Arc<Value>) -> Vec<Question> {
        let id = format!("{}/{}", group_kind(object).1, name(object));
        Part::of(object).iter().flat_map(|part| self.put(*part, &id, object)).collect()
    }

    /// Forgets an object that is gone; returns the questions whose answers changed.
    pub fn lost(&mut self, object: &Value) -> Vec<Question> {
        let id = format!("{}/{}", group_kind(object).1, name(object));
        Part::of(object).iter().flat_map(|part| self.forget(&(*part, id.clone()))).collect()
    }

    /// Files an object under an id, in place of an earlier one.
    pub fn put(&mut self, part: Part, id: &str, object: &Arc<Value>) -> Vec<Question> {
        let id = (part, id.to_owned());
        let mut changed = self.forget(&id);
        let answers = part.answers(object);
        for question in &answers {
            self.filed.entry(question.clone()).or_default().insert(id.clone(), Arc::clone(object));
        }
        changed.extend(answers.iter().cloned());
        self.known.insert(id, answers);
        changed
    }

    fn forget(&mut self, id: &Id) -> Vec<Question> {
        let answered = self.known.remove(id).unwrap_or_default();
        for question in &answered {
            if let Some(filed) = self.filed.get_mut(question) {
                filed.remove(id);
                if filed.is_empty() {
                    self.filed.remove(question);
                }
            }
        }
        answered
    }
}

/// What the judge of one object may look at besides the object itself. Most answers only explain: where
/// one could not be read the cause is less precise. Two decide, and an empty one reads as "there are
/// none": the workloads that a Service selects, and the pods of a claim that waits for its first consumer.
#[derive(Debug)]
pub struct Surroundings<'a> {
    world: &'a World,
    classes: Option<&'a [Value]>,
    rule: Option<&'a Rule>,
    asked: RefCell<BTreeSet<Question>>,
}

impl<'a> Surroundings<'a> {
    /// The surroundings of an object in this world.
    #[must_use]
    pub fn new(world: &'a World) -> Self {
        Self { world, classes: None, rule: None, asked: RefCell::default() }
    }

    /// With the cluster's StorageClasses; `None` where they could not be read.
    #[must_use]
    pub fn classes(self, classes: Option<&'a [Value]>) -> Self {
        Self { classes, ..self }
    }

    /// With the rule that its template gives for the object's kind.
    #[must_use]
    pub fn rule(self, rule: Option<&'a Rule>) -> Self {
        Self { rule, ..self }
    }

    /// What has been asked.
    #[must_use]
    pub fn asked(self) -> BTreeSet<Question> {
        self.asked.into_inner()
    }

    /// The objects filed under a question.
    pub(super) fn ask(&self, question: Question) -> impl Iterator<Item = &'a Value> + use<'a> {
        let found = self.world.filed.get(&question);
        self.asked.borrow_mut().insert(question);
        found.into_iter().flat_map(BTreeMap::values).map(|object| &**object)
    }

    /// The cluster's StorageClasses, where they could be read.
    pub(super) fn storage_classes(&self) -> Option<&'a [Value]> {
        self.asked.borrow_mut().insert(Question::StorageClasses);
        self.classes
    }

    /// The rule of the object's template for its kind.
    pub(super) fn own_rule(&self) -> Option<&'a Rule> {
        self.rule
    }
}

/// A value of a label or selector, as questions spell it.
pub(super) fn spelled(value: &Value) -> String {
    value.to_string()
}

/// The name of a claim or Service, to be asked for.
pub(super) fn named(object: &Value) -> Option<String> {
    at(object, &["metadata", "name"]).and_then(Value::as_str).map(str::to_owned)
}
