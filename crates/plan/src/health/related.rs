//! Which pods belong to an object.

use serde_json::Value;

use super::read::{at, list, text, uid};
use super::{Question, Surroundings};

/// Where the Deployment controller counts roll-outs.
const REVISION: [&str; 3] = ["metadata", "annotations", "deployment.kubernetes.io/revision"];

/// uids of the owners that an object names.
pub(super) fn owners(object: &Value) -> impl Iterator<Item = &str> {
    list(object, &["metadata", "ownerReferences"]).iter().filter_map(|owner| text(owner, &["uid"]))
}

/// Whether somebody has asked for the object to go.
pub(super) fn going(object: &Value) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some_and(|time| !time.is_null())
}

/// Pods that the object owns, those on their way out included.
pub(super) fn all_pods<'a>(object: &Value, around: &Surroundings<'a>) -> Vec<&'a Value> {
    let Some(owner) = uid(object) else { return Vec::new() };
    around.ask(Question::PodsOf(owner.to_owned())).collect()
}

/// Pods that the object owns and that nobody has asked to go.
pub(super) fn pods<'a>(object: &Value, around: &Surroundings<'a>) -> Vec<&'a Value> {
    let mut pods = all_pods(object, around);
    pods.retain(|pod| !going(pod));
    pods
}

/// Pods of a Deployment's current revision. Pods of an older ReplicaSet say nothing about this
/// roll-out: often their trouble is what it mends.
pub(super) fn current_pods<'a>(deployment: &Value, around: &Surroundings<'a>) -> Vec<&'a Value> {
    let (Some(owner), Some(revision)) = (uid(deployment), text(deployment, &REVISION)) else {
        return Vec::new();
    };
    let current =
        around.ask(Question::SetsOf(owner.to_owned())).filter(|set| text(set, &REVISION) == Some(revision));
    current.flat_map(|set| pods(set, around)).collect()
}

/// Whether a pod that has not ended mounts the claim.
pub(super) fn claim_is_used(claim: &str, around: &Surroundings<'_>) -> bool {
    around.ask(Question::UsersOfClaim(claim.to_owned())).any(|pod| !going(pod) && !ended(pod))
}

/// Names of the claims that a pod mounts.
pub(super) fn claims(pod: &Value) -> impl Iterator<Item = &str> {
    list(pod, &["spec", "volumes"]).iter().filter_map(|v| text(v, &["persistentVolumeClaim", "claimName"]))
}

/// Whether a pod has run to its end, well or not.
pub(super) fn ended(pod: &Value) -> bool {
    matches!(text(pod, &["status", "phase"]), Some("Succeeded" | "Failed"))
}
