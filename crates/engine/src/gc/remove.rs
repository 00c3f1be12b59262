//! Takes one stale environment down, after another look.

use cluster::EnvironmentRecord;
use kube::ResourceExt as _;
use plan::stale::{Decision, ForgeAnswer, Look, PullState, Rule};

use super::{Options, Removal, look};
use crate::{Error, Event, Forges, Result, Session, down, pull_request, up};

pub(super) async fn remove(
    session: &Session,
    forges: &Forges,
    seen: &EnvironmentRecord,
    decision: &Decision,
    options: &Options,
) -> Removal {
    match attempt(session, forges, seen, decision, options).await {
        Ok(None) => Removal::Gone,
        Ok(Some(why)) => Removal::Stays(why),
        Err(error) => Removal::Failed(error.diagnostics()),
    }
}

/// `None` when it is gone, else why it stays.
async fn attempt(
    session: &Session,
    forges: &Forges,
    seen: &EnvironmentRecord,
    decision: &Decision,
    options: &Options,
) -> Result<Option<String>> {
    let name = seen.name_any();
    let lease = match up::lease(session, &name, up::PATIENCE).await {
        Err(Error::Cluster(cluster::Error::Busy { holder, .. })) => {
            return Ok(Some(format!("another run works on it: {holder}")));
        }
        other => other?,
    };
    let release = async |lease: cluster::Lease| {
        lease.release().await.unwrap_or_else(|error| tracing::debug!(%error, "the lease runs out by itself"));
    };
    let record = match session.records.get(&name).await? {
        None => {
            lease.remove().await?;
            return Ok(None);
        }
        // Only `up`, `extend` and `down` write it: the decision was about another state.
        Some(record) if record.uid() != seen.uid() || record.spec != seen.spec => {
            release(lease).await;
            return Ok(Some("it was changed since it was looked at".to_owned()));
        }
        Some(record) => record,
    };
    if let Some(why) = doubt(session, forges, &record, decision).await {
        release(lease).await;
        return Ok(Some(why));
    }
    pull_request::bury(session, forges, &record).await?;
    session.tell(Event::Note(format!("{name} goes: {}", decision.cause)));
    let options = down::Options {
        timeout: options.timeout,
        reason: Some(decision.cause.clone()),
        skip_hooks: false,
        abandon: false,
    };
    down::take_down(session, record, lease, &options).await?;
    Ok(None)
}

/// Why the decision is not carried out, after another look at what it rests on.
async fn doubt(
    session: &Session,
    forges: &Forges,
    record: &EnvironmentRecord,
    decision: &Decision,
) -> Option<String> {
    match decision.rule {
        Rule::Teardown => None,
        Rule::Protected | Rule::None => Some("nothing says that it should go".to_owned()),
        Rule::Ttl => {
            let over = record.spec.expires_at.as_ref().and_then(|text| text.parse().ok());
            let is_over = over.is_some_and(|over: jiff::Timestamp| over <= session.cluster.now());
            (!is_over).then(|| "its TTL is not over any more".to_owned())
        }
        Rule::PullClosed | Rule::PullMerged => match look::again(forges, record).await {
            Look::Pull { state: PullState::Closed | PullState::Merged, .. } => None,
            Look::Pull { .. } => Some("its pull request was reopened".to_owned()),
            Look::Unknown { cause } => Some(format!("its pull request could not be read again: {cause}")),
            Look::Branch { .. } | Look::Nothing { .. } => {
                Some("its pull request could not be read again".to_owned())
            }
        },
        Rule::BranchGone => match look::again(forges, record).await {
            Look::Branch { commit: Some(_), .. } => Some("its branch is there again".to_owned()),
            Look::Branch { forge: ForgeAnswer::Present, .. } => {
                Some("the forge says that its branch is there".to_owned())
            }
            Look::Branch { commit: None, refs, .. } if knows(record, decision, &refs) => None,
            Look::Unknown { cause } => Some(format!("its branch could not be looked for again: {cause}")),
            _ => Some("its branch could not be looked for again".to_owned()),
        },
    }
}

/// Whether a listing has a branch that earlier listings of the repository had, too.
fn knows(record: &EnvironmentRecord, decision: &Decision, refs: &[String]) -> bool {
    let earlier = record.status.as_ref().and_then(|status| status.memory.sighting.as_ref());
    let sighting = decision.memory.sighting.as_ref().or(earlier);
    sighting.is_some_and(|sighting| sighting.others.iter().any(|other| refs.contains(other)))
}
