//! Live views of kinds in one namespace, kept by watches: nothing is ever polled.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use futures::StreamExt as _;
use kube::{
    Api,
    api::DynamicObject,
    runtime::{WatchStreamExt as _, watcher},
};
use plan::{Key, ObjectRef};
use serde_json::Value;
use tokio::{sync::watch, task::JoinSet};

use crate::{Cluster, Resource};

/// Objects of some kinds as the server last showed them.
pub struct Views {
    cluster: Cluster,
    shared: Arc<Mutex<Shared>>,
    changed: watch::Sender<u64>,
    tasks: JoinSet<()>,
    open: Vec<(Resource, Option<String>)>,
}

#[derive(Default)]
struct Shared {
    objects: BTreeMap<Key, Value>,
    synced: HashMap<usize, bool>,
    troubles: HashMap<usize, String>,
}

impl Views {
    /// No watch yet.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        Self {
            cluster: cluster.clone(),
            shared: Arc::default(),
            changed: watch::channel(0).0,
            tasks: JoinSet::new(),
            open: Vec::new(),
        }
    }

    /// Opens a watch on a kind, once per kind and namespace.
    pub fn open(&mut self, resource: &Resource, namespace: Option<&str>) {
        let view = (resource.clone(), namespace.map(str::to_owned));
        if self.open.contains(&view) {
            return;
        }
        let number = self.open.len();
        self.open.push(view);
        self.lock().synced.insert(number, false);
        let stream = events(&self.cluster, resource, namespace);
        let (shared, changed) = (Arc::clone(&self.shared), self.changed.clone());
        let (resource, namespace) = (resource.clone(), namespace.map(str::to_owned));
        self.tasks.spawn(async move {
            let mut stream = std::pin::pin!(stream);
            let mut fresh: BTreeMap<Key, Value> = BTreeMap::new();
            while let Some(event) = stream.next().await {
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                note(&mut shared, &mut fresh, event, number, &resource, namespace.as_deref());
                drop(shared);
                changed.send_modify(|version| *version += 1);
            }
        });
    }

    /// A receiver that wakes up at every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether every watch has shown its first complete view.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.lock().synced.values().all(|synced| *synced)
    }

    /// What stands in the way of a watch, if anything does.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.lock().troubles.values().cloned().collect()
    }

    /// One object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Value> {
        self.lock().objects.get(key).cloned()
    }

    /// All objects of a kind in a namespace.
    #[must_use]
    pub fn all(&self, group: &str, kind: &str, namespace: &str) -> Vec<Value> {
        self.lock()
            .objects
            .iter()
            .filter(|(key, _)| key.group == group && key.kind == kind && key.namespace.as_deref() == Some(namespace))
            .map(|(_, object)| object.clone())
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Event = Result<watcher::Event<DynamicObject>, watcher::Error>;

fn events(cluster: &Cluster, resource: &Resource, namespace: Option<&str>) -> impl futures::Stream<Item = Event> + use<> {
    let api_resource = crate::gone::api_resource(resource);
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &api_resource),
        None => Api::all_with(cluster.client.clone(), &api_resource),
    };
    watcher(api, watcher::Config::default()).default_backoff()
}

fn note(
    shared: &mut Shared,
    fresh: &mut BTreeMap<Key, Value>,
    event: Event,
    number: usize,
    resource: &Resource,
    namespace: Option<&str>,
) {
    let mine = |key: &Key| {
        key.group == resource.group && key.kind == resource.kind && key.namespace.as_deref() == namespace
    };
    match event {
        Ok(watcher::Event::Init) => fresh.clear(),
        Ok(watcher::Event::InitApply(object)) => {
            if let Some((key, value)) = keyed(&object, resource) {
                fresh.insert(key, value);
            }
        }
        Ok(watcher::Event::InitDone) => {
            shared.objects.retain(|key, _| !mine(key));
            shared.objects.append(fresh);
            shared.synced.insert(number, true);
            shared.troubles.remove(&number);
        }
        Ok(watcher::Event::Apply(object)) => {
            shared.troubles.remove(&number);
            if let Some((key, value)) = keyed(&object, resource) {
                shared.objects.insert(key, value);
            }
        }
        Ok(watcher::Event::Delete(object)) => {
            if let Some((key, _)) = keyed(&object, resource) {
                shared.objects.remove(&key);
            }
        }
        Err(error) => {
            let place = namespace.unwrap_or("the cluster");
            let text = format!("watch {} in {place}: {}", resource.plural, crate::connect::chain(&error));
            shared.troubles.insert(number, text);
        }
    }
}

fn keyed(object: &DynamicObject, resource: &Resource) -> Option<(Key, Value)> {
    let mut value = serde_json::to_value(object).ok()?;
    value["apiVersion"] = resource.api_version().into();
    value["kind"] = resource.kind.clone().into();
    Some((ObjectRef::of(&value)?.key(), value))
}
