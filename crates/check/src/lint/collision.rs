//! What every environment of the spec would claim, though there is only one of it.
//!
//! The spec is rendered for a second branch; a claim that both renderings make is one they would fight over.

use std::collections::BTreeSet;

use render::Rendered;
use serde_json::Value;
use spec::Diagnostic;

use super::{Found, World};
use crate::subject::{Fault, Subject, path, step};

/// Annotation with the names that external-dns makes.
const DNS: &str = "external-dns.alpha.kubernetes.io/hostname";

/// Something that exists once for the whole cluster, or beyond it.
struct Claim {
    at: Vec<String>,
    what: &'static str,
    value: String,
}

pub(crate) fn check<'a>(world: &World<'a>) -> Found<'a> {
    let Some(twin) = world.twin else { return Vec::new() };
    let other: BTreeSet<(&str, String)> = all(twin).map(|claim| (claim.what, claim.value)).collect();
    let mut found = Vec::new();
    for subject in &world.subjects {
        for claim in claims(subject) {
            if !other.contains(&(claim.what, claim.value.clone())) {
                continue;
            }
            let cause = format!("{} {} would be claimed by every environment", claim.what, claim.value);
            let finding = Diagnostic::error("OBJ013", cause).help(help(claim.what));
            found.push((subject.object, Fault::new(claim.at, finding)));
        }
    }
    found
}

fn all(rendered: &Rendered) -> impl Iterator<Item = Claim> {
    rendered.objects.iter().flat_map(|object| claims(&Subject::new(object)))
}

fn help(what: &str) -> &'static str {
    match what {
        "host" | "DNS name" => "put `{{ env.name }}` into it",
        "volume" => "leave volumeName out: the claim finds a volume of its own",
        _ => "leave it out: the cluster chooses one that is free",
    }
}

fn claims(subject: &Subject<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    match (subject.group, subject.kind) {
        ("", "Service") => service(subject, &mut claims),
        ("networking.k8s.io", "Ingress") => ingress(subject, &mut claims),
        ("", "PersistentVolumeClaim") => text(subject, &["spec", "volumeName"], "volume", &mut claims),
        _ => {}
    }
    if matches!(subject.kind, "Service" | "Ingress") {
        text(subject, &["metadata", "annotations", DNS], "DNS name", &mut claims);
    }
    claims
}

fn text(subject: &Subject<'_>, steps: &[&str], what: &'static str, claims: &mut Vec<Claim>) {
    if let Some(value) = subject.at(steps).and_then(Value::as_str).filter(|value| !value.is_empty()) {
        claims.push(Claim { at: path(steps), what, value: value.to_owned() });
    }
}

fn service(subject: &Subject<'_>, claims: &mut Vec<Claim>) {
    let spec = &subject.manifest()["spec"];
    for (index, port) in spec["ports"].as_array().into_iter().flatten().enumerate() {
        if let Some(number) = port["nodePort"].as_u64().filter(|number| *number > 0) {
            let at = step(&step(&path(&["spec", "ports"]), index), "nodePort");
            claims.push(Claim { at, what: "node port", value: number.to_string() });
        }
    }
    text(subject, &["spec", "loadBalancerIP"], "address", claims);
    if spec["clusterIP"] != "None" {
        text(subject, &["spec", "clusterIP"], "address", claims);
    }
    for (index, address) in spec["externalIPs"].as_array().into_iter().flatten().enumerate() {
        if let Some(address) = address.as_str() {
            let at = step(&path(&["spec", "externalIPs"]), index);
            claims.push(Claim { at, what: "address", value: address.to_owned() });
        }
    }
}

/// Two environments may share a host where each has paths of its own.
fn ingress(subject: &Subject<'_>, claims: &mut Vec<Claim>) {
    for (index, rule) in subject.manifest()["spec"]["rules"].as_array().into_iter().flatten().enumerate() {
        let at = step(&path(&["spec", "rules"]), index);
        let host = rule["host"].as_str().unwrap_or_default();
        let at = if host.is_empty() { at } else { step(&at, "host") };
        let shown = if host.is_empty() { "* (any)" } else { host };
        let paths = rule["http"]["paths"].as_array().cloned().unwrap_or_default();
        let mut values: BTreeSet<String> = paths
            .iter()
            .map(|entry| format!("{shown}{}", entry["path"].as_str().unwrap_or_default()))
            .collect();
        if values.is_empty() {
            values.insert(shown.to_owned());
        }
        claims.extend(values.into_iter().map(|value| Claim { at: at.clone(), what: "host", value }));
    }
}
