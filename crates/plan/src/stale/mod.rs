//! Which environments are no longer wanted, and how that is known.
//!
//! Input: the time, a [`Policy`], one [`Candidate`] per record, each with what this pass saw of its
//! reference ([`Look`]) and what earlier passes left in its record ([`Memory`]). Output: one
//! [`Decision`] per candidate. The executor reads its evidence again before it deletes.
//!
//! "Could not see" is never "gone": a failed look decides nothing, and what is missing from a listing
//! counts only where the same remote had it before, another ref known from that time answered, and a
//! second witness agrees: the forge, or a second listing some time later. The first rule that strikes
//! is the one that is told:
//!
//! | rule | strikes when | budget |
//! |---|---|---|
//! | teardown | a teardown has begun | none |
//! | protected | the environment is protected: it stays | - |
//! | pull-closed, pull-merged | the forge says so | none |
//! | ttl | its TTL is over, and an earlier pass has announced that | none |
//! | branch-gone | its branch is missing, with two witnesses | counts |

mod branch;
mod candidate;
mod decide;
mod decision;
mod finding;
mod look;
mod ttl;

pub use candidate::{
    Absence, Announcement, Candidate, ForgeAnswer, Look, Memory, Policy, PullState, Reference, Sighting,
    Unknown,
};
pub use decide::{budget, decide};
pub use decision::{Decision, Next, Rule, Verdict, held_digest};
