//! How far a teardown is, for whoever asks while it runs or is blocked.

use cluster::EnvironmentRecord;
use kube::ResourceExt as _;
use plan::{Entry, Ownership, Phase, Provenance, ownership, teardown};
use serde::Serialize;

use crate::{Error, Result, Session, read, stuck};

/// The phase of a teardown and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Name of the phase.
    pub phase: String,
    /// How many of its members are gone.
    pub gone: usize,
    /// How many members it has, without those that are kept.
    pub members: usize,
    /// How many stay, because they ask for it or others need them.
    pub kept: usize,
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
        if self.kept > 0 {
            text.push_str(&format!(", {} kept", self.kept));
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
    let owned = super::owned_namespace(record, &inventory);
    let members: Vec<Entry> = teardown(&inventory, owned)
        .into_iter()
        .filter(|own| Some(own.phase) == phase)
        .flat_map(|own| own.entries)
        .collect();
    let (mut waits_for, mut kept) = (Vec::new(), 0);
    for entry in &members {
        match left(session, record, owned, entry, &inventory.entries).await? {
            Member::Gone => {}
            Member::Kept => kept += 1,
            Member::Left(text) => waits_for.push(text),
        }
    }
    let members = members.len() - kept;
    Ok(Some(Progress {
        phase: name,
        gone: members.saturating_sub(waits_for.len()),
        members,
        kept,
        waits_for,
    }))
}

/// What has become of one member of a phase.
enum Member {
    /// It is not there, or not the environment's.
    Gone,
    /// It stays, and nothing waits for it.
    Kept,
    /// It is there: which it is, and what holds it.
    Left(String),
}

async fn left(
    session: &Session,
    record: &EnvironmentRecord,
    owned: Option<&str>,
    entry: &Entry,
    known: &[Entry],
) -> Result<Member> {
    let object = &entry.object;
    let live = match read::live(session, object).await {
        Ok(Some((_, live))) => live,
        Ok(None) => return Ok(Member::Gone),
        Err(Error::Cluster(error)) if error.status() == Some(403) => {
            return Ok(Member::Left(format!("{object}, which may not be read")));
        }
        Err(Error::Found(found)) => {
            let causes: Vec<String> = found.into_iter().map(|found| found.cause).collect();
            return Ok(Member::Left(format!("{object}: {}", causes.join("; "))));
        }
        Err(error) => return Err(error),
    };
    let record_uid = record.uid().unwrap_or_default();
    let who = Provenance { environment: &record.spec.id, record_uid: &record_uid };
    if matches!(ownership(&live, Some(entry), who), Ownership::Foreign(_)) {
        return Ok(Member::Gone);
    }
    if !plan::is_terminating(&live) {
        let inside = owned.is_some() && object.namespace.as_deref() == owned;
        let kept = !inside && plan::keeps(&live).is_some();
        if kept || super::in_use(session, object, &live).await?.is_some() {
            return Ok(Member::Kept);
        }
        return Ok(Member::Left(format!("{}, which is not deleted yet", object.short())));
    }
    let why = stuck::explain(session, object, &live, known).await;
    let mut text = format!("{}, held by {}", object.short(), why.held);
    if !why.detail.is_empty() {
        text.push_str(&format!(" ({})", why.detail.join("; ")));
    }
    Ok(Member::Left(text))
}
