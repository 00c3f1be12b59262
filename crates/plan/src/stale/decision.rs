//! What was decided, and why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Memory;

/// What becomes of one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Name of the environment.
    pub environment: String,
    /// Its id.
    pub id: String,
    /// uid of its record.
    pub record_uid: String,
    /// Whether it goes.
    pub decision: Verdict,
    /// The rule that decided.
    pub rule: Rule,
    /// One sentence that says why.
    pub cause: String,
    /// What the rules looked at, an object.
    pub inputs: Value,
    /// What comes next if nothing else happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// What the record has to remember after this pass, in place of what it remembered before.
    pub memory: Memory,
}

/// Whether an environment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It stays.
    Keep,
    /// It goes now.
    Delete,
    /// It would go, with too many others: somebody has to approve the list.
    Held,
}

/// The rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A teardown has begun: it is finished.
    Teardown,
    /// A protected environment stays.
    Protected,
    /// Its TTL is over.
    Ttl,
    /// Its branch is gone.
    BranchGone,
    /// Its pull request was closed without a merge.
    PullClosed,
    /// Its pull request was merged.
    PullMerged,
    /// No rule strikes.
    None,
}

impl Rule {
    /// The name of the rule, as it is serialised.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Teardown => "teardown",
            Self::Protected => "protected",
            Self::Ttl => "ttl",
            Self::BranchGone => "branch-gone",
            Self::PullClosed => "pull-closed",
            Self::PullMerged => "pull-merged",
            Self::None => "none",
        }
    }
}

/// What comes next if nothing else happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Next {
    /// The rule that will strike.
    pub rule: Rule,
    /// Not before this time, where it hangs on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// When, in words.
    pub when: String,
}

/// Short digest that an approval names: 12 hexadecimal digits over what is held, in no order; `None` where
/// nothing is.
#[must_use]
pub fn held_digest(decisions: &[Decision]) -> Option<String> {
    let mut held: Vec<(&str, &str, &str)> = decisions
        .iter()
        .filter(|decision| decision.decision == Verdict::Held)
        .map(|decision| (decision.id.as_str(), decision.record_uid.as_str(), decision.rule.name()))
        .collect();
    held.sort_unstable();
    (!held.is_empty()).then(|| crate::digest(&json!(held)).chars().take(12).collect())
}
