//! Gives an environment more time.

use cluster::EnvironmentRecord;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use spec::Diagnostic;

use crate::{Result, Session, up};

/// Moves the end of an environment's TTL by `more`, counted from now if it is over already. Returns the
/// new end, RFC 3339. A later `up` does not shorten it.
///
/// # Errors
/// When it has no TTL, or is being deleted; when another run holds it for long; any failure of a request.
pub async fn extend(session: &Session, record: &EnvironmentRecord, more: SignedDuration) -> Result<String> {
    let name = record.name_any();
    let lease = up::lease(session, &name, up::PATIENCE).await?;
    let outcome = write(session, &name, more, lease.epoch()).await;
    lease.release().await.unwrap_or_else(|error| tracing::debug!(%error, "the lease runs out by itself"));
    outcome
}

async fn write(session: &Session, name: &str, more: SignedDuration, epoch: i64) -> Result<String> {
    let usage = |cause: &str, help: &str| Diagnostic::error("ENV021", cause).on(name.to_owned()).help(help);
    let Some(mut record) = session.records.get(name).await? else {
        return Err(Diagnostic::error("ENV014", "there is no such environment").on(name.to_owned()).into());
    };
    up::refuse_deleting(&record)?;
    let Some(over) = record.spec.expires_at.as_ref().and_then(|text| text.parse::<Timestamp>().ok()) else {
        return Err(usage("it has no TTL and lives until `mimeo down`", "Nothing needs to be done").into());
    };
    let from = over.max(session.cluster.now());
    let end = from
        .checked_add(more)
        .map_err(|_| usage("that is later than any calendar goes", "Choose a shorter time"))?;
    record.spec.epoch = epoch;
    record.spec.expires_at = Some(end.to_string());
    record.spec.extended_until = Some(end.to_string());
    session.records.replace(&record).await?;
    Ok(end.to_string())
}
