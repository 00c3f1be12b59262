//! One rule a test: teardown, protection, pull requests, TTL, looks that see nothing, and what is written.

use jiff::{SignedDuration, Timestamp};
use plan::stale::{
    Absence, Announcement, Candidate, Decision, ForgeAnswer, Look, Memory, Policy, PullState, Reference,
    Rule, Sighting, Unknown, Verdict, decide,
};
use serde_json::json;

/// Noon, and some seconds.
pub fn at(seconds: i64) -> Timestamp {
    "2026-11-26T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// An environment of a branch that is there.
pub fn candidate() -> Candidate {
    Candidate {
        name: "shop-x".into(),
        id: "e1".into(),
        record_uid: "r1".into(),
        repository: "https://git.example.com/shop".into(),
        reference: Reference::Branch("feature/x".into()),
        protected: false,
        going: false,
        last_up: at(-3600),
        expires_at: None,
        memory: Memory::default(),
        look: there(),
    }
}

/// A listing with the branch.
pub fn there() -> Look {
    Look::Branch {
        remote: "origin".into(),
        commit: Some("0123456789abcdef0123456789abcdef01234567".into()),
        refs: vec!["main".into(), "develop".into()],
        forge: ForgeAnswer::NotAsked,
    }
}

/// A listing of these branches without the one in question.
pub fn without(refs: &[&str], forge: ForgeAnswer) -> Look {
    let refs = refs.iter().map(|name| (*name).to_owned()).collect();
    Look::Branch { remote: "origin".into(), commit: None, refs, forge }
}

/// Decides about one, with the policy as it comes.
pub fn one(now: Timestamp, candidate: &Candidate) -> Decision {
    decide(now, &Policy::default(), std::slice::from_ref(candidate), None).remove(0)
}

/// Decides, and keeps what is to be remembered.
pub fn step(now: Timestamp, candidate: &mut Candidate) -> Decision {
    let decision = one(now, candidate);
    candidate.memory = decision.memory.clone();
    decision
}

/// Verdict and rule.
pub fn outcome(decision: &Decision) -> (Verdict, Rule) {
    (decision.decision, decision.rule)
}

#[test]
fn a_teardown_that_has_begun_is_finished_whatever_else() {
    let env = Candidate { going: true, protected: true, ..candidate() };
    let decision = one(at(0), &env);
    assert_eq!(outcome(&decision), (Verdict::Delete, Rule::Teardown));
    assert_eq!(decision.cause, "its teardown has begun: it is finished");
}

#[test]
fn a_protected_one_stays_and_it_is_told_what_would_have_struck() {
    let reference = Reference::Pull(7);
    let look = Look::Pull { state: PullState::Merged, at: Some("2026-11-26T11:00:00Z".into()) };
    let env = Candidate { protected: true, reference, look, ..candidate() };
    let decision = one(at(0), &env);
    assert_eq!(outcome(&decision), (Verdict::Keep, Rule::Protected));
    assert_eq!(
        decision.cause,
        "it is protected; otherwise the rule pull-merged would strike: \
         pull request 7 was merged at 2026-11-26T11:00:00Z"
    );
    let calm = one(at(0), &Candidate { protected: true, ..candidate() });
    assert_eq!(
        calm.cause,
        "it is protected; no rule would strike now: its branch feature/x is on origin (0123456789ab); \
         it has no TTL"
    );
    assert!(calm.memory.sighting.is_some(), "what was seen is remembered all the same");
}

#[test]
fn a_pull_request_that_is_closed_or_merged_takes_its_environment_at_once() {
    for (state, verdict, rule, cause) in [
        (PullState::Open, Verdict::Keep, Rule::None, "pull request 7 is open; it has no TTL"),
        (PullState::Closed, Verdict::Delete, Rule::PullClosed, "pull request 7 was closed and is not merged"),
        (PullState::Merged, Verdict::Delete, Rule::PullMerged, "pull request 7 was merged"),
    ] {
        let look = Look::Pull { state, at: None };
        let decision = one(at(0), &Candidate { reference: Reference::Pull(7), look, ..candidate() });
        assert_eq!(outcome(&decision), (verdict, rule));
        assert_eq!(decision.cause, cause);
    }
}

#[test]
fn a_look_at_something_else_than_the_reference_saw_nothing() {
    let merged = Look::Pull { state: PullState::Merged, at: None };
    let absent = without(&["main"], ForgeAnswer::Absent);
    let seen = one(at(-60), &candidate()).memory;
    for (reference, look, cause) in [
        (Reference::Branch("feature/x".into()), merged.clone(), "branch feature/x"),
        (Reference::Pull(7), absent.clone(), "pull request 7"),
        (Reference::Tag("v1".into()), absent, "tag v1"),
        (Reference::Named("demo".into()), merged, "the name demo"),
    ] {
        let decision = one(at(0), &Candidate { reference, look, memory: seen.clone(), ..candidate() });
        assert_eq!(outcome(&decision), (Verdict::Keep, Rule::None));
        let cause = format!("the look was at something else than {cause}");
        assert_eq!(decision.memory.unknown, Some(Unknown { since: at(0), cause }));
    }
}

#[test]
fn a_ttl_that_is_over_is_announced_first_and_strikes_in_the_next_pass() {
    let mut env = Candidate { expires_at: Some(at(0)), ..candidate() };
    let before = step(at(-1), &mut env);
    assert_eq!(outcome(&before), (Verdict::Keep, Rule::None));
    assert_eq!(
        before.cause,
        "its branch feature/x is on origin (0123456789ab); its TTL ends at 2026-11-26T12:00:00Z"
    );
    let next = before.next.unwrap();
    assert_eq!((next.rule, next.at), (Rule::Ttl, Some(at(0))));

    let first = step(at(0), &mut env);
    assert_eq!(outcome(&first), (Verdict::Keep, Rule::Ttl));
    assert_eq!(
        first.cause,
        "its TTL ended at 2026-11-26T12:00:00Z (last up at 2026-11-26T11:00:00Z): announced now, it goes at \
         the next pass; its branch feature/x is on origin (0123456789ab)"
    );
    assert_eq!(first.next.unwrap().when, "at the next pass");
    assert_eq!(outcome(&one(at(0), &env)), (Verdict::Keep, Rule::Ttl), "the same moment is no later pass");

    let second = step(at(1), &mut env);
    assert_eq!(outcome(&second), (Verdict::Delete, Rule::Ttl));
    assert_eq!(
        second.cause,
        "its TTL ended at 2026-11-26T12:00:00Z (last up at 2026-11-26T11:00:00Z), and the pass at \
         2026-11-26T12:00:00Z announced it"
    );
}

#[test]
fn an_announcement_counts_for_the_end_it_named_and_after_it() {
    let announced = |at: Timestamp, expires_at| Memory {
        announced: Some(Announcement { at, expires_at }),
        ..Memory::default()
    };
    let env = |memory| Candidate { expires_at: Some(at(0)), memory, ..candidate() };
    assert_eq!(outcome(&one(at(9), &env(announced(at(5), at(0))))), (Verdict::Delete, Rule::Ttl));
    for (what, memory) in [
        ("another end", announced(at(5), at(-1))),
        ("before the end", announced(at(-1), at(0))),
        ("the clock went back", announced(at(10), at(0))),
        ("in this very pass", announced(at(9), at(0))),
    ] {
        let decision = one(at(9), &env(memory));
        assert_eq!(outcome(&decision), (Verdict::Keep, Rule::Ttl), "{what}");
        assert_eq!(
            decision.memory,
            Memory { sighting: decision.memory.sighting.clone(), ..announced(at(9), at(0)) }
        );
    }
    let extended = Candidate { expires_at: Some(at(60)), ..env(announced(at(5), at(0))) };
    assert_eq!(one(at(9), &extended).memory.announced, None);
    let endless = Candidate { expires_at: None, ..env(announced(at(5), at(0))) };
    assert_eq!(one(at(9), &endless).memory.announced, None);
}

#[test]
fn the_first_rule_that_strikes_is_told() {
    let over = Memory {
        announced: Some(Announcement { at: at(-5), expires_at: at(-10) }),
        ..one(at(-60), &candidate()).memory
    };
    let env = Candidate { expires_at: Some(at(-10)), memory: over, ..candidate() };
    let gone = Candidate { look: without(&["main"], ForgeAnswer::Absent), ..env.clone() };
    assert_eq!(outcome(&one(at(0), &gone)), (Verdict::Delete, Rule::Ttl));
    let look = Look::Pull { state: PullState::Closed, at: None };
    let closed = Candidate { reference: Reference::Pull(7), look, ..env };
    assert_eq!(outcome(&one(at(0), &closed)), (Verdict::Delete, Rule::PullClosed));
    let protected = Candidate { protected: true, ..closed };
    assert_eq!(outcome(&one(at(0), &protected)), (Verdict::Keep, Rule::Protected));
}

#[test]
fn an_announced_end_does_not_shield_from_another_rule() {
    let mut env = candidate();
    step(at(-60), &mut env);
    env.expires_at = Some(at(-10));
    env.look = without(&["main"], ForgeAnswer::Absent);
    assert_eq!(outcome(&step(at(0), &mut env)), (Verdict::Delete, Rule::BranchGone));
    assert!(env.memory.announced.is_some());
}

#[test]
fn a_look_that_failed_keeps_and_says_since_when() {
    let mut env = Candidate { look: Look::Unknown { cause: "connection refused".into() }, ..candidate() };
    step(at(0), &mut env);
    env.look = Look::Unknown { cause: "no route".into() };
    let decision = step(at(600), &mut env);
    assert_eq!(outcome(&decision), (Verdict::Keep, Rule::None));
    assert_eq!(decision.cause, "could not look since 2026-11-26T12:00:00Z: no route; it has no TTL");
    assert_eq!(decision.memory.unknown, Some(Unknown { since: at(0), cause: "no route".into() }));
    env.look = there();
    assert_eq!(step(at(700), &mut env).memory.unknown, None);
}

#[test]
fn a_pass_that_could_see_or_has_nothing_to_see_forgets_that_others_could_not() {
    let unknown = Some(Unknown { since: at(0), cause: "connection refused".into() });
    let memory = Memory { unknown, ..Memory::default() };
    let branch = Candidate { memory, ..candidate() };
    let pull = Candidate { reference: Reference::Pull(7), ..branch.clone() };
    for env in [
        branch.clone(),
        Candidate { look: without(&["main"], ForgeAnswer::NotAsked), ..branch.clone() },
        Candidate { look: Look::Nothing { why: "no remote is known".into() }, ..branch },
        Candidate { look: Look::Pull { state: PullState::Open, at: None }, ..pull },
    ] {
        assert_eq!(one(at(60), &env).memory.unknown, None, "{:?}", env.look);
    }
}

#[test]
fn a_ttl_strikes_where_nothing_can_be_seen() {
    for look in [
        Look::Unknown { cause: "connection refused".into() },
        Look::Nothing { why: "a tag is never looked for".into() },
    ] {
        let mut env = Candidate { expires_at: Some(at(0)), look, ..candidate() };
        assert_eq!(outcome(&step(at(0), &mut env)), (Verdict::Keep, Rule::Ttl));
        assert_eq!(outcome(&step(at(1), &mut env)), (Verdict::Delete, Rule::Ttl));
    }
}

#[test]
fn nothing_to_look_at_leaves_the_ttl() {
    let look = Look::Nothing { why: "a tag is never looked for".into() };
    let env = Candidate { reference: Reference::Tag("v1".into()), look, ..candidate() };
    let decision = one(at(0), &env);
    assert_eq!(outcome(&decision), (Verdict::Keep, Rule::None));
    assert_eq!(decision.cause, "a tag is never looked for; it has no TTL");
    assert_eq!(decision.memory, Memory::default());
}

#[test]
fn memory_is_read_as_it_was_written() {
    let memory = Memory {
        sighting: Some(Sighting {
            remote: "origin".into(),
            at: "2026-11-26T12:00:00.123456789Z".parse().unwrap(),
            commit: "c".into(),
            others: vec!["main".into()],
        }),
        absence: Some(Absence { remote: "origin".into(), at: at(1), anchor: "main".into() }),
        announced: Some(Announcement { at: at(2), expires_at: at(1) }),
        unknown: Some(Unknown { since: at(3), cause: "connection refused".into() }),
    };
    let written = json!({
        "sighting": {
            "remote": "origin", "at": "2026-11-26T12:00:00.123456789Z", "commit": "c", "others": ["main"]
        },
        "absence": {"remote": "origin", "at": "2026-11-26T12:00:01Z", "anchor": "main"},
        "announced": {"at": "2026-11-26T12:00:02Z", "expiresAt": "2026-11-26T12:00:01Z"},
        "unknown": {"since": "2026-11-26T12:00:03Z", "cause": "connection refused"}
    });
    assert_eq!(json!(memory), written);
    assert_eq!(serde_json::from_value::<Memory>(written).unwrap(), memory);
    assert_eq!(json!(Memory::default()), json!({}));
    assert_eq!(serde_json::from_value::<Memory>(json!({})).unwrap(), Memory::default());
}

#[test]
fn a_decision_is_written_in_the_words_of_the_design_and_read_again() {
    let mut env = candidate();
    step(at(0), &mut env);
    env.look = without(&["main", "develop"], ForgeAnswer::Absent);
    let decision = one(at(60), &env);
    let written = json!(decision);
    assert_eq!(written["environment"], "shop-x");
    assert_eq!(written["recordUid"], "r1");
    assert_eq!(written["decision"], "delete");
    assert_eq!(written["rule"], "branch-gone");
    assert_eq!(
        written["inputs"],
        json!({
            "now": "2026-11-26T12:01:00Z",
            "policy": {"absenceGap": "PT5M", "budgetPercent": 20},
            "repository": "https://git.example.com/shop",
            "reference": {"branch": "feature/x"},
            "protected": false,
            "going": false,
            "lastUp": "2026-11-26T11:00:00Z",
            "expiresAt": null,
            "look": {"branch": {"remote": "origin", "commit": null, "refs": 2, "forge": "absent"}},
            "memory": env.memory,
            "budget": {"live": 1, "allowed": 1, "byAbsence": 1, "list": null}
        })
    );
    assert_eq!(serde_json::from_value::<Decision>(written).unwrap(), decision);
    let candidate = serde_json::from_value::<Candidate>(json!(env)).unwrap();
    assert_eq!(candidate, env);
    for rule in [
        Rule::Teardown,
        Rule::Protected,
        Rule::Ttl,
        Rule::BranchGone,
        Rule::PullClosed,
        Rule::PullMerged,
        Rule::None,
    ] {
        assert_eq!(json!(rule), rule.name());
    }
}
