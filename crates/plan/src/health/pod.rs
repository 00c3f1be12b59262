//! Pods: the trouble of any pod, and the health of one that stands alone.
//!
//! kstatus calls a failed Pod current, and one whose image cannot be pulled or whose init container
//! crashes "in progress" for ever.

use serde_json::Value;

use super::read::{clean, condition, condition_status, name, text, words};
use super::{Finding, Health, Surroundings, Trouble, container, event, related};

/// A pod without an owner.
pub(super) fn assess(pod: &Value, around: &Surroundings<'_>) -> Health {
    match text(pod, &["status", "phase"]) {
        Some("Succeeded") => return Health::noted("ran to its end"),
        Some("Failed") => return Health::Failed(failure(pod)),
        Some("Running") if condition_status(pod, "Ready") == Some("True") => return Health::healthy(),
        _ => {}
    }
    trouble(pod, around).unwrap_or_else(|| Health::progressing(waits_for(pod)))
}

/// What is wrong with a pod that has not ended, if anything is.
pub(super) fn trouble(pod: &Value, around: &Surroundings<'_>) -> Option<Health> {
    if let Some(found) = container::trouble(pod) {
        return Some(found);
    }
    let found = if text(pod, &["spec", "nodeName"]).is_none() {
        unplaced(pod, around)
    } else if container::being_made(pod) {
        let found = event::unmounted(pod, around);
        found.map(|(trouble, message)| (trouble, format!("pod {} cannot start: {message}", name(pod))))
    } else {
        None
    };
    found.map(|(trouble, cause)| Health::Trouble(about(pod, trouble, cause)))
}

/// Why a pod has no node yet, where that is more than a matter of waiting.
fn unplaced(pod: &Value, around: &Surroundings<'_>) -> Option<(Trouble, String)> {
    for claim in related::claims(pod) {
        if let Some(message) = event::unprovisioned(claim, around) {
            return Some((
                Trouble::Volume,
                format!("claim {claim} of pod {} gets no volume: {message}", name(pod)),
            ));
        }
    }
    let scheduled = condition(pod, "PodScheduled").filter(|c| text(c, &["status"]) == Some("False"))?;
    if text(scheduled, &["reason"]) != Some("Unschedulable") {
        return None;
    }
    let message = text(scheduled, &["message"]).unwrap_or("no reason given");
    // Every pod whose claims are being provisioned says so first; a claim that never will be has
    // Events of its own, read above.
    if message.contains("unbound immediate PersistentVolumeClaims") {
        return None;
    }
    let trouble =
        if message.contains("persistentvolumeclaim") { Trouble::Volume } else { Trouble::Unschedulable };
    Some((trouble, format!("pod {} fits no node: {}", name(pod), clean(message))))
}

/// Why a pod ended in failure: its container's exit, or what ended the pod from outside.
pub(super) fn failure(pod: &Value) -> Finding {
    let outside = text(pod, &["status", "reason"]);
    match (outside, container::failure(pod)) {
        (None, Some(finding)) => finding,
        (_, found) => {
            let status = pod.get("status").unwrap_or(&Value::Null);
            let cause = format!("pod {} failed: {}", name(pod), words(status));
            let container = found.as_ref().and_then(|finding| finding.container.clone());
            Finding { container, ..about(pod, Trouble::PodFailed, cause) }
        }
    }
}

/// What a pod that is not ready waits for.
pub(super) fn waits_for(pod: &Value) -> String {
    let pod_name = name(pod);
    if text(pod, &["status", "phase"]) == Some("Unknown") {
        return format!("the node of pod {pod_name} does not answer");
    }
    if let Some((waits, _)) = container::unready(pod) {
        return waits;
    }
    if text(pod, &["spec", "nodeName"]).is_none() {
        let told =
            condition(pod, "PodScheduled").filter(|c| text(c, &["status"]) == Some("False")).map(words);
        return match told {
            Some(words) => format!("pod {pod_name} has no node yet: {words}"),
            None => format!("pod {pod_name} has no node yet"),
        };
    }
    match condition(pod, "Ready").filter(|c| text(c, &["status"]) != Some("True")) {
        Some(ready) => format!("pod {pod_name} is not ready: {}", words(ready)),
        None if text(pod, &["status", "phase"]) == Some("Running") => format!("pod {pod_name} is not ready"),
        None => format!("pod {pod_name} has not started yet"),
    }
}

/// Whether the pod counts as one that serves.
pub(super) fn is_ready(pod: &Value) -> bool {
    condition_status(pod, "Ready") == Some("True")
}

/// A finding about a whole pod.
fn about(pod: &Value, trouble: Trouble, cause: String) -> Finding {
    Finding { pod: Some(name(pod).to_owned()), ..Finding::new(trouble, cause) }
}
