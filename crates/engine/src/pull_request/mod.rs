//! The preview of a pull request: its environment, one comment and one status that say the truth.
//!
//! ```text
//! the PR's own GET ─► building ─► render ─► up ─► ready | failed
//!   closed ─► tombstone ─► down ─► gone     └─ asked again before every wave: still open, still this head?
//! ```

mod approval;
mod changes;
mod comment;
mod tell;
mod tomb;

use std::time::Duration;

use cluster::{ForgeMark, RefKind};
use forge::{Forge, Pull, PullState};
use futures::{FutureExt as _, future::BoxFuture};
use render::Rendered;
use spec::{Category, Diagnostic, EnvironmentIdentity};

pub use approval::approve;
pub(crate) use tomb::{bury, settle, will_go};

use self::tell::Teller;
use crate::{
    Error, Event, Result, Session,
    up::{self, Origin, Wanted},
};

/// How long a preview waits for another run on the same environment: an older one asks every ten seconds
/// whether it is still wanted.
const PATIENCE: Duration = Duration::from_secs(90);
/// Code of the refusal by which a run learns that a newer push has taken its place.
const OVERTAKEN: &str = "PRV002";
/// Code of the refusal by which a run learns that the pull request is open no more.
const CLOSED: &str = "PRV003";

/// Code of the finding that there is no such spec.
const NO_SPEC: &str = "SPC008";

/// Which preview, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the environment spec.
    pub spec: String,
    /// How long to wait until everything is healthy.
    pub timeout: Duration,
    /// Fail on the first sight of trouble.
    pub fail_fast: bool,
    /// Digest of a plan that somebody approved.
    pub approve: Option<String>,
    /// When the command was given, by this machine's clock.
    pub given: jiff::Timestamp,
}

/// What a head is rendered to.
pub struct Sources {
    /// The head, with lifecycle and policy of the base branch.
    pub head: Rendered,
    /// The same environment as the base has it; `None` where the base does not have the spec.
    pub base: Option<Rendered>,
}

/// How a preview ended without an error.
pub enum Outcome {
    /// The environment is at the head.
    Ready(Box<up::Report>),
    /// The pull request is not open: nothing of it is left.
    Gone {
        /// Name of the environment.
        name: String,
        /// `closed` or `merged`.
        state: String,
    },
}

/// Brings the environment of a pull request to its head, or takes it down when it is closed or merged.
///
/// # Errors
/// As [`up::up`] and [`crate::down::down`]; `PRV…` when the pull request moved on, or is of a fork that
/// nobody approved; any failure of the forge.
pub async fn preview(
    session: &Session,
    forge: &dyn Forge,
    number: u64,
    options: &Options,
    render: impl AsyncFn(&Pull) -> Result<Sources>,
) -> Result<Outcome> {
    let repository = forge.place().identity();
    let identity = EnvironmentIdentity::new(&repository, &format!("pr/{number}"), &options.spec);
    // Before the pull request: who reads the tombstone first and then that it is open, knows that it was
    // reopened.
    let known = session.records.pull(&repository, number).await?;
    let pull = forge.pull(number).await?;
    let teller = Teller::new(session, forge, number, &options.spec, &identity).await?;
    if pull.state != PullState::Open {
        return tomb::close(session, &teller, &pull).await;
    }
    tomb::reopen(session, &teller, known.as_ref(), &pull).await?;
    if pull.is_fork() && !approval::allows(known.as_ref(), &pull) {
        teller.waiting(&pull).await?;
        return Err(approval::missing(forge, &pull).into());
    }
    match bring_up(session, &teller, &pull, options, render).await {
        Ok(report) => Ok(Outcome::Ready(Box::new(report))),
        Err(error) if has(&error, CLOSED) => {
            session.tell(Event::Note("the pull request was closed meanwhile".to_owned()));
            tomb::close(session, &teller, &forge.pull(number).await?).await
        }
        // A name that no spec has is a slip of whoever typed it: the pull request has nothing to do with it.
        Err(error) if has(&error, NO_SPEC) && !teller.has_spoken().await? => Err(error),
        Err(error) => {
            let told = if has(&error, OVERTAKEN) {
                teller.overtaken(&pull).await
            } else {
                teller.failed(&pull, &error).await
            };
            if let Err(silent) = told {
                session
                    .tell(Event::Note(format!("the pull request could not be told: {}", one_line(&silent))));
            }
            Err(error)
        }
    }
}

