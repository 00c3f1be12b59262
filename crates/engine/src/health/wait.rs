//! The wait itself: wakes up at every change, judges what the change is about, and knows when to give up.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use cluster::Lease;
use jiff::Timestamp;
use plan::{
    Key, ObjectRef, Wave,
    health::{Grace, Health, Trouble},
};
use spec::Category;

use super::{Patience, Watcher, kinds::has_health};
use crate::{Error, Event, Result, read, up::Wanted};

/// How often it is told what is waited for.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a program that nobody probes has to run before its workload is called ready: what ends at once is
/// Available for a moment, and Kubernetes says so.
const SETTLING: Duration = Duration::from_secs(2);
/// A start that the node's clock dates further back needs no such pause; clocks differ a little.
const LONG_AGO: i64 = 5;
/// How often it is asked, while nothing is written, whether the result is still wanted.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How long an object that was written may stay unseen before the others are judged without it.
const UNSEEN: Duration = Duration::from_secs(5);

/// What one wait knows.
struct Wait<'w> {
    /// Everything that is waited for.
    objects: BTreeMap<Key, &'w ObjectRef>,
    /// Not seen yet. A Service judged before its workloads are seen would look as if it had none.
    unseen: BTreeSet<Key>,
    /// Not healthy, or not judged yet.
    open: BTreeSet<Key>,
    /// In trouble, and of which kind.
    troubled: BTreeMap<Key, Trouble>,
    /// Whether everything has been judged once.
    judged: bool,
}

