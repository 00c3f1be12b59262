//! Teardowns that somebody gave up: a tombstone lists every leftover by uid, and later passes go on with it.

use std::time::Duration;

use cluster::{Deleted, Look, Propagation, Receipt};
use kube::ResourceExt as _;
use plan::{Entry, Ownership, Provenance, ownership};
use spec::Diagnostic;

use crate::{
    Error, Event, Result, Session,
    down::{CLAIMS, Finished, VOLUMES, claims, in_use, is_kept, look_for, receipt_spec, volumes},
    observe::observe,
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
    let leftovers = left(session, id, &record_uid, &stored.inventory.entries).await?;
    let who = Provenance { environment: id, record_uid: &record_uid };
    let mut looks = Vec::new();
    for entry in &leftovers {
        looks.push(look_for(session, who, entry).await);
    }
    looks.push(if record.spec.namespace_owned {
        volumes(session, &record.spec.namespace, Duration::ZERO).await
    } else {
        claims(session, &record.spec.namespace, id).await
    });
    let mut receipt = receipt_spec(session, &record, stored.inventory.entries.len(), looks);
    receipt.proven = false;
    receipt.blocked = error
        .diagnostics()
        .into_iter()
        .flat_map(|finding| std::iter::once(finding.to_string()).chain(finding.detail))
        .collect();
    receipt.leftovers = leftovers;
    session.records.write_receipt(receipt.clone()).await?;
    session.tell(Event::Note(format!(
        "{name} is abandoned: objects left: {}; `mimeo receipts {name}` lists them, `mimeo gc` goes on with them",
        receipt.leftovers.len()
    )));
    Ok((record, receipt, stored))
}

/// Which of these objects are still there and the environment's. What is inside a namespace that is left, too,
/// is named where it can be read: the right to read went with the namespace's bindings.
async fn left(session: &Session, id: &str, record_uid: &str, entries: &[Entry]) -> Result<Vec<Entry>> {
    let own = entries.iter().find(|entry| entry.object.is("", "Namespace")).map(|entry| &entry.object.name);
    let (inside, outside): (Vec<Entry>, Vec<Entry>) =
        entries.iter().cloned().partition(|entry| own.is_some() && entry.object.namespace.as_ref() == own);
    let who = Provenance { environment: id, record_uid };
    let mut left = ours(session, who, outside).await?;
    if left.iter().any(|entry| entry.object.is("", "Namespace")) {
        match ours(session, who, inside).await {
            Ok(more) => left.extend(more),
            Err(error) => tracing::debug!(%error, "what is left inside the namespace cannot be read"),
        }
    }
    Ok(left)
}

async fn ours(session: &Session, who: Provenance<'_>, entries: Vec<Entry>) -> Result<Vec<Entry>> {
    let inventory = plan::Inventory { entries };
    let observed = observe(session, who.environment, &[], &inventory).await?;
    let mut left = Vec::new();
    for entry in inventory.entries {
        let Some(live) = observed.live.get(&entry.object.key()) else { continue };
        let kept = plan::keeps(live).is_some() || in_use(session, &entry.object, live).await?.is_some();
        if !kept && matches!(ownership(live, Some(&entry), who), Ownership::Ours { .. }) {
            let uid = plan::uid(live).map(str::to_owned);
            left.push(Entry { uid, pending: false, ..entry });
        }
    }
    Ok(left)
}

/// Goes on with every abandoned teardown: deletes by uid what is not on its way out, and turns the tombstone
/// into a proof when nothing is left. What fails is tried again in the next pass.
pub(crate) async fn sweep(session: &Session) -> Result<()> {
    let receipts = session.records.receipts().await?;
    if receipts.iter().all(|receipt| receipt.spec.proven) {
        return Ok(());
    }
    let living: Vec<String> =
        session.records.list().await?.into_iter().map(|record| record.spec.id).collect();
    for receipt in receipts {
        // What lives is no leftover, whatever a receipt says.
        if receipt.spec.proven || living.contains(&receipt.spec.id) {
            continue;
        }
        if let Err(error) = go_on(session, &receipt).await {
            let causes: Vec<String> = error.diagnostics().iter().map(ToString::to_string).collect();
            session.tell(Event::Note(format!("{}: {}", receipt.spec.environment, causes.join("; "))));
        }
    }
    Ok(())
}

async fn go_on(session: &Session, receipt: &Receipt) -> Result<()> {
    let spec = &receipt.spec;
    let left = left(session, &spec.id, &spec.record_uid, &spec.leftovers).await?;
    let who = Provenance { environment: &spec.id, record_uid: &spec.record_uid };
    for entry in &left {
        session.keep_going()?;
        let resource = session.resource(&entry.object).await?;
        let Some(live) = session.cluster.get(&resource, &entry.object).await? else { continue };
        let owner = live.pointer("/metadata/annotations").and_then(|all| all.get(plan::OWNER_ANNOTATION));
        let ours = ownership(&live, Some(entry), who) == (Ownership::Ours { marked: true })
            && owner.and_then(serde_json::Value::as_str) == Some(spec.record_uid.as_str())
            && plan::keeps(&live).is_none()
            && in_use(session, &entry.object, &live).await?.is_none();
        let uid = plan::uid(&live).unwrap_or_default();
        if ours
            && !plan::is_terminating(&live)
            && session.cluster.delete(&resource, &entry.object, uid, Propagation::Background).await?
                == Deleted::Accepted
        {
            session.tell(Event::Note(format!("{}: {} is deleted", spec.environment, entry.object)));
        }
    }
    if !left.is_empty() && left == spec.leftovers {
        return Ok(());
    }
    let mut next = receipt.clone();
    next.spec.finished = session.cluster.now().to_string();
    if left.is_empty() {
        for look in &mut next.spec.looks {
            *look = again(session, look, &spec.id).await;
        }
        let found = next.spec.looks.iter().flat_map(|look| &look.found);
        next.spec.proven = found.filter(|found| !is_kept(found)).count() == 0;
    }
    next.spec.leftovers = left;
    if next.spec.proven {
        session.tell(Event::Note(format!("{}: nothing is left any more", spec.environment)));
    }
    Ok(session.records.replace_receipt(&next).await?)
}

/// The same look once more: lists are read again, and of the objects it is known that none is left.
async fn again(session: &Session, look: &Look, id: &str) -> Look {
    if look.what == CLAIMS {
        return claims(session, &look.place, id).await;
    }
    match look.what.strip_prefix(VOLUMES) {
        Some(namespace) => volumes(session, namespace.trim(), GOING).await,
        None => Look { found: Vec::new(), ..look.clone() },
    }
}
