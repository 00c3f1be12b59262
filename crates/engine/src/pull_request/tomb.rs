//! The end of a preview, and what keeps it ended: a tombstone that a late job cannot overlook.

use cluster::{Closed, CommentMark, EnvironmentRecord, PullRequest, RefKind};
use forge::{Pull, PullState};
use jiff::{SignedDuration, Timestamp};
use spec::{Category, Diagnostic, EnvironmentIdentity};

use super::{Outcome, PATIENCE, one_line, short, tell::Teller};
use crate::{Error, Event, Forges, Result, Session, down, preview::refused, up};

/// How long a tombstone stays when everything is told: no job is that late.
const FORGET_AFTER: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long one object may take to go.
const GOING: std::time::Duration = std::time::Duration::from_secs(300);

/// The pull request is not open: its environment goes, and nothing brings it back until it is reopened.
pub(super) async fn close(session: &Session, teller: &Teller<'_>, pull: &Pull) -> Result<Outcome> {
    let state = pull.state.to_string();
    let outcome = Outcome::Gone { name: teller.environment.clone(), state: state.clone() };
    let why = reason(pull);
    mark_closed(session, teller, pull).await?;
    let lease = up::lease(session, &teller.environment, PATIENCE).await?;
    let Some(record) = session.records.get(&teller.environment).await? else {
        lease.remove().await?;
        if says_otherwise(session, teller).await? {
            teller.gone(&pull.head.commit, &why).await?;
        }
        return Ok(outcome);
    };
    if let Some(refusal) = plan::guard::protected::check(&teller.environment, record.spec.protected) {
        lease.release().await?;
        teller.stays(&pull.head.commit, "it is protected").await?;
        return Err(refused(&refusal).on(teller.environment.clone()).into());
    }
    let options =
        down::Options { timeout: GOING, reason: Some(why.clone()), skip_hooks: false, abandon: false };
    down::take_down(session, record, lease, &options).await?;
    teller.gone(&pull.head.commit, &why).await?;
    Ok(outcome)
}

fn reason(pull: &Pull) -> String {
    let at = pull.closed_at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    format!("pull request {} was {}{at}", pull.number, pull.state)
}

/// Whether the comment, if there is one, says something that is no longer so.
async fn says_otherwise(session: &Session, teller: &Teller<'_>) -> Result<bool> {
    let known = session.records.pull(&teller.repository, teller.number).await?;
    let comments = known.map(|known| known.spec.comments).unwrap_or_default();
    Ok(comments
        .iter()
        .any(|note| note.environment == teller.id && (note.says != "gone" || note.untold.is_some())))
}

async fn mark_closed(session: &Session, teller: &Teller<'_>, pull: &Pull) -> Result<()> {
    let at = session.cluster.now().to_string();
    let (repository, number, mark) = (&teller.repository, teller.number, super::mark(teller.forge));
    let marked = session.records.change_pull(repository, number, &mark, |known| {
        let same = known.closed.as_ref().is_some_and(|closed| closed.updated_at == pull.updated_at);
        if !same {
            let (state, updated_at) = (pull.state.to_string(), pull.updated_at.clone());
            known.closed = Some(Closed { state, updated_at, at: at.clone() });
        }
        known.approval = None;
    });
    marked.await?;
    Ok(())
}

/// An open pull request with a tombstone was reopened, if the forge's answer is not older than the tombstone.
pub(super) async fn reopen(
    session: &Session,
    teller: &Teller<'_>,
    known: Option<&PullRequest>,
    pull: &Pull,
) -> Result<()> {
    let Some(closed) = known.and_then(|known| known.spec.closed.as_ref()) else { return Ok(()) };
    let time = |text: &str| text.parse::<Timestamp>().ok();
    if time(&pull.updated_at) < time(&closed.updated_at) {
        let cause = format!("the forge answers with a state older than its closing at {}", closed.updated_at);
        return Err(Diagnostic::new("PRV004", Category::Refused, cause)
            .on(teller.forge.place().pull_url(teller.number))
            .help("Run the command again after the pull request is reopened")
            .into());
    }
    session.tell(Event::Note("the pull request was reopened".to_owned()));
    let (repository, mark) = (&teller.repository, super::mark(teller.forge));
    let seen = closed.updated_at.clone();
    let cleared = session.records.change_pull(repository, teller.number, &mark, |known| {
        // Only the tombstone that was read before the pull request was.
        known.closed.take_if(|closed| closed.updated_at == seen);
    });
    cleared.await?;
    Ok(())
}

