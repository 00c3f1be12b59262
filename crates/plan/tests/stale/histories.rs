//! Generated histories: in every pass the decision is compared with the reference, and both with the truth.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use plan::stale::{Candidate, Decision, Look, Policy, Rule, Verdict, decide, held_digest};

use crate::invariants::{self, Moment};
use crate::random::Random;
use crate::reference::{List, Story, reference};
use crate::world::{Truth, World};

/// How often each outcome was seen, and how often something that has to happen did.
type Counts = BTreeMap<String, usize>;

#[test]
fn every_decision_is_that_of_the_reference_and_fits_the_truth() {
    let soak = std::env::var_os("MIMEO_SOAK").is_some();
    let histories: u64 = if soak { 10_000 } else { 2_000 };
    let seed = std::env::var("MIMEO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    let mut counts = Counts::new();
    for number in 0..histories {
        History::new(seed.wrapping_mul(1_000_003).wrapping_add(number)).run(&mut counts);
    }
    println!("{histories} histories: {counts:#?}");
    for outcome in [
        "Delete Teardown",
        "Keep Protected",
        "Keep Ttl",
        "Delete Ttl",
        "Delete BranchGone",
        "Held BranchGone",
        "Delete PullClosed",
        "Delete PullMerged",
        "Keep None",
        "approved",
        "approval for another list",
        "gone by two listings",
        "gone by the forge",
        "no anchor",
        "contradiction by the forge",
        "a lie that decided nothing",
        "the clock went back",
    ] {
        let seen = counts.get(outcome).copied().unwrap_or_default();
        assert!(seen >= 10, "the histories do not reach it: {outcome} ({seen})");
    }
}

/// One world with its passes.
struct History {
    seed: u64,
    world: World,
    policy: Policy,
    /// What was shown with each digest.
    shown: HashMap<String, List>,
    last_digest: Option<String>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(!seed);
        let policy = Policy {
            absence_gap: SignedDuration::from_secs(random.of(&[300, 300, 300, 0, 60, 3600])),
            budget_percent: random.of(&[20, 20, 0, 10, 35, 50, 100]),
        };
        let world = World::new(seed);
        Self { seed, world, policy, shown: HashMap::new(), last_digest: None }
    }

    fn run(mut self, counts: &mut Counts) {
        let mut before: Option<Timestamp> = None;
        for number in 0..1 + self.world.random.below(25) {
            self.world.live();
            if self.world.envs.is_empty() {
                return;
            }
            let now = self.world.now();
            if before.is_some_and(|before| now < before) {
                count(counts, "the clock went back");
            }
            before = Some(now);
            self.pass(number, now, counts);
        }
    }

    fn pass(&mut self, number: usize, now: Timestamp, counts: &mut Counts) {
        let looks = self.world.looks();
        let mut candidates = Vec::new();
        for (env, (look, _)) in self.world.envs.iter_mut().zip(&looks) {
            candidates.push(env.candidate(look.clone()));
            let pass = env.pass(now, look.clone());
            env.passes.push(pass);
        }
        let approve = self.approval(now, &candidates);
        let decisions = decide(now, &self.policy, &candidates, approve.as_deref());
        self.show(&decisions);
        let envs = &self.world.envs;
        let stories: Vec<Story<'_>> = envs
            .iter()
            .map(|env| Story { id: &env.id, record_uid: &env.record_uid, passes: &env.passes })
            .collect();
        let approved = approve.as_ref().and_then(|digest| self.shown.get(digest));
        let expected = reference(&self.policy, &stories, approved);
        assert_eq!(decisions.len(), candidates.len());
        for (index, decision) in decisions.iter().enumerate() {
            let outcome = (decision.decision, decision.rule);
            assert!(
                outcome == expected[index],
                "history {} pass {number}: {outcome:?} ({}), the reference says {:?}\n{:#?}\n{:#?}\n{:#?}",
                self.seed,
                decision.cause,
                expected[index],
                self.policy,
                candidates[index].memory,
                envs[index].passes,
            );
            tell(counts, decision, looks[index].1);
            invariants::one(&Moment {
                seed: self.seed,
                now,
                candidate: &candidates[index],
                decision,
                truths: (&envs[index].truths, looks[index].1),
                passes: &envs[index].passes,
            });
        }
        let held = decisions.iter().any(|decision| decision.decision == Verdict::Held);
        let absent = by_absence(&decisions);
        if approve.is_some() && held {
            count(counts, "approval for another list");
        } else if absent.len() > 1 && approved == Some(&absent) {
            count(counts, "approved");
        }
        invariants::all(now, &self.policy, &candidates, &decisions, approved, approve.as_deref());
        if number.is_multiple_of(4) {
            invariants::order(now, &self.policy, &candidates, &decisions, approve.as_deref());
        }
        self.afterwards(&decisions, &looks);
    }

    /// No approval, the right one, an old one, one of a part of the list, or none that was ever shown.
    fn approval(&mut self, now: Timestamp, candidates: &[Candidate]) -> Option<String> {
        let kind = self.world.random.below(10);
        if kind < 5 {
            return None;
        }
        let without = decide(now, &self.policy, candidates, None);
        self.show(&without);
        let digest = held_digest(&without);
        match kind {
            5..8 => digest,
            8 => {
                let mut held: Vec<Decision> =
                    without.into_iter().filter(|decision| decision.decision == Verdict::Held).collect();
                held.pop();
                self.show(&held);
                held_digest(&held).or(digest.map(|digest| digest[..11].to_owned()))
            }
            _ => self.last_digest.clone().or(Some("0123456789ab".to_owned())),
        }
    }

    /// A digest stands for one list, in any order.
    fn show(&mut self, decisions: &[Decision]) {
        let Some(digest) = held_digest(decisions) else { return };
        let reversed: Vec<Decision> = decisions.iter().rev().cloned().collect();
        assert_eq!(held_digest(&reversed).as_ref(), Some(&digest));
        let held: Vec<Decision> =
            decisions.iter().filter(|decision| decision.decision == Verdict::Held).cloned().collect();
        let list = by_absence(&held);
        let known = self.shown.entry(digest.clone()).or_insert_with(|| list.clone());
        assert_eq!(*known, list, "one digest for two lists");
        self.last_digest = Some(digest);
    }

    /// Stores the memory, unless the pass died before that, and takes away what went. What went may come
    /// again as a new record; a deletion may also fail and leave everything in place.
    fn afterwards(&mut self, decisions: &[Decision], looks: &[(Look, Truth)]) {
        let mut kept = Vec::new();
        let envs = std::mem::take(&mut self.world.envs);
        for ((mut env, decision), (_, truth)) in envs.into_iter().zip(decisions).zip(looks) {
            if self.world.random.chance(3) {
                env.passes.pop();
            } else {
                env.stored = serde_json::to_string(&decision.memory).unwrap();
                env.truths.push(*truth);
            }
            if decision.decision != Verdict::Delete {
                kept.push(env);
            } else if self.world.random.chance(40) {
                env.going |= self.world.random.chance(30);
                kept.push(env);
            } else if self.world.random.chance(70) {
                let again = self.world.env(env.id);
                kept.push(again);
            }
        }
        self.world.envs = kept;
    }
}

fn by_absence(decisions: &[Decision]) -> List {
    decisions
        .iter()
        .filter(|decision| decision.rule == Rule::BranchGone)
        .map(|decision| (decision.id.clone(), decision.record_uid.clone()))
        .collect()
}

fn count(counts: &mut Counts, what: &str) {
    *counts.entry(what.to_owned()).or_default() += 1;
}

/// Counts the outcomes, and what their texts tell about the way to them.
fn tell(counts: &mut Counts, decision: &Decision, truth: Truth) {
    count(counts, &format!("{:?} {:?}", decision.decision, decision.rule));
    for (text, what) in [
        ("missing from two complete listings", "gone by two listings"),
        ("and its forge says so too", "gone by the forge"),
        ("no other known ref", "no anchor"),
        ("its forge says that it exists", "contradiction by the forge"),
    ] {
        if decision.cause.contains(text) {
            count(counts, what);
        }
    }
    if truth.listing_lied && truth.exists && decision.decision == Verdict::Keep {
        count(counts, "a lie that decided nothing");
    }
}
