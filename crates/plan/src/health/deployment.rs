//! Deployments.
//!
//! kstatus does not ask whether the controller has seen the object at all, and waits in silence until
//! the progress deadline when a pod of the new revision is in trouble.

use serde_json::Value;

use super::read::{condition, condition_status, count, flag, int, replicas, text, words};
use super::{Finding, Health, Surroundings, Trouble, container, related, workload};

/// The API's way to say "no deadline".
const NO_DEADLINE: i64 = i32::MAX as i64;

/// A Deployment is healthy when every pod of its current revision serves and no other is left.
pub(super) fn assess(object: &Value, around: &Surroundings<'_>) -> Health {
    if let Some(waits) = workload::unobserved(object) {
        return waits;
    }
    let wanted = replicas(object);
    if wanted == 0 {
        return workload::asks_for_none(object);
    }
    let Some(cause) = incomplete(object, wanted) else {
        let paused = flag(object, &["spec", "paused"]);
        return if paused { Health::noted("its roll-out is paused") } else { Health::healthy() };
    };
    let pods = related::current_pods(object, around);
    let refused = workload::replica_failure(object);
    let found = workload::worse(workload::worst(&pods, wanted, around).into_iter().chain(refused));
    match condition(object, "Progressing")
        .filter(|c| text(c, &["reason"]) == Some("ProgressDeadlineExceeded"))
    {
        Some(deadline) => late(deadline, &pods, found),
        None => workload::not_yet(cause, &pods, found),
    }
}

/// What is still missing.
fn incomplete(object: &Value, wanted: i64) -> Option<String> {
    let made = count(object, "replicas");
    let counters = [(made, "made"), (count(object, "updatedReplicas"), "updated")];
    if let Some(cause) = workload::short(&counters, wanted) {
        let paused = flag(object, &["spec", "paused"]);
        return Some(if paused { format!("{cause}, its roll-out is paused") } else { cause });
    }
    if made > wanted {
        return Some(format!(
            "{} too many, still to be removed",
            workload::pods(made.saturating_sub(wanted))
        ));
    }
    let counters =
        [(count(object, "readyReplicas"), "ready"), (count(object, "availableReplicas"), "available")];
    if let Some(cause) = workload::short(&counters, wanted) {
        return Some(cause);
    }
    if let Some(progress) = condition(object, "Progressing").filter(|c| !rolled_out(c))
        && !flag(object, &["spec", "paused"])
    {
        return Some(format!("its roll-out is under way: {}", words(progress)));
    }
    let deadline =
        int(object, &["spec", "progressDeadlineSeconds"]).is_some_and(|seconds| seconds != NO_DEADLINE);
    if deadline && condition(object, "Progressing").is_none() {
        return Some("its roll-out has not begun".to_owned());
    }
    (condition_status(object, "Available") != Some("True")).then(|| "not available yet".to_owned())
}

/// Whether the `Progressing` condition says that the roll-out is over.
fn rolled_out(progress: &Value) -> bool {
    text(progress, &["status"]) == Some("True")
        && text(progress, &["reason"]) == Some("NewReplicaSetAvailable")
}

/// A Deployment past its own deadline. A pod's trouble says more than the deadline does. A missing
/// image stays trouble: a component may be allowed to wait longer for its image (`waitForImage`),
/// and only the caller knows.
fn late(deadline: &Value, pods: &[&Value], found: Option<Health>) -> Health {
    match found {
        Some(Health::Trouble(finding)) if finding.trouble != Trouble::ImagePull => {
            let cause = format!("no progress within its deadline: {}", finding.cause);
            Health::Failed(Finding { trouble: Trouble::Deadline, cause, ..finding })
        }
        Some(found) => found,
        None => match workload::first_unready(pods).and_then(container::unready) {
            Some((waits, finding)) => Health::Failed(Finding {
                cause: format!("no progress within its deadline: {waits}"),
                ..finding
            }),
            None => Health::Failed(Finding::new(Trouble::Deadline, words(deadline))),
        },
    }
}