/// Before `gc` takes an environment of a pull request down: leaves the tombstone if that is the reason. A
/// teardown works without the forge, too.
pub(crate) async fn bury(session: &Session, forges: &Forges, record: &EnvironmentRecord) -> Result<()> {
    let Some((mark, number)) = of_pull(record) else { return Ok(()) };
    let asked = async { Ok::<_, Error>(forges.marked(&mark, &record.spec.repository)?.pull(number).await?) };
    let pull = match asked.await {
        Ok(pull) if pull.state != PullState::Open => pull,
        Ok(_) => return Ok(()),
        Err(error) => {
            tracing::debug!(error = one_line(&error), "no tombstone: the pull request cannot be read");
            return Ok(());
        }
    };
    let at = session.cluster.now().to_string();
    let buried = session.records.change_pull(&record.spec.repository, number, &mark, |known| {
        let (state, updated_at) = (pull.state.to_string(), pull.updated_at.clone());
        known.closed = Some(Closed { state, updated_at, at: at.clone() });
        known.approval = None;
    });
    buried.await?;
    Ok(())
}

/// Before any teardown: what the comment says will be wrong, and is corrected when the forge can be told.
pub(crate) async fn will_go(session: &Session, record: &EnvironmentRecord, why: Option<&str>) -> Result<()> {
    let Some((mark, number)) = of_pull(record) else { return Ok(()) };
    let known = session.records.pull(&record.spec.repository, number).await?;
    let ours = |note: &CommentMark| note.environment == record.spec.id && note.untold.is_none();
    if !known.is_some_and(|known| known.spec.comments.iter().any(ours)) {
        return Ok(());
    }
    let noted = session.records.change_pull(&record.spec.repository, number, &mark, |known| {
        for note in known.comments.iter_mut().filter(|note| ours(note)) {
            note.untold = Some(why.unwrap_or("somebody asked for it with `mimeo down`").to_owned());
        }
    });
    noted.await?;
    Ok(())
}

fn of_pull(record: &EnvironmentRecord) -> Option<(cluster::ForgeMark, u64)> {
    let mark = record.spec.forge.clone().filter(|_| record.spec.ref_kind == Some(RefKind::Pull))?;
    Some((mark, record.spec.r#ref.strip_prefix("pr/")?.parse().ok()?))
}

/// Tells what is untold yet, and forgets tombstones that nobody needs any more. A forge that cannot be told
/// is told in a later pass.
pub(crate) async fn settle(session: &Session, forges: &Forges, now: Timestamp) -> Result<()> {
    let pulls = match session.records.pulls().await {
        Err(cluster::Error::NotInstalled) => return Ok(()),
        other => other?,
    };
    for pull in &pulls {
        if !session.records.is_itself(pull) {
            continue;
        }
        for note in pull.spec.comments.iter().filter(|note| note.untold.is_some()) {
            if let Err(error) = tell(session, forges, pull, note).await {
                let about = format!("{} pull request {}", pull.spec.repository, pull.spec.number);
                session.tell(Event::Note(format!("{about} could not be told: {}", one_line(&error))));
            }
        }
        let told = pull.spec.comments.iter().all(|note| note.untold.is_none());
        let closed = pull.spec.closed.as_ref().and_then(|closed| closed.at.parse::<Timestamp>().ok());
        if told && closed.is_some_and(|at| now.duration_since(at) > FORGET_AFTER) {
            session.records.forget_pull(pull).await?;
        }
    }
    Ok(())
}

async fn tell(session: &Session, forges: &Forges, pull: &PullRequest, note: &CommentMark) -> Result<()> {
    let (repository, number) = (&pull.spec.repository, pull.spec.number);
    let identity = EnvironmentIdentity::new(repository, &format!("pr/{number}"), &note.spec);
    if identity.id != note.environment {
        return Ok(());
    }
    // It is up again, or the teardown is not finished: then there is nothing to tell yet.
    if session.records.get(&identity.name).await?.is_some() {
        return Ok(());
    }
    // Every mimeo user may write what is remembered: only what a receipt says is told.
    let receipts = session.records.receipts().await?;
    let Some(receipt) = receipts.into_iter().rfind(|receipt| receipt.spec.id == note.environment) else {
        return Ok(());
    };
    let why = receipt.spec.reason.unwrap_or_else(|| "somebody asked for it".to_owned());
    let forge = forges.marked(&pull.spec.forge, repository)?;
    let teller = Teller::new(session, &*forge, number, &note.spec, &identity).await?;
    let head = match forge.pull(number).await {
        Ok(pull) => pull.head.commit,
        Err(_) => note.commit.clone(),
    };
    tracing::debug!(head = short(&head), "telling why an environment went");
    teller.gone(&head, &why).await
}
