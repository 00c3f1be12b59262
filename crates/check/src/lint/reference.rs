//! Pods that wait for a ConfigMap, Secret, service account or claim that never comes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use spec::{Diagnostic, near};

use super::{Found, World};
use crate::subject::{Fault, Pods, step};

/// What a pod names.
struct Reference<'a> {
    at: Vec<String>,
    kind: &'static str,
    name: &'a str,
    /// The keys that have to be in it, and where they are named.
    keys: Vec<(Vec<String>, &'a str)>,
    /// Whether pods start without it.
    soft: bool,
}

/// Objects of one kind: name to the keys in it, `None` where they are not known.
type Known<'a> = BTreeMap<&'a str, Option<BTreeSet<&'a str>>>;

pub(crate) fn check<'a>(world: &World<'a>) -> Found<'a> {
    let known: BTreeMap<&str, Known<'_>> = ["ConfigMap", "Secret", "ServiceAccount", "PersistentVolumeClaim"]
        .map(|kind| (kind, there(world, kind)))
        .into();
    let closed = world.is_closed();
    let brought = brought(world);
    let mut found = Vec::new();
    for subject in &world.subjects {
        let Some(pods) = subject.pods() else { continue };
        for reference in references(&pods) {
            let known = &known[reference.kind];
            let outside = reference.kind == "Secret" && brought.contains(reference.name);
            let faults = match outside && !known.contains_key(reference.name) {
                true => vec![to_be_brought(&reference)],
                false => missing(&reference, known, closed),
            };
            found.extend(faults.into_iter().map(|fault| (subject.object, fault)));
        }
    }
    found
}

/// Secrets that components without an object of their own hand on: what runs outside the environment has its
/// credentials from outside.
fn brought<'a>(world: &World<'a>) -> BTreeSet<&'a str> {
    let makes: BTreeSet<&str> =
        world.rendered.objects.iter().map(|object| object.component.as_str()).collect();
    let outside =
        world.rendered.components.iter().filter(|component| !makes.contains(component.name.as_str()));
    let outputs = outside.flat_map(|component| component.provides.values()).flat_map(BTreeMap::values);
    outputs.filter_map(|output| output["secretRef"].as_str()).collect()
}

fn to_be_brought(reference: &Reference<'_>) -> Fault {
    let cause = format!("nothing here makes the Secret `{}`", reference.name);
    let help = "create it in the environment's namespace: pods wait for it";
    Fault::new(reference.at.clone(), Diagnostic::error("OBJ040", cause).help(help).warning())
}

fn there<'a>(world: &World<'a>, kind: &'static str) -> Known<'a> {
    let mut known: Known<'_> = world.all("", kind).map(|it| (it.name, Some(keys(it.manifest())))).collect();
    match kind {
        // Kubernetes makes these in every namespace.
        "ConfigMap" => drop(known.insert("kube-root-ca.crt", Some(["ca.crt"].into()))),
        "ServiceAccount" => drop(known.insert("default", None)),
        "Secret" => {
            for secret in &world.rendered.generated {
                let own = secret.keys.keys().map(String::as_str);
                known
                    .entry(&secret.secret)
                    .or_insert_with(|| Some(BTreeSet::new()))
                    .get_or_insert_default()
                    .extend(own);
            }
            known.extend(world.rendered.secrets.iter().map(|copy| (copy.name.as_str(), None)));
        }
        _ => {}
    }
    known
}

fn keys(manifest: &Value) -> BTreeSet<&str> {
    ["data", "binaryData", "stringData"]
        .iter()
        .filter_map(|field| manifest[*field].as_object())
        .flat_map(|map| map.keys().map(String::as_str))
        .collect()
}

