//! One actor per environment: a Lease whose transitions are the epoch of every write.
//!
//! As client-go says of its own leader election, a lease alone does not stop a paused process from
//! writing late; therefore updates and deletes carry uid and resourceVersion read under the epoch, and
//! the record carries the epoch itself.

mod holder;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::Method;
use jiff::Timestamp;
use plan::{ObjectRef, text};
use serde_json::{Value, json};

use holder::Holder;

use crate::{Cluster, Error, Resource, Result, request::Call};

/// How long a lease is valid without a renewal.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// A run whose last renewal is older than this stops before its next write.
const RENEW_DEADLINE: Duration = Duration::from_secs(13);

/// The right to write to one environment. Renewed in the background until released or dropped.
pub struct Lease {
    cluster: Cluster,
    object: ObjectRef,
    environment: String,
    epoch: i64,
    found: Found,
    holder: String,
    shared: Arc<Shared>,
    renewer: tokio::task::JoinHandle<()>,
}

struct Shared {
    started: Instant,
    renewed_after: AtomicU64,
    lost: AtomicBool,
    /// resourceVersion after this run's last write of it.
    version: Mutex<String>,
}

impl Lease {
    /// Takes the lease of an environment. A live holder is waited for until `patience` is over; a
    /// dead one of this host is taken over at once, any other when its lease has run out.
    ///
    /// # Errors
    /// [`Error::Busy`] when the holder outlives `patience`; any failure of a request.
    pub async fn acquire(
        cluster: &Cluster,
        namespace: &str,
        environment: &str,
        patience: Duration,
        waiting: impl Fn(&str),
    ) -> Result<Self> {
        let object = ObjectRef {
            group: "coordination.k8s.io".to_owned(),
            version: "v1".to_owned(),
            kind: "Lease".to_owned(),
            namespace: Some(namespace.to_owned()),
            name: environment.to_owned(),
        };
        let me = Holder::this_process();
        let deadline = Instant::now() + patience;
        let mut unchanged_since: Option<(String, Instant)> = None;
        loop {
            let current = cluster.get(&resource(), &object).await?;
            let free = match &current {
                None => true,
                Some(lease) => is_free(lease, &mut unchanged_since),
            };
            if free {
                match take(cluster, &object, current.as_ref(), &me).await {
                    Ok(taken) => {
                        let found = Found {
                            is_new: current.is_none(),
                            overtook: current.as_ref().is_some_and(|lease| !is_vacant(lease)),
                        };
                        return Ok(Self::start(cluster.clone(), object, environment, taken, found, &me));
                    }
                    // Somebody was quicker: look again.
                    Err(Error::Api { code: 409, .. }) => continue,
                    Err(error) => return Err(error),
                }
            }
            let holder = current.as_ref().map(describe).unwrap_or_default();
            if Instant::now() >= deadline {
                return Err(Error::Busy { environment: environment.to_owned(), holder });
            }
            waiting(&holder);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn start(
        cluster: Cluster,
        object: ObjectRef,
        environment: &str,
        (epoch, live): (i64, Value),
        found: Found,
        me: &Holder,
    ) -> Self {
        let shared = Arc::new(Shared {
            started: Instant::now(),
            renewed_after: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            version: Mutex::new(version(&live)),
        });
        let renewer =
            tokio::spawn(renew(cluster.clone(), object.clone(), epoch, me.to_string(), Arc::clone(&shared)));
        Self {
            cluster,
            object,
            environment: environment.to_owned(),
            epoch,
            found,
            holder: me.to_string(),
            shared,
            renewer,
        }
    }

    /// The number of the present holder: every takeover counts one up.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether there was no lease before: then nothing is known of the environment, unless a person removed it.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.found.is_new
    }

    /// Whether it was taken from a holder that may be alive: what that one has sent may still arrive.
    #[must_use]
    pub fn overtook(&self) -> bool {
        self.found.overtook
    }

    /// Asked before every write: whether this run may still write. Costs no request.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the lease was lost, or not renewed in time.
    pub fn check(&self) -> Result<()> {
        let since = self
            .shared
            .started
            .elapsed()
            .saturating_sub(Duration::from_millis(self.shared.renewed_after.load(Ordering::Relaxed)));
        if self.shared.lost.load(Ordering::Relaxed) || since > RENEW_DEADLINE {
            return Err(Error::Fenced { environment: self.environment.clone() });
        }
        Ok(())
    }

    /// Reads the lease live: after a conflict this tells whether a newer run is the reason.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another run holds it; any failure of the request.
    pub async fn verify(&self) -> Result<()> {
        self.check()?;
        let live = self.cluster.get(&resource(), &self.object).await?;
        if live.is_some_and(|lease| is_held(&lease, self.epoch, &self.holder)) {
            Ok(())
        } else {
            Err(Error::Fenced { environment: self.environment.clone() })
        }
    }

    /// Gives the lease back, so that the next run need not wait. A lease that another run has taken
    /// over is left alone.
    ///
    /// # Errors
    /// Any failure of a request; the lease then runs out by itself.
    pub async fn release(self) -> Result<()> {
        self.renewer.abort();
        let version = self.shared.version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match self.give_back(&version).await {
            // A renewal was under way, or another run has taken it over.
            Err(Error::Api { code: 409, .. }) => {
                let Some((_, version)) = self.still_ours().await? else { return Ok(()) };
                taken(self.give_back(&version).await)
            }
            other => taken(other),
        }
    }

    async fn give_back(&self, version: &str) -> Result<Value> {
        let patch = json!({
            "metadata": {"resourceVersion": version},
            "spec": {"holderIdentity": "", "leaseDurationSeconds": 1},
        });
        merge(&self.cluster, &self.object, &patch).await
    }

    /// Removes the lease with the environment it guarded, unless another run has taken it over.
    ///
    /// # Errors
    /// Any failure of a request.
    pub async fn remove(self) -> Result<()> {
        let Some((uid, version)) = self.still_ours().await? else { return Ok(()) };
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": uid, "resourceVersion": version},
        });
        let call = Call {
            verb: "delete",
            subject: &self.object.to_string(),
            method: Method::DELETE,
            path: resource().object(self.object.namespace.as_deref(), &self.object.name),
            content_type: "application/json",
            body: Some(&options),
        };
        taken(self.cluster.call(call).await)
    }

    /// uid and resourceVersion of the lease while it is this run's; nothing is renewed after this.
    async fn still_ours(&self) -> Result<Option<(String, String)>> {
        self.renewer.abort();
        let Some(live) = self.cluster.get(&resource(), &self.object).await? else { return Ok(None) };
        if !is_held(&live, self.epoch, &self.holder) {
            return Ok(None);
        }
        Ok(Some((plan::uid(&live).unwrap_or_default().to_owned(), version(&live))))
    }
}

