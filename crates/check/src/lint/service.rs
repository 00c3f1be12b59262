//! A Service that no pod answers for.

use serde_json::{Map, Value};
use spec::Diagnostic;

use super::{Found, World};
use crate::subject::{Fault, Pods, Subject, path, step};

pub(crate) fn check<'a>(world: &World<'a>) -> Found<'a> {
    let mut found = Vec::new();
    for service in world.all("", "Service") {
        let Some(selector) = service.at(&["spec", "selector"]).and_then(Value::as_object) else { continue };
        if selector.is_empty() || service.manifest()["spec"]["type"] == "ExternalName" {
            continue;
        }
        let all: Vec<(&Subject<'_>, Pods<'_>)> =
            world.subjects.iter().filter_map(|subject| Some((subject, subject.pods()?))).collect();
        let chosen: Vec<&Pods<'_>> =
            all.iter().map(|(_, pods)| pods).filter(|pods| misses(selector, pods).is_empty()).collect();
        if chosen.is_empty() {
            found.push((service.object, nobody(selector, &all)));
            continue;
        }
        found.extend(ports(service, &chosen).into_iter().map(|fault| (service.object, fault)));
    }
    found
}

/// The labels that a selector wants and a pod template does not have.
fn misses<'a>(selector: &'a Map<String, Value>, pods: &Pods<'_>) -> Vec<(&'a str, &'a str)> {
    selector
        .iter()
        .filter(|(key, value)| pods.label(key) != value.as_str())
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
        .collect()
}

fn nobody(selector: &Map<String, Value>, all: &[(&Subject<'_>, Pods<'_>)]) -> Fault {
    let words = |labels: &[(&str, &str)]| {
        labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
    };
    let wanted: Vec<(&str, &str)> =
        selector.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default())).collect();
    let cause = format!("no pod template has the labels {}", words(&wanted));
    let nearest = all
        .iter()
        .map(|(subject, pods)| (misses(selector, pods), subject))
        .min_by_key(|(misses, _)| misses.len());
    let help = match nearest {
        Some((misses, subject)) if misses.len() < selector.len() => {
            format!("{}/{} has all but {}", subject.kind, subject.name, words(&misses))
        }
        _ => "give the pods these labels, or correct the selector".to_owned(),
    };
    let finding = Diagnostic::error("OBJ039", cause).warning().help(help);
    Fault::new(path(&["spec", "selector"]), finding)
}

/// Ports by name that none of the pods has.
fn ports(service: &Subject<'_>, chosen: &[&Pods<'_>]) -> Vec<Fault> {
    let known: Vec<String> = chosen
        .iter()
        .flat_map(|pods| pods.containers())
        .flat_map(|container| container.value["ports"].as_array().cloned().unwrap_or_default())
        .filter_map(|port| port["name"].as_str().map(str::to_owned))
        .collect();
    let ports = service.at(&["spec", "ports"]).and_then(Value::as_array).into_iter().flatten().enumerate();
    ports
        .filter_map(|(index, port)| {
            let name = port["targetPort"].as_str()?;
            if known.iter().any(|known| known == name) || name.parse::<u16>().is_ok() {
                return None;
            }
            let cause = format!("no container of its pods has a port named `{name}`");
            let help = spec::near::hint(name, "port with a name", known.iter().map(String::as_str));
            let at = step(&step(&path(&["spec", "ports"]), index), "targetPort");
            Some(Fault::new(at, Diagnostic::error("OBJ039", cause).warning().help(help)))
        })
        .collect()
}
