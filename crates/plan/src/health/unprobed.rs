//! Programs that count as ready as soon as they are started.
//!
//! A container without a readiness or startup probe is ready the moment it runs, and a workload with
//! `minReadySeconds: 0` available in the same moment: what ends at once looks healthy until it has ended.

use serde_json::Value;

use super::read::{at, group_kind, int, list, text};
use super::{Surroundings, related};

/// `minReadySeconds` from which on Kubernetes itself has waited long enough.
const ENOUGH: i64 = 2;

/// A healthy workload with a program that nobody has asked anything yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unprobed {
    /// When the newest such program was started, RFC 3339 in whole seconds by the clock of its node; `None`
    /// when that is not known.
    pub started: Option<String>,
}

/// The newest program of a workload that counts as ready without having been asked. `None` for what runs no
/// pods, for pods whose containers all have a probe, and where `minReadySeconds` has made them wait.
#[must_use]
pub fn newest_unprobed(object: &Value, around: &Surroundings<'_>) -> Option<Unprobed> {
    let (template, pods) = match group_kind(object) {
        ("", "Pod") => (object, vec![object]),
        ("apps", "Deployment") => (at(object, &["spec", "template"])?, related::current_pods(object, around)),
        ("apps", _) => (at(object, &["spec", "template"])?, related::pods(object, around)),
        _ => return None,
    };
    let none_asked_for = int(object, &["spec", "replicas"]) == Some(0);
    if none_asked_for || int(object, &["spec", "minReadySeconds"]).is_some_and(|seconds| seconds >= ENOUGH) {
        return None;
    }
    let names: Vec<&str> = unprobed_containers(template).collect();
    if names.is_empty() {
        return None;
    }
    let statuses = pods.iter().flat_map(|pod| list(pod, &["status", "containerStatuses"]));
    let unprobed =
        statuses.filter(|status| text(status, &["name"]).is_some_and(|name| names.contains(&name)));
    let started = unprobed.filter_map(|status| text(status, &["state", "running", "startedAt"])).max();
    Some(Unprobed { started: started.map(str::to_owned) })
}

/// Names of the main containers that are ready as soon as they run.
fn unprobed_containers(template: &Value) -> impl Iterator<Item = &str> {
    let probed = |container: &Value| {
        ["readinessProbe", "startupProbe"].iter().any(|probe| at(container, &[probe]).is_some())
    };
    list(template, &["spec", "containers"])
        .iter()
        .filter(move |container| !probed(container))
        .filter_map(|container| text(container, &["name"]))
}
