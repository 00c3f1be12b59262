//! What a look says about the reference of an environment.

use jiff::Timestamp;

use super::branch::{Listing, branch, second_witness};
use super::finding::{Finding, time};
use super::{Candidate, Look, Memory, Policy, PullState, Reference, Rule, Unknown};

/// Judges what this pass saw. A look at something else than the reference saw nothing.
pub(super) fn look(now: Timestamp, policy: &Policy, candidate: &Candidate, memory: &mut Memory) -> Finding {
    match (&candidate.reference, &candidate.look) {
        (_, Look::Nothing { why }) => {
            memory.unknown = None;
            Finding::keeps(why.clone(), None)
        }
        (_, Look::Unknown { cause }) => unknown(now, policy, memory, cause),
        (Reference::Pull(number), Look::Pull { state, at }) => {
            memory.unknown = None;
            pull(*number, *state, at.as_deref())
        }
        (Reference::Branch(name), Look::Branch { remote, commit, refs, forge }) => {
            let repository = &candidate.repository;
            let listing = Listing { repository, name, remote, commit: commit.as_deref(), refs, forge };
            branch(now, policy, &listing, memory)
        }
        (reference, _) => unknown(
            now,
            policy,
            memory,
            &format!("the look was at something else than {}", described(reference)),
        ),
    }
}

/// A look that failed or proves nothing. It neither confirms nor refutes: what was noted stays noted.
pub(super) fn unknown(now: Timestamp, policy: &Policy, memory: &mut Memory, cause: &str) -> Finding {
    let since = memory.unknown.as_ref().map_or(now, |unknown| unknown.since.min(now));
    memory.unknown = Some(Unknown { since, cause: cause.to_owned() });
    let next = memory.absence.as_ref().map(|absence| second_witness(policy, absence));
    Finding::keeps(format!("could not look since {}: {cause}", time(since)), next)
}

/// The forge's own word for a pull request is positive evidence: one witness is enough.
fn pull(number: u64, state: PullState, at: Option<&str>) -> Finding {
    let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
    match state {
        PullState::Open => Finding::keeps(format!("pull request {number} is open"), None),
        PullState::Closed => Finding::strikes(
            Rule::PullClosed,
            format!("pull request {number} was closed{at} and is not merged"),
        ),
        PullState::Merged => {
            Finding::strikes(Rule::PullMerged, format!("pull request {number} was merged{at}"))
        }
    }
}

fn described(reference: &Reference) -> String {
    match reference {
        Reference::Branch(name) => format!("branch {name}"),
        Reference::Tag(name) => format!("tag {name}"),
        Reference::Pull(number) => format!("pull request {number}"),
        Reference::Named(name) => format!("the name {name}"),
    }
}