async fn bring_up(
    session: &Session,
    teller: &Teller<'_>,
    pull: &Pull,
    options: &Options,
    render: impl AsyncFn(&Pull) -> Result<Sources>,
) -> Result<up::Report> {
    let sources = render(pull).await?;
    teller.building(pull).await?;
    let place = teller.forge.place();
    let options = up::Options {
        timeout: options.timeout,
        fail_fast: options.fail_fast,
        approve: options.approve.clone(),
        origin: Origin {
            ref_kind: Some(RefKind::Pull),
            remote: Some(place.clone_url()),
            forge: Some(mark(teller.forge)),
        },
        patience: PATIENCE,
        given: options.given,
        shown: None,
    };
    let wanted = StillOpen { session, teller, head: &pull.head.commit, base: &pull.base.branch };
    let report = up::up(session, &sources.head, &options, Some(&wanted)).await?;
    let changes = changes::against(&sources.head, sources.base.as_ref());
    // The environment is up, whether or not the forge can be told.
    teller.ready(pull, &report, &changes).await?;
    Ok(report)
}

pub(crate) fn mark(forge: &dyn Forge) -> ForgeMark {
    let place = forge.place();
    ForgeMark { kind: place.kind.to_string(), server: place.server.to_string() }
}

fn has(error: &Error, code: &str) -> bool {
    error.diagnostics().iter().any(|diagnostic| diagnostic.code == code)
}

fn one_line(error: &Error) -> String {
    error.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The pull request is open, its head is the one that is being made, and nobody buried it.
struct StillOpen<'a> {
    session: &'a Session,
    teller: &'a Teller<'a>,
    head: &'a str,
    base: &'a str,
}

impl Wanted for StillOpen<'_> {
    fn still(&self) -> BoxFuture<'_, Result<()>> {
        async {
            let (forge, number) = (self.teller.forge, self.teller.number);
            let pull = forge.pull(number).await?;
            refuse_moved(forge, &pull, self.head, self.base)?;
            let known = self.session.records.pull(&self.teller.repository, number).await?;
            if known.is_some_and(|known| known.spec.closed.is_some()) {
                let cause = "the pull request was closed while this run worked on it";
                return Err(Diagnostic::new(CLOSED, Category::Refused, cause)
                    .on(forge.place().pull_url(number))
                    .help("Run the command again if it was reopened")
                    .into());
            }
            Ok(())
        }
        .boxed()
    }
}

/// Says no when a pull request is not what a run was begun for.
fn refuse_moved(forge: &dyn Forge, now: &Pull, head: &str, base: &str) -> Result<()> {
    let refused = |code, cause: String, help: &str| {
        let about = forge.place().pull_url(now.number);
        Err(Diagnostic::new(code, Category::Refused, cause).on(about).help(help).into())
    };
    if now.state != PullState::Open {
        let cause = format!("the pull request is {}", now.state);
        return refused(CLOSED, cause, "Reopen it to have a preview");
    }
    if now.base.branch != base {
        let cause = format!("it is to be merged into {} now, not into {base}", now.base.branch);
        return refused("PRV009", cause, "Run the command again: another base decides");
    }
    if now.head.commit != head {
        let cause = format!("a newer push has taken its place: {}", short(&now.head.commit));
        return refused(OVERTAKEN, cause, "Look at the run of the newer commit");
    }
    Ok(())
}

/// The first twelve digits of a commit id.
fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
