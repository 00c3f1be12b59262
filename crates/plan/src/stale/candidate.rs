//! What is decided about: an environment, what this pass saw, and what earlier passes remembered.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How careful deletion by absence is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Two listings without a branch are two witnesses when at least this lies between them.
    pub absence_gap: SignedDuration,
    /// How many of the live environments may go by absence in one pass.
    pub budget_percent: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { absence_gap: SignedDuration::from_mins(5), budget_percent: 20 }
    }
}

/// What an environment was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reference {
    /// A branch, by its short name.
    Branch(String),
    /// A tag.
    Tag(String),
    /// A pull request, by its number.
    Pull(u64),
    /// A name that somebody gave, or a record that does not say.
    Named(String),
}

/// One environment, as its record and this pass show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Name of the environment.
    pub name: String,
    /// Id of the environment (32 hexadecimal digits).
    pub id: String,
    /// uid of its record.
    pub record_uid: String,
    /// The repository it was made from.
    pub repository: String,
    /// What of that repository.
    pub reference: Reference,
    /// Nothing but a teardown that has begun takes it away.
    pub protected: bool,
    /// A teardown has begun, by `down` or because the record was deleted.
    pub going: bool,
    /// When `up` last brought it to a commit.
    pub last_up: Timestamp,
    /// When its TTL is over.
    pub expires_at: Option<Timestamp>,
    /// What earlier passes left in the record.
    pub memory: Memory,
    /// What this pass saw.
    pub look: Look,
}

/// What the status of a record keeps between passes. A field that is not there was forgotten: whoever
/// stores this has to replace the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Where the branch was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sighting: Option<Sighting>,
    /// The first listing that did not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absence: Option<Absence>,
    /// The pass that found the TTL over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announcement>,
    /// Since when nothing could be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Unknown>,
}

/// A listing that had the branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sighting {
    /// The remote that was listed.
    pub remote: String,
    /// When the branch was first seen like this; later passes that see the same leave it.
    pub at: Timestamp,
    /// The commit it was at.
    pub commit: String,
    /// Up to five other branches of the same listing, the default one first: one of them has to be in a
    /// listing that says the branch is gone.
    pub others: Vec<String>,
}

/// A listing that did not have the branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Absence {
    /// The remote that was listed.
    pub remote: String,
    /// When.
    pub at: Timestamp,
    /// The other branch that answered.
    pub anchor: String,
}

/// A pass that found the TTL over and said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// When.
    pub at: Timestamp,
    /// The end that was announced.
    pub expires_at: Timestamp,
}

/// A look that failed, or that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unknown {
    /// Since when no pass could see.
    pub since: Timestamp,
    /// Why the last one could not.
    pub cause: String,
}

/// What this pass saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Look {
    /// There is nothing to look at: a tag, a name, no remote that is known.
    Nothing {
        /// Which of these.
        why: String,
    },
    /// It could not see.
    Unknown {
        /// Why.
        cause: String,
    },
    /// A complete listing of the branches of a remote.
    Branch {
        /// The remote that was listed.
        remote: String,
        /// The commit of the branch, or `None` where the listing does not have it.
        commit: Option<String>,
        /// All other branches of the listing, the default one first.
        refs: Vec<String>,
        /// What the forge says about the branch.
        forge: ForgeAnswer,
    },
    /// What the forge says about a pull request.
    Pull {
        /// Its state.
        state: PullState,
        /// Since when, as the forge writes it.
        at: Option<String>,
    },
}

/// What the forge says about a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ForgeAnswer {
    /// There was no question.
    NotAsked,
    /// The branch exists.
    Present,
    /// The branch does not exist: the forge's own word for this branch.
    Absent,
    /// It did not say.
    Unknown {
        /// Why.
        cause: String,
    },
}

/// State of a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PullState {
    /// It is open.
    Open,
    /// It was closed without a merge.
    Closed,
    /// It was merged.
    Merged,
}
