//! Teardowns that somebody gave up: a tombstone lists every leftover by uid, and later passes go on with it.

use std::{collections::BTreeMap, time::Duration};

use cluster::{Deleted, Look, Propagation, Receipt};
use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use plan::{Entry, Inventory, Key, Ownership, Provenance, ownership};
use serde::Serialize;
use serde_json::Value;
use spec::Diagnostic;

use crate::{
    Error, Event, Result, Session,
    down::{
        CLAIMS, Finished, VOLUMES, claims, in_use, is_kept, look_at, look_for, look_with, owned_namespace,
        receipt_spec, volumes,
    },
    observe::{IN_FLIGHT, observe},
};

/// How long a volume may take to follow its claim.
const GOING: Duration = Duration::from_secs(30);

/// What is left of the environment, as a receipt that proves nothing.
pub(crate) async fn tombstone(session: &Session, name: &str, error: &Error) -> Result<Finished> {
    let Some(record) = session.records.get(name).await? else {
        return Err(Diagnostic::error("ENV014", "there is no such environment").on(name.to_owned()).into());
    };
    let stored = session.records.inventory(&record).await?;
    let (id, record_uid) = (record.spec.id.as_str(), record.uid().unwrap_or_default());
    let owned = owned_namespace(&record, &stored.inventory);
    let who = Provenance { environment: id, record_uid: &record_uid };
    let survey = survey(session, who, owned, &stored.inventory.entries).await?;
    let mut looks = survey.looks;
    looks.retain(|look| !look.found.is_empty());
    looks.push(match owned {
        Some(namespace) => volumes(session, namespace, Duration::ZERO).await,
        None => claims(session, &record.spec.namespace, id).await,
    });
    let mut receipt = receipt_spec(session, &record, stored.inventory.entries.len(), looks);
    receipt.proven = false;
    receipt.abandoned = Some(receipt.finished.clone());
    receipt.looked = Some(receipt.finished.clone());
    receipt.blocked = error
        .diagnostics()
        .into_iter()
        .flat_map(|finding| std::iter::once(finding.to_string()).chain(finding.detail))
        .collect();
    receipt.leftovers = survey.left;
    session.records.write_receipt(receipt.clone()).await?;
    session.tell(Event::Note(format!(
        "{name} is abandoned: objects left: {}; `mimeo receipts {name}` lists them, `mimeo gc` goes on with them",
        receipt.leftovers.len()
    )));
    Ok((record, receipt, stored))
}

/// What has become of objects.
struct Survey {
    /// Those that are still there and the environment's, or that could not be read: nobody has seen them gone.
    left: Vec<Entry>,
    /// A look at each of them all, in their order.
    looks: Vec<Look>,
    /// The objects as they were read.
    live: BTreeMap<Key, Value>,
}

async fn survey(
    session: &Session,
    who: Provenance<'_>,
    owned: Option<&str>,
    entries: &[Entry],
) -> Result<Survey> {
    let inventory = Inventory { entries: entries.to_vec() };
    let observed = observe(session, who.environment, &[], &inventory).await?;
    // Of what cannot be read in a namespace of the environment's own, the namespace tells: it is looked at itself,
    // and they go with it.
    let is_told = |entry: &&Entry| {
        let key = entry.object.key();
        owned.is_none()
            || entry.object.namespace.as_deref() != owned
            || observed.live.contains_key(&key)
            || observed.absent.contains(&key)
    };
    let entries: Vec<&Entry> = entries.iter().filter(is_told).collect();
    let looks: Vec<Look> = stream::iter(&entries)
        .map(async |entry| {
            let key = entry.object.key();
            match observed.live.get(&key) {
                Some(live) => look_at(session, who, owned, entry, live).await,
                None if observed.absent.contains(&key) => look_with(entry, None),
                // What a list did not show may be read by its name; else it says why not.
                None => look_for(session, who, owned, entry).await,
            }
        })
        .buffered(IN_FLIGHT)
        .collect()
        .await;
    let is_left = |look: &Look| look.found.iter().any(|found| !is_kept(found));
    let left = entries.into_iter().zip(&looks).filter(|(_, look)| is_left(look));
    let left = left.map(|(entry, _)| identified(entry, observed.live.get(&entry.object.key()))).collect();
    Ok(Survey { left, looks, live: observed.live })
}

/// The entry with the uid of what was found; one that nobody could read stays as it is.
fn identified(entry: &Entry, live: Option<&Value>) -> Entry {
    match live.and_then(plan::uid) {
        Some(uid) => Entry { uid: Some(uid.to_owned()), pending: false, ..entry.clone() },
        None => entry.clone(),
    }
}

/// Goes on with every abandoned teardown: deletes by uid what is not on its way out, and turns the tombstone
/// into a proof when nothing is left. What fails is tried again in the next pass.
pub(crate) async fn sweep(session: &Session) -> Result<()> {
    for receipt in unproven(session).await? {
        if let Err(error) = go_on(session, &receipt).await {
            tell(session, &receipt, &error);
        }
    }
    Ok(())
}

/// A teardown that was given up, and what the next pass does about what is left of it.
#[derive(Debug, Clone, Serialize)]
pub struct Abandoned {
    /// Name of the environment.
    pub environment: String,
    /// Its id.
    pub id: String,
    /// What is there still, or could not be looked for.
    pub leftovers: Vec<Leftover>,
}

/// One object that is left.
#[derive(Debug, Clone, Serialize)]
pub struct Leftover {
    /// Kind and name, with the namespace.
    pub object: String,
    /// Its uid, as far as somebody knows it.
    pub uid: Option<String>,
    /// What becomes of it.
    pub next: &'static str,
}

