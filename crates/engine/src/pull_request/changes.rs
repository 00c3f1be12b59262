//! What a pull request changes in its environment: two renderings side by side. Pure.

use std::collections::{BTreeMap, BTreeSet};

use render::Rendered;
use serde_json::Value;

use super::comment::code;

/// Everything one component consists of: what it is called, and what it is.
type Parts = BTreeMap<String, Value>;

/// One line for each component, parameter or gate that differs; `None` where there is no base to compare
/// with.
pub(super) fn against(head: &Rendered, base: Option<&Rendered>) -> Option<Vec<String>> {
    let base = base?;
    let mut lines = Vec::new();
    let (before, after) = (parts(base), parts(head));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        match (before.get(name), after.get(name)) {
            (None, Some(parts)) => lines.push(format!("`+ {name}`: {}", list(parts.keys()))),
            (Some(parts), None) => lines.push(format!("`- {name}`: {}", list(parts.keys()))),
            (Some(before), Some(after)) if before != after => {
                let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
                let changed = names.into_iter().filter(|part| before.get(*part) != after.get(*part));
                lines.push(format!("`~ {name}`: {}", list(changed)));
            }
            _ => {}
        }
    }
    lines.extend(parameters(base, head));
    Some(lines)
}

/// Component to its parts; the copy and the gates of a component are parts of it.
fn parts(rendered: &Rendered) -> BTreeMap<String, Parts> {
    let mut all: BTreeMap<String, Parts> = BTreeMap::new();
    for object in &rendered.objects {
        let text =
            |pointer: &str| object.manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let part = format!("{}/{}", text("/kind"), text("/metadata/name"));
        let parts = all.entry(object.component.clone()).or_default();
        if object.adopt {
            parts.insert(format!("adopt {part}"), Value::Bool(true));
        }
        if !object.overrides.is_empty() {
            let fields = serde_json::to_value(&object.overrides).unwrap_or_default();
            parts.insert(format!("overrides {part}"), fields);
        }
        parts.insert(part, object.manifest.clone());
    }
    for secret in &rendered.generated {
        let value = serde_json::to_value(secret).unwrap_or_default();
        all.entry(secret.component.clone()).or_default().insert(format!("Secret/{}", secret.secret), value);
    }
    for step in &rendered.data {
        let value = serde_json::to_value(step).unwrap_or_default();
        all.entry(step.component.clone()).or_default().insert("data".to_owned(), value);
    }
    for gate in &rendered.gates {
        let value = serde_json::to_value(gate).unwrap_or_default();
        all.entry(gate.on.clone()).or_default().insert(format!("gate {}", gate.name), value);
    }
    all
}

fn parameters(base: &Rendered, head: &Rendered) -> Vec<String> {
    let names: BTreeSet<&String> = base.parameters.keys().chain(head.parameters.keys()).collect();
    let text = |rendered: &Rendered, name: &String| match rendered.parameters.get(name) {
        Some(input) => input.value.to_string(),
        None => "none".to_owned(),
    };
    names
        .into_iter()
        .filter(|name| text(base, name) != text(head, name))
        .map(|name| format!("parameter `{name}`: {} → {}", code(&text(base, name)), code(&text(head, name))))
        .collect()
}

fn list<'a>(parts: impl Iterator<Item = &'a String>) -> String {
    parts.cloned().collect::<Vec<_>>().join(", ")
}
