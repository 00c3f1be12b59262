//! Pods that the quota of the spec's own policy keeps out.

use serde_json::Value;
use spec::{Diagnostic, quantity};

use super::{Found, World};
use crate::subject::{Container, Fault, Pods, Subject, step};

/// A name of a quota, and which figure of a container it counts.
const COUNTED: [(&str, &str, &str); 6] = [
    ("cpu", "requests", "cpu"),
    ("memory", "requests", "memory"),
    ("requests.cpu", "requests", "cpu"),
    ("requests.memory", "requests", "memory"),
    ("limits.cpu", "limits", "cpu"),
    ("limits.memory", "limits", "memory"),
];

pub(crate) fn check<'a>(world: &World<'a>) -> Found<'a> {
    let quota = &world.rendered.policy.quota;
    let mut found = Vec::new();
    for (name, list, resource) in COUNTED {
        let Some(hard) = quota.get(name) else { continue };
        // A LimitRange fills in what a container leaves out.
        if world.all("", "LimitRange").next().is_none() {
            found.extend(unsaid(world, name, list, resource));
        }
        let asked = |pods: &Pods<'_>| pods.containers().iter().map(|it| figure(it, list, resource)).sum();
        found.extend(beyond(world, name, hard, &asked));
    }
    if let Some(hard) = quota.get("pods") {
        found.extend(beyond(world, "pods", hard, &|_| 1.0));
    }
    found
}

/// What a container asks for; a request that is left out is as high as the limit.
fn written<'a>(container: &Container<'a>, list: &str, resource: &str) -> Option<&'a Value> {
    let resources = &container.value["resources"];
    let own = resources[list].get(resource).filter(|value| !value.is_null());
    own.or_else(|| resources["limits"].get(resource).filter(|_| list == "requests"))
}

fn figure(container: &Container<'_>, list: &str, resource: &str) -> f64 {
    // Init containers are gone before the others begin.
    if container.path.iter().any(|step| step != "containers" && step.ends_with("Containers")) {
        return 0.0;
    }
    let text = match written(container, list, resource) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return 0.0,
    };
    quantity::number(&text).unwrap_or_default()
}

fn unsaid<'a>(world: &World<'a>, name: &str, list: &str, resource: &str) -> Found<'a> {
    let mut found = Vec::new();
    for subject in &world.subjects {
        let Some(pods) = subject.pods() else { continue };
        for container in pods.containers().iter().filter(|it| written(it, list, resource).is_none()) {
            let cause = format!(
                "container `{}` has no {list}.{resource}, which the quota on {name} wants",
                container.name()
            );
            let help = format!("add resources.{list}.{resource}, or the server makes no pod");
            let finding = Diagnostic::error("OBJ021", cause).help(help);
            found.push((subject.object, Fault::new(step(&container.path, "resources"), finding)));
        }
    }
    found
}

/// The first object with which all that runs for good is more than the quota.
fn beyond<'a>(world: &World<'a>, name: &str, hard: &str, asked: &dyn Fn(&Pods<'_>) -> f64) -> Found<'a> {
    let Some(limit) = quantity::number(hard) else { return Vec::new() };
    let mut total = 0.0;
    for subject in &world.subjects {
        let (Some(pods), Some(replicas)) = (subject.pods(), replicas(subject)) else { continue };
        total += asked(&pods) * replicas;
        // Sums of floats are not exact.
        if total > limit * 1.000_001 {
            let cause = format!("with this, all pods together ask for more {name} than the quota of {hard}");
            let help = "ask for less, or raise `policy.quota` in the spec";
            let finding = Diagnostic::error("OBJ021", cause).help(help);
            return vec![(subject.object, Fault::new(pods.field(&["containers"]), finding))];
        }
    }
    Vec::new()
}

/// How many pods run for good at the same time; unknown for what ends or depends on the nodes.
fn replicas(subject: &Subject<'_>) -> Option<f64> {
    match (subject.group, subject.kind) {
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet") => {
            Some(subject.at(&["spec", "replicas"]).and_then(Value::as_f64).unwrap_or(1.0))
        }
        _ => None,
    }
}
