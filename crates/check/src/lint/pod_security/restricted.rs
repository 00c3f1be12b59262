//! Level `restricted`: what a program that is broken into may still do.

use serde_json::Value;

use super::select::{of_both, of_containers, of_pod};
use super::{Breach, has_user_namespace};
use crate::subject::{Container, Pods, dotted, step};
use crate::version::Version;

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
const PROFILES: [&str; 2] = ["RuntimeDefault", "Localhost"];

pub(super) fn breaches(pods: &Pods<'_>, version: Version) -> Vec<Breach> {
    let mut found = volumes(pods);
    let user_namespace = has_user_namespace(pods, version);
    if !user_namespace {
        found.extend(non_root(pods));
        for set in of_both(pods, "securityContext.runAsUser").into_iter().filter(|set| set.value == 0) {
            let cause = format!("`{}` may not be 0, which is root", dotted(&set.at));
            found.push(Breach { at: set.at, cause, help: "use another number" });
        }
    }
    for set in of_containers(pods, "securityContext.procMount") {
        if set.value != "Default" {
            let cause = format!("`{}` may not be {}", dotted(&set.at), set.value);
            found.push(Breach { at: set.at, cause, help: "remove it" });
        }
    }
    // The server lets pods for Windows have none of the rest.
    if pods.spec()["os"]["name"] != "windows" {
        found.extend(pods.containers().iter().flat_map(escalation));
        found.extend(pods.containers().iter().flat_map(capabilities));
        found.extend(seccomp(pods));
    }
    found
}

fn volumes(pods: &Pods<'_>) -> Vec<Breach> {
    let breach = |set: super::select::Set<'_>| {
        let fields = set.value.as_object()?;
        let mut kinds = fields.iter().filter(|(key, value)| *key != "name" && !value.is_null());
        if kinds.clone().any(|(key, _)| VOLUMES.contains(&key.as_str())) {
            return None;
        }
        // One without a kind is an emptyDir.
        let (kind, _) = kinds.next()?;
        let cause = format!("`{}` is a {kind}", dotted(&set.at));
        Some(Breach { at: step(&set.at, kind), cause, help: "use a claim, or emptyDir" })
    };
    of_pod(pods, "volumes.*").into_iter().filter_map(breach).collect()
}

/// A container's own word, else the pod's.
fn effective<'a>(pods: &Pods<'a>, container: &Container<'a>, field: &str) -> Option<&'a Value> {
    let own = container.value["securityContext"].get(field).filter(|value| !value.is_null());
    own.or_else(|| pods.spec()["securityContext"].get(field).filter(|value| !value.is_null()))
}

fn at(container: &Container<'_>, field: &str) -> Vec<String> {
    step(&step(&container.path, "securityContext"), field)
}

fn non_root(pods: &Pods<'_>) -> Vec<Breach> {
    let help = "set securityContext.runAsNonRoot: true for the pod";
    let mut found = Vec::new();
    if pods.spec()["securityContext"]["runAsNonRoot"] == false {
        let at = pods.field(&["securityContext", "runAsNonRoot"]);
        found.push(Breach { at, cause: "the pod may run as root".to_owned(), help });
    }
    for container in pods.containers() {
        if effective(pods, &container, "runAsNonRoot") != Some(&Value::Bool(true)) {
            let cause = format!("container `{}` may run as root", container.name());
            found.push(Breach { at: at(&container, "runAsNonRoot"), cause, help });
        }
    }
    found
}

fn escalation(container: &Container<'_>) -> Option<Breach> {
    let field = &container.value["securityContext"]["allowPrivilegeEscalation"];
    let cause = || format!("container `{}` may gain more rights than it began with", container.name());
    (field != &Value::Bool(false)).then(|| Breach {
        at: at(container, "allowPrivilegeEscalation"),
        cause: cause(),
        help: "set securityContext.allowPrivilegeEscalation: false",
    })
}

fn capabilities(container: &Container<'_>) -> Vec<Breach> {
    let given = &container.value["securityContext"]["capabilities"];
    let mut found = Vec::new();
    if !given["drop"].as_array().into_iter().flatten().any(|name| name == "ALL") {
        let cause = format!("container `{}` keeps capabilities", container.name());
        let help = "set securityContext.capabilities: {drop: [ALL]}";
        found.push(Breach { at: step(&at(container, "capabilities"), "drop"), cause, help });
    }
    for (index, name) in given["add"].as_array().into_iter().flatten().enumerate() {
        if name != "NET_BIND_SERVICE" {
            let at = step(&step(&at(container, "capabilities"), "add"), index);
            let cause = format!("`{}` may not be {name}", dotted(&at));
            found.push(Breach { at, cause, help: "remove it" });
        }
    }
    found
}

fn seccomp(pods: &Pods<'_>) -> Vec<Breach> {
    let allowed = |profile: Option<&Value>| {
        profile.and_then(|profile| profile["type"].as_str()).is_some_and(|kind| PROFILES.contains(&kind))
    };
    let help = "set securityContext.seccompProfile: {type: RuntimeDefault} for the pod";
    let mut found = Vec::new();
    let own = pods.spec()["securityContext"].get("seccompProfile").filter(|profile| !profile.is_null());
    if own.is_some() && !allowed(own) {
        let at = pods.field(&["securityContext", "seccompProfile", "type"]);
        found.push(Breach { at, cause: "the pod is not confined by seccomp".to_owned(), help });
    }
    for container in pods.containers() {
        if !allowed(effective(pods, &container, "seccompProfile")) {
            let cause = format!("container `{}` is not confined by seccomp", container.name());
            found.push(Breach { at: step(&at(&container, "seccompProfile"), "type"), cause, help });
        }
    }
    found
}