/// What a sweep would do; nothing is written.
pub(crate) async fn look(session: &Session) -> Result<Vec<Abandoned>> {
    let mut found = Vec::new();
    for receipt in unproven(session).await? {
        match leftovers(session, &receipt).await {
            Ok(leftovers) => found.push(Abandoned {
                environment: receipt.spec.environment.clone(),
                id: receipt.spec.id.clone(),
                leftovers,
            }),
            Err(error) => tell(session, &receipt, &error),
        }
    }
    Ok(found)
}

async fn leftovers(session: &Session, receipt: &Receipt) -> Result<Vec<Leftover>> {
    let (who, survey) = again_seen(session, receipt).await?;
    let mut leftovers = Vec::new();
    for entry in &survey.left {
        let next = match survey.live.get(&entry.object.key()) {
            None => "it could not be read and is looked for again",
            Some(live) if plan::is_terminating(live) => "it is on its way out and waited for",
            Some(live) if may_go(session, who, entry, live).await? => "it is deleted again",
            Some(_) => "it stays: it is kept, in use, or not the environment's any more",
        };
        leftovers.push(Leftover { object: entry.object.to_string(), uid: entry.uid.clone(), next });
    }
    Ok(leftovers)
}

/// Receipts that prove nothing yet, of environments that do not live: what lives is no leftover, whatever a receipt
/// says.
async fn unproven(session: &Session) -> Result<Vec<Receipt>> {
    let mut receipts = session.records.receipts().await?;
    receipts.retain(|receipt| !receipt.spec.proven);
    if !receipts.is_empty() {
        let living: Vec<String> =
            session.records.list().await?.into_iter().map(|record| record.spec.id).collect();
        receipts.retain(|receipt| !living.contains(&receipt.spec.id));
    }
    Ok(receipts)
}

fn tell(session: &Session, receipt: &Receipt, error: &Error) {
    let causes: Vec<String> = error.diagnostics().iter().map(ToString::to_string).collect();
    session.tell(Event::Note(format!("{}: {}", receipt.spec.environment, causes.join("; "))));
}

/// Another look at everything that a receipt says is left.
async fn again_seen<'r>(session: &Session, receipt: &'r Receipt) -> Result<(Provenance<'r>, Survey)> {
    let spec = &receipt.spec;
    let who = Provenance { environment: &spec.id, record_uid: &spec.record_uid };
    let namespace = spec.leftovers.iter().find(|entry| entry.object.is("", "Namespace"));
    let owned = namespace.map(|entry| entry.object.name.as_str());
    Ok((who, survey(session, who, owned, &spec.leftovers).await?))
}

async fn go_on(session: &Session, receipt: &Receipt) -> Result<()> {
    let spec = &receipt.spec;
    let (who, survey) = again_seen(session, receipt).await?;
    for entry in survey.left.iter().filter(|entry| survey.live.contains_key(&entry.object.key())) {
        delete(session, &spec.environment, who, entry).await?;
    }
    let now = session.cluster.now().to_string();
    let mut next = receipt.clone();
    next.spec.looked = Some(now.clone());
    note(&mut next.spec.looks, survey.looks);
    if survey.left.is_empty() {
        for look in &mut next.spec.looks {
            *look = again(session, look, &spec.id).await;
        }
        next.spec.proven = next.spec.looks.iter().flat_map(|look| &look.found).all(|found| is_kept(found));
    }
    next.spec.leftovers = survey.left;
    if next.spec.proven {
        next.spec.finished = now;
        session.tell(Event::Note(format!("{}: nothing is left any more", spec.environment)));
    }
    Ok(session.records.replace_receipt(&next).await?)
}

/// Deletes a leftover by its uid, unless it goes already, is kept, or is not the environment's any more.
async fn delete(session: &Session, environment: &str, who: Provenance<'_>, entry: &Entry) -> Result<()> {
    session.keep_going()?;
    let resource = session.resource(&entry.object).await?;
    let Some(live) = session.cluster.get(&resource, &entry.object).await? else { return Ok(()) };
    let uid = plan::uid(&live).unwrap_or_default();
    if !plan::is_terminating(&live)
        && may_go(session, who, entry, &live).await?
        && session.cluster.delete(&resource, &entry.object, uid, Propagation::Background).await?
            == Deleted::Accepted
    {
        session.tell(Event::Note(format!("{environment}: {} is deleted", entry.object)));
    }
    Ok(())
}

async fn may_go(session: &Session, who: Provenance<'_>, entry: &Entry, live: &Value) -> Result<bool> {
    let owner = live.pointer("/metadata/annotations").and_then(|all| all.get(plan::OWNER_ANNOTATION));
    Ok(ownership(live, Some(entry), who) == (Ownership::Ours { marked: true })
        && owner.and_then(Value::as_str) == Some(who.record_uid)
        && plan::keeps(live).is_none()
        && in_use(session, &entry.object, live).await?.is_none())
}

/// Puts fresh looks in the place of earlier ones at the same objects.
fn note(looks: &mut Vec<Look>, fresh: Vec<Look>) {
    let mut added = Vec::new();
    for look in fresh {
        match looks.iter_mut().find(|known| known.what == look.what && known.place == look.place) {
            Some(known) => *known = look,
            None => added.push(look),
        }
    }
    // Lists come last.
    added.append(looks);
    *looks = added;
}

/// A list is read again; an object has just been looked at, or is kept.
async fn again(session: &Session, look: &Look, id: &str) -> Look {
    if look.what == CLAIMS {
        return claims(session, &look.place, id).await;
    }
    match look.what.strip_prefix(VOLUMES) {
        Some(namespace) => volumes(session, namespace.trim(), GOING).await,
        None => look.clone(),
    }
}
