//! One rule a test: when a branch is gone.

use jiff::SignedDuration;
use plan::stale::{Absence, Candidate, ForgeAnswer, Look, Memory, Policy, Rule, Sighting, Verdict, decide};

use crate::examples::{at, candidate, one, outcome, step, there, without};

const KEPT: (Verdict, Rule) = (Verdict::Keep, Rule::None);
const GONE: (Verdict, Rule) = (Verdict::Delete, Rule::BranchGone);

/// Seen at noon.
fn seen() -> Candidate {
    let mut env = candidate();
    step(at(0), &mut env);
    env
}

/// Seen at noon, missing a minute later.
fn missing() -> Candidate {
    let mut env = Candidate { look: without(&["main", "develop"], ForgeAnswer::NotAsked), ..seen() };
    assert_eq!(outcome(&step(at(60), &mut env)), KEPT);
    env
}

#[test]
fn a_sighting_is_remembered_with_five_other_branches() {
    let mut env = candidate();
    let Look::Branch { refs, .. } = &mut env.look else { panic!() };
    *refs = ["main", "a", "feature/x", "b", "c", "d", "e"].map(str::to_owned).to_vec();
    let sighting = one(at(0), &env).memory.sighting.unwrap();
    assert_eq!((sighting.remote.as_str(), sighting.at), ("origin", at(0)));
    assert_eq!(sighting.commit, "0123456789abcdef0123456789abcdef01234567");
    assert_eq!(sighting.others, ["main", "a", "b", "c", "d"]);
}

#[test]
fn a_sighting_that_says_nothing_new_is_not_written_again() {
    let env = seen();
    assert_eq!(one(at(600), &env).memory, env.memory);
    let changed = |change: &dyn Fn(&mut Candidate)| {
        let mut env = env.clone();
        change(&mut env);
        one(at(600), &env).memory.sighting.unwrap().at
    };
    assert_eq!(changed(&|_| {}), at(0));
    let look = |remote: &str, commit: &str, main: &str| Look::Branch {
        remote: remote.into(),
        commit: Some(commit.into()),
        refs: vec![main.into(), "develop".into()],
        forge: ForgeAnswer::NotAsked,
    };
    let commit = "0123456789abcdef0123456789abcdef01234567";
    assert_eq!(changed(&|env| env.look = look("origin", commit, "main")), at(0));
    assert_eq!(changed(&|env| env.look = look("fork", commit, "main")), at(600));
    assert_eq!(changed(&|env| env.look = look("origin", "abc", "main")), at(600));
    assert_eq!(changed(&|env| env.look = look("origin", commit, "trunk")), at(600));
    let absence = Absence { remote: "origin".into(), at: at(60), anchor: "main".into() };
    assert_eq!(changed(&|env| env.memory.absence = Some(absence.clone())), at(600));
    assert_eq!(one(at(-60), &env).memory.sighting.unwrap().at, at(-60), "the clock went back");
}

#[test]
fn two_complete_listings_five_minutes_apart_are_two_witnesses() {
    let mut env = Candidate { look: without(&["main", "develop"], ForgeAnswer::NotAsked), ..seen() };
    let first = step(at(60), &mut env);
    assert_eq!(outcome(&first), KEPT);
    assert_eq!(
        first.cause,
        "its branch feature/x is missing on origin since 2026-11-26T12:01:00Z, while main answered: one \
         witness is not enough; it has no TTL"
    );
    let next = first.next.unwrap();
    assert_eq!((next.rule, next.at), (Rule::BranchGone, Some(at(360))));
    assert_eq!(
        next.when,
        "at the first complete listing from 2026-11-26T12:06:00Z on that does not have it either"
    );
    assert_eq!(outcome(&step(at(359), &mut env)), KEPT);
    let absence = Absence { remote: "origin".into(), at: at(60), anchor: "main".into() };
    assert_eq!(env.memory.absence, Some(absence), "the first witness stays the first");
    assert_eq!(outcome(&one(at(360), &env)), GONE);
    let second = one(at(420), &env);
    assert_eq!(
        second.cause,
        "its branch feature/x is gone: seen on origin at 2026-11-26T12:00:00Z (0123456789ab), missing from \
         two complete listings 6m apart, the first at 2026-11-26T12:01:00Z; main answered in both"
    );
    assert_eq!(second.next, None);
    env.look = without(&["develop"], ForgeAnswer::NotAsked);
    assert!(one(at(420), &env).cause.ends_with("; main answered in the first, develop in the second"));
}

