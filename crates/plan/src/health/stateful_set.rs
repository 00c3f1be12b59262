//! StatefulSets.
//!
//! kstatus calls every one with `OnDelete` current, and a crash loop "in progress" for ever.

use serde_json::Value;

use super::read::{count, int, replicas, text};
use super::{Finding, Health, Surroundings, event, related, workload};

/// A StatefulSet is healthy when all its pods serve, and those that its strategy updates by itself
/// have been.
pub(super) fn assess(object: &Value, around: &Surroundings<'_>) -> Health {
    if let Some(waits) = workload::unobserved(object) {
        return waits;
    }
    let wanted = replicas(object);
    if wanted == 0 {
        return workload::asks_for_none(object);
    }
    match incomplete(object, wanted) {
        None => Health::Healthy { note: kept_back(object, wanted) },
        Some(cause) => {
            let pods = related::pods(object, around);
            workload::not_yet(cause, &pods, trouble(object, &pods, wanted, around))
        }
    }
}

/// What is still missing.
fn incomplete(object: &Value, wanted: i64) -> Option<String> {
    let made = count(object, "replicas");
    let counters = [(made, "made"), (count(object, "readyReplicas"), "ready")];
    if let Some(cause) = workload::short(&counters, wanted) {
        return Some(cause);
    }
    if made > wanted {
        return Some(format!(
            "{} too many, still to be removed",
            workload::pods(made.saturating_sub(wanted))
        ));
    }
    // Without it the controller may leave the counter out.
    if int(object, &["spec", "minReadySeconds"]).is_some_and(|seconds| seconds > 0)
        && let Some(cause) = workload::short(&[(count(object, "availableReplicas"), "available")], wanted)
    {
        return Some(cause);
    }
    if by_hand(object) {
        return None;
    }
    let partition = partition(object);
    let to_update = wanted.saturating_sub(partition).max(0);
    if let Some(cause) = workload::short(&[(count(object, "updatedReplicas"), "updated")], to_update) {
        return Some(cause);
    }
    if partition > 0 {
        return None;
    }
    let current = text(object, &["status", "currentRevision"]);
    let update = text(object, &["status", "updateRevision"]);
    let counted = workload::short(&[(count(object, "currentReplicas"), "at the current revision")], wanted);
    if current != update { Some("its roll-out is under way".to_owned()) } else { counted }
}

/// Why some pods of a healthy StatefulSet still run an older revision.
fn kept_back(object: &Value, wanted: i64) -> Option<String> {
    let old = wanted.saturating_sub(count(object, "updatedReplicas"));
    let differs = text(object, &["status", "currentRevision"]) != text(object, &["status", "updateRevision"]);
    if old <= 0 || !differs {
        return None;
    }
    let why = if by_hand(object) { "until deleted (OnDelete)" } else { "by its partition" };
    Some(format!("{} kept at the previous revision {why}", workload::pods(old)))
}

/// Whether pods are only updated when somebody deletes them.
fn by_hand(object: &Value) -> bool {
    text(object, &["spec", "updateStrategy", "type"]) == Some("OnDelete")
}

/// Pods below this ordinal are not updated.
fn partition(object: &Value) -> i64 {
    int(object, &["spec", "updateStrategy", "rollingUpdate", "partition"]).unwrap_or(0).max(0)
}

/// What is wrong with its pods. One of the previous revision can block the update, so it is spoken
/// of, but it does not fail the new revision.
fn trouble(object: &Value, pods: &[&Value], wanted: i64, around: &Surroundings<'_>) -> Option<Health> {
    let update = text(object, &["status", "updateRevision"]);
    let (new, old): (Vec<&Value>, Vec<&Value>) = pods.iter().partition(|pod| {
        let revision = text(pod, &["metadata", "labels", "controller-revision-hash"]);
        update.is_none() || revision.is_none() || revision == update
    });
    let made = count(object, "replicas");
    let refused = if made < wanted { event::refusal(object, around) } else { None };
    let of_new = workload::worst(&new, wanted, around).into_iter().chain(refused);
    workload::worse(of_new).or_else(|| workload::worst(&old, wanted, around).map(blocked))
}

/// The trouble of a pod of the previous revision.
fn blocked(found: Health) -> Health {
    match found {
        Health::Failed(finding) | Health::Trouble(finding) => {
            let cause = format!(
                "{}; it is of the previous revision and may block the update until deleted",
                finding.cause
            );
            Health::Trouble(Finding { cause, ..finding })
        }
        other => other,
    }
}