impl Watcher<'_> {
    /// Waits for all objects of a wave.
    pub(crate) async fn wait(
        &mut self,
        wave: &Wave,
        patience: Patience,
        lease: &Lease,
        wanted: Option<&dyn Wanted>,
    ) -> Result<()> {
        let begun = Instant::now();
        let (mut asked, mut told) = (begun, begun);
        let mut changes = self.views.changes();
        let mut wait = Wait::of(wave);
        let objects: Vec<&ObjectRef> = wave.wait_for.iter().filter(|object| has_health(object)).collect();
        loop {
            lease.check()?;
            self.session.keep_going()?;
            // The first view of a watch can take its time: nobody waits for it for nothing.
            if objects.is_empty() {
                return Ok(());
            }
            changes.mark_unchanged();
            self.absorb();
            let mut next_look = patience.deadline.min(Instant::now() + UNSEEN);
            if let Some(wanted) = wanted
                && asked.elapsed() >= ASK_AGAIN
            {
                asked = Instant::now();
                still_wanted(wanted).await?;
            }
            wait.unseen.retain(|key| self.judge.live(key).is_none());
            if self.views.is_synced() && (wait.unseen.is_empty() || begun.elapsed() > UNSEEN) {
                self.look(&mut wait).await?;
                if let Some(at) = self.out_of_patience(&wait, patience).await? {
                    next_look = next_look.min(at);
                }
                if wait.open.is_empty() {
                    return Ok(());
                }
            }
            if told.elapsed() >= HEARTBEAT {
                let late = self.late(&objects);
                self.session.tell(Event::Waiting(late));
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

    /// Judges what may have changed, the first time everything.
    async fn look(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        let due: Vec<Key> = match wait.judged {
            false => wait.objects.keys().cloned().collect(),
            true => self.judge.due().filter(|key| wait.objects.contains_key(key)).cloned().collect(),
        };
        wait.judged = true;
        for key in due {
            let Some(&object) = wait.objects.get(&key) else { continue };
            let mut health = self.judge(&key);
            if !health.is_healthy() && object.is("", "PersistentVolumeClaim") && self.ask_classes().await {
                health = self.judge(&key);
            }
            self.show(object, &health).await;
            match &health {
                Health::Failed(finding) => return Err(self.failed(object, finding).await),
                Health::Trouble(finding) => drop(wait.troubled.insert(key.clone(), finding.trouble)),
                Health::Healthy { .. } | Health::Unverified | Health::Progressing { .. } => {
                    wait.troubled.remove(&key);
                    self.troubles.passed(&key);
                }
            }
            if health.is_healthy() {
                self.healthy.entry(key.clone()).or_insert_with(Instant::now);
                wait.open.remove(&key);
            } else {
                self.healthy.remove(&key);
                wait.open.insert(key);
            }
        }
        Ok(())
    }

    /// Fails when a trouble has lasted too long; else when the next one will have.
    async fn out_of_patience(&mut self, wait: &Wait<'_>, patience: Patience) -> Result<Option<Instant>> {
        let mut next = None;
        for (key, trouble) in &wait.troubled {
            let Some(&object) = wait.objects.get(key) else { continue };
            let grace = Grace {
                fail_fast: patience.fail_fast,
                image: self.images.get(&self.component(key)).copied(),
                data_job: object.namespace.as_deref() == Some(cluster::DATA_NAMESPACE),
            };
            let deadline = self.troubles.deadline(key, *trouble, self.begun.elapsed(), grace);
            let Some(deadline) = deadline.map(|deadline| self.begun + deadline) else { continue };
            if Instant::now() >= deadline
                && let Health::Trouble(finding) = self.judge(key)
            {
                return Err(self.failed(object, &finding).await);
            }
            next = Some(next.map_or(deadline, |known: Instant| known.min(deadline)));
        }
        Ok(next)
    }

    /// Judges everything once more before it is called ready, and workloads that this run has changed not
    /// before programs that nobody probes had a moment to fall over.
    pub(crate) async fn settle(
        &mut self,
        waves: &[Wave],
        patience: Patience,
        lease: &Lease,
        wanted: Option<&dyn Wanted>,
    ) -> Result<()> {
        let Some(last) = waves.last() else { return Ok(()) };
        let pause = self.pause();
        if !pause.is_zero() {
            let slept = async {
                tokio::time::sleep(pause).await;
                Ok::<(), Error>(())
            };
            self.session.waiting(slept).await?;
        }
        let wait_for = waves.iter().flat_map(|wave| wave.wait_for.clone()).collect();
        self.wait(&Wave { order: last.order, steps: Vec::new(), wait_for }, patience, lease, wanted).await
    }

    /// How long the youngest of those programs still needs.
    fn pause(&mut self) -> Duration {
        self.absorb();
        let now = self.session.cluster.now();
        let needs = |key: &Key| {
            let healthy = self.healthy.get(key)?;
            let unprobed = self.judge.newest_unprobed(key)?;
            let started = unprobed.started.and_then(|started| started.parse::<Timestamp>().ok());
            let long_ago = started.is_some_and(|started| now.as_second() - started.as_second() > LONG_AGO);
            (!long_ago).then(|| SETTLING.saturating_sub(healthy.elapsed()))
        };
        self.written.keys().filter_map(needs).max().unwrap_or_default()
    }

    /// Reads the StorageClasses, once, when a claim is not bound. They belong to the cluster, and not everybody
    /// may list them: without them the cause is only less precise.
    async fn ask_classes(&mut self) -> bool {
        if std::mem::replace(&mut self.asked_classes, true) {
            return false;
        }
        let class = read::object("storage.k8s.io", "v1", "StorageClass", None, "");
        let Ok(resource) = self.session.resource(&class).await else { return false };
        match self.session.cluster.list(&resource, None, "").await {
            Ok(listing) => {
                self.judge.storage_classes(listing.items);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "StorageClasses cannot be read");
                false
            }
        }
    }

    /// The verdict on an object as it was last shown.
    pub(super) fn judge(&mut self, key: &Key) -> Health {
        self.judge.health(key).unwrap_or_else(|| {
            let trouble = self.views.troubles().into_iter().next();
            Health::progressing(trouble.unwrap_or_else(|| "not seen yet".to_owned()))
        })
    }
}

impl<'w> Wait<'w> {
    fn of(wave: &'w Wave) -> Self {
        let objects: BTreeMap<Key, &ObjectRef> = wave
            .wait_for
            .iter()
            .filter(|object| has_health(object))
            .map(|object| (object.key(), object))
            .collect();
        let keys: BTreeSet<Key> = objects.keys().cloned().collect();
        Self { objects, unseen: keys.clone(), open: keys, troubled: BTreeMap::new(), judged: false }
    }
}

/// Nothing is written while it is waited: only a clear no ends the wait.
async fn still_wanted(wanted: &dyn Wanted) -> Result<()> {
    match wanted.still().await {
        Err(error) if error.category() == Category::Refused => Err(error),
        _ => Ok(()),
    }
}