#[test]
fn the_forge_is_a_second_witness_at_once() {
    let decision = one(at(60), &Candidate { look: without(&["develop"], ForgeAnswer::Absent), ..seen() });
    assert_eq!(outcome(&decision), GONE);
    assert_eq!(
        decision.cause,
        "its branch feature/x is gone: seen on origin at 2026-11-26T12:00:00Z (0123456789ab), missing from \
         a complete listing in which develop answered, and its forge says so too"
    );
    assert_eq!(decision.memory.absence.unwrap().at, at(60), "its listing is a witness too");
}

#[test]
fn what_was_never_seen_is_not_gone() {
    for forge in [ForgeAnswer::NotAsked, ForgeAnswer::Absent] {
        let mut env = Candidate { look: without(&["main"], forge), ..candidate() };
        for now in [0, 600, 86_400] {
            let decision = step(at(now), &mut env);
            assert_eq!(outcome(&decision), KEPT);
            assert_eq!(
                decision.cause,
                "its branch feature/x was never seen on origin: only its TTL counts; it has no TTL"
            );
            assert_eq!(env.memory, Memory::default());
        }
    }
}

#[test]
fn another_remote_is_no_witness() {
    let mut env = missing();
    let elsewhere =
        |forge| Look::Branch { remote: "fork".into(), commit: None, refs: vec!["main".into()], forge };
    for forge in [ForgeAnswer::NotAsked, ForgeAnswer::Absent, ForgeAnswer::Present] {
        env.look = elsewhere(forge);
        let before = env.memory.clone();
        let decision = step(at(600), &mut env);
        assert_eq!(outcome(&decision), KEPT);
        assert_eq!(
            decision.cause,
            "its branch feature/x was seen on origin, not on fork: only its TTL counts; it has no TTL"
        );
        assert_eq!(env.memory, before);
    }
    // An absence of another remote, wherever it comes from, is noted anew.
    let mut env = missing();
    env.memory.absence = Some(Absence { remote: "fork".into(), at: at(60), anchor: "main".into() });
    assert_eq!(outcome(&step(at(600), &mut env)), KEPT);
    assert_eq!(
        env.memory.absence.unwrap(),
        Absence { remote: "origin".into(), at: at(600), anchor: "main".into() }
    );
}

#[test]
fn a_listing_in_which_no_known_branch_answers_is_no_witness() {
    let mut env = missing();
    for refs in [&[][..], &["foreign"]] {
        for forge in [ForgeAnswer::NotAsked, ForgeAnswer::Absent, ForgeAnswer::Present] {
            env.look = without(refs, forge);
            let decision = one(at(600), &env);
            assert_eq!(outcome(&decision), KEPT);
            assert_eq!(
                decision.cause,
                "could not look since 2026-11-26T12:10:00Z: no other known ref of \
                 https://git.example.com/shop answered on origin; it has no TTL"
            );
            assert_eq!(decision.memory.absence, env.memory.absence, "what was noted stays");
            assert_eq!(decision.next.unwrap().at, Some(at(360)));
        }
    }
}

#[test]
fn a_listing_that_contradicts_itself_is_no_witness() {
    let env = Candidate { look: without(&["main", "feature/x"], ForgeAnswer::Absent), ..seen() };
    let decision = one(at(600), &env);
    assert_eq!(outcome(&decision), KEPT);
    assert!(decision.cause.contains("the listing of origin contradicts itself about feature/x"));
}

