//! What is too large for the server.

use serde_json::Value;
use spec::Diagnostic;

use super::{Found, World};
use crate::subject::{Fault, Subject, path};

/// Bytes of all data of one ConfigMap or Secret (Kubernetes: MaxSecretSize).
const DATA: usize = 1024 * 1024;
/// Bytes of all annotations of one object, keys and values (Kubernetes: TotalAnnotationSizeLimitB).
const ANNOTATIONS: usize = 256 * 1024;

pub(crate) fn check<'a>(world: &World<'a>) -> Found<'a> {
    let mut found = Vec::new();
    for subject in &world.subjects {
        if subject.group.is_empty() && matches!(subject.kind, "ConfigMap" | "Secret") {
            let size = of(subject, "data", false)
                + of(subject, "binaryData", false)
                + of(subject, "stringData", false);
            let help = "keep large files in the object store, or split them over several objects";
            found.extend(over(size, DATA, "data", help).map(|fault| (subject.object, fault)));
        }
        let size = subject.at(&["metadata", "annotations"]).map_or(0, |value| total(value, true));
        let fault = over(size, ANNOTATIONS, "metadata.annotations", "put the text into a ConfigMap");
        found.extend(fault.map(|fault| (subject.object, fault)));
    }
    found
}

fn of(subject: &Subject<'_>, field: &str, keys: bool) -> usize {
    subject.at(&[field]).map_or(0, |value| total(value, keys))
}

fn total(value: &Value, keys: bool) -> usize {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(key, value)| value.as_str().map_or(0, str::len) + if keys { key.len() } else { 0 }).sum()
}

fn over(size: usize, limit: usize, field: &str, help: &str) -> Option<Fault> {
    let cause = || format!("`{field}` has {size} bytes, the server takes {limit}");
    let steps: Vec<&str> = field.split('.').collect();
    (size > limit).then(|| Fault::new(path(&steps), Diagnostic::error("OBJ016", cause()).help(help)))
}
