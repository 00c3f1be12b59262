//! DaemonSets.
//!
//! kstatus never calls one with `OnDelete` current after a change, and waits for ever in a crash loop.

use serde_json::Value;

use super::read::{count, text};
use super::{Health, Surroundings, event, related, workload};

/// A DaemonSet is healthy when a pod of it serves on every node that it wants.
pub(super) fn assess(object: &Value, around: &Surroundings<'_>) -> Health {
    if let Some(waits) = workload::unobserved(object) {
        return waits;
    }
    let wanted = count(object, "desiredNumberScheduled");
    if wanted <= 0 {
        return Health::noted("no node matches, so no pods are asked for");
    }
    let by_hand = text(object, &["spec", "updateStrategy", "type"]) == Some("OnDelete");
    let updated = count(object, "updatedNumberScheduled");
    let made = count(object, "currentNumberScheduled");
    let counters = [
        (made, "made"),
        (if by_hand { wanted } else { updated }, "updated"),
        (count(object, "numberReady"), "ready"),
        (count(object, "numberAvailable"), "available"),
    ];
    let Some(cause) = workload::short(&counters, wanted) else {
        let old = wanted.saturating_sub(updated);
        let note = format!("{} kept at the previous revision until deleted (OnDelete)", workload::pods(old));
        return Health::Healthy { note: (old > 0).then_some(note) };
    };
    let pods = current_pods(object, around);
    let refused = if made < wanted { event::refusal(object, around) } else { None };
    let found = workload::worse(workload::worst(&pods, wanted, around).into_iter().chain(refused));
    workload::not_yet(cause, &pods, found)
}

/// Its pods without those made from an older template: the controller replaces the broken ones of
/// them first. Where the generation of the template is not recorded, all of them.
fn current_pods<'a>(object: &Value, around: &Surroundings<'a>) -> Vec<&'a Value> {
    let template = text(object, &["metadata", "annotations", "deprecated.daemonset.template.generation"]);
    let mut pods = related::pods(object, around);
    pods.retain(|pod| {
        let made_from = text(pod, &["metadata", "labels", "pod-template-generation"]);
        template.is_none() || made_from.is_none() || made_from == template
    });
    pods
}
