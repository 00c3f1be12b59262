//! A fork's code runs only where somebody who may write to the base repository has looked at it.

use cluster::{Approval, PullRequest};
use forge::{Forge, Pull};
use spec::{Category, Diagnostic};

use super::{mark, short};
use crate::{Result, Session};

/// Whether the head of a fork's pull request is the approved commit. A new head voids an approval.
pub(super) fn allows(known: Option<&PullRequest>, pull: &Pull) -> bool {
    let approval = known.and_then(|known| known.spec.approval.as_ref());
    approval.is_some_and(|approval| approval.commit == pull.head.commit && approval.base == pull.base.branch)
}

pub(super) fn missing(forge: &dyn Forge, pull: &Pull) -> Diagnostic {
    let url = forge.place().pull_url(pull.number);
    let cause = format!("{} comes from a fork, and nobody has approved it", short(&pull.head.commit));
    Diagnostic::new("PRV001", Category::Refused, cause).on(url.clone()).help(command(&url, &pull.head.commit))
}

/// What somebody who may write to the repository runs.
pub(super) fn command(url: &str, commit: &str) -> String {
    format!("Look at the change, then run `mimeo approve {url} --commit {commit}`")
}

/// Keeps who allowed this commit of a fork, and when.
///
/// # Errors
/// When the token is nobody's, or of somebody who may not write to the repository; when `commit` is not the
/// head of the pull request; any failure of the forge or the cluster.
pub async fn approve(session: &Session, forge: &dyn Forge, number: u64, commit: &str) -> Result<Approval> {
    let url = forge.place().pull_url(number);
    let refused = |code, cause: String, help: String| {
        Diagnostic::new(code, Category::Refused, cause).on(url.clone()).help(help)
    };
    let pull = forge.pull(number).await?;
    if commit.len() < 12 || !pull.head.commit.starts_with(&commit.to_ascii_lowercase()) {
        let cause = format!("{commit} is not its head, which is {}", pull.head.commit);
        return Err(refused("PRV005", cause, command(&url, &pull.head.commit)).into());
    }
    let Some(account) = forge.account().await? else {
        let cause = "the forge token belongs to no person".to_owned();
        return Err(refused("PRV006", cause, "Use a token of your own: MIMEO_FORGE_TOKEN".to_owned()).into());
    };
    if !forge.may_write(&account.login).await? {
        let cause = format!("{} may not write to {}", account.login, pull.base.repository);
        return Err(refused("PRV007", cause, "Ask somebody who may".to_owned()).into());
    }
    let approval = Approval {
        commit: pull.head.commit.clone(),
        base: pull.base.branch.clone(),
        by: account.login,
        at: session.cluster.now().to_string(),
    };
    let repository = forge.place().identity();
    session
        .records
        .change_pull(&repository, number, &mark(forge), |known| known.approval = Some(approval.clone()))
        .await?;
    Ok(approval)
}
