//! Forges: pull requests, branches, comments and statuses of Gitea, Forgejo and GitHub.
//!
//! The rules of the paths and fields are the forges' own: <https://docs.github.com/en/rest> (version 2022-11-28)
//! and the `/api/swagger` page of every Gitea. A request goes to one API base and nowhere else: redirects are not
//! followed, and what could not be seen is an error, never an absence.

mod answer;
mod client;
mod detect;
mod dialect;
mod error;
mod gitea;
mod github;
mod http;
mod model;
mod pages;
mod place;
mod refs;
mod token;

use std::time::Duration;

pub use crate::{
    client::{connect, connect_at, connect_with},
    detect::detect,
    error::Error,
    model::{
        Account, Base, BranchAnswer, Comment, DESCRIPTION_LIMIT, Head, Pull, PullState, Status, StatusState,
    },
    place::{Kind, Place, PullUrl},
    refs::{Branches, branches},
    token::Token,
};
use async_trait::async_trait;

/// What this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How long and how often to try. [`connect`] uses the default; tests make it shorter.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long to wait for a connection: 10 s.
    pub connect: Duration,
    /// How long a request may take, from connecting to the last byte of the answer: 30 s.
    pub request: Duration,
    /// The pause before the second attempt, where the forge names none: 500 ms; it doubles.
    pub pause: Duration,
    /// The longest pause a forge may ask for before it counts as refusing: 30 s.
    pub patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(30),
            pause: Duration::from_millis(500),
            patience: Duration::from_secs(30),
        }
    }
}

/// One repository on one forge, seen with one token.
///
/// Every method fails alike: [`Error::Unauthorized`], [`Error::Forbidden`], [`Error::NotFound`],
/// [`Error::RateLimited`], [`Error::Server`], [`Error::NotJson`], [`Error::Unreachable`], [`Error::Moved`],
/// [`Error::Refused`] and [`Error::Unexpected`] say what the forge answered; a name that cannot stand in a path is
/// [`Error::BadName`]. What a method adds is told there.
#[async_trait]
pub trait Forge: Send + Sync {
    /// The repository.
    fn place(&self) -> &Place;

    /// A pull request, by a request for it alone: lists lag behind.
    ///
    /// # Errors
    /// [`Error::Unexpected`] also when the answer is about another number or another repository.
    async fn pull(&self, number: u64) -> Result<Pull>;

    /// Whether a branch exists, and at which commit.
    ///
    /// # Errors
    /// When neither is certain: absent is only what the API itself answers 404 for while it shows the repository
    /// to the same token.
    async fn branch(&self, name: &str) -> Result<BranchAnswer>;

    /// All comments of a pull request's conversation, oldest first.
    ///
    /// # Errors
    /// [`Error::Incomplete`] when they are not all.
    async fn comments(&self, number: u64) -> Result<Vec<Comment>>;

    /// A comment; `None` when it is gone, which is as certain as a branch's absence.
    ///
    /// # Errors
    /// See [`Forge`].
    async fn comment(&self, id: u64) -> Result<Option<Comment>>;

    /// Writes a comment on a pull request. It is not sent twice unless the first is known not to have arrived.
    ///
    /// # Errors
    /// [`Error::TokenMissing`] without a token.
    async fn create_comment(&self, number: u64, body: &str) -> Result<Comment>;

    /// Replaces the text of a comment; `None` when it is gone.
    ///
    /// # Errors
    /// [`Error::TokenMissing`] without a token.
    async fn update_comment(&self, id: u64, body: &str) -> Result<Option<Comment>>;

    /// Removes a comment. One that is gone already is fine.
    ///
    /// # Errors
    /// [`Error::TokenMissing`] without a token.
    async fn delete_comment(&self, id: u64) -> Result<()>;

    /// Whether the repository has this commit (40 or 64 hexadecimal digits): another repository that was made
    /// at the same address does not.
    ///
    /// # Errors
    /// When the forge does not say.
    async fn knows(&self, commit: &str) -> Result<bool>;

    /// All statuses of a commit (40 or 64 hexadecimal digits), newest first; several of one context are its history.
    ///
    /// # Errors
    /// [`Error::Incomplete`] when they are not all.
    async fn statuses(&self, commit: &str) -> Result<Vec<Status>>;

    /// Adds a status to a commit; it is the newest of its context then. The description is cut to
    /// [`DESCRIPTION_LIMIT`] characters.
    ///
    /// # Errors
    /// [`Error::TokenMissing`] without a token.
    async fn set_status(&self, commit: &str, status: &Status) -> Result<()>;

    /// Whom the token belongs to; `None` for a token of an installation, as in GitHub Actions.
    ///
    /// # Errors
    /// [`Error::TokenMissing`] without a token.
    async fn account(&self) -> Result<Option<Account>>;

    /// Whether a person may write to the repository; an account that does not exist may not.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when the token may not ask.
    async fn may_write(&self, login: &str) -> Result<bool>;
}
