//! Takes an environment down and proves that nothing is left. Works from the record alone: no
//! repository, no spec, no branch is needed.

use std::time::Duration;

use cluster::{
    Deleted, EnvironmentRecord, Lease, Look, Propagation, ReceiptSpec, State, StoredInventory, Teardown,
};
use futures::{StreamExt as _, stream};
use kube::ResourceExt;
use plan::{Action, Entry, Ownership, Provenance, TeardownPhase, ownership, teardown};
use spec::{Category, Diagnostic};

use crate::{
    Error, Event, Result, Session, abandoned, access, execute, gc, hooks, observe::IN_FLIGHT, pull_request,
    read, up,
};

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

/// Takes the environment down and returns the receipt.
///
/// # Guarantees
/// Only objects the inventory names, that carry our manager and our label, are deleted, each by its
/// uid. The record goes last, after a receipt that rests on live reads. Killed at any moment and
/// called again, it goes on.
///
/// # Errors
/// What blocks the teardown, with the record saying `DeleteBlocked`; any failure of a request.
pub async fn down(session: &Session, name: &str, options: &Options) -> Result<ReceiptSpec> {
    let lease = up::lease(session, name, up::PATIENCE).await?;
    let Some(record) = session.records.get(name).await? else {
        lease.remove().await?;
        // Another `down` was quicker, and this one waited for it.
        let receipts = session.records.receipts().await?;
        return match receipts.into_iter().rfind(|receipt| receipt.spec.environment == name) {
            Some(receipt) => Ok(receipt.spec),
            None => Err(gone(session, name).await),
        };
    };
    take_down(session, record, lease, options).await
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
    match outcome {
        Ok((record, receipt, stored)) => {
            session.records.remove_inventory(&record, &stored).await?;
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

async fn run(
    session: &Session,
    record: EnvironmentRecord,
    lease: &Lease,
    options: &Options,
) -> Result<Finished> {
    let mut stored = match session.records.inventory(&record).await {
        // A teardown that was cut short after its receipt: only the record itself is left to remove.
        Err(cluster::Error::Inventory { .. }) if session.records.receipt_of(&record).await?.is_some() => {
            let receipt = session.records.receipt_of(&record).await?.map(|receipt| receipt.spec);
            return Ok((
                record.clone(),
                receipt.unwrap_or_else(|| receipt_spec(session, &record, 0, Vec::new())),
                StoredInventory::default(),
            ));
        }
        other => other?,
    };
    let record = fence(session, record, lease, options).await?;
    let namespace = record.spec.namespace_owned.then(|| record.spec.namespace.clone());
    if let Err(error) = say_goodbye(session, &record, lease, &mut stored, options).await {
        return Err(blocked(session, record, error).await);
    }
    for mut phase in teardown(&stored.inventory, namespace.as_deref()) {
        if phase.entries.iter().any(|entry| entry.object.namespace == namespace)
            && let Some(namespace) = &namespace
            && namespace_goes(session, &record, namespace).await?
        {
            // Nothing in it needs a look any more, and the right to look went with its binding.
            phase.entries.retain(|entry| entry.object.namespace.as_ref() != Some(namespace));
        }
        session.phase(format!("deleting: {}", phase.name));
        let mut outcome = delete_phase(session, &record, lease, &phase, options).await;
        // The first `up` was killed before it bound anybody, or somebody else brought it up.
        if outcome.as_ref().is_err_and(is_forbidden) && access::gain(session, &record, lease).await? {
            stored = session.records.inventory(&record).await?;
            outcome = delete_phase(session, &record, lease, &phase, options).await;
        }
        if let Err(error) = outcome {
            return Err(blocked(session, record, error).await);
        }
    }
    session.phase("looking for anything left");
    let looks = look(session, &record, &stored, options).await;
    let leftovers: Vec<String> =
        looks.iter().flat_map(|look| look.found.iter().filter(|found| !is_kept(found)).cloned()).collect();
    if !leftovers.is_empty() {
        let mut diagnostic = Diagnostic::new(
            "DEL002",
            Category::Cluster,
            "the teardown is not proven: something is left, or could not be looked for",
        )
        .on(record.name_any())
        .help("Remove what is listed, or its cause, and run `mimeo down` again");
        diagnostic.detail = leftovers;
        return Err(blocked(session, record, diagnostic.into()).await);
    }
    let receipt = receipt_spec(session, &record, stored.inventory.entries.len(), looks);
    session.records.write_receipt(receipt.clone()).await?;
    Ok((record, receipt, stored))
}

/// Runs the hooks, unless there is nothing any more that they could be run in.
async fn say_goodbye(
    session: &Session,
    record: &EnvironmentRecord,
    lease: &Lease,
    stored: &mut StoredInventory,
    options: &Options,
) -> Result<()> {
    if options.skip_hooks || record.spec.before_delete.is_empty() {
        return Ok(());
    }
    if record.spec.namespace_owned && namespace_goes(session, record, &record.spec.namespace).await? {
        return Ok(());
    }
    let ran = hooks::before_delete(session, record, lease, stored, options.timeout).await;
    match ran {
        // The first `up` was killed before it bound anybody, or somebody else brought it up.
        Err(error) if is_forbidden(&error) && access::gain(session, record, lease).await? => {
            *stored = session.records.inventory(record).await?;
            hooks::before_delete(session, record, lease, stored, options.timeout).await
        }
        Err(Error::Found(mut found)) => {
            for finding in &mut found {
                finding.help = Some(
                    "Correct the cause and run `mimeo down` again, or leave the hooks out with --skip-hooks"
                        .to_owned(),
                );
            }
            Err(Error::Found(found))
        }
        other => other,
    }
}

/// Whether the environment's namespace is gone, or going with everything in it.
async fn namespace_goes(session: &Session, record: &EnvironmentRecord, namespace: &str) -> Result<bool> {
    let object = read::core("Namespace", None, namespace);
    let resource = session.resource(&object).await?;
    let Some(live) = session.cluster.get(&resource, &object).await? else { return Ok(true) };
    let going = live.pointer("/metadata/deletionTimestamp").is_some();
    let ours =
        plan::text(&live, &["metadata", "labels", plan::ENVIRONMENT_LABEL]) == Some(record.spec.id.as_str());
    Ok(going && ours)
}

fn is_forbidden(error: &Error) -> bool {
    error.diagnostics().iter().any(|diagnostic| diagnostic.code == "CLU004")
}

const KEPT: &str = "(kept: its reclaim policy is Retain)";
const KEPT_BY_ANNOTATION: &str = "(kept: its annotation asks for it)";

/// Whether a finding of a look is something that stays on purpose.
pub(crate) fn is_kept(found: &str) -> bool {
    found.ends_with(KEPT) || found.ends_with(KEPT_BY_ANNOTATION)
}

/// From here on nothing is applied any more: `up` refuses an environment in this state.
async fn fence(
    session: &Session,
    mut record: EnvironmentRecord,
    lease: &Lease,
    options: &Options,
) -> Result<EnvironmentRecord> {
    if record.spec.state == State::Deleting && record.spec.epoch == lease.epoch() {
        return Ok(record);
    }
    lease.check()?;
    record.spec.state = State::Deleting;
    record.spec.epoch = lease.epoch();
    record.spec.message = None;
    let begun = record.spec.teardown.take();
    record.spec.teardown = Some(Teardown {
        started: begun
            .as_ref()
            .map_or_else(|| session.cluster.now().to_string(), |teardown| teardown.started.clone()),
        reason: begun.and_then(|teardown| teardown.reason).or_else(|| options.reason.clone()),
        blocked: Vec::new(),
    });
    Ok(session.records.replace(&record).await?)
}

async fn delete_phase(
    session: &Session,
    record: &EnvironmentRecord,
    lease: &Lease,
    phase: &TeardownPhase,
    options: &Options,
) -> Result<()> {
    let outcomes: Vec<Result<()>> = stream::iter(&phase.entries)
        .map(|entry| delete_entry(session, record, lease, entry, options))
        .buffer_unordered(IN_FLIGHT)
        .collect()
        .await;
    let mut found = Vec::new();
    for outcome in outcomes {
        if let Err(error) = outcome {
            found.extend(error.diagnostics());
        }
    }
    if found.is_empty() { Ok(()) } else { Err(Error::Found(found)) }
}

/// Deletes one object if a live read shows that it is ours.
async fn delete_entry(
    session: &Session,
    record: &EnvironmentRecord,
    lease: &Lease,
    entry: &Entry,
    options: &Options,
) -> Result<()> {
    let object = &entry.object;
    let resource = match session.resource(object).await {
        Ok(resource) => resource,
        // The kind is gone, and with it every object of the kind.
        Err(Error::Cluster(cluster::Error::UnknownKind { .. })) => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(live) = session.cluster.get(&resource, object).await? else { return Ok(()) };
    let record_uid = record.uid().unwrap_or_default();
    let who = Provenance { environment: &record.spec.id, record_uid: &record_uid };
    match ownership(&live, Some(entry), who) {
        Ownership::Ours { marked: true } => {}
        Ownership::Ours { marked: false } => {
            return Err(Diagnostic::new(
                "DEL003",
                Category::Refused,
                "somebody removed mimeo's label or field manager: it is not deleted",
            )
            .on(object.to_string())
            .help("Delete it yourself, or give it its label back, and run `mimeo down` again")
            .into());
        }
        Ownership::Foreign(why) => {
            session.tell(Event::Note(format!("{object} is left alone: {why}")));
            return Ok(());
        }
    }
    // In a namespace that stays: what is in an owned one goes with it.
    if let Some(annotation) = plan::keeps(&live)
        && object.namespace.as_deref()
            != record.spec.namespace_owned.then_some(record.spec.namespace.as_str())
    {
        session.tell(Event::Note(format!("{object} is kept: its annotation {annotation} asks for it")));
        return Ok(());
    }
    lease.check()?;
    session.keep_going()?;
    let uid = plan::uid(&live).unwrap_or_default();
    // A run that was killed may have deleted it already: then it is only waited for.
    let goes = plan::is_terminating(&live)
        || session.cluster.delete(&resource, object, uid, Propagation::Background).await?
            == Deleted::Accepted;
    if goes && !session.waiting(session.cluster.wait_gone(&resource, object, uid, options.timeout)).await? {
        let live = session.cluster.get(&resource, object).await?;
        return Err(execute::stuck(object, live.as_ref()).into());
    }
    session.tell(Event::Done {
        action: Action::Delete,
        object: object.clone(),
        component: entry.component.clone(),
    });
    Ok(())
}

/// Notes in the record what blocks the teardown. The record stays, and with it the environment's name.
async fn blocked(session: &Session, mut record: EnvironmentRecord, error: Error) -> Error {
    if error.is_fenced() || session.keep_going().is_err() {
        return error;
    }
    record.spec.state = State::DeleteBlocked;
    let causes: Vec<String> = error.diagnostics().iter().map(ToString::to_string).collect();
    record.spec.message = Some(causes.join("; "));
    if let Some(teardown) = &mut record.spec.teardown {
        teardown.blocked = causes;
    }
    if let Err(error) = session.records.replace(&record).await {
        tracing::debug!(%error, "what blocks the teardown could not be recorded");
    }
    error
}

/// Live reads for everything the environment could have left. A read that fails is a finding.
async fn look(
    session: &Session,
    record: &EnvironmentRecord,
    stored: &StoredInventory,
    options: &Options,
) -> Vec<Look> {
    let mut looks = Vec::new();
    let owned = record.spec.namespace_owned.then_some(record.spec.namespace.as_str());
    for entry in &stored.inventory.entries {
        let inside = owned.is_some() && entry.object.namespace.as_deref() == owned;
        if !inside {
            looks.push(look_for(session, record, entry).await);
        }
    }
    looks.push(match owned {
        Some(namespace) => volumes(session, namespace, options.timeout).await,
        None => claims(session, record).await,
    });
    looks
}

pub(crate) async fn look_for(session: &Session, record: &EnvironmentRecord, entry: &Entry) -> Look {
    let object = &entry.object;
    let place = object.namespace.clone().unwrap_or_else(|| "cluster".to_owned());
    let found = match session.resource(object).await {
        Err(Error::Cluster(cluster::Error::UnknownKind { .. })) => Vec::new(),
        Err(error) => vec![format!("{object}: could not be looked for: {error}")],
        Ok(resource) => match session.cluster.get(&resource, object).await {
            Ok(None) => Vec::new(),
            Ok(Some(live)) => {
                let record_uid = record.uid().unwrap_or_default();
                let who = Provenance { environment: &record.spec.id, record_uid: &record_uid };
                match ownership(&live, Some(entry), who) {
                    Ownership::Ours { .. } if plan::keeps(&live).is_some() => {
                        vec![format!("{object} {KEPT_BY_ANNOTATION}")]
                    }
                    Ownership::Ours { .. } => vec![format!("{object}: still there")],
                    Ownership::Foreign(_) => Vec::new(),
                }
            }
            Err(error) => vec![format!("{object}: could not be looked for: {error}")],
        },
    };
    Look { what: object.short(), place, found, resource_version: None }
}

/// Claims that a StatefulSet of the environment made in a namespace that stays: the controller keeps them,
/// and with them their data.
async fn claims(session: &Session, record: &EnvironmentRecord) -> Look {
    let namespace = record.spec.namespace.as_str();
    let claim = read::core("PersistentVolumeClaim", Some(namespace), "");
    let what = "PersistentVolumeClaims of the environment".to_owned();
    let mut look = Look { what, place: namespace.to_owned(), found: Vec::new(), resource_version: None };
    let selector = format!("{}={}", plan::ENVIRONMENT_LABEL, record.spec.id);
    let listing = match session.resource(&claim).await {
        Ok(resource) => session.cluster.list(&resource, Some(namespace), &selector).await,
        Err(_) => return look,
    };
    match listing {
        Ok(listing) => {
            let names = listing.items.iter().filter_map(|live| plan::text(live, &["metadata", "name"]));
            look.found = names
                .map(|name| {
                    format!("PersistentVolumeClaim/{name}: still there; delete it if its data may go")
                })
                .collect();
            look.resource_version = Some(listing.resource_version);
        }
        Err(error) => look.found.push(format!("PersistentVolumeClaims: could not be looked for: {error}")),
    }
    look
}

/// Volumes that were bound to claims of the namespace. Their removal follows that of the claim.
pub(crate) async fn volumes(session: &Session, namespace: &str, timeout: Duration) -> Look {
    let what = format!("PersistentVolumes bound in {namespace}");
    let mut look = Look { what, place: "cluster".to_owned(), found: Vec::new(), resource_version: None };
    let volume = read::core("PersistentVolume", None, "");
    let listing = match session.resource(&volume).await {
        Ok(resource) => session.cluster.list(&resource, None, "").await.map(|listing| (resource, listing)),
        Err(_) => return look,
    };
    let (resource, listing) = match listing {
        Ok(answer) => answer,
        Err(error) => {
            look.found.push(format!("PersistentVolumes: could not be looked for: {error}"));
            return look;
        }
    };
    look.resource_version = Some(listing.resource_version);
    for live in &listing.items {
        if plan::text(live, &["spec", "claimRef", "namespace"]) != Some(namespace) {
            continue;
        }
        let name = plan::text(live, &["metadata", "name"]).unwrap_or_default();
        if plan::text(live, &["spec", "persistentVolumeReclaimPolicy"]) == Some("Retain") {
            look.found.push(format!("PersistentVolume/{name} {KEPT}"));
            continue;
        }
        let object = read::core("PersistentVolume", None, name);
        let uid = plan::uid(live).unwrap_or_default();
        match session.waiting(session.cluster.wait_gone(&resource, &object, uid, timeout)).await {
            Ok(true) => {}
            Ok(false) => look.found.push(format!("PersistentVolume/{name}: still there")),
            Err(error) => {
                look.found.push(format!("PersistentVolume/{name}: could not be looked for: {error}"))
            }
        }
    }
    look
}

pub(crate) fn receipt_spec(
    session: &Session,
    record: &EnvironmentRecord,
    objects: usize,
    looks: Vec<Look>,
) -> ReceiptSpec {
    let spec = &record.spec;
    ReceiptSpec {
        environment: record.name_any(),
        id: spec.id.clone(),
        repository: spec.repository.clone(),
        r#ref: spec.r#ref.clone(),
        revision: spec.revision.clone(),
        record_uid: record.uid().unwrap_or_default(),
        started: spec
            .teardown
            .as_ref()
            .map_or_else(|| session.cluster.now().to_string(), |teardown| teardown.started.clone()),
        finished: session.cluster.now().to_string(),
        reason: spec.teardown.as_ref().and_then(|teardown| teardown.reason.clone()),
        proven: true,
        objects,
        looks,
        leftovers: Vec::new(),
        blocked: Vec::new(),
    }
}
