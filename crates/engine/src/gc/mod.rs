//! Takes stale environments down: looks, decides, remembers, deletes.
//!
//! ```text
//! records ─► look ─► plan::stale::decide ─► remember ─► remove ─► report
//!            git,    pure                   status of   each after
//!            forges                         the record  another look
//! ```

mod look;
mod remove;

use std::time::Duration;

use cluster::{Condition, EnvironmentRecord, State};
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use plan::stale::{self, Candidate, Decision, Policy, Reference, Verdict};
use spec::{Category, Diagnostic, EnvironmentIdentity};

use crate::{Event, Forges, Result, Session, abandoned, pull_request, read};

pub use crate::abandoned::{Abandoned, Leftover};

/// How many environments are looked at, or taken down, at the same time.
const SIDE_BY_SIDE: usize = 4;
/// The condition of an environment whose deletion waits for an approval.
const HELD: &str = "DeletionHeld";

/// How `gc` behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decide and change nothing, not even what is remembered.
    pub dry_run: bool,
    /// Digest of a list of deletions that somebody approved.
    pub approve: Option<String>,
    /// How long one object may take to go.
    pub timeout: Duration,
}

/// One pass.
#[derive(Debug)]
pub struct Report {
    /// What was decided for each environment, by name.
    pub decisions: Vec<Decision>,
    /// What was done about it: the name of the environment and what became of it.
    pub removed: Vec<(String, Removal)>,
    /// Digest of the list that waits for an approval.
    pub held: Option<String>,
    /// Of a pass that changes nothing: teardowns that were given up, which a real one goes on with.
    pub abandoned: Vec<Abandoned>,
}

/// What became of an environment that was to go.
#[derive(Debug)]
pub enum Removal {
    /// It is gone, and that is proven.
    Gone,
    /// It stays for now: another look gave another answer, or it was changed meanwhile.
    Stays(String),
    /// It could not be taken down.
    Failed(Vec<Diagnostic>),
}

/// One pass over all environments of a cluster.
///
/// # Errors
/// When the records cannot be read, or nothing can be remembered. What concerns one environment alone is
/// part of the report.
pub async fn gc(session: &Session, forges: &Forges, options: &Options) -> Result<Report> {
    session.phase("looking at every environment");
    let (records, broken) = session.records.list_all().await?;
    for record in broken {
        session.tell(Event::Note(format!("a record cannot be read, and its environment is kept: {record}")));
    }
    let (records, others): (Vec<_>, Vec<_>) = records.into_iter().partition(is_itself);
    for record in others {
        let name = record.name_any();
        session.tell(Event::Note(format!("{name} is kept: the record is not what its content says")));
    }
    let policy = policy(session).await?;
    let now = session.cluster.now();
    let looks = look::at(forges, &records).await;
    let looked = session.cluster.now();
    let candidates: Vec<Candidate> =
        records.iter().zip(looks).map(|(record, look)| candidate(record, look, now)).collect();
    let mut decisions = stale::decide(now, &policy, &candidates, options.approve.as_deref());
    // Looks take time: a second witness counts from the beginning of its pass, a first one from the end of
    // its own, so that never less than the gap lies between the two.
    for absence in decisions.iter_mut().filter_map(|decision| decision.memory.absence.as_mut()) {
        if absence.at == now {
            absence.at = looked;
        }
    }
    let held = stale::held_digest(&decisions);
    let mut removed = Vec::new();
    if !options.dry_run {
        for (record, decision) in records.iter().zip(&decisions) {
            remember(session, record, decision, held.as_deref(), now).await?;
        }
        let going = records.iter().zip(&decisions).filter(|(_, found)| found.decision == Verdict::Delete);
        removed = stream::iter(going)
            .map(|(record, decision)| async move {
                let removal = remove::remove(session, forges, record, decision, options).await;
                (record.name_any(), removal)
            })
            .buffer_unordered(SIDE_BY_SIDE)
            .collect()
            .await;
        pull_request::settle(session, forges, now).await?;
        abandoned::sweep(session).await?;
    }
    let abandoned = if options.dry_run { abandoned::look(session).await? } else { Vec::new() };
    removed.sort_by(|a, b| a.0.cmp(&b.0));
    decisions.sort_by(|a, b| a.environment.cmp(&b.environment));
    Ok(Report { decisions, removed, held, abandoned })
}

