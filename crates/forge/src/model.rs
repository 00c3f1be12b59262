//! What a forge tells, in words of our own.

use std::fmt;

use serde::Serialize;

/// Characters of a status description that both forges show; GitHub refuses more.
pub const DESCRIPTION_LIMIT: usize = 140;

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pull {
    /// Its number, from 1.
    pub number: u64,
    /// Its page for people.
    pub url: String,
    /// Its title.
    pub title: String,
    /// Open, closed or merged.
    pub state: PullState,
    /// When it was merged or closed, RFC 3339; `None` while it is open.
    pub closed_at: Option<String>,
    /// When anything about it changed last, RFC 3339.
    pub updated_at: String,
    /// Not ready for review.
    pub draft: bool,
    /// What is to be merged.
    pub head: Head,
    /// What it is to be merged into.
    pub base: Base,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// Login of who opened it; `ghost` when the account is gone.
    pub author: String,
}

impl Pull {
    /// Whether the head is in another repository than the base, or in one that is gone.
    #[must_use]
    pub fn is_fork(&self) -> bool {
        match &self.head.repository {
            Some(head) => !head.eq_ignore_ascii_case(&self.base.repository),
            None => true,
        }
    }
}

/// Where a pull request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PullState {
    /// It can still be merged.
    Open,
    /// Closed without being merged.
    Closed,
    /// Merged.
    Merged,
}

impl fmt::Display for PullState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Merged => "merged",
        })
    }
}

/// The head of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Its commit, in hexadecimal digits.
    pub commit: String,
    /// Its branch, which may be gone.
    pub branch: String,
    /// `owner/name` of its repository; `None` when that was deleted.
    pub repository: Option<String>,
}

/// The base of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Base {
    /// The commit of the base branch that the forge compares with, in hexadecimal digits.
    pub commit: String,
    /// The branch to merge into.
    pub branch: String,
    /// `owner/name` of the repository.
    pub repository: String,
}

/// What a forge knows about a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BranchAnswer {
    /// It exists.
    Present {
        /// Its commit, in hexadecimal digits.
        commit: String,
    },
    /// The forge shows the repository and says that there is no such branch.
    Absent,
}

/// A comment in the conversation of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comment {
    /// Its id on the forge.
    pub id: u64,
    /// Login of who wrote it; `ghost` when the account is gone.
    pub author: String,
    /// Its text, in Markdown.
    pub body: String,
    /// Its place on the page for people.
    pub url: String,
}

/// An account of a person on a forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Its login.
    pub login: String,
}

/// A status of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// What it is about; the newest status of a context counts.
    pub context: String,
    /// How it stands.
    pub state: StatusState,
    /// One line for people; only the first [`DESCRIPTION_LIMIT`] characters are sent.
    pub description: String,
    /// Where to read more.
    pub target_url: Option<String>,
}

/// How a status stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusState {
    /// Not decided yet.
    Pending,
    /// Good; also `skipped` of Gitea, which its own summary counts as good.
    Success,
    /// Bad; also `warning` of Gitea, which its own summary counts as bad.
    Failure,
    /// It could not be decided.
    Error,
}

impl StatusState {
    /// As both forges take it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }

    /// The last two are Gitea's, read as its `CommitStatusStates.Combine` counts them.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "pending" => Self::Pending,
            "success" | "skipped" => Self::Success,
            "failure" | "warning" => Self::Failure,
            "error" => Self::Error,
            _ => return None,
        })
    }
}

impl fmt::Display for StatusState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
