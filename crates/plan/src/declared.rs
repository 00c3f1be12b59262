//! What a spec declares about conflicts: which fields mimeo may take from other managers.
//!
//! The API server names a field in the notation of `structured-merge-diff` (`fieldpath/element.go`):
//! `.spec.containers[name="web"].image`, `.spec.ports[port=80,protocol="TCP"]`, `.metadata.finalizers[="a"]`.
//! Dots inside of keys are not escaped, so that a name may be read in more than one way.

use serde_json::Value;

use crate::{Desired, Inputs, desired_digest, guard::adoption};

/// Whether fields that others manage may be taken, and by what right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// They are not.
    Refused,
    /// They were taken from mimeo, which applied exactly this before.
    Back,
    /// The spec declares it.
    Declared,
}

/// By what right an apply takes the fields of a conflict. `fields` is how the server names them.
#[must_use]
pub fn taking(inputs: &Inputs<'_>, desired: &Desired, fields: &[String]) -> Taking {
    let key = desired.object.key();
    let entry = inputs.inventory.get(&key);
    let adopted =
        inputs.observed.live.get(&key).is_some_and(|live| adoption::is_due(desired, live, entry, inputs.who));
    if adopted {
        return Taking::Declared;
    }
    if entry.is_some_and(|entry| entry.desired == desired_digest(desired)) {
        return Taking::Back;
    }
    let overridden = |field: &String| {
        let ways = ways(&desired.manifest, named(field));
        let is_declared =
            |way: &Vec<String>| desired.declared.overrides.iter().any(|declared| way.starts_with(declared));
        !ways.is_empty() && ways.iter().all(is_declared)
    };
    if fields.iter().all(overridden) { Taking::Declared } else { Taking::Refused }
}

