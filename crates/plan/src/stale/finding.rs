//! What one rule found, and how times and commits are written.

use jiff::{SignedDuration, Timestamp};

use super::{Next, Rule};

/// What one rule found about one environment.
pub(super) struct Finding {
    /// The rule, where it strikes.
    pub strikes: Option<Rule>,
    /// Why it does, or why it does not.
    pub cause: String,
    /// When it will.
    pub next: Option<Next>,
}

impl Finding {
    /// The rule strikes.
    pub fn strikes(rule: Rule, cause: String) -> Self {
        Self { strikes: Some(rule), cause, next: None }
    }

    /// It does not.
    pub fn keeps(cause: String, next: Option<Next>) -> Self {
        Self { strikes: None, cause, next }
    }
}

/// A time in RFC 3339, in whole seconds.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// A commit, shortened.
pub(super) fn short(commit: &str) -> String {
    commit.chars().take(12).collect()
}

/// A duration in whole seconds, as `6m` or `1h 30m`.
pub(super) fn length(duration: SignedDuration) -> String {
    format!("{:#}", SignedDuration::from_secs(duration.as_secs()))
}
