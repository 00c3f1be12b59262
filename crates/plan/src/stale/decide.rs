//! All rules together, and the budget.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::finding::Finding;
use super::look::look;
use super::ttl::ttl;
use super::{Candidate, Decision, Memory, Next, Policy, Rule, Verdict, held_digest};

/// Decides about every environment, in the order of `candidates`. `approve` is the digest of a held list.
#[must_use]
pub fn decide(
    now: Timestamp,
    policy: &Policy,
    candidates: &[Candidate],
    approve: Option<&str>,
) -> Vec<Decision> {
    let mut decisions: Vec<Decision> =
        candidates.iter().map(|candidate| judge(now, policy, candidate)).collect();
    let live = candidates.iter().filter(|candidate| !candidate.going).count();
    hold(live, policy, approve, &mut decisions);
    decisions
}

/// How many environments may go by absence in one pass.
#[must_use]
pub fn budget(live: usize, percent: u32) -> usize {
    let percent = usize::try_from(percent).unwrap_or(usize::MAX);
    (live.saturating_mul(percent) / 100).max(1)
}

/// One environment, by itself.
fn judge(now: Timestamp, policy: &Policy, candidate: &Candidate) -> Decision {
    let decision = |decision, rule, cause, next, memory| Decision {
        environment: candidate.name.clone(),
        id: candidate.id.clone(),
        record_uid: candidate.record_uid.clone(),
        decision,
        rule,
        cause,
        inputs: inputs(now, policy, candidate),
        next,
        memory,
    };
    let mut memory = candidate.memory.clone();
    if candidate.going {
        let cause = "its teardown has begun: it is finished".to_owned();
        return decision(Verdict::Delete, Rule::Teardown, cause, None, memory);
    }
    let ttl = ttl(now, candidate, &mut memory);
    let look = look(now, policy, candidate, &mut memory);
    let struck = first_strike(&ttl, &look);
    if candidate.protected {
        let cause = match struck {
            Some((rule, cause)) => {
                format!("it is protected; otherwise the rule {} would strike: {cause}", rule.name())
            }
            None => format!("it is protected; no rule would strike now: {}", joined(&ttl, &look, &memory)),
        };
        // Once it is protected no more, its end is announced anew.
        memory.announced = None;
        return decision(Verdict::Keep, Rule::Protected, cause, None, memory);
    }
    if let Some((rule, cause)) = struck {
        return decision(Verdict::Delete, rule, cause.to_owned(), None, memory);
    }
    let rule = if memory.announced.is_some() { Rule::Ttl } else { Rule::None };
    let cause = joined(&ttl, &look, &memory);
    decision(Verdict::Keep, rule, cause, soonest(ttl.next, look.next), memory)
}

/// The strike that is told: what the forge says about a pull request, then the TTL, then an absence.
fn first_strike<'a>(ttl: &'a Finding, look: &'a Finding) -> Option<(Rule, &'a str)> {
    let by_look = look.strikes.map(|rule| (rule, look.cause.as_str()));
    let by_ttl = ttl.strikes.map(|rule| (rule, ttl.cause.as_str()));
    match by_look {
        Some((Rule::BranchGone, _)) | None => by_ttl.or(by_look),
        pull => pull,
    }
}

/// Why it stays: an end that was announced comes first.
fn joined(ttl: &Finding, look: &Finding, memory: &Memory) -> String {
    let (first, second) = if memory.announced.is_some() { (ttl, look) } else { (look, ttl) };
    format!("{}; {}", first.cause, second.cause)
}

/// What comes first; what hangs on no time comes at the next pass.
fn soonest(ttl: Option<Next>, look: Option<Next>) -> Option<Next> {
    match (ttl, look) {
        (Some(ttl), Some(look)) if look.at < ttl.at => Some(look),
        (ttl, look) => ttl.or(look),
    }
}

/// Deletions by absence beyond the budget: none of them happens, unless exactly this list is approved.
fn hold(live: usize, policy: &Policy, approve: Option<&str>, decisions: &mut [Decision]) {
    let by_absence =
        |decision: &&mut Decision| decision.rule == Rule::BranchGone && decision.decision != Verdict::Keep;
    let count = decisions.iter_mut().filter(by_absence).count();
    let allowed = budget(live, policy.budget_percent);
    if count > allowed {
        decisions.iter_mut().filter(by_absence).for_each(|decision| decision.decision = Verdict::Held);
    }
    let digest = held_digest(decisions);
    for decision in decisions.iter_mut().filter(by_absence) {
        let Some(digest) = digest.as_deref() else {
            note_budget(decision, live, allowed, count, None);
            continue;
        };
        let too_many =
            format!("{count} of {live} environments would go by absence, {allowed} may in one pass");
        if approve == Some(digest) {
            decision.decision = Verdict::Delete;
            decision.cause = format!("{}; {too_many}, and the list {digest} is approved", decision.cause);
        } else {
            let other = match approve {
                Some(other) => format!(", the approval {other} is for another list"),
                None => String::new(),
            };
            decision.cause = format!("{}; held: {too_many}{other}", decision.cause);
            let when = format!("when the list {digest} is approved");
            decision.next = Some(Next { rule: Rule::BranchGone, at: None, when });
        }
        note_budget(decision, live, allowed, count, Some(digest));
    }
}

fn note_budget(decision: &mut Decision, live: usize, allowed: usize, by_absence: usize, list: Option<&str>) {
    let budget = json!({"live": live, "allowed": allowed, "byAbsence": by_absence, "list": list});
    if let Some(inputs) = decision.inputs.as_object_mut() {
        inputs.insert("budget".to_owned(), budget);
    }
}

/// What the rules look at. A listing may be long: of its other branches only the number is told.
fn inputs(now: Timestamp, policy: &Policy, candidate: &Candidate) -> Value {
    let mut look = json!(candidate.look);
    if let Some(refs) = look.pointer_mut("/branch/refs") {
        *refs = json!(refs.as_array().map_or(0, Vec::len));
    }
    json!({
        "now": now,
        "policy": policy,
        "repository": candidate.repository,
        "reference": candidate.reference,
        "protected": candidate.protected,
        "going": candidate.going,
        "lastUp": candidate.last_up,
        "expiresAt": candidate.expires_at,
        "look": look,
        "memory": candidate.memory,
    })
}
