//! ReplicaSets without a Deployment.

use serde_json::Value;

use super::read::{count, replicas};
use super::{Health, Surroundings, related, workload};

/// A ReplicaSet is healthy when it has as many serving pods as it asks for.
pub(super) fn assess(object: &Value, around: &Surroundings<'_>) -> Health {
    if let Some(waits) = workload::unobserved(object) {
        return waits;
    }
    let wanted = replicas(object);
    if wanted == 0 {
        return workload::asks_for_none(object);
    }
    let made = count(object, "replicas");
    let counters = [
        (made, "made"),
        (count(object, "fullyLabeledReplicas"), "labelled"),
        (count(object, "readyReplicas"), "ready"),
        (count(object, "availableReplicas"), "available"),
    ];
    let cause = match workload::short(&counters, wanted) {
        Some(cause) => cause,
        None if made > wanted => {
            format!("{} too many, still to be removed", workload::pods(made.saturating_sub(wanted)))
        }
        None => return Health::healthy(),
    };
    let pods = related::pods(object, around);
    let refused = workload::replica_failure(object);
    let found = workload::worse(workload::worst(&pods, wanted, around).into_iter().chain(refused));
    workload::not_yet(cause, &pods, found)
}
