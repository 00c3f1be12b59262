//! How far a teardown is, for whoever asks while it runs or is blocked.

use cluster::EnvironmentRecord;
use kube::ResourceExt as _;
use plan::{Entry, Ownership, Phase, Provenance, ownership, teardown};
use serde::Serialize;

use crate::{Result, Session, stuck};

/// The phase of a teardown and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Name of the phase.
    pub phase: String,
    /// How many of its members are gone.
    pub gone: usize,
    /// How many members it has.
    pub members: usize,
    /// What is left of them, with what holds each.
    pub waits_for: Vec<String>,
}

impl Progress {
    /// `deleting: custom resources, 2 of 3 gone, waits for Widget/a, held by example.com/cleanup`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut text = format!("deleting: {}", self.phase);
        if self.members > 0 {
            text.push_str(&format!(", {} of {} gone", self.gone, self.members));
        }
        if !self.waits_for.is_empty() {
            text.push_str(&format!(", waits for {}", self.waits_for.join("; ")));
        }
        text
    }
}

/// Looks how far the teardown of a record is; `None` where none has begun.
///
/// # Errors
/// Any failure of a request but that something may not be read.
pub async fn progress(session: &Session, record: &EnvironmentRecord) -> Result<Option<Progress>> {
    let Some(name) = record.spec.teardown.as_ref().and_then(|teardown| teardown.phase.clone()) else {
        return Ok(None);
    };
    let phase = Phase::named(&name);
    let inventory = match session.records.inventory(record).await {
        Ok(stored) => stored.inventory,
        // The inventory goes before the record: then everything else is gone.
        Err(cluster::Error::Inventory { .. }) => plan::Inventory::default(),
        Err(error) => return Err(error.into()),
    };
    let owned = record.spec.namespace_owned.then_some(record.spec.namespace.as_str());
    let members: Vec<Entry> = teardown(&inventory, owned)
        .into_iter()
        .filter(|own| Some(own.phase) == phase)
        .flat_map(|own| own.entries)
        .collect();
    let mut waits_for = Vec::new();
    for entry in &members {
        waits_for.extend(left(session, record, entry, &inventory.entries).await?);
    }
    Ok(Some(Progress {
        phase: name,
        gone: members.len().saturating_sub(waits_for.len()),
        members: members.len(),
        waits_for,
    }))
}

/// The object, if it is there and the environment's, and what holds it.
async fn left(
    session: &Session,
    record: &EnvironmentRecord,
    entry: &Entry,
    known: &[Entry],
) -> Result<Option<String>> {
    let object = &entry.object;
    let live = match session.resource(object).await {
        Ok(resource) => session.cluster.get(&resource, object).await,
        Err(crate::Error::Cluster(error)) => Err(error),
        Err(error) => return Err(error),
    };
    let live = match live {
        Ok(Some(live)) => live,
        Ok(None) | Err(cluster::Error::UnknownKind { .. }) => return Ok(None),
        Err(error) if error.status() == Some(403) => {
            return Ok(Some(format!("{object}, which may not be read")));
        }
        Err(error) => return Err(error.into()),
    };
    let record_uid = record.uid().unwrap_or_default();
    let who = Provenance { environment: &record.spec.id, record_uid: &record_uid };
    if matches!(ownership(&live, Some(entry), who), Ownership::Foreign(_)) {
        return Ok(None);
    }
    if !plan::is_terminating(&live) {
        return Ok(Some(format!("{}, which is not deleted yet", object.short())));
    }
    let why = stuck::explain(session, object, &live, known).await;
    let mut text = format!("{}, held by {}", object.short(), why.held);
    if !why.detail.is_empty() {
        text.push_str(&format!(" ({})", why.detail.join("; ")));
    }
    Ok(Some(text))
}