/// The cluster's policy: never a spec's, never a pull request's.
async fn policy(session: &Session) -> Result<Policy> {
    let mut policy = Policy::default();
    if let Some(text) = read::config(session).await?.get(cluster::install::ABSENCE_GAP) {
        policy.absence_gap =
            text.parse::<SignedDuration>().ok().filter(|gap| gap.is_positive()).ok_or_else(|| {
                Diagnostic::new(
                    "ENV020",
                    Category::Cluster,
                    format!("absenceGap of the cluster is no duration: {text}"),
                )
                .on("ConfigMap/mimeo-config in mimeo-system")
                .help("Set it with `mimeo install --absence-gap 5m`")
            })?;
    }
    Ok(policy)
}

fn candidate(record: &EnvironmentRecord, look: stale::Look, now: Timestamp) -> Candidate {
    let spec = &record.spec;
    let begun = matches!(spec.state, State::Deleting | State::DeleteBlocked);
    // To delete the record of a protected environment is no way around its protection.
    let asked = record.metadata.deletion_timestamp.is_some() && !spec.protected;
    Candidate {
        name: record.name_any(),
        id: spec.id.clone(),
        record_uid: record.uid().unwrap_or_default(),
        repository: spec.repository.clone(),
        reference: reference(record),
        protected: spec.protected,
        going: begun || asked,
        last_up: spec.last_up.parse().unwrap_or(now),
        expires_at: spec.expires_at.as_ref().and_then(|text| text.parse().ok()),
        memory: record.status.as_ref().map(|status| status.memory.clone()).unwrap_or_default(),
        look,
    }
}

/// Whether name and id of a record are those of its content: one that was copied or changed by hand speaks for
/// no environment.
pub(crate) fn is_itself(record: &EnvironmentRecord) -> bool {
    let spec = &record.spec;
    let identity = EnvironmentIdentity::new(&spec.repository, &spec.r#ref, &spec.spec);
    identity.id == spec.id && identity.name == record.name_any()
}

/// What the record says that it is of.
fn reference(record: &EnvironmentRecord) -> Reference {
    use cluster::RefKind;
    let spec = &record.spec;
    let name = spec.r#ref.clone();
    match spec.ref_kind {
        Some(RefKind::Branch) => Reference::Branch(name),
        Some(RefKind::Tag) => Reference::Tag(name),
        Some(RefKind::Pull) => match name.strip_prefix("pr/").and_then(|number| number.parse().ok()) {
            Some(number) => Reference::Pull(number),
            None => Reference::Named(name),
        },
        Some(RefKind::Name) | None => Reference::Named(name),
    }
}

/// Writes what the next pass has to know, if it is new.
async fn remember(
    session: &Session,
    record: &EnvironmentRecord,
    decision: &Decision,
    held: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    let mut next = record.clone();
    let mut status = next.status.take().unwrap_or_default();
    status.memory = decision.memory.clone();
    let known = status.conditions.iter().position(|condition| condition.r#type == HELD);
    let waits = held.filter(|_| decision.decision == Verdict::Held);
    match (waits, known) {
        (Some(digest), known) => {
            let message =
                format!("{}; approve the whole list with `mimeo gc --approve {digest}`", decision.cause);
            let since = known.map(|at| status.conditions.remove(at).last_transition_time);
            status.conditions.push(Condition {
                r#type: HELD.to_owned(),
                status: "True".to_owned(),
                reason: "OverBudget".to_owned(),
                message: message.clone(),
                last_transition_time: since.unwrap_or_else(|| now.to_string()),
            });
            session.records.warn(record, HELD, &message, digest).await?;
        }
        (None, Some(at)) => {
            status.conditions.remove(at);
        }
        (None, None) => {}
    }
    if record.status.clone().unwrap_or_default() == status {
        return Ok(());
    }
    next.status = Some(status);
    match session.records.write_status(&next).await {
        // Somebody took it down meanwhile, or it was made anew: there is nothing to remember.
        Err(cluster::Error::Api { code: 404 | 422, .. }) => Ok(()),
        other => Ok(other?),
    }
}