#[test]
fn the_forge_contradicts_a_listing() {
    let mut env = missing();
    env.look = without(&["main"], ForgeAnswer::Present);
    let decision = step(at(600), &mut env);
    assert_eq!(outcome(&decision), KEPT);
    assert_eq!(
        decision.cause,
        "could not look since 2026-11-26T12:10:00Z: origin does not list branch feature/x, and its forge \
         says that it exists; it has no TTL"
    );
    assert_eq!(env.memory.absence, None);
    env.look = without(&["main"], ForgeAnswer::NotAsked);
    assert_eq!(outcome(&step(at(660), &mut env)), KEPT, "it begins again");
    assert_eq!(env.memory.unknown, None);
    assert_eq!(outcome(&step(at(960), &mut env)), GONE);
}

#[test]
fn a_forge_that_does_not_say_changes_nothing() {
    let mut env = missing();
    env.look = without(&["main"], ForgeAnswer::Unknown { cause: "rate limit".into() });
    let decision = one(at(359), &env);
    assert_eq!(outcome(&decision), KEPT);
    assert!(decision.cause.contains("while main answered, the forge did not say (rate limit): one witness"));
    assert_eq!(outcome(&one(at(360), &env)), GONE);
}

#[test]
fn a_branch_that_is_back_was_never_gone() {
    let mut env = missing();
    env.look = there();
    assert_eq!(outcome(&step(at(120), &mut env)), KEPT);
    assert_eq!(env.memory.absence, None);
    env.look = without(&["main"], ForgeAnswer::NotAsked);
    assert_eq!(outcome(&step(at(3600), &mut env)), KEPT);
}

#[test]
fn a_look_that_failed_neither_confirms_nor_refutes() {
    let mut env = missing();
    env.look = Look::Unknown { cause: "connection refused".into() };
    let decision = step(at(3600), &mut env);
    assert_eq!(outcome(&decision), KEPT);
    assert_eq!(env.memory.absence.as_ref().unwrap().at, at(60));
    assert_eq!(decision.next.unwrap().at, Some(at(360)));
    env.look = without(&["main"], ForgeAnswer::NotAsked);
    assert_eq!(outcome(&step(at(3660), &mut env)), GONE);
}

#[test]
fn a_clock_that_goes_back_is_harmless() {
    // A witness from the future is replaced: the gap is measured from now.
    let mut env = missing();
    assert_eq!(outcome(&step(at(30), &mut env)), KEPT);
    assert_eq!(env.memory.absence.as_ref().unwrap().at, at(30));
    assert_eq!(outcome(&step(at(329), &mut env)), KEPT);
    assert_eq!(outcome(&step(at(330), &mut env)), GONE);
    // A witness from before the sighting is replaced too.
    let mut env = missing();
    let sighting = env.memory.sighting.clone().unwrap();
    env.memory.sighting = Some(Sighting { at: at(61), ..sighting.clone() });
    assert_eq!(outcome(&step(at(3600), &mut env)), KEPT);
    assert_eq!(env.memory.absence.as_ref().unwrap().at, at(3600));
    env.memory.sighting = Some(Sighting { at: at(3600), ..sighting });
    assert_eq!(outcome(&step(at(3900), &mut env)), GONE);
}

#[test]
fn without_a_gap_it_still_takes_two_passes() {
    let policy = Policy { absence_gap: SignedDuration::ZERO, ..Policy::default() };
    let mut env = Candidate { look: without(&["main"], ForgeAnswer::NotAsked), ..seen() };
    let first = decide(at(60), &policy, std::slice::from_ref(&env), None).remove(0);
    assert_eq!(outcome(&first), KEPT);
    env.memory = first.memory;
    assert_eq!(outcome(&decide(at(61), &policy, &[env], None)[0]), GONE);
}
