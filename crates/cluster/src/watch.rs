//! Live views of kinds in one namespace, kept by watches: nothing is ever polled.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
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

/// Objects of some kinds as the server last showed them, told change by change.
pub struct Views {
    cluster: Cluster,
    shared: Arc<Mutex<Shared>>,
    changed: watch::Sender<u64>,
    tasks: JoinSet<()>,
    open: Vec<(Resource, Option<String>)>,
}

#[derive(Default)]
struct Shared {
    objects: BTreeMap<Key, Arc<Value>>,
    changes: Vec<Change>,
    synced: HashMap<usize, bool>,
    /// Namespaces that are as new as this run: what there is in them, a watch tells.
    new: BTreeSet<Option<String>>,
    /// Namespaces in which the server has let a watch in.
    let_in: BTreeSet<Option<String>>,
    troubles: HashMap<usize, String>,
}

/// That an object appeared or changed, or that it is gone.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which object.
    pub key: Key,
    /// What it is now; `None` when it is gone.
    pub object: Option<Arc<Value>>,
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
            let mut config = watcher::Config::default().streaming_lists();
            let begun = Instant::now();
            let mut pause = ASK_AGAIN;
            loop {
                match follow(&cluster, &view, &shared, &changed, config.clone(), begun).await {
                    Ended::Closed => break,
                    Ended::NoStreaming => config = watcher::Config::default(),
                    Ended::NotYetAllowed => {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(ASK_AGAIN_AT_MOST);
                    }
                }
            }
        });
    }

    /// Says that a namespace was made by this run. The end of its first view, which the API server sends up to a
    /// second late (the bookmark of KEP-3157), is not waited for: nothing can be missing from it.
    pub fn expect_empty(&mut self, namespace: &str) {
        self.lock().new.insert(Some(namespace.to_owned()));
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

    /// Waits until the server has let in a watch in that namespace, or something stands in the way: then a fresh
    /// binding is known to the authorizer, and what changes from now on is told.
    pub async fn let_in(&self, namespace: Option<&str>) {
        let mut changes = self.changes();
        let namespace = namespace.map(str::to_owned);
        while !self.lock().let_in.contains(&namespace) && self.troubles().is_empty() {
            if changes.changed().await.is_err() {
                break;
            }
        }
    }

    /// What stands in the way of a watch, if anything does.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.lock().troubles.values().cloned().collect()
    }

    /// What has changed since this was asked last, in the order in which the server told it.
    #[must_use]
    pub fn take(&self) -> Vec<Change> {
        std::mem::take(&mut self.lock().changes)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// A view that is shown again, as after a watch was opened anew, is no change.
    fn saw(&mut self, key: Key, object: Arc<Value>) {
        let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
        let known = self.objects.insert(key.clone(), Arc::clone(&object));
        if known.is_none_or(|known| version(&known).is_none() || version(&known) != version(&object)) {
            self.changes.push(Change { key, object: Some(object) });
        }
    }

    fn gone(&mut self, key: Key) {
        if self.objects.remove(&key).is_some() {
            self.changes.push(Change { key, object: None });
        }
    }
}

type Event = Result<watcher::Event<DynamicObject>, watcher::Error>;

/// One kind in one namespace.
struct View {
    number: usize,
    resource: Resource,
    namespace: Option<String>,
}

/// Why a view is not followed any more.
enum Ended {
    /// Nobody wants it.
    Closed,
    /// The server cannot send the first view in the watch: 422 on `sendInitialEvents` is how servers
    /// before 1.34, or without the feature, answer.
    NoStreaming,
    /// A binding that was just made is not known to the authorizer yet.
    NotYetAllowed,
}

/// How long a fresh binding may take until the authorizer knows it.
const SETTLING: Duration = Duration::from_secs(10);
/// The authorizer learns of it within milliseconds, and under load later.
const ASK_AGAIN: Duration = Duration::from_millis(2);
const ASK_AGAIN_AT_MOST: Duration = Duration::from_millis(100);

async fn follow(
    cluster: &Cluster,
    view: &View,
    shared: &Mutex<Shared>,
    changed: &watch::Sender<u64>,
    config: watcher::Config,
    begun: Instant,
) -> Ended {
    let api_resource = crate::gone::api_resource(&view.resource);
    let api: Api<DynamicObject> = match view.namespace.as_deref() {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &api_resource),
        None => Api::all_with(cluster.client.clone(), &api_resource),
    };
    let streams = matches!(config.initial_list_strategy, watcher::InitialListStrategy::StreamingList);
    let mut stream = std::pin::pin!(watcher(api, config).default_backoff());
    let mut fresh: BTreeMap<Key, Arc<Value>> = BTreeMap::new();
    while let Some(event) = stream.next().await {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = shared.synced.get(&view.number).copied().unwrap_or_default();
        match refusal(&event) {
            Some(422) => return Ended::NoStreaming,
            Some(403) if !synced && begun.elapsed() < SETTLING => return Ended::NotYetAllowed,
            _ => {}
        }
        note(&mut shared, &mut fresh, event, view, streams);
        drop(shared);
        changed.send_modify(|version| *version += 1);
    }
    Ended::Closed
}

/// The status with which the server refused to start a watch.
fn refusal(event: &Event) -> Option<u16> {
    match event {
        Err(
            watcher::Error::WatchStartFailed(kube::Error::Api(status))
            | watcher::Error::InitialListFailed(kube::Error::Api(status)),
        ) => Some(status.code),
        _ => None,
    }
}

