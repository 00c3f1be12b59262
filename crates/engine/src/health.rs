//! Waits by watch until every object of a wave is what it was asked to be, and shows what is in the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use cluster::{Lease, Views};
use plan::{
    Key, ObjectRef, Wave,
    health::{Finding, Health, Surroundings, Trouble, assess},
};
use serde_json::Value;
use spec::{Category, Diagnostic};

use crate::{Error, Event, Result, Session, read, redact, up::Wanted};

/// How long to wait, and how patiently.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// When the whole command gives up.
    pub deadline: Instant,
    /// Fail on the first sight of trouble.
    pub fail_fast: bool,
}

/// How often it is told what is waited for.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a changed workload has to stay healthy before the environment is called ready: what ends at once
/// is Available for a moment, and Kubernetes says so.
const SETTLING: Duration = Duration::from_secs(2);
/// How often it is asked, while nothing is written, whether the result is still wanted.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How long an object that was written may stay unseen before the others are judged without it.
const UNSEEN: Duration = Duration::from_secs(5);

/// What mimeo knows of the objects it waits for.
pub(crate) struct Watcher<'a> {
    session: &'a Session,
    namespace: String,
    views: Views,
    components: BTreeMap<Key, String>,
    /// uid and generation that the last write of this run returned: an older view does not count.
    expected: BTreeMap<Key, (String, i64)>,
    written: BTreeMap<Key, Value>,
    shown: BTreeMap<Key, Health>,
    /// When each trouble was first seen: another trouble of the same object starts anew.
    since: BTreeMap<Key, (Trouble, Instant)>,
    logged: BTreeMap<Key, String>,
    told: BTreeSet<String>,
    /// When the first workloads were healthy.
    healthy: Option<Instant>,
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
    ) -> Self {
        Self {
            session,
            namespace: namespace.to_owned(),
            views: Views::new(&session.cluster),
            components: desired
                .iter()
                .map(|desired| (desired.object.key(), desired.component.clone()))
                .collect(),
            expected: BTreeMap::new(),
            written: BTreeMap::new(),
            shown: BTreeMap::new(),
            since: BTreeMap::new(),
            logged: BTreeMap::new(),
            told: BTreeSet::new(),
            healthy: None,
            secrets: tokio::sync::OnceCell::new(),
            images,
        }
    }

    /// Opens a watch for every kind that is waited for, and for the kinds that explain it. Before the
    /// first write, so that no change is missed.
    pub(crate) async fn open(&mut self, waves: &[Wave]) -> Result<()> {
        let mut kinds: Vec<ObjectRef> = Vec::new();
        for object in waves.iter().flat_map(|wave| &wave.wait_for).filter(|object| has_health(object)) {
            kinds.push(object.clone());
            if let Some(namespace) = &object.namespace {
                for (group, kind) in explaining(object) {
                    kinds.push(read::object(group, "v1", kind, Some(namespace), ""));
                }
            }
        }
        for object in kinds {
            let resource = self.session.resource(&object).await?;
            self.views.open(&resource, object.namespace.as_deref());
        }
        // This is also how a fresh binding is waited for: the watches open as soon as it is known.
        self.views.synced().await;
        Ok(())
    }

    /// Notes what a write of this run returned.
    pub(crate) fn expect(&mut self, key: Key, live: &Value) {
        let uid = plan::uid(live).unwrap_or_default().to_owned();
        let generation = live.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
        self.expected.insert(key.clone(), (uid, generation));
        self.written.insert(key, live.clone());
    }

    /// The last view of an object; of one that is not watched, what its write returned.
    pub(crate) fn live(&self, key: &Key) -> Option<Value> {
        self.views.get(key).or_else(|| self.written.get(key).cloned())
    }

    /// Pods of a Job, newest first.
    pub(crate) fn pods_of(&self, job: &ObjectRef) -> Vec<Value> {
        let namespace = job.namespace.as_deref().unwrap_or(&self.namespace);
        let uid = self.views.get(&job.key()).as_ref().and_then(plan::uid).map(str::to_owned);
        let mut pods: Vec<Value> = self
            .views
            .all("", "Pod", namespace)
            .into_iter()
            .filter(|pod| {
                pod.pointer("/metadata/ownerReferences/0/uid").and_then(Value::as_str) == uid.as_deref()
            })
            .collect();
        pods.sort_by_key(|pod| {
            std::cmp::Reverse(
                plan::text(pod, &["metadata", "creationTimestamp"]).unwrap_or_default().to_owned(),
            )
        });
        pods
    }

    /// Waits for all objects of a wave.
    pub(crate) async fn wait(
        &mut self,
        wave: &Wave,
        patience: Patience,
        lease: &Lease,
        wanted: Option<&dyn Wanted>,
    ) -> Result<()> {
        let begun = Instant::now();
        let mut asked = begun;
        let mut told = begun;
        let mut changes = self.views.changes();
        let objects: Vec<&ObjectRef> = wave.wait_for.iter().filter(|object| has_health(object)).collect();
        loop {
            lease.check()?;
            self.session.keep_going()?;
            changes.mark_unchanged();
            let mut next_look = patience.deadline.min(Instant::now() + UNSEEN);
            if let Some(wanted) = wanted
                && asked.elapsed() >= ASK_AGAIN
            {
                asked = Instant::now();
                // Nothing is written here: only a clear no ends the wait.
                if let Err(error) = wanted.still().await
                    && error.category() == Category::Refused
                {
                    return Err(error);
                }
            }
            // A Service judged before its workloads are seen would look as if it had none.
            let seen = objects.iter().all(|object| self.views.get(&object.key()).is_some());
            let mut all_healthy = self.views.is_synced() && (seen || begun.elapsed() > UNSEEN);
            let judged: &[&ObjectRef] = if all_healthy { &objects } else { &[] };
            for object in judged {
                let health = self.judge(object);
                self.show(object, &health).await;
                all_healthy &= health.is_healthy();
                match &health {
                    Health::Failed(finding) => return Err(self.failed(object, finding).await),
                    Health::Trouble(finding) => {
                        let since = self.since_first(object, finding.trouble);
                        let over = if patience.fail_fast {
                            Some(Duration::ZERO)
                        } else {
                            self.bears(object, finding.trouble)
                        };
                        if let Some(over) = over {
                            if since.elapsed() >= over {
                                return Err(self.failed(object, finding).await);
                            }
                            next_look = next_look.min(since + over);
                        }
                    }
                    Health::Healthy { .. } | Health::Progressing { .. } => {
                        self.since.remove(&object.key());
                    }
                }
            }
            if all_healthy {
                if objects.iter().any(|object| object.group == "apps" || object.kind == "Pod") {
                    self.healthy.get_or_insert_with(Instant::now);
                }
                return Ok(());
            }
            if told.elapsed() >= HEARTBEAT {
                self.session.tell(Event::Waiting(self.late(&objects)));
                told = Instant::now();
            }
            for trouble in self.views.troubles() {
                if self.told.insert(trouble.clone()) {
                    self.session.tell(Event::Note(trouble));
                }
            }
            if Instant::now() >= patience.deadline {
                return Err(self.timed_out(&objects));
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = self.session.stopped() => {}
                () = tokio::time::sleep_until(next_look.into()) => {}
            }
        }
    }

    /// Judges everything once more before it is called ready; workloads that this run has changed not before
    /// they had a moment to fall over.
    pub(crate) async fn settle(
        &mut self,
        waves: &[Wave],
        patience: Patience,
        lease: &Lease,
        wanted: Option<&dyn Wanted>,
    ) -> Result<()> {
        let Some(last) = waves.last() else { return Ok(()) };
        let changed = self.expected.keys().any(|key| key.group == "apps" || key.kind == "Pod");
        if let Some(healthy) = self.healthy.filter(|_| changed) {
            let pause = SETTLING.saturating_sub(healthy.elapsed());
            let session = self.session;
            let slept = async {
                tokio::time::sleep(pause).await;
                Ok::<(), Error>(())
            };
            session.waiting(slept).await?;
        }
        let wait_for = waves.iter().flat_map(|wave| wave.wait_for.clone()).collect();
        self.wait(&Wave { order: last.order, steps: Vec::new(), wait_for }, patience, lease, wanted).await
    }

    /// How long a trouble of an object may last.
    fn bears(&self, object: &ObjectRef, trouble: Trouble) -> Option<Duration> {
        let asked = self.images.get(&self.component(&object.key())).filter(|_| trouble == Trouble::ImagePull);
        // A data Job's own Secret follows it at once; what is still missing then is the source's.
        let source = trouble == Trouble::ContainerConfig
            && object.namespace.as_deref() == Some(cluster::DATA_NAMESPACE);
        if source { Some(Duration::from_secs(20)) } else { asked.copied().or(trouble.patience()) }
    }

    fn since_first(&mut self, object: &ObjectRef, trouble: Trouble) -> Instant {
        let since = self.since.entry(object.key()).or_insert_with(|| (trouble, Instant::now()));
        if since.0 != trouble {
            *since = (trouble, Instant::now());
        }
        since.1
    }

    fn judge(&self, object: &ObjectRef) -> Health {
        let key = object.key();
        let waiting = |cause: &str| Health::Progressing { cause: cause.to_owned() };
        let Some(live) = self.views.get(&key) else {
            return match self.views.troubles().into_iter().next() {
                Some(trouble) => waiting(&trouble),
                None => waiting("not seen yet"),
            };
        };
        if let Some((uid, generation)) = self.expected.get(&key) {
            let seen = live.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
            if plan::uid(&live) != Some(uid) || seen < *generation {
                return waiting("not seen yet");
            }
        }
        let namespace = object.namespace.as_deref().unwrap_or(&self.namespace);
        let all = |group: &str, kind: &str| self.views.all(group, kind, namespace);
        let mut workloads = all("apps", "Deployment");
        workloads.extend(all("apps", "StatefulSet"));
        workloads.extend(all("apps", "DaemonSet"));
        workloads.extend(
            all("", "Pod").into_iter().filter(|pod| pod.pointer("/metadata/ownerReferences/0").is_none()),
        );
        let (pods, replica_sets) = (all("", "Pod"), all("apps", "ReplicaSet"));
        let (slices, events) = (all("discovery.k8s.io", "EndpointSlice"), all("", "Event"));
        assess(
            &live,
            &Surroundings {
                pods: &pods,
                replica_sets: &replica_sets,
                endpoint_slices: &slices,
                workloads: &workloads,
                events: &events,
                storage_classes: &[],
            },
        )
    }

    async fn show(&mut self, object: &ObjectRef, health: &Health) {
        let key = object.key();
        if self.shown.get(&key) == Some(health) {
            return;
        }
        let cause = match health {
            Health::Healthy { note } => note.clone().unwrap_or_default(),
            Health::Progressing { cause } => cause.clone(),
            Health::Trouble(finding) | Health::Failed(finding) => self.without_secrets(&finding.cause).await,
        };
        if self.shown.get(&key).is_some_and(Health::is_healthy) {
            let component = self.component(&key);
            self.session
                .tell(Event::Note(format!("{component}: {} is no longer healthy: {cause}", object.short())));
        }
        self.session.tell(Event::Health {
            object: object.clone(),
            component: self.component(&key),
            state: health.name(),
            cause,
        });
        if let Health::Trouble(finding) = health
            && let Some((from, lines)) = self.logs(object, finding).await
            && self.logged.insert(key.clone(), lines.join("\n")) != Some(lines.join("\n"))
        {
            self.session.tell(Event::Logs { from, lines });
        }
        self.shown.insert(key, health.clone());
    }

    /// What a program said may hold the secrets of its environment, and a terminal is often a CI log.
    async fn without_secrets(&self, text: &str) -> String {
        let values = self.secrets.get_or_init(|| async {
            // Whoever may not read them cannot strip them either; he sees what kubectl would show him.
            redact::values(self.session, &self.namespace).await.unwrap_or_default()
        });
        redact::without(text, values.await)
    }

    fn component(&self, key: &Key) -> String {
        self.components.get(key).cloned().unwrap_or_default()
    }

    async fn logs(&self, object: &ObjectRef, finding: &Finding) -> Option<(String, Vec<String>)> {
        if !finding.trouble.leaves_logs() {
            return None;
        }
        let (pod, namespace) = (finding.pod.as_deref()?, object.namespace.as_deref()?);
        let container = finding.container.as_deref();
        let logs = |previous| self.session.cluster.logs(namespace, pod, container, Some(10), previous);
        let mut text = logs(finding.previous).await.unwrap_or_default();
        if text.trim().is_empty() {
            text = logs(!finding.previous).await.unwrap_or_default();
        }
        let text = self.without_secrets(&text).await;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let from = container.map_or(pod.to_owned(), |container| format!("{pod}/{container}"));
        (!lines.is_empty()).then_some((from, lines))
    }

    async fn failed(&self, object: &ObjectRef, finding: &Finding) -> Error {
        let component = self.component(&object.key());
        let mut diagnostic = Diagnostic::new(
            "CMP001",
            Category::Component,
            format!("component {component} failed: {}", self.without_secrets(&finding.cause).await),
        )
        .on(object.short())
        .help("Correct the cause and run the same command again; what was done is kept and recorded");
        if let Some((from, lines)) = self.logs(object, finding).await {
            diagnostic.detail.push(format!("last log lines of {from}:"));
            diagnostic.detail.extend(lines.into_iter().map(|line| format!("  {line}")));
        }
        diagnostic.into()
    }

    fn timed_out(&self, objects: &[&ObjectRef]) -> Error {
        let mut diagnostic =
            Diagnostic::new("CMP002", Category::Timeout, "not everything became healthy in time").help(
                "Run the same command again to go on waiting, with a longer --timeout if that is normal",
            );
        diagnostic.detail = self.late(objects);
        diagnostic.into()
    }

    /// What is not healthy yet, and why.
    fn late(&self, objects: &[&ObjectRef]) -> Vec<String> {
        let why = |object: &ObjectRef| match self.judge(object) {
            Health::Healthy { .. } => None,
            Health::Progressing { cause } => Some(cause),
            Health::Trouble(finding) | Health::Failed(finding) => Some(finding.cause),
        };
        objects.iter().filter_map(|object| Some(format!("{}: {}", object.short(), why(object)?))).collect()
    }
}

