//! Keeps secret values out of everything that is shown, stored or digested.

use serde_json::{Value, json};

/// What stands for a secret value that is the same on both sides, or only on one.
pub const HIDDEN: &str = "(hidden)";

/// The annotation in which kubectl's client-side apply keeps a copy of the whole Secret.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Hides the value of that annotation inside annotations, or metadata, that come or go as a whole.
pub fn drop_last_applied(value: &mut Option<Value>) {
    let Some(Value::Object(fields)) = value else { return };
    let inner = if fields.contains_key("annotations") { fields.get_mut("annotations") } else { None };
    match inner {
        Some(Value::Object(annotations)) => hide_last_applied(annotations),
        _ => hide_last_applied(fields),
    }
}

fn hide_last_applied(annotations: &mut serde_json::Map<String, Value>) {
    if let Some(value) = annotations.get_mut(LAST_APPLIED) {
        *value = json!(HIDDEN);
    }
}

/// Whether the object is a core/v1 Secret.
#[must_use]
pub fn is_secret(manifest: &Value) -> bool {
    manifest.get("kind").and_then(Value::as_str) == Some("Secret")
        && manifest.get("apiVersion").and_then(Value::as_str) == Some("v1")
}

/// Removes the values of `data` and `stringData`; their keys stay.
pub fn drop_secret_values(manifest: &mut Value) {
    for field in ["data", "stringData"] {
        if let Some(values) = manifest.get_mut(field).and_then(Value::as_object_mut) {
            for value in values.values_mut() {
                *value = json!(HIDDEN);
            }
        }
    }
    if let Some(annotations) = manifest.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
}

/// The values of a Secret as the server stores them: `data`, with `stringData` encoded over it.
#[must_use]
pub fn secret_values(manifest: &Value, encode: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let mut values: Vec<(String, String)> = manifest
        .get("data")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    for (key, value) in manifest.get("stringData").and_then(Value::as_object).into_iter().flatten() {
        let encoded = encode(value.as_str().unwrap_or_default());
        values.retain(|(known, _)| known != key);
        values.push((key.clone(), encoded));
    }
    values.sort();
    values
}
