//! Images: which are used, which are replaced, which are not pinned to anything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use spec::Diagnostic;

use crate::kinds;

/// Replaces and collects the images of one object; an image that may change under its name is a warning.
pub(crate) fn visit(
    manifest: &mut Value,
    map: &BTreeMap<String, String>,
    used: &mut BTreeSet<String>,
) -> Vec<(Vec<String>, Diagnostic)> {
    let kind = manifest["kind"].as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    let Some((pod, path)) = kinds::pod_spec(&kind, manifest) else { return found };
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let containers = pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (index, container) in containers.enumerate() {
            let name = container.get("name").and_then(Value::as_str).unwrap_or("?").to_owned();
            let Some(Value::String(image)) = container.get_mut("image") else { continue };
            used.insert(image.clone());
            if !is_pinned(image) {
                let cause = format!("image `{image}` of container `{name}` has no tag or digest that stays");
                let place = path.split('.').map(str::to_owned).chain([
                    list.to_owned(),
                    index.to_string(),
                    "image".to_owned(),
                ]);
                let finding = Diagnostic::error("OBJ022", cause).warning().help("name a version");
                found.push((place.collect(), finding));
            }
            if let Some(other) = map.get(image) {
                other.clone_into(image);
            }
        }
    }
    found
}

fn is_pinned(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or_default();
    image.contains('@') || last.split_once(':').is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest")
}

#[cfg(test)]
mod tests {
    use super::is_pinned;

    #[test]
    fn tags() {
        assert!(is_pinned("postgres:17"));
        assert!(is_pinned("h:5000/a/b@sha256:0"));
        assert!(is_pinned("h:5000/a/b:1"));
        for image in ["postgres", "h:5000/postgres", "postgres:latest", "postgres:"] {
            assert!(!is_pinned(image), "{image}");
        }
    }
}
