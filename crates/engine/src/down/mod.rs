//! Takes an environment down and proves that nothing is left. Works from the record alone: no
//! repository, no spec, no branch is needed.
//!
//! ```text
//! fence ─► hooks ─► phases ─► sweep ─► receipt
//! record   Jobs     plan::    live     stays when the record is gone
//!                   Phase     reads
//! ```
//!
//! The record says which phase was reached: a run that is killed is gone on with by the next.

mod definition;
mod fence;
mod forsaken;
mod goodbye;
mod look;
mod phases;
mod progress;
mod receipt;

use std::time::Duration;

use cluster::{EnvironmentRecord, Lease, ReceiptSpec, StoredInventory};
use jiff::Timestamp;
use kube::ResourceExt;
use plan::{Entry, Inventory};
use spec::{Category, Diagnostic};

use crate::{Error, Result, Session, abandoned, gc, pull_request, up};

pub(crate) use definition::{in_use, in_use_but};
pub use forsaken::forsaken;
pub(crate) use look::{CLAIMS, VOLUMES, claims, is_kept, look_at, look_for, look_with, volumes};
pub use progress::{Progress, progress};
pub(crate) use receipt::receipt_spec;
pub use receipt::{reads, tally};

/// How `down` behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long one object, or the namespace, may take to go.
    pub timeout: Duration,
    /// Why, for the record and the receipt; `None` when somebody asked for it.
    pub reason: Option<String>,
    /// Do not run the hooks that run before the deletion.
    pub skip_hooks: bool,
    /// Where something blocks the teardown: keep a tombstone of every leftover, and let the environment go.
    pub abandon: bool,
}

/// Takes the environment down whose record was seen, and returns the receipt. `given` is when the command was
/// given, by this machine's clock.
///
/// # Guarantees
/// Only objects the inventory names, that carry our manager and our label, are deleted, each by its
/// uid. The record goes last, after a receipt that rests on live reads. Killed at any moment and
/// called again, it goes on.
///
/// # Errors
/// What blocks the teardown, with the record saying `DeleteBlocked`; that an `up` that was given later has worked
/// on it; any failure of a request.
pub async fn down(
    session: &Session,
    seen: &EnvironmentRecord,
    given: Timestamp,
    options: &Options,
) -> Result<ReceiptSpec> {
    let name = seen.name_any();
    let lease = up::lease(session, &name, up::PATIENCE).await?;
    match session.records.get(&name).await? {
        Some(record) if record.uid() != seen.uid() => lease.release().await?,
        Some(record) if record.spec.given != seen.spec.given && up::is_overtaken(session, &record, given) => {
            lease.release().await?;
            return Err(up::overtaken(&record, "a newer `up` has worked on it meanwhile"));
        }
        Some(record) => return take_down(session, record, lease, options).await,
        None => lease.remove().await?,
    }
    forsaken(session, &[name.as_str()]).await?;
    // Another `down` was quicker, and this one waited for it. What has the name by now was made after that.
    let own = seen.uid().unwrap_or_default();
    let receipts = session.records.receipts().await?;
    match receipts.into_iter().rfind(|receipt| receipt.spec.record_uid == own) {
        Some(receipt) => Ok(receipt.spec),
        None => Err(gone(session, &name).await),
    }
}

/// Takes down the environment of a record that was read under the lease.
///
/// # Errors
/// As [`down`].
pub(crate) async fn take_down(
    session: &Session,
    record: EnvironmentRecord,
    lease: Lease,
    options: &Options,
) -> Result<ReceiptSpec> {
    let name = record.name_any();
    if !gc::is_itself(&record) {
        lease.release().await?;
        return Err(Diagnostic::new("ENV025", Category::Refused, "the record is not what its content says")
            .on(name)
            .help("It was copied, or changed by hand: compare its name and id with repository, ref and spec")
            .into());
    }
    let outcome = async {
        pull_request::will_go(session, &record, options.reason.as_deref()).await?;
        run(session, record, &lease, options).await
    };
    let outcome = match outcome.await {
        Err(error) if options.abandon && !error.is_fenced() && session.keep_going().is_ok() => {
            abandoned::tombstone(session, &name, &error).await
        }
        other => other,
    };
    let outcome = match outcome {
        Ok((record, receipt, stored)) => match session.records.remove_inventory(&stored).await {
            Ok(()) => Ok((record, receipt)),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error),
    };
    match outcome {
        Ok((record, receipt)) => {
            // After the lease only the record itself is left to write, and only this uid of it.
            lease.remove().await?;
            session.records.remove(&record).await?;
            Ok(receipt)
        }
        Err(error) => {
            lease
                .release()
                .await
                .unwrap_or_else(|error| tracing::debug!(%error, "the lease runs out by itself"));
            Err(error)
        }
    }
}

async fn gone(session: &Session, name: &str) -> Error {
    let known: Vec<String> = match session.records.list().await {
        Ok(records) => records.iter().map(ResourceExt::name_any).collect(),
        Err(error) => return error.into(),
    };
    let mut diagnostic =
        Diagnostic::error("ENV014", "there is no environment of this name").on(name.to_owned());
    diagnostic.help = Some(if known.is_empty() {
        "Nothing is up in this cluster".to_owned()
    } else {
        format!("`mimeo list` shows what is up: {}", known.join(", "))
    });
    diagnostic.into()
}

pub(crate) type Finished = (EnvironmentRecord, ReceiptSpec, StoredInventory);

/// One teardown under way.
struct Run<'a> {
    session: &'a Session,
    lease: &'a Lease,
    options: &'a Options,
    record: EnvironmentRecord,
    stored: StoredInventory,
}

async fn run(
    session: &Session,
    record: EnvironmentRecord,
    lease: &Lease,
    options: &Options,
) -> Result<Finished> {
    let stored = match session.records.inventory(&record).await {
        // A teardown that was cut short after its receipt: only the record itself is left to remove.
        Err(error @ cluster::Error::Inventory { .. }) => {
            let Some(receipt) = session.records.receipt_of(&record).await? else { return Err(error.into()) };
            let remains = session.records.inventory_remains(&record.spec.id).await?;
            return Ok((record, receipt.spec, remains));
        }
        other => other?,
    };
    let mut run = Run { session, lease, options, record, stored };
    run.fence().await?;
    match run.finish().await {
        Ok(receipt) => Ok((run.record, receipt, run.stored)),
        Err(error) => Err(run.blocked(error).await),
    }
}

impl Run<'_> {
    async fn finish(&mut self) -> Result<ReceiptSpec> {
        self.say_goodbye().await?;
        self.phases().await?;
        self.prove().await
    }

    fn owned_namespace(&self) -> Option<&str> {
        owned_namespace(&self.record, &self.stored.inventory)
    }
}

/// The environment's own namespace, which goes with it and takes everything in it along. The record alone does not
/// make it that: the inventory has it, too, unless nothing was made yet.
pub(crate) fn owned_namespace<'a>(record: &'a EnvironmentRecord, inventory: &Inventory) -> Option<&'a str> {
    let namespace = record.spec.namespace.as_str();
    let made = |entry: &Entry| entry.object.is("", "Namespace") && entry.object.name == namespace;
    let known = inventory.entries.is_empty() || inventory.entries.iter().any(made);
    (record.spec.namespace_owned && known).then_some(namespace)
}
