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
        let (shared, changed) = (Arc::clone(&self.shared), self.changed.clone());
        let (cluster, resource, namespace) =
            (self.cluster.clone(), resource.clone(), namespace.map(str::to_owned));
        self.tasks.spawn(async move {
            let view = View { number, resource, namespace };
            // The first view comes in the watch itself (KEP-3157); a server that does not do that yet is asked
            // for a list first.
            if !follow(&cluster, &view, &shared, &changed, watcher::Config::default().streaming_lists()).await
            {
                follow(&cluster, &view, &shared, &changed, watcher::Config::default()).await;
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
            .filter(|(key, _)| {
                key.group == group && key.kind == kind && key.namespace.as_deref() == Some(namespace)
            })
            .map(|(_, object)| object.clone())
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Event = Result<watcher::Event<DynamicObject>, watcher::Error>;

/// One kind in one namespace.
struct View {
    number: usize,
    resource: Resource,
    namespace: Option<String>,
}

/// Follows a view for as long as somebody wants it; false when the server refuses this way of watching.
async fn follow(
    cluster: &Cluster,
    view: &View,
    shared: &Mutex<Shared>,
    changed: &watch::Sender<u64>,
    config: watcher::Config,
) -> bool {
    let api_resource = crate::gone::api_resource(&view.resource);
    let api: Api<DynamicObject> = match view.namespace.as_deref() {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &api_resource),
        None => Api::all_with(cluster.client.clone(), &api_resource),
    };
    let streaming = config == watcher::Config::default().streaming_lists();
    let mut stream = std::pin::pin!(watcher(api, config).default_backoff());
    let mut fresh: BTreeMap<Key, Value> = BTreeMap::new();
    while let Some(event) = stream.next().await {
        if streaming && is_refused(&event) {
            return false;
        }
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut shared, &mut fresh, event, view);
        drop(shared);
        changed.send_modify(|version| *version += 1);
    }
    true
}

/// 422 on `sendInitialEvents` is how servers before 1.34, or without the feature, answer.
fn is_refused(event: &Event) -> bool {
    match event {
        Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))) => status.code == 422,
        _ => false,
    }
}

fn note(shared: &mut Shared, fresh: &mut BTreeMap<Key, Value>, event: Event, view: &View) {
    let View { number, resource, namespace } = view;
    let number = *number;
    let mine =
        |key: &Key| key.group == resource.group && key.kind == resource.kind && key.namespace == *namespace;
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
            let place = namespace.as_deref().unwrap_or("the cluster");
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
