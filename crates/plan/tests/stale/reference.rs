//! The same decision a second time, written from the rules: slow, obvious, without any memory. It is given
//! every pass that was ever stored for a record and reads them all again.

use std::collections::BTreeSet;

use jiff::Timestamp;
use plan::stale::{ForgeAnswer, Look, Policy, PullState, Reference, Rule, Verdict};

/// One pass over one record, as it was seen.
#[derive(Debug, Clone)]
pub struct Pass {
    pub now: Timestamp,
    pub going: bool,
    pub protected: bool,
    pub expires_at: Option<Timestamp>,
    pub reference: Reference,
    pub look: Look,
}

/// One record: who it is, and all its passes; the last one is the one to decide.
pub struct Story<'a> {
    pub id: &'a str,
    pub record_uid: &'a str,
    pub passes: &'a [Pass],
}

/// Ids and uids of a list that was shown, or would be.
pub type List = BTreeSet<(String, String)>;

/// Decides about all of them. `approved` is the list that the approval was shown with.
pub fn reference(policy: &Policy, stories: &[Story<'_>], approved: Option<&List>) -> Vec<(Verdict, Rule)> {
    let alone: Vec<(Verdict, Rule)> = stories.iter().map(|story| by_itself(policy, story.passes)).collect();
    let list: List = stories
        .iter()
        .zip(&alone)
        .filter(|(_, outcome)| **outcome == (Verdict::Delete, Rule::BranchGone))
        .map(|(story, _)| (story.id.to_owned(), story.record_uid.to_owned()))
        .collect();
    let live = stories.iter().filter(|story| !story.passes.last().unwrap().going).count();
    let percent = policy.budget_percent as usize;
    let allowed = (0..=live).rev().find(|some| some * 100 <= live * percent).unwrap();
    let fits = list.len() == 1 || list.len() <= allowed || approved == Some(&list);
    alone
        .into_iter()
        .map(|outcome| match outcome {
            (Verdict::Delete, Rule::BranchGone) if !fits => (Verdict::Held, Rule::BranchGone),
            other => other,
        })
        .collect()
}

fn by_itself(policy: &Policy, passes: &[Pass]) -> (Verdict, Rule) {
    let this = passes.last().unwrap();
    if this.going {
        return (Verdict::Delete, Rule::Teardown);
    }
    if this.protected {
        return (Verdict::Keep, Rule::Protected);
    }
    if matches!(this.reference, Reference::Pull(_)) {
        match this.look {
            Look::Pull { state: PullState::Closed, .. } => return (Verdict::Delete, Rule::PullClosed),
            Look::Pull { state: PullState::Merged, .. } => return (Verdict::Delete, Rule::PullMerged),
            _ => {}
        }
    }
    if ttl_strikes(passes) {
        return (Verdict::Delete, Rule::Ttl);
    }
    if branch_is_gone(policy, passes) {
        return (Verdict::Delete, Rule::BranchGone);
    }
    (Verdict::Keep, if is_over(this) { Rule::Ttl } else { Rule::None })
}

fn is_over(pass: &Pass) -> bool {
    pass.expires_at.is_some_and(|end| end <= pass.now)
}

/// The same end was over in every pass of an unbroken row up to this one, none of them protected, and one of
/// them was earlier.
fn ttl_strikes(passes: &[Pass]) -> bool {
    let this = passes.last().unwrap();
    passes
        .iter()
        .rev()
        .take_while(|pass| is_over(pass) && !pass.protected && pass.expires_at == this.expires_at)
        .any(|pass| pass.now < this.now)
}

/// What a complete listing said about the branch of this record.
#[derive(Clone, Copy)]
struct Listed<'a> {
    now: Timestamp,
    remote: &'a str,
    commit: Option<&'a str>,
    refs: &'a [String],
    forge: &'a ForgeAnswer,
}

impl Listed<'_> {
    /// The branches that a later listing is compared with.
    fn first_five(&self) -> Vec<&String> {
        self.refs.iter().take(5).collect()
    }

    fn shows_the_same_as(&self, other: &Self) -> bool {
        (self.remote, self.commit, self.first_five()) == (other.remote, other.commit, other.first_five())
    }

    /// Whether this listing, without the branch, can be set against that one, which had it.
    fn compares_with(&self, sighting: &Self) -> bool {
        self.commit.is_none()
            && self.remote == sighting.remote
            && sighting.first_five().iter().any(|other| self.refs.contains(other))
    }
}

fn listed(pass: &Pass) -> Option<Listed<'_>> {
    let (Reference::Branch(name), Look::Branch { remote, commit, refs, forge }) =
        (&pass.reference, &pass.look)
    else {
        return None;
    };
    let contradicts_itself = commit.is_none() && refs.contains(name);
    (!contradicts_itself).then_some(Listed { now: pass.now, remote, commit: commit.as_deref(), refs, forge })
}

/// Listings of `row` that miss the branch of `sighting`, after the last one that the forge contradicted.
fn witnesses<'a>(sighting: &Listed<'_>, row: &[Listed<'a>]) -> Vec<Listed<'a>> {
    let missing: Vec<&Listed<'a>> = row.iter().filter(|listed| listed.compares_with(sighting)).collect();
    let contradicted = missing.iter().rposition(|listed| *listed.forge == ForgeAnswer::Present);
    missing[contradicted.map_or(0, |index| index + 1)..].iter().map(|listed| **listed).collect()
}

/// When the branch was first seen as it was last seen, without a witness of its absence in between. Where
/// the clock went back, the earliest of these times counts.
fn seen_at(rows: &[Listed<'_>], last: usize) -> Timestamp {
    let mut index = last;
    let mut earliest = rows[last].now;
    for earlier in (0..last).rev().filter(|earlier| rows[*earlier].commit.is_some()) {
        let same = rows[earlier].shows_the_same_as(&rows[index]);
        if !same || !witnesses(&rows[earlier], &rows[earlier + 1..index]).is_empty() {
            break;
        }
        earliest = earliest.min(rows[earlier].now);
        index = earlier;
    }
    earliest
}

fn branch_is_gone(policy: &Policy, passes: &[Pass]) -> bool {
    let Some(this) = listed(passes.last().unwrap()) else { return false };
    let rows: Vec<Listed<'_>> = passes.iter().filter_map(listed).collect();
    let Some(last) = rows.iter().rposition(|row| row.commit.is_some()) else { return false };
    if !this.compares_with(&rows[last]) || *this.forge == ForgeAnswer::Present {
        return false;
    }
    if *this.forge == ForgeAnswer::Absent {
        return true;
    }
    let seen_at = seen_at(&rows, last);
    let earlier = witnesses(&rows[last], &rows[last + 1..rows.len() - 1]);
    earlier.iter().enumerate().any(|(index, witness)| {
        // A witness from a time behind which the clock has gone back since is none.
        let in_order = earlier[index..].iter().all(|later| witness.now <= later.now);
        in_order && witness.now >= seen_at && witness.now + policy.absence_gap <= this.now
    })
}