fn missing(reference: &Reference<'_>, known: &Known<'_>, closed: bool) -> Vec<Fault> {
    let weigh = |finding: Diagnostic| if closed && !reference.soft { finding } else { finding.warning() };
    let (kind, name) = (reference.kind, reference.name);
    let Some(content) = known.get(name) else {
        let cause = format!("there is no {kind} `{name}` in the rendering");
        let help = near::hint(name, kind, known.keys().copied());
        let finding = weigh(Diagnostic::error("OBJ040", cause).help(help));
        return vec![Fault::new(reference.at.clone(), finding)];
    };
    let Some(content) = content else { return Vec::new() };
    let lacks = |(at, key): &(Vec<String>, &str)| {
        let cause = format!("{kind} `{name}` has no key `{key}`");
        let help = near::hint(key, "key in it", content.iter().copied());
        let finding = weigh(Diagnostic::error("OBJ040", cause).help(help));
        Fault::new(at.clone(), finding)
    };
    reference.keys.iter().filter(|(_, key)| !content.contains(key)).map(lacks).collect()
}

fn references<'a>(pods: &Pods<'a>) -> Vec<Reference<'a>> {
    let mut all = Vec::new();
    for (index, volume) in items(pods.spec(), "volumes") {
        of_volume(volume, &pods.field(&["volumes", &index.to_string()]), &mut all);
    }
    for container in pods.containers() {
        for (index, variable) in items(container.value, "env") {
            let at = step(&step(&step(&container.path, "env"), index), "valueFrom");
            for (field, kind) in [("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")] {
                source(&variable["valueFrom"][field], &step(&at, field), kind, "name", &mut all);
            }
        }
        for (index, from) in items(container.value, "envFrom") {
            let at = step(&step(&container.path, "envFrom"), index);
            for (field, kind) in [("configMapRef", "ConfigMap"), ("secretRef", "Secret")] {
                source(&from[field], &step(&at, field), kind, "name", &mut all);
            }
        }
    }
    for (index, secret) in items(pods.spec(), "imagePullSecrets") {
        let at = pods.field(&["imagePullSecrets", &index.to_string()]);
        let before = all.len();
        source(secret, &at, "Secret", "name", &mut all);
        all[before..].iter_mut().for_each(|reference| reference.soft = true);
    }
    let spec = pods.spec();
    if let Some(name) = spec["serviceAccountName"].as_str().filter(|name| !name.is_empty()) {
        let at = pods.field(&["serviceAccountName"]);
        all.push(Reference { at, kind: "ServiceAccount", name, keys: Vec::new(), soft: false });
    }
    all
}

fn of_volume<'a>(volume: &'a Value, at: &[String], all: &mut Vec<Reference<'a>>) {
    source(&volume["configMap"], &step(at, "configMap"), "ConfigMap", "name", all);
    source(&volume["secret"], &step(at, "secret"), "Secret", "secretName", all);
    let claim = step(at, "persistentVolumeClaim");
    source(&volume["persistentVolumeClaim"], &claim, "PersistentVolumeClaim", "claimName", all);
    for (index, part) in items(&volume["projected"], "sources") {
        let at = step(&step(&step(at, "projected"), "sources"), index);
        source(&part["configMap"], &step(&at, "configMap"), "ConfigMap", "name", all);
        source(&part["secret"], &step(&at, "secret"), "Secret", "name", all);
    }
}

/// A reference by name, with `key` or `items` where it has them; one that is optional asks for nothing.
fn source<'a>(
    value: &'a Value,
    at: &[String],
    kind: &'static str,
    field: &str,
    all: &mut Vec<Reference<'a>>,
) {
    let Some(name) = value[field].as_str().filter(|_| value["optional"] != true) else { return };
    let single = value["key"].as_str().map(|key| (step(at, "key"), key));
    let listed = items(value, "items").filter_map(|(index, item)| {
        Some((step(&step(&step(at, "items"), index), "key"), item["key"].as_str()?))
    });
    let keys = single.into_iter().chain(listed).collect();
    all.push(Reference { at: step(at, field), kind, name, keys, soft: false });
}

fn items<'a>(value: &'a Value, list: &str) -> impl Iterator<Item = (usize, &'a Value)> + use<'a> {
    value[list].as_array().into_iter().flatten().enumerate()
}
