//! Looks at what environments were made from: branches by listing their remote once for all of them, pull
//! requests each by its own GET. What cannot be seen is told as such.

use std::{collections::BTreeMap, time::Duration};

use cluster::{EnvironmentRecord, RefKind, State};
use futures::{StreamExt as _, stream};
use plan::stale::{ForgeAnswer, Look, PullState};

use super::{SIDE_BY_SIDE, reference};
use crate::{Error, Forges, Result};
use forge::Branches;

/// Longest wait for one remote. libgit2 itself would wait for as long as the connection stands.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(60);

/// One look for each record, in their order.
pub(super) async fn at(forges: &Forges, records: &[EnvironmentRecord]) -> Vec<Look> {
    let mut remotes: Vec<String> = records
        .iter()
        .filter(|record| is_branch(record))
        .filter_map(|record| forges.remote_of(record))
        .collect();
    remotes.sort();
    remotes.dedup();
    let listings: BTreeMap<String, std::result::Result<Branches, String>> = stream::iter(remotes)
        .map(|remote| async move {
            let listing = list(forges, &remote).await;
            (remote, listing)
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await;
    let listings = &listings;
    stream::iter(records)
        .map(|record| async move {
            let listing = forges.remote_of(record).and_then(|remote| listings.get(&remote));
            one(forges, record, listing).await
        })
        .buffered(SIDE_BY_SIDE)
        .collect()
        .await
}

/// A fresh look at one environment, for whoever is about to delete it.
pub(super) async fn again(forges: &Forges, record: &EnvironmentRecord) -> Look {
    let listing = match forges.remote_of(record).filter(|_| is_branch(record)) {
        Some(remote) => Some(list(forges, &remote).await),
        None => None,
    };
    one(forges, record, listing.as_ref()).await
}

fn is_branch(record: &EnvironmentRecord) -> bool {
    record.spec.ref_kind == Some(RefKind::Branch)
}

async fn one(
    forges: &Forges,
    record: &EnvironmentRecord,
    listing: Option<&std::result::Result<Branches, String>>,
) -> Look {
    let nothing = |why: &str| Look::Nothing { why: why.to_owned() };
    if matches!(record.spec.state, State::Deleting | State::DeleteBlocked) {
        return nothing("its teardown has begun");
    }
    use plan::stale::Reference;
    match reference(record) {
        Reference::Tag(_) => nothing("it is of a tag, and tags stay"),
        Reference::Named(_) => nothing("it has a name of its own, and no branch"),
        Reference::Pull(number) => pull(forges, record, number).await.unwrap_or_else(unknown),
        Reference::Branch(name) => match listing {
            None => nothing("its repository has no address on the network"),
            Some(Err(cause)) => Look::Unknown { cause: cause.clone() },
            Some(Ok(listing)) => branch(forges, record, listing, &name).await,
        },
    }
}

fn unknown(error: Error) -> Look {
    let causes: Vec<String> = error.diagnostics().into_iter().map(|found| found.cause).collect();
    Look::Unknown { cause: causes.join("; ") }
}

async fn pull(forges: &Forges, record: &EnvironmentRecord, number: u64) -> Result<Look> {
    let Some(forge) = forges.of(record).await? else {
        return Ok(Look::Unknown { cause: "nobody knows its forge".to_owned() });
    };
    let pull = forge.pull(number).await?;
    let state = match pull.state {
        forge::PullState::Open => PullState::Open,
        forge::PullState::Closed => PullState::Closed,
        forge::PullState::Merged => PullState::Merged,
    };
    Ok(Look::Pull { state, at: pull.closed_at })
}

async fn branch(forges: &Forges, record: &EnvironmentRecord, listing: &Branches, name: &str) -> Look {
    let commit = listing.all.get(name).cloned();
    let default = listing.default.iter().filter(|default| *default != name);
    let others =
        listing.all.keys().filter(|other| *other != name && Some(*other) != listing.default.as_ref());
    let forge = match &commit {
        Some(_) => ForgeAnswer::NotAsked,
        None => match answer(forges, record, name).await {
            Ok(answer) => answer,
            Err(cause) => return Look::Unknown { cause },
        },
    };
    Look::Branch {
        remote: forges.remote_of(record).unwrap_or_default(),
        commit,
        refs: default.chain(others).cloned().collect(),
        forge,
    }
}

/// What the forge itself says about a branch that a listing lacks; an error where the repository at its
/// address is not the one in which the branch was seen: then the listing says nothing either.
async fn answer(
    forges: &Forges,
    record: &EnvironmentRecord,
    name: &str,
) -> std::result::Result<ForgeAnswer, String> {
    let seen = record.status.as_ref().and_then(|status| status.memory.sighting.as_ref());
    let asked = async {
        let Some(forge) = forges.of(record).await? else { return Ok((ForgeAnswer::NotAsked, true)) };
        match forge.branch(name).await? {
            forge::BranchAnswer::Present { .. } => Ok((ForgeAnswer::Present, true)),
            forge::BranchAnswer::Absent => match seen {
                Some(seen) => Ok((ForgeAnswer::Absent, forge.knows(&seen.commit).await?)),
                None => Ok((ForgeAnswer::Absent, true)),
            },
        }
    };
    match asked.await {
        Ok((answer, true)) => Ok(answer),
        Ok((_, false)) => Err(format!(
            "the forge does not know the commit that the branch was seen at; another repository may stand at the address of {}",
            record.spec.repository
        )),
        Err(error) => {
            let error: Error = error;
            let causes = error.diagnostics().into_iter().map(|found| found.cause);
            Ok(ForgeAnswer::Unknown { cause: causes.collect::<Vec<_>>().join("; ") })
        }
    }
}

/// Lists a remote on a connection of its own. Over HTTP nothing is followed anywhere; libgit2, which would
/// follow, is left what has no redirects.
async fn list(forges: &Forges, remote: &str) -> std::result::Result<Branches, String> {
    let lines = |found: spec::Diagnostic| {
        [found.cause].into_iter().chain(found.detail).collect::<Vec<_>>().join(": ")
    };
    if remote.starts_with("http://") || remote.starts_with("https://") {
        let token = forges.token_for(remote);
        let withheld = match (&forges.token, token, &forges.server) {
            (Some(_), None, None) => {
                " (there is a token, but nobody says for which server: --forge-url)".to_owned()
            }
            (Some(_), None, Some(server)) => format!(" (the token is for {server} only)"),
            _ => String::new(),
        };
        let listing = forge::branches(remote, token).await;
        return listing.map_err(|error| lines(error.diagnostic()) + &withheld);
    }
    let url = remote.to_owned();
    let work = tokio::task::spawn_blocking(move || source::list(&url));
    match tokio::time::timeout(REMOTE_TIMEOUT, work).await {
        Ok(Ok(Ok(listing))) => Ok(Branches { default: listing.default, all: listing.branches }),
        Ok(Ok(Err(error))) => Err(lines(error.diagnostic())),
        Ok(Err(_)) => Err(format!("the answer of {remote} cannot be read")),
        Err(_) => Err(format!("{remote} does not answer within {} s", REMOTE_TIMEOUT.as_secs())),
    }
}
