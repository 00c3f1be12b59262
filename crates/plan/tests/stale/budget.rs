//! One rule a test: how many may go by absence in one pass.

use plan::stale::{Candidate, Decision, ForgeAnswer, Policy, Rule, Verdict, budget, decide, held_digest};

use crate::examples::{at, candidate, step, there, without};

/// So many environments, the first of which are gone.
fn many(live: usize, gone: usize) -> Vec<Candidate> {
    (0..live)
        .map(|number| {
            let (name, id) = (format!("shop-{number}"), format!("e{number}"));
            let mut env = Candidate { name, id, record_uid: format!("r{number}"), ..candidate() };
            step(at(0), &mut env);
            env.look = if number < gone { without(&["main"], ForgeAnswer::Absent) } else { there() };
            env
        })
        .collect()
}

fn pass(candidates: &[Candidate], approve: Option<&str>) -> Vec<Decision> {
    decide(at(60), &Policy::default(), candidates, approve)
}

/// How many are deleted and how many are held.
fn tally(decisions: &[Decision]) -> (usize, usize) {
    let count = |verdict| decisions.iter().filter(|decision| decision.decision == verdict).count();
    (count(Verdict::Delete), count(Verdict::Held))
}

#[test]
fn the_budget_is_a_share_rounded_down_and_at_least_one() {
    for (live, percent, allowed) in
        [(0, 20, 1), (1, 20, 1), (9, 20, 1), (10, 20, 2), (14, 20, 2), (15, 20, 3), (7, 0, 1), (7, 100, 7)]
    {
        assert_eq!(budget(live, percent), allowed, "{percent} % of {live}");
    }
    assert_eq!(budget(usize::MAX, u32::MAX), usize::MAX / 100);
}

#[test]
fn within_the_budget_they_go_whatever_is_approved() {
    for approve in [None, Some("0123456789ab")] {
        assert_eq!(tally(&pass(&many(10, 2), approve)), (2, 0));
        assert_eq!(tally(&pass(&many(3, 1), approve)), (1, 0));
    }
}

#[test]
fn beyond_the_budget_none_goes() {
    let decisions = pass(&many(10, 3), None);
    assert_eq!(tally(&decisions), (0, 3));
    let digest = held_digest(&decisions).unwrap();
    assert_eq!(decisions[0].rule, Rule::BranchGone);
    assert_eq!(
        decisions[0].cause,
        format!(
            "its branch feature/x is gone: seen on origin at 2026-11-26T12:00:00Z (0123456789ab), missing \
             from a complete listing in which main answered, and its forge says so too; held: 3 of 10 \
             environments would go by absence, 2 may in one pass"
        )
    );
    assert_eq!(decisions[0].next.as_ref().unwrap().when, format!("when the list {digest} is approved"));
    assert_eq!(decisions[0].inputs["budget"]["list"], digest.as_str());
    assert_eq!(decisions[3].inputs.get("budget"), None);
    let again: Vec<Candidate> = many(10, 3)
        .into_iter()
        .zip(&decisions)
        .map(|(env, decision)| Candidate { memory: decision.memory.clone(), ..env })
        .collect();
    assert_eq!(held_digest(&decide(at(3600), &Policy::default(), &again, None)), Some(digest));
}

#[test]
fn an_approval_is_for_exactly_one_list() {
    let digest = held_digest(&pass(&many(10, 3), None)).unwrap();
    let approved = pass(&many(10, 3), Some(&digest));
    assert_eq!(tally(&approved), (3, 0));
    assert!(approved[0].cause.ends_with(&format!(
        "; 3 of 10 environments would go by absence, 2 may in one pass, and the list {digest} is approved"
    )));
    assert_eq!((approved[0].next.clone(), held_digest(&approved)), (None, None));
    let longer = pass(&many(10, 4), Some(&digest));
    assert_eq!(tally(&longer), (0, 4));
    assert!(longer[0].cause.ends_with(&format!(", the approval {digest} is for another list")));
    let mut recreated = many(10, 3);
    recreated[1].record_uid = "another".into();
    assert_eq!(tally(&pass(&recreated, Some(&digest))), (0, 3));
    let mut renamed = many(10, 3);
    renamed[1].id = "another".into();
    assert_eq!(tally(&pass(&renamed, Some(&digest))), (0, 3));
    assert_eq!(tally(&pass(&many(10, 3), Some(&digest[..11]))), (0, 3));
    assert_eq!(tally(&pass(&many(10, 3), Some(""))), (0, 3));
    let mut reversed = many(10, 3);
    reversed.reverse();
    assert_eq!(tally(&pass(&reversed, Some(&digest))), (3, 0));
}

#[test]
fn what_is_going_is_not_live_and_needs_no_budget() {
    let mut envs = many(10, 2);
    envs[9].going = true;
    let decisions = pass(&envs, None);
    assert_eq!(tally(&decisions), (1, 2), "a fifth of nine is one");
    assert_eq!(decisions[9].rule, Rule::Teardown);
}

#[test]
fn what_goes_by_another_rule_or_is_protected_does_not_count() {
    let mut envs = many(10, 4);
    envs[0].protected = true;
    envs[1].expires_at = Some(at(10));
    envs[1].memory.announced = Some(plan::stale::Announcement { at: at(20), expires_at: at(10) });
    let decisions = pass(&envs, None);
    assert_eq!(tally(&decisions), (3, 0));
    assert_eq!(decisions[0].rule, Rule::Protected);
    assert_eq!(decisions[1].rule, Rule::Ttl);
}