/// Kinds that are what they were asked to be as soon as they exist.
fn has_health(object: &ObjectRef) -> bool {
    let at_once = matches!(
        object.kind.as_str(),
        "ConfigMap" | "Secret" | "ServiceAccount" | "LimitRange" | "ResourceQuota" | "Namespace"
    ) && object.group.is_empty();
    !(at_once
        || matches!(
            object.group.as_str(),
            "rbac.authorization.k8s.io" | "policy" | "autoscaling" | "scheduling.k8s.io" | "storage.k8s.io"
        )
        || object.kind == "NetworkPolicy"
        || object.kind == "CronJob")
}

/// Kinds that tell why an object is not healthy.
fn explaining(object: &ObjectRef) -> &'static [(&'static str, &'static str)] {
    match (object.group.as_str(), object.kind.as_str()) {
        ("apps", "Deployment") => &[("", "Pod"), ("apps", "ReplicaSet"), ("", "Event")],
        ("apps" | "batch", _) => &[("", "Pod"), ("", "Event")],
        ("", "Service") => &[
            ("discovery.k8s.io", "EndpointSlice"),
            ("apps", "Deployment"),
            ("apps", "StatefulSet"),
            ("apps", "DaemonSet"),
        ],
        ("", "Pod") => &[("", "Event")],
        ("", "PersistentVolumeClaim") => &[("", "Pod"), ("", "Event")],
        _ => &[],
    }
}

/// Whether live objects that were just listed are all healthy: an unchanged environment needs no watch.
pub(crate) fn settled(waves: &[Wave], live: &BTreeMap<Key, Value>, slices: &[Value]) -> bool {
    let workloads: Vec<Value> =
        live.iter().filter(|(key, _)| key.group == "apps").map(|(_, object)| object.clone()).collect();
    let around = Surroundings { workloads: &workloads, endpoint_slices: slices, ..Surroundings::default() };
    waves
        .iter()
        .flat_map(|wave| &wave.wait_for)
        .filter(|object| has_health(object))
        .all(|object| live.get(&object.key()).is_some_and(|object| assess(object, &around).is_healthy()))
}
