//! What Deployments, StatefulSets, DaemonSets and ReplicaSets have in common.

use serde_json::Value;

use super::read::{condition, count, int, text};
use super::{Health, NO_REPLICAS, Surroundings, Trouble, event, pod, related};

/// A workload whose controller has not looked at it. Its counters, if any, tell about another
/// specification; a just-created one has none and must not pass for finished.
pub(super) fn unobserved(object: &Value) -> Option<Health> {
    let generation = int(object, &["metadata", "generation"]);
    let observed = int(object, &["status", "observedGeneration"]);
    match (generation, observed) {
        (Some(generation), Some(observed)) if generation == observed => None,
        (_, Some(observed)) => Some(Health::progressing(stale(generation, observed))),
        (_, None) => Some(Health::progressing("its controller has not seen it yet")),
    }
}

/// The words for a status that tells about another generation.
pub(super) fn stale(generation: Option<i64>, observed: i64) -> String {
    match generation {
        Some(generation) => {
            format!("its controller has not seen the last change yet (generation {observed} of {generation})")
        }
        None => "it has no generation to compare its status with".to_owned(),
    }
}

/// A workload that asks for no pods: healthy once the last one is gone.
pub(super) fn asks_for_none(object: &Value) -> Health {
    match count(object, "replicas") {
        left if left > 0 => Health::progressing(format!("{} still to be removed", pods(left))),
        _ => Health::noted(NO_REPLICAS),
    }
}

/// The first counter that falls short, as `1 of 3 pods ready`.
pub(super) fn short(counters: &[(i64, &str)], wanted: i64) -> Option<String> {
    let (have, what) = counters.iter().find(|(have, _)| *have < wanted)?;
    Some(format!("{have} of {} {what}", pods(wanted)))
}

/// `1 pod`, `3 pods`.
pub(super) fn pods(n: i64) -> String {
    if n == 1 { "1 pod".to_owned() } else { format!("{n} pods") }
}

/// What the controller's condition says about pods that the server refused.
pub(super) fn replica_failure(object: &Value) -> Option<Health> {
    let failure = condition(object, "ReplicaFailure").filter(|c| text(c, &["status"]) == Some("True"))?;
    event::refused(text(failure, &["message"]).unwrap_or("no reason given"))
}

/// The worst trouble among some pods of one owner. A pod that failed is only spoken of while fewer
/// than `wanted` others stand: its owner replaces it, and an evicted pod may lie about for weeks.
pub(super) fn worst(owned: &[&Value], wanted: i64, around: &Surroundings<'_>) -> Option<Health> {
    let (ended, standing): (Vec<&Value>, Vec<&Value>) = owned.iter().partition(|pod| related::ended(pod));
    let replaced = i64::try_from(standing.len()).unwrap_or(i64::MAX) >= wanted;
    let failed =
        ended.into_iter().filter(|pod| !replaced && text(pod, &["status", "phase"]) == Some("Failed"));
    let troubles = standing.into_iter().filter(|p| !pod::is_ready(p)).filter_map(|p| pod::trouble(p, around));
    let failures = failed.map(|pod| Health::Trouble(pod::failure(pod)));
    worse(troubles.chain(failures))
}

/// The worst of several verdicts: what is final first, then in the order of [`Trouble`], then by
/// words, so that the same state always tells the same.
pub(super) fn worse(verdicts: impl Iterator<Item = Health>) -> Option<Health> {
    verdicts.min_by(|a, b| rank(a).cmp(&rank(b)))
}

/// The key of [`worse`].
fn rank(verdict: &Health) -> (bool, Option<Trouble>, &str) {
    let finding = verdict.finding();
    (
        !matches!(verdict, Health::Failed(_)),
        finding.map(|f| f.trouble),
        finding.map_or("", |f| f.cause.as_str()),
    )
}

/// A workload that is not there yet: its trouble if there is any, else `cause` and what the first
/// of its pods that is not ready waits for.
pub(super) fn not_yet(cause: String, owned: &[&Value], found: Option<Health>) -> Health {
    found.unwrap_or_else(|| match first_unready(owned) {
        Some(pod) => Health::progressing(format!("{cause}: {}", pod::waits_for(pod))),
        None => Health::Progressing { cause },
    })
}

/// The first pod, by name, that stands and is not ready.
pub(super) fn first_unready<'a>(owned: &[&'a Value]) -> Option<&'a Value> {
    let unready = owned.iter().filter(|pod| !related::ended(pod) && !pod::is_ready(pod));
    unready.min_by_key(|pod| text(pod, &["metadata", "name"])).copied()
}
