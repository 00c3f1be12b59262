//! Objects that name another one which is not there: backends, scale targets, roles.

use serde_json::Value;
use spec::{Diagnostic, near};

use super::{Found, World};
use crate::subject::{Fault, Subject, path, step};

/// What is named, and where.
struct Named<'a> {
    at: Vec<String>,
    group: &'static str,
    kind: &'a str,
    name: &'a str,
}

pub(crate) fn check<'a>(world: &World<'a>) -> Found<'a> {
    // In a borrowed namespace it may have been there before.
    if !world.owns_namespace() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for subject in &world.subjects {
        for named in names(subject) {
            let known = world.named(named.group, named.kind);
            if known.contains_key(named.name) {
                continue;
            }
            let cause = format!("there is no {} `{}` in the rendering", named.kind, named.name);
            let help = near::hint(named.name, named.kind, known.keys().copied());
            let finding = Diagnostic::error("OBJ041", cause).warning().help(help);
            found.push((subject.object, Fault::new(named.at, finding)));
        }
    }
    found
}

fn names<'a>(subject: &Subject<'a>) -> Vec<Named<'a>> {
    match (subject.group, subject.kind) {
        ("networking.k8s.io", "Ingress") => backends(subject),
        ("autoscaling", "HorizontalPodAutoscaler") => {
            one(subject, &["spec", "scaleTargetRef"]).into_iter().collect()
        }
        ("rbac.authorization.k8s.io", "RoleBinding") => one(subject, &["roleRef"]).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// A reference with `kind` and `name`, when the kind is one that templates render.
fn one<'a>(subject: &Subject<'a>, steps: &[&str]) -> Option<Named<'a>> {
    let reference = subject.at(steps)?;
    let kind = reference["kind"].as_str()?;
    let group = match kind {
        "Deployment" | "StatefulSet" | "ReplicaSet" => "apps",
        "Role" => "rbac.authorization.k8s.io",
        _ => return None,
    };
    Some(Named { at: step(&path(steps), "name"), group, kind, name: reference["name"].as_str()? })
}

fn backends<'a>(ingress: &Subject<'a>) -> Vec<Named<'a>> {
    let mut all = Vec::new();
    let mut add = |at: Vec<String>, backend: &'a Value| {
        if let Some(name) = backend["service"]["name"].as_str() {
            let at = step(&step(&at, "service"), "name");
            all.push(Named { at, group: "", kind: "Service", name });
        }
    };
    let spec = &ingress.manifest()["spec"];
    add(path(&["spec", "defaultBackend"]), &spec["defaultBackend"]);
    for (rule, value) in spec["rules"].as_array().into_iter().flatten().enumerate() {
        for (index, entry) in value["http"]["paths"].as_array().into_iter().flatten().enumerate() {
            let (rule, index) = (rule.to_string(), index.to_string());
            add(path(&["spec", "rules", &rule, "http", "paths", &index, "backend"]), &entry["backend"]);
        }
    }
    all
}