fn note(
    shared: &mut Shared,
    fresh: &mut BTreeMap<Key, Arc<Value>>,
    event: Event,
    view: &View,
    streams: bool,
) {
    let View { number, resource, namespace } = view;
    let number = *number;
    let mine =
        |key: &Key| key.group == resource.group && key.kind == resource.kind && key.namespace == *namespace;
    match event {
        Ok(watcher::Event::Init) => {
            fresh.clear();
            // Of a watch that begins with a list, this comes before the list is asked for.
            if streams {
                shared.let_in.insert(namespace.clone());
                if shared.new.contains(namespace) {
                    shared.synced.insert(number, true);
                }
            }
        }
        Ok(watcher::Event::InitApply(object)) => {
            if let Some((key, value)) = keyed(&object, resource) {
                if shared.new.contains(namespace) {
                    shared.saw(key.clone(), Arc::clone(&value));
                }
                fresh.insert(key, value);
            }
        }
        Ok(watcher::Event::InitDone) => {
            let gone: Vec<Key> =
                shared.objects.keys().filter(|key| mine(key) && !fresh.contains_key(key)).cloned().collect();
            for key in gone {
                shared.gone(key);
            }
            for (key, object) in std::mem::take(fresh) {
                shared.saw(key, object);
            }
            shared.synced.insert(number, true);
            shared.let_in.insert(namespace.clone());
            shared.troubles.remove(&number);
        }
        Ok(watcher::Event::Apply(object)) => {
            shared.troubles.remove(&number);
            if let Some((key, object)) = keyed(&object, resource) {
                shared.saw(key, object);
            }
        }
        Ok(watcher::Event::Delete(object)) => {
            if let Some((key, _)) = keyed(&object, resource) {
                shared.gone(key);
            }
        }
        Err(error) => {
            let place = namespace.as_deref().unwrap_or("the cluster");
            let text = format!("watch {} in {place}: {}", resource.plural, crate::connect::chain(&error));
            shared.troubles.insert(number, text);
        }
    }
}

fn keyed(object: &DynamicObject, resource: &Resource) -> Option<(Key, Arc<Value>)> {
    let mut value = serde_json::to_value(object).ok()?;
    value["apiVersion"] = resource.api_version().into();
    value["kind"] = resource.kind.clone().into();
    Some((ObjectRef::of(&value)?.key(), Arc::new(value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(namespace: &str) -> View {
        let resource = Resource {
            group: String::new(),
            version: "v1".into(),
            kind: "ConfigMap".into(),
            plural: "configmaps".into(),
            namespaced: true,
        };
        View { number: 0, resource, namespace: Some(namespace.to_owned()) }
    }

    fn map(namespace: &str, name: &str, version: &str) -> DynamicObject {
        let metadata = json!({"name": name, "namespace": namespace, "resourceVersion": version});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    /// What is known after these events, and for each of them whether the view was complete by then.
    fn told(view: &View, shared: &mut Shared, streams: bool, events: Vec<Event>) -> Vec<bool> {
        let mut fresh = BTreeMap::new();
        shared.synced.insert(0, false);
        let each = events.into_iter().map(|event| {
            note(shared, &mut fresh, event, view, streams);
            shared.synced[&0]
        });
        each.collect()
    }

    #[test]
    fn only_a_new_namespace_is_complete_before_the_server_says_so() {
        let first_view = || {
            vec![
                Ok(watcher::Event::Init),
                Ok(watcher::Event::InitApply(map("ns", "a", "1"))),
                Ok(watcher::Event::InitDone),
            ]
        };
        for (new, streams, complete) in [
            ("ns", true, [true, true, true]),
            ("other", true, [false, false, true]),
            // Before a list was answered nothing is known, not even that it is allowed.
            ("ns", false, [false, false, true]),
        ] {
            let mut shared = Shared { new: BTreeSet::from([Some(new.to_owned())]), ..Shared::default() };
            let seen = told(&view("ns"), &mut shared, streams, first_view());
            assert_eq!(seen, complete, "{new} {streams}");
            let names: Vec<_> = shared.changes.iter().map(|change| change.key.name.as_str()).collect();
            assert_eq!(names, ["a"], "it is told once, whenever that is");
        }
    }

    #[test]
    fn a_namespace_is_let_in_by_its_own_watch() {
        let mut shared = Shared::default();
        told(&view("ns"), &mut shared, false, vec![Ok(watcher::Event::Init)]);
        assert!(shared.let_in.is_empty(), "a list that was not asked for yet is no proof");
        told(&view("ns"), &mut shared, false, vec![Ok(watcher::Event::InitDone)]);
        assert_eq!(shared.let_in, BTreeSet::from([Some("ns".to_owned())]));
        told(&view("other"), &mut shared, true, vec![Ok(watcher::Event::Init)]);
        assert_eq!(shared.let_in.len(), 2);
    }

    #[test]
    fn what_a_new_view_lacks_is_gone_and_what_it_repeats_is_no_change() {
        let mut shared = Shared::default();
        let shown = |names: &[(&str, &str)]| {
            let objects =
                names.iter().map(|(name, version)| Ok(watcher::Event::InitApply(map("ns", name, version))));
            let mut events: Vec<Event> = vec![Ok(watcher::Event::Init)];
            events.extend(objects);
            events.push(Ok(watcher::Event::InitDone));
            events
        };
        told(&view("ns"), &mut shared, true, shown(&[("a", "1"), ("b", "1"), ("c", "1")]));
        shared.changes.clear();
        told(&view("ns"), &mut shared, true, shown(&[("a", "1"), ("b", "2")]));
        let mut changes: Vec<_> =
            shared.changes.iter().map(|change| (change.key.name.as_str(), change.object.is_some())).collect();
        changes.sort_unstable();
        assert_eq!(changes, [("b", true), ("c", false)]);
    }
}
