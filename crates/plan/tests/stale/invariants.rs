//! What must hold of every decision whatever the rules say, against what is true and was told.

use jiff::Timestamp;
use plan::stale::{
    Candidate, Decision, ForgeAnswer, Look, Policy, PullState, Reference, Rule, Verdict, decide,
};

use crate::{
    reference::{List, Pass},
    world::Truth,
};

/// One decision and its past.
pub struct Moment<'a> {
    pub seed: u64,
    pub now: Timestamp,
    pub candidate: &'a Candidate,
    pub decision: &'a Decision,
    /// What was true in the stored passes, and what is now.
    pub truths: (&'a [Truth], Truth),
    /// The stored passes and this one.
    pub passes: &'a [Pass],
}

impl std::fmt::Display for Moment<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "history {}: {:#?}", self.seed, self.decision)
    }
}

/// What must hold of one environment.
pub fn one(told: &Moment<'_>) {
    let Moment { candidate, decision, .. } = told;
    assert_eq!(decision.environment, candidate.name, "{told}");
    assert_eq!((&decision.id, &decision.record_uid), (&candidate.id, &candidate.record_uid), "{told}");
    assert!(decision.inputs.is_object(), "{told}");
    assert!(!decision.cause.is_empty() && !decision.cause.contains('\n'), "{told}");
    assert!(!decision.cause.ends_with('.') && !decision.cause.contains("  "), "{told}");
    if candidate.protected && !candidate.going {
        assert_eq!(decision.decision, Verdict::Keep, "protected: {told}");
    }
    if candidate.going {
        assert_eq!((decision.decision, decision.rule), (Verdict::Delete, Rule::Teardown), "{told}");
        assert_eq!(decision.memory, candidate.memory, "{told}");
    }
    match decision.rule {
        Rule::BranchGone => branch_gone(told),
        Rule::Ttl if decision.decision == Verdict::Delete => ttl(told),
        Rule::PullClosed | Rule::PullMerged => {
            assert!(matches!(candidate.reference, Reference::Pull(_)), "{told}");
            let Look::Pull { state, .. } = candidate.look else { panic!("no such look: {told}") };
            assert_ne!(state, PullState::Open, "{told}");
            let merged = state == PullState::Merged;
            assert_eq!(decision.rule, if merged { Rule::PullMerged } else { Rule::PullClosed }, "{told}");
        }
        _ => {}
    }
    let held = decision.decision == Verdict::Held;
    assert!(!held || decision.rule == Rule::BranchGone, "only absence is held: {told}");
}

/// An absence is told by a listing of now, of a remote that once had the branch; and one lie is not enough.
fn branch_gone(told: &Moment<'_>) {
    let Look::Branch { remote, commit, forge, .. } = &told.candidate.look else {
        panic!("no listing: {told}")
    };
    assert_eq!(*commit, None, "it was seen in this pass: {told}");
    assert_ne!(*forge, ForgeAnswer::Present, "{told}");
    let (_, earlier) = told.passes.split_last().unwrap();
    let of_this_remote = |pass: &Pass, present: bool| {
        matches!(&pass.look, Look::Branch { remote: other, commit, .. }
            if other == remote && commit.is_some() == present)
    };
    assert!(earlier.iter().any(|pass| of_this_remote(pass, true)), "it was never seen: {told}");
    let missed_before = earlier.iter().any(|pass| of_this_remote(pass, false));
    assert!(missed_before || *forge == ForgeAnswer::Absent, "one witness: {told}");
    let (before, now) = told.truths;
    if now.exists {
        assert!(now.listing_lied, "a true listing had it: {told}");
        let listings = before.iter().any(|truth| truth.listed && (truth.listing_lied || !truth.exists));
        assert!(now.forge_lied || listings, "one lie was enough: {told}");
    }
}

/// An end is announced before it strikes, by a pass that found the same end over.
fn ttl(told: &Moment<'_>) {
    let end = told.candidate.expires_at;
    assert!(end.is_some_and(|end| end <= told.now), "not over: {told}");
    let (_, earlier) = told.passes.split_last().unwrap();
    let announced = earlier
        .last()
        .is_some_and(|pass| pass.expires_at == end && pass.expires_at.is_some_and(|end| end <= pass.now));
    assert!(announced, "the first pass that finds it over: {told}");
}

/// What must hold of all together.
pub fn all(
    now: Timestamp,
    policy: &Policy,
    candidates: &[Candidate],
    decisions: &[Decision],
    approved: Option<&List>,
    approve: Option<&str>,
) {
    let gone = |verdict: Verdict| -> List {
        decisions
            .iter()
            .filter(|decision| decision.rule == Rule::BranchGone && decision.decision == verdict)
            .map(|decision| (decision.id.clone(), decision.record_uid.clone()))
            .collect()
    };
    let (deleted, held) = (gone(Verdict::Delete), gone(Verdict::Held));
    assert!(deleted.is_empty() || held.is_empty(), "all are held or none is");
    let live = candidates.iter().filter(|candidate| !candidate.going).count();
    let over = |count: usize| count > 1 && count * 100 > live * policy.budget_percent as usize;
    assert!(!over(deleted.len()) || approved == Some(&deleted), "over the budget without approval");
    assert!(held.is_empty() || over(held.len()), "held within the budget");

    // A second pass at the same moment has nothing to write.
    let again: Vec<Candidate> = candidates
        .iter()
        .zip(decisions)
        .map(|(candidate, decision)| Candidate { memory: decision.memory.clone(), ..candidate.clone() })
        .collect();
    for (first, second) in decisions.iter().zip(decide(now, policy, &again, approve)) {
        assert_eq!(first.memory, second.memory, "{first:#?}");
    }
}

/// Nobody's evidence changes what is found about somebody else: only the budget is shared.
pub fn order(
    now: Timestamp,
    policy: &Policy,
    candidates: &[Candidate],
    decisions: &[Decision],
    approve: Option<&str>,
) {
    let reversed: Vec<Candidate> = candidates.iter().rev().cloned().collect();
    let mut reversed = decide(now, policy, &reversed, approve);
    reversed.reverse();
    assert_eq!(reversed, decisions);
}