fn version(lease: &Value) -> String {
    text(lease, &["metadata", "resourceVersion"]).unwrap_or_default().to_owned()
}

/// A conflict says that another run was quicker: then the lease is its own.
fn taken<T>(result: Result<T>) -> Result<()> {
    match result {
        Ok(_) | Err(Error::Api { code: 404 | 409, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewer.abort();
    }
}

/// Whether the lease is still the one that this process took. The epoch alone would not do: it starts
/// again when a teardown removes the lease.
fn is_held(lease: &Value, epoch: i64, holder: &str) -> bool {
    lease.pointer("/spec/leaseTransitions").and_then(Value::as_i64) == Some(epoch)
        && text(lease, &["spec", "holderIdentity"]) == Some(holder)
}

async fn renew(cluster: Cluster, object: ObjectRef, epoch: i64, holder: String, shared: Arc<Shared>) {
    let mut pause = RENEW_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        let began = shared.started.elapsed();
        let outcome = async {
            let live = cluster.get(&resource(), &object).await?;
            let Some(lease) = live.filter(|lease| is_held(lease, epoch, &holder)) else {
                return Ok::<_, Error>(false);
            };
            let version = text(&lease, &["metadata", "resourceVersion"]);
            let patch =
                json!({"metadata": {"resourceVersion": version}, "spec": {"renewTime": now_micros()}});
            let live = merge(&cluster, &object, &patch).await?;
            *shared.version.lock().unwrap_or_else(PoisonError::into_inner) = self::version(&live);
            Ok(true)
        };
        match outcome.await {
            Ok(true) => {
                shared
                    .renewed_after
                    .store(u64::try_from(began.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
                pause = RENEW_EVERY;
            }
            Ok(false) => {
                shared.lost.store(true, Ordering::Relaxed);
                return;
            }
            // The deadline decides; until then it is tried again.
            Err(error) => {
                tracing::debug!(%error, "the lease was not renewed");
                pause = Duration::from_secs(1);
            }
        }
    }
}

/// The new epoch, and the lease as the server stores it.
async fn take(
    cluster: &Cluster,
    object: &ObjectRef,
    current: Option<&Value>,
    me: &Holder,
) -> Result<(i64, Value)> {
    let epoch = current
        .and_then(|lease| lease.pointer("/spec/leaseTransitions"))
        .and_then(Value::as_i64)
        .unwrap_or(0)
        + 1;
    let now = now_micros();
    let spec = json!({
        "holderIdentity": me.to_string(),
        "leaseDurationSeconds": LEASE_DURATION.as_secs(),
        "acquireTime": now, "renewTime": now, "leaseTransitions": epoch,
    });
    let live = match current {
        None => {
            let manifest = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": object.name, "namespace": object.namespace}, "spec": spec,
            });
            cluster.create(&resource(), object, &manifest).await?
        }
        Some(lease) => {
            let version = text(lease, &["metadata", "resourceVersion"]);
            merge(cluster, object, &json!({"metadata": {"resourceVersion": version}, "spec": spec})).await?
        }
    };
    Ok((epoch, live))
}

/// What there was before it was taken.
#[derive(Debug, Clone, Copy)]
struct Found {
    is_new: bool,
    overtook: bool,
}

/// Whether nobody holds it, or a process of this host that is gone.
fn is_vacant(lease: &Value) -> bool {
    let holder = text(lease, &["spec", "holderIdentity"]).unwrap_or_default();
    holder.is_empty() || Holder::parse(holder).is_some_and(|holder| holder.is_dead())
}

/// A lease is free when nobody holds it, when its holder was a process of this host that is gone, or
/// when it did not change for its duration. The duration is measured here: clocks of hosts differ.
fn is_free(lease: &Value, unchanged_since: &mut Option<(String, Instant)>) -> bool {
    if is_vacant(lease) {
        return true;
    }
    let version = text(lease, &["metadata", "resourceVersion"]).unwrap_or_default();
    match unchanged_since {
        Some((known, since)) if known == version => since.elapsed() >= LEASE_DURATION,
        _ => {
            *unchanged_since = Some((version.to_owned(), Instant::now()));
            false
        }
    }
}

fn describe(lease: &Value) -> String {
    let field = |name: &str| text(lease, &["spec", name]).unwrap_or("unknown");
    format!("{} since {}", field("holderIdentity"), field("acquireTime"))
}

async fn merge(cluster: &Cluster, object: &ObjectRef, patch: &Value) -> Result<Value> {
    let call = Call {
        verb: "update",
        subject: &object.to_string(),
        method: Method::PATCH,
        path: format!(
            "{}?fieldManager={}",
            resource().object(object.namespace.as_deref(), &object.name),
            plan::FIELD_MANAGER
        ),
        content_type: "application/merge-patch+json",
        body: Some(patch),
    };
    cluster.call(call).await.map(|(_, live)| live)
}

fn resource() -> Resource {
    Resource {
        group: "coordination.k8s.io".to_owned(),
        version: "v1".to_owned(),
        kind: "Lease".to_owned(),
        plural: "leases".to_owned(),
        namespaced: true,
    }
}

/// MicroTime of the API: always six digits.
fn now_micros() -> String {
    format!("{:.6}", Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_does_not_change_runs_out() {
        let lease = json!({"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": "h/b/1/1"}});
        let mut seen = None;
        assert!(!is_free(&lease, &mut seen));
        assert!(!is_free(&lease, &mut seen));
        seen = seen.map(|(version, _)| (version, Instant::now().checked_sub(LEASE_DURATION).unwrap()));
        assert!(is_free(&lease, &mut seen));
    }
}
