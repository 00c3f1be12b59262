//! Waits by watch until every object of a wave is what it was asked to be, and shows what is in the way.

mod kinds;
mod rules;
mod tell;
mod wait;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use cluster::Views;
use plan::{
    Action, Key, ObjectRef, Wave,
    health::{Health, Judge},
};
use serde_json::Value;

pub(crate) use kinds::{explaining, settled};
pub(crate) use rules::{Rules, marks};

use self::kinds::has_health;
use crate::{Result, Session, read};

/// How long to wait, and how patiently.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// When the whole command gives up.
    pub deadline: Instant,
    /// Fail on the first sight of trouble.
    pub fail_fast: bool,
}

/// What mimeo knows of the objects it waits for.
pub(crate) struct Watcher<'a> {
    session: &'a Session,
    namespace: String,
    views: Views,
    judge: Judge,
    components: HashMap<Key, String>,
    /// What the writes of this run answered.
    written: HashMap<Key, Value>,
    shown: BTreeMap<Key, Health>,
    /// From when on moments are counted.
    begun: Instant,
    troubles: plan::health::Patience,
    logged: BTreeMap<Key, String>,
    told: BTreeSet<String>,
    /// Since when objects are healthy.
    healthy: BTreeMap<Key, Instant>,
    /// Whether StorageClasses were asked for.
    asked_classes: bool,
    /// Values of the environment's Secrets, read when something that may hold them is to be shown.
    secrets: tokio::sync::OnceCell<Vec<String>>,
    /// Component to how long its images may take.
    images: BTreeMap<String, Duration>,
}

impl<'a> Watcher<'a> {
    pub(crate) fn new(
        session: &'a Session,
        namespace: &str,
        desired: &[plan::Desired],
        images: BTreeMap<String, Duration>,
        rules: &Rules,
    ) -> Self {
        Self {
            session,
            namespace: namespace.to_owned(),
            views: Views::new(&session.cluster),
            judge: Judge::new(rules.by_key(desired)),
            components: desired
                .iter()
                .map(|desired| (desired.object.key(), desired.component.clone()))
                .collect(),
            written: HashMap::new(),
            shown: BTreeMap::new(),
            begun: Instant::now(),
            troubles: plan::health::Patience::default(),
            logged: BTreeMap::new(),
            told: BTreeSet::new(),
            healthy: BTreeMap::new(),
            asked_classes: false,
            secrets: tokio::sync::OnceCell::new(),
            images,
        }
    }

    /// Opens a watch for every kind that is waited for, and for the kinds that explain it. Before the
    /// first write, so that no change is missed.
    pub(crate) async fn open(&mut self, waves: &[Wave]) -> Result<()> {
        let steps = waves.iter().flat_map(|wave| &wave.steps);
        if steps.clone().any(|step| {
            step.action == Action::Create
                && step.object.is("", "Namespace")
                && step.object.name == self.namespace
        }) {
            self.views.expect_empty(&self.namespace);
        }
        let mut kinds: Vec<ObjectRef> = Vec::new();
        for object in waves.iter().flat_map(|wave| &wave.wait_for).filter(|object| has_health(object)) {
            kinds.push(object.clone());
            if let Some(namespace) = &object.namespace {
                for (group, kind) in explaining(object) {
                    kinds.push(read::object(group, "v1", kind, Some(namespace), ""));
                }
            }
        }
        // The first of each namespace is also how a fresh binding is waited for; the others are not in the way of
        // the writes.
        let mut first = BTreeSet::new();
        let (first, others): (Vec<ObjectRef>, Vec<ObjectRef>) =
            kinds.into_iter().partition(|object| first.insert(object.namespace.clone()));
        for object in &first {
            self.watch(object).await?;
        }
        for object in &first {
            self.views.let_in(object.namespace.as_deref()).await;
        }
        for object in &others {
            self.watch(object).await?;
        }
        Ok(())
    }

    async fn watch(&mut self, object: &ObjectRef) -> Result<()> {
        let resource = self.session.resource(object).await?;
        self.views.open(&resource, object.namespace.as_deref());
        Ok(())
    }

    /// Takes in what the watches have told since the last time.
    fn absorb(&mut self) {
        for change in self.views.take() {
            match change.object {
                Some(object) => self.judge.saw(change.key, object),
                None => self.judge.lost(&change.key),
            }
        }
    }

    /// Notes what a write of this run returned.
    pub(crate) fn expect(&mut self, key: Key, live: &Value) {
        self.judge.expect(key.clone(), live);
        self.written.insert(key, live.clone());
    }

    /// The last view of an object; of one that is not watched, what its write returned.
    pub(crate) fn live(&self, key: &Key) -> Option<Value> {
        self.judge.live(key).map(|live| (**live).clone()).or_else(|| self.written.get(key).cloned())
    }

    /// Pods of a Job, newest first.
    pub(crate) fn pods_of(&self, job: &ObjectRef) -> Vec<Value> {
        let namespace = job.namespace.as_deref().unwrap_or(&self.namespace);
        let uid = self.judge.live(&job.key()).and_then(|job| plan::uid(job));
        let pods = uid.map_or_else(Vec::new, |uid| self.judge.pods_of(namespace, uid));
        let mut pods: Vec<Value> = pods.into_iter().cloned().collect();
        pods.sort_by_key(|pod| {
            std::cmp::Reverse(
                plan::text(pod, &["metadata", "creationTimestamp"]).unwrap_or_default().to_owned(),
            )
        });
        pods
    }
}