/// The declaration that would take these fields, as it stands in a component of a spec; `None` where one of them
/// is not a field of the manifest.
pub(crate) fn declaration(desired: &Desired, fields: &[String]) -> Option<String> {
    let mut paths: Vec<String> = Vec::new();
    for field in fields {
        let ways = ways(&desired.manifest, named(field));
        for way in &ways {
            let path = written(&desired.manifest, way);
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.$/".contains(c);
            let path = if path.chars().all(plain) { path } else { format!("'{path}'") };
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        if ways.is_empty() {
            return None;
        }
    }
    (!paths.is_empty()).then(|| format!("overrides: {{{}: [{}]}}", desired.object.short(), paths.join(", ")))
}

/// The field of `.spec.replicas: conflict with "kubectl" using apps/v1`.
fn named(field: &str) -> &str {
    field.rsplit_once(": conflict with ").map_or(field, |(name, _)| name)
}

/// Every way of reading a field's name in a manifest: keys and indices from its root.
fn ways(manifest: &Value, name: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    walk(manifest, name, &mut Vec::new(), &mut found);
    found
}

fn walk(value: &Value, rest: &str, way: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    if rest.is_empty() {
        found.push(way.clone());
        return;
    }
    match value {
        Value::Object(fields) => {
            let Some(rest) = rest.strip_prefix('.') else { return };
            for (key, inner) in fields {
                let after = rest.strip_prefix(key.as_str());
                if let Some(after) = after.filter(|after| after.is_empty() || after.starts_with(['.', '['])) {
                    way.push(key.clone());
                    walk(inner, after, way, found);
                    way.pop();
                }
            }
        }
        Value::Array(items) => {
            let Some((element, after)) = element(rest) else { return };
            for (index, item) in items.iter().enumerate().filter(|(index, item)| element.is(*index, item)) {
                way.push(index.to_string());
                walk(item, after, way, found);
                way.pop();
            }
        }
        _ => {}
    }
}

/// How the server names an item of a list.
enum Element {
    /// `[name="web"]`: by its key fields. A template may leave those out that have a default.
    Keys(Vec<(String, Value)>),
    /// `[="a"]`: by itself, in a set.
    Member(Value),
    /// `[0]`.
    Index(usize),
}

impl Element {
    fn is(&self, index: usize, item: &Value) -> bool {
        match self {
            Self::Keys(keys) => {
                keys.iter().all(|(key, value)| item.get(key).is_none_or(|own| own == value))
                    && keys.iter().any(|(key, _)| item.get(key).is_some())
            }
            Self::Member(value) => item == value,
            Self::Index(wanted) => *wanted == index,
        }
    }
}

/// Reads one item off a name; returns it, and what follows.
fn element(text: &str) -> Option<(Element, &str)> {
    let mut rest = text.strip_prefix('[')?;
    if rest.starts_with(|first: char| first.is_ascii_digit()) {
        let (index, after) = rest.split_once(']')?;
        return Some((Element::Index(index.parse().ok()?), after));
    }
    let mut keys = Vec::new();
    loop {
        let (key, after) = rest.split_once('=')?;
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
        let value = values.next()?.ok()?;
        rest = after.get(values.byte_offset()..)?;
        keys.push((key.to_owned(), value));
        if let Some(after) = rest.strip_prefix(']') {
            let member = matches!(&keys[..], [(key, _)] if key.is_empty());
            let element = match keys.pop() {
                Some((_, value)) if member => Element::Member(value),
                Some(last) => Element::Keys(keys.into_iter().chain([last]).collect()),
                None => return None,
            };
            return Some((element, after));
        }
        rest = rest.strip_prefix(',')?;
    }
}

/// A field as diffs and specs write it.
fn written(manifest: &Value, way: &[String]) -> String {
    const KEYS: [&str; 7] = ["name", "containerPort", "port", "key", "mountPath", "ip", "type"];
    let mut path = String::new();
    let mut value = manifest;
    for step in way {
        match value {
            Value::Array(items) => {
                let item =
                    step.parse::<usize>().ok().and_then(|index| items.get(index)).unwrap_or(&Value::Null);
                let told = KEYS.iter().find_map(|key| {
                    let own = item.get(key)?;
                    let only = items.iter().filter(|other| other.get(key) == Some(own)).count() == 1;
                    let text = own.as_str().map_or_else(|| own.to_string(), str::to_owned);
                    only.then(|| format!("[{key}={text}]"))
                });
                path.push_str(&told.unwrap_or_else(|| format!("[{step}]")));
                value = item;
            }
            _ => {
                let plain = step.chars().all(|c| c.is_ascii_alphanumeric() || "-_$".contains(c));
                match (plain && !step.is_empty(), path.is_empty()) {
                    (true, true) => path.push_str(step),
                    (true, false) => path.push_str(&format!(".{step}")),
                    (false, _) => path.push_str(&format!("[\"{step}\"]")),
                }
                value = value.get(step).unwrap_or(&Value::Null);
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Inventory, Observed, Provenance, guard::tests::desired};

    fn web(overrides: &[&[&str]]) -> Desired {
        let mut desired = desired(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "annotations": {"a": "1", "a.b/c": "2"}, "finalizers": ["f"]},
            "spec": {"replicas": 3, "x": {"y": 1}, "x.y": 2, "containers": [
                {"name": "side"}, {"name": "web", "image": "i", "ports": [{"containerPort": 80}]},
            ]},
        }));
        let owned = |path: &&[&str]| path.iter().map(|step| (*step).to_owned()).collect();
        desired.declared.overrides = overrides.iter().map(owned).collect();
        desired
    }

    fn right(overrides: &[&[&str]], fields: &[&str]) -> Taking {
        let desired = web(overrides);
        let (inventory, observed) = (Inventory::default(), Observed::default());
        let inputs = Inputs {
            environment: "e",
            who: Provenance { environment: "e1", record_uid: "r1" },
            revision: "r",
            manifests: "m",
            desired: std::slice::from_ref(&desired),
            inventory: &inventory,
            observed: &observed,
        };
        let fields: Vec<String> =
            fields.iter().map(|field| format!("{field}: conflict with \"hpa\" using apps/v1")).collect();
        taking(&inputs, &desired, &fields)
    }

    #[test]
    fn only_what_is_declared_is_taken() {
        let replicas: &[&str] = &["spec", "replicas"];
        let containers: &[&str] = &["spec", "containers", "1"];
        for (overrides, fields, expected) in [
            (&[replicas][..], &[".spec.replicas"][..], Taking::Declared),
            (&[], &[".spec.replicas"], Taking::Refused),
            (&[replicas], &[".spec.replicas", ".spec.containers[name=\"web\"].image"], Taking::Refused),
            (
                &[replicas, containers],
                &[".spec.replicas", ".spec.containers[name=\"web\"].image"],
                Taking::Declared,
            ),
            // The item of a list is found by its keys; one that the template leaves to its default counts as that.
            (
                &[containers],
                &[".spec.containers[name=\"web\"].ports[containerPort=80,protocol=\"TCP\"]"],
                Taking::Declared,
            ),
            (&[containers], &[".spec.containers[name=\"side\"].name"], Taking::Refused),
            (&[containers], &[".spec.containers[1].image"], Taking::Declared),
            (&[&["spec"]], &[".spec.replicas"], Taking::Declared),
            (&[&["metadata", "annotations", "a.b/c"]], &[".metadata.annotations.a.b/c"], Taking::Declared),
            // `a` is another annotation, not the beginning of this one.
            (&[&["metadata", "annotations", "a"]], &[".metadata.annotations.a.b/c"], Taking::Refused),
            (&[&["metadata", "finalizers"]], &[".metadata.finalizers[=\"f\"]"], Taking::Declared),
            // It may be read in two ways: both have to be declared.
            (&[&["spec", "x.y"]], &[".spec.x.y"], Taking::Refused),
            (&[&["spec", "x.y"], &["spec", "x"]], &[".spec.x.y"], Taking::Declared),
            (&[&["spec"]], &[".spec.paused"], Taking::Refused),
            (&[&["spec"]], &[".spec.replicasx"], Taking::Refused),
        ] {
            assert_eq!(right(overrides, fields), expected, "{overrides:?} {fields:?}");
        }
    }

    #[test]
    fn the_declaration_to_write_is_told() {
        for (field, told) in [
            (".spec.replicas", "overrides: {Deployment/web: [spec.replicas]}"),
            (
                ".spec.containers[name=\"web\"].image",
                "overrides: {Deployment/web: ['spec.containers[name=web].image']}",
            ),
            (
                ".metadata.annotations.a.b/c",
                "overrides: {Deployment/web: ['metadata.annotations[\"a.b/c\"]']}",
            ),
        ] {
            let fields = [format!("{field}: conflict with \"a: b\" using v1")];
            assert_eq!(declaration(&web(&[]), &fields).as_deref(), Some(told));
        }
        assert_eq!(declaration(&web(&[]), &[".spec.paused".to_owned()]), None);
    }
}
