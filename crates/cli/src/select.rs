//! Which live environment an argument means: its name, its id, or a spec at a branch.

use cluster::EnvironmentRecord;
use engine::{Error, Session};
use spec::{Diagnostic, EnvironmentIdentity};

use crate::{args::Source, inputs};

/// The receipt of an environment that was taken down already: `down` twice is no error.
pub async fn receipt(session: &Session, wanted: &str, source: &Source) -> Option<cluster::Receipt> {
    let names = names(wanted, source).await;
    let receipts = session.records.receipts().await.ok()?;
    receipts
        .into_iter()
        .rfind(|receipt| names.contains(&receipt.spec.environment) || receipt.spec.id == wanted)
}

/// What an environment may be called: as it is given, and as the branch makes a name of a spec.
pub async fn names(wanted: &str, source: &Source) -> Vec<String> {
    let identity = inputs::commit(source)
        .await
        .map(|commit| EnvironmentIdentity::new(&commit.repository, &commit.resolved.ref_name, wanted).name);
    std::iter::once(wanted.to_owned()).chain(identity.ok()).collect()
}

/// Finds the one environment that is meant, or says why it cannot be told.
pub async fn environment(
    session: &Session,
    wanted: &str,
    source: &Source,
) -> Result<EnvironmentRecord, Error> {
    // By name, by id, then by what the branch makes of a spec: no look at all environments is needed.
    if has_digits(wanted)
        && let Some(record) = session.records.get(wanted).await?
    {
        return Ok(record);
    }
    if let Some(record) = session.records.by_id(wanted).await? {
        return Ok(record);
    }
    let asked = source.rev.is_some() || source.name.is_some() || source.repo.is_some();
    match inputs::commit(source).await {
        Ok(commit) => {
            let identity = EnvironmentIdentity::new(&commit.repository, &commit.resolved.ref_name, wanted);
            if let Some(record) = session.records.get(&identity.name).await? {
                return Ok(record);
            }
        }
        Err(error) if asked => {
            // The branch may be gone: its name still names the environment.
            let reference = source.name.as_ref().or(source.rev.as_ref());
            if let (Some(reference), Ok(repository)) = (reference, inputs::repository(source).await) {
                let reference = reference.strip_prefix("origin/").unwrap_or(reference);
                let identity = EnvironmentIdentity::new(&repository, reference, wanted);
                if let Some(record) = session.records.get(&identity.name).await? {
                    return Ok(record);
                }
            }
            return Err(error);
        }
        // Not in a repository: only a name or an id can be meant.
        Err(_) => {}
    }
    Err(unknown(&session.records.list().await?, wanted))
}

/// Every name of an environment ends with eight digits of its id.
fn has_digits(wanted: &str) -> bool {
    wanted
        .rsplit_once('-')
        .is_some_and(|(_, digits)| digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn unknown(records: &[EnvironmentRecord], wanted: &str) -> Error {
    let name = |record: &EnvironmentRecord| record.metadata.name.clone().unwrap_or_default();
    let same_spec: Vec<String> = records
        .iter()
        .filter(|record| record.spec.spec == wanted)
        .map(|record| format!("{} ({})", name(record), record.spec.r#ref))
        .collect();
    let mut diagnostic = Diagnostic::error("ENV014", "there is no such environment").on(wanted.to_owned());
    diagnostic.help = Some(match (same_spec.is_empty(), records.is_empty()) {
        (false, _) => format!("Name one of those that are up from this spec: {}", same_spec.join(", ")),
        (true, false) => {
            let names: Vec<String> = records.iter().map(name).collect();
            spec::near::hint(wanted, "environment", names.iter().map(String::as_str))
        }
        (true, true) => "Nothing is up in this cluster".to_owned(),
    });
    diagnostic.into()
}
