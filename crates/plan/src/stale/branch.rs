//! The branch rule: a branch is gone where it was seen before and two witnesses miss it.
//!
//! A witness is a complete listing of the remote that had the branch, in which another branch known from
//! that time answered: an empty or foreign listing proves nothing. The second witness is the forge, or a
//! second such listing after [`Policy::absence_gap`].

use jiff::Timestamp;

use super::finding::{Finding, length, short, time};
use super::look::unknown;
use super::{Absence, ForgeAnswer, Memory, Next, Policy, Rule, Sighting};

/// How many other branches a sighting remembers.
const OTHERS: usize = 5;

/// A complete listing of a remote, from the side of one branch.
#[derive(Clone, Copy)]
pub(super) struct Listing<'a> {
    /// The repository of the environment.
    pub repository: &'a str,
    /// The branch.
    pub name: &'a str,
    /// The remote.
    pub remote: &'a str,
    /// The commit of the branch, where the listing has it.
    pub commit: Option<&'a str>,
    /// The other branches, the default one first.
    pub refs: &'a [String],
    /// What the forge says about the branch.
    pub forge: &'a ForgeAnswer,
}

/// Judges a listing, and remembers it.
pub(super) fn branch(now: Timestamp, policy: &Policy, listing: &Listing<'_>, memory: &mut Memory) -> Finding {
    match listing.commit {
        Some(commit) => present(now, listing, commit, memory),
        None => absent(now, policy, listing, memory),
    }
}

/// A sighting refutes every absence. One that says nothing new is not written again.
fn present(now: Timestamp, listing: &Listing<'_>, commit: &str, memory: &mut Memory) -> Finding {
    let Listing { name, remote, refs, .. } = *listing;
    let others: Vec<String> = refs.iter().filter(|other| *other != name).take(OTHERS).cloned().collect();
    let known = memory.absence.is_none()
        && memory.sighting.as_ref().is_some_and(|sighting| {
            sighting.remote == remote
                && sighting.commit == commit
                && sighting.others == others
                && sighting.at <= now
        });
    if !known {
        let (remote, commit) = (remote.to_owned(), commit.to_owned());
        memory.sighting = Some(Sighting { remote, at: now, commit, others });
    }
    memory.absence = None;
    memory.unknown = None;
    Finding::keeps(format!("its branch {name} is on {remote} ({})", short(commit)), None)
}

fn absent(now: Timestamp, policy: &Policy, listing: &Listing<'_>, memory: &mut Memory) -> Finding {
    let Listing { repository, name, remote, refs, .. } = *listing;
    if refs.iter().any(|other| other == name) {
        return unknown(
            now,
            policy,
            memory,
            &format!("the listing of {remote} contradicts itself about {name}"),
        );
    }
    let sighting = match memory.sighting.clone() {
        Some(sighting) if sighting.remote == remote => sighting,
        elsewhere => {
            memory.unknown = None;
            let cause = match elsewhere {
                Some(other) => format!("its branch {name} was seen on {}, not on {remote}", other.remote),
                None => format!("its branch {name} was never seen on {remote}"),
            };
            return Finding::keeps(format!("{cause}: only its TTL counts"), None);
        }
    };
    let Some(anchor) = anchor(&sighting, refs, memory.absence.as_ref()) else {
        let cause = format!("no other known ref of {repository} answered on {remote}");
        return unknown(now, policy, memory, &cause);
    };
    if *listing.forge == ForgeAnswer::Present {
        memory.absence = None;
        let cause = format!("{remote} does not list branch {name}, and its forge says that it exists");
        return unknown(now, policy, memory, &cause);
    }
    memory.unknown = None;
    let first = standing(now, &sighting, memory.absence.take());
    let absence = first.clone().unwrap_or_else(|| Absence {
        remote: remote.to_owned(),
        at: now,
        anchor: anchor.clone(),
    });
    memory.absence = Some(absence.clone());
    if *listing.forge == ForgeAnswer::Absent {
        return Finding::strikes(Rule::BranchGone, by_forge(name, &sighting, &anchor));
    }
    match first {
        Some(first) if now.duration_since(first.at) >= policy.absence_gap => {
            Finding::strikes(Rule::BranchGone, by_listings(now, name, &sighting, &first, &anchor))
        }
        _ => missing(policy, listing, &absence, &anchor),
    }
}

/// A branch of the sighting that is in this listing too; the one that answered before, if it does again.
fn anchor(sighting: &Sighting, refs: &[String], earlier: Option<&Absence>) -> Option<String> {
    let answers = |other: &&String| refs.contains(other);
    let same =
        sighting.others.iter().filter(|other| earlier.is_some_and(|earlier| earlier.anchor == **other));
    same.chain(&sighting.others).find(answers).cloned()
}

/// An absence that still counts: of the remote of the sighting, after it, and not from the future.
fn standing(now: Timestamp, sighting: &Sighting, absence: Option<Absence>) -> Option<Absence> {
    absence
        .filter(|absence| absence.remote == sighting.remote && absence.at >= sighting.at && absence.at <= now)
}

/// When the next listing is a second witness.
pub(super) fn second_witness(policy: &Policy, absence: &Absence) -> Next {
    let at = absence.at.checked_add(policy.absence_gap).ok();
    let from = at.map(|at| format!(" from {} on", time(at))).unwrap_or_default();
    let when = format!("at the first complete listing{from} that does not have it either");
    Next { rule: Rule::BranchGone, at, when }
}

fn missing(policy: &Policy, listing: &Listing<'_>, absence: &Absence, anchor: &str) -> Finding {
    let forge = match listing.forge {
        ForgeAnswer::Unknown { cause } => format!(", the forge did not say ({cause})"),
        _ => String::new(),
    };
    let cause = format!(
        "its branch {} is missing on {} since {}, while {anchor} answered{forge}: one witness is not enough",
        listing.name,
        listing.remote,
        time(absence.at),
    );
    Finding::keeps(cause, Some(second_witness(policy, absence)))
}

fn seen(name: &str, sighting: &Sighting) -> String {
    let Sighting { remote, at, commit, .. } = sighting;
    format!("its branch {name} is gone: seen on {remote} at {} ({})", time(*at), short(commit))
}

fn by_forge(name: &str, sighting: &Sighting, anchor: &str) -> String {
    let seen = seen(name, sighting);
    format!("{seen}, missing from a complete listing in which {anchor} answered, and its forge says so too")
}

fn by_listings(now: Timestamp, name: &str, sighting: &Sighting, first: &Absence, anchor: &str) -> String {
    let answered = if first.anchor == anchor {
        format!("{anchor} answered in both")
    } else {
        format!("{} answered in the first, {anchor} in the second", first.anchor)
    };
    format!(
        "{}, missing from two complete listings {} apart, the first at {}; {answered}",
        seen(name, sighting),
        length(now.duration_since(first.at)),
        time(first.at),
    )
}
