//! From a field that the API server complains about to the line of the template that wrote it. Pure.

use render::{Rendered, RenderedObject};
use serde_json::Value;
use spec::Diagnostic;

use crate::Error;

/// Puts what the server said of a field at the field's line. What names no field, or one that no template wrote, stays
/// at the first line of its object.
pub(crate) fn placed(rendered: &Rendered, error: Error) -> Error {
    match error {
        Error::Found(found) => {
            Error::Found(found.into_iter().map(|finding| of_finding(rendered, finding)).collect())
        }
        other => other,
    }
}

fn of_finding(rendered: &Rendered, finding: Diagnostic) -> Diagnostic {
    let Some(place) = &finding.place else { return finding };
    let title = |object: &RenderedObject| {
        let text =
            |pointer: &str| object.manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        format!("{}/{}", text("/kind"), text("/metadata/name"))
    };
    let about = finding.object.as_deref().unwrap_or_default();
    let object = rendered.objects.iter().find(|object| {
        object.file == place.file
            && object.line == place.line
            && about.split([' ', ',']).any(|word| word == title(object))
    });
    let Some(object) = object else { return finding };
    let texts = finding.detail.iter().chain([&finding.cause]);
    let Some(path) = texts.filter_map(|text| field(text)).find_map(|field| way(&field, &object.manifest))
    else {
        return finding;
    };
    let (object_name, detail) = (finding.object.clone(), finding.detail.clone());
    Diagnostic { object: object_name, detail, ..object.mark(&path, finding) }
}

/// The field a text is about: `spec.replicas: Invalid value: …` as validation says it, and
/// `….spec.replcas: field not declared in schema` as server-side apply does.
fn field(text: &str) -> Option<String> {
    let (before, after) = text.split_once(": ")?;
    let starts =
        ["spec", "data", "metadata", "rules", "subjects", "roleRef", "type", "stringData", "webhooks"];
    let first = before.split(['.', '[']).next().unwrap_or_default();
    if starts.contains(&first) && !before.contains(' ') {
        return Some(before.to_owned());
    }
    let rest = after.split(": ").find_map(|part| part.split(' ').next_back()?.strip_prefix('.'));
    rest.map(str::to_owned).or_else(|| field(after))
}

/// Keys and indices of a field as they are in a manifest, as far as they are in it; nothing when not even the first is.
fn way(field: &str, manifest: &Value) -> Option<Vec<String>> {
    let mut way = Vec::new();
    let mut at = manifest;
    for step in steps(field) {
        let next = match at {
            Value::Array(items) => match step.split_once('=') {
                Some((key, wanted)) => {
                    let wanted = wanted.trim_matches('"');
                    items.iter().position(|item| match &item[key] {
                        Value::String(text) => text == wanted,
                        Value::Number(number) => {
                            wanted.parse().is_ok_and(|wanted: serde_json::Number| wanted == *number)
                        }
                        _ => false,
                    })
                }
                None => step.parse().ok(),
            }
            .and_then(|index: usize| Some((index.to_string(), items.get(index)?))),
            Value::Object(map) => map.get(&step).map(|value| (step.clone(), value)),
            _ => None,
        };
        let Some((key, value)) = next else { break };
        way.push(key);
        at = value;
    }
    (!way.is_empty()).then_some(way)
}

/// `spec.containers[0].env[name="A"]` → `spec`, `containers`, `0`, `env`, `name="A"`.
fn steps(field: &str) -> Vec<String> {
    let mut steps = vec![String::new()];
    let mut depth = 0_usize;
    for sign in field.chars() {
        match sign {
            '[' if depth == 0 => {
                depth = 1;
                steps.push(String::new());
            }
            ']' if depth == 1 => depth = 0,
            '.' if depth == 0 => steps.push(String::new()),
            _ => {
                if let Some(last) = steps.last_mut() {
                    last.push(sign);
                }
            }
        }
    }
    steps.retain(|step| !step.is_empty());
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{field, steps, way};

    #[test]
    fn fields_as_the_server_names_them() {
        let named = |text| field(text);
        assert_eq!(named("spec.replicas: Invalid value: -1: must be more").as_deref(), Some("spec.replicas"));
        assert_eq!(
            named("apply failed: failed to create typed patch object (t/web; apps/v1, Kind=Deployment): .spec.replcas: field not declared in schema").as_deref(),
            Some("spec.replcas")
        );
        assert_eq!(named("the server is busy"), None);
        assert_eq!(named("apply failed: connection refused: by peer"), None);
    }

    #[test]
    fn steps_of_a_path() {
        assert_eq!(steps("spec.containers[0].image"), ["spec", "containers", "0", "image"]);
        assert_eq!(steps("spec.containers[name=\"a.b\"].env"), ["spec", "containers", "name=\"a.b\"", "env"]);
        assert_eq!(
            steps("metadata.annotations[example.org/x]"),
            ["metadata", "annotations", "example.org/x"]
        );
    }

    #[test]
    fn the_way_ends_where_the_manifest_does() {
        let manifest =
            json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 80}]}]}});
        let found = |path| way(path, &manifest).unwrap_or_default();
        assert_eq!(found("spec.containers[name=\"b\"].imag"), ["spec", "containers", "1"]);
        assert_eq!(
            found("spec.containers[1].ports[containerPort=80].name"),
            ["spec", "containers", "1", "ports", "0"]
        );
        assert_eq!(way("data.x", &manifest), None);
    }
}
