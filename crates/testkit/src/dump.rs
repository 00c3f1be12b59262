//! What is shown of a failed test: objects, events, logs.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::Value;

use crate::Api;

/// Objects that are shown by name only are too many or too dull to be shown whole.
const BRIEF: [&str; 6] =
    ["Event", "Secret", "EndpointSlice", "Endpoints", "ReplicaSet", "ControllerRevision"];

/// Everything in the namespaces whose names begin with `spec`, and its records.
pub(crate) fn of(api: &Api, spec: &str) -> Result<String> {
    let mut text = String::new();
    for namespace in api.list("/api/v1/namespaces")? {
        if name(&namespace).starts_with(spec) {
            dump_namespace(api, name(&namespace), &mut text)?;
        }
    }
    for record in api.list("/apis/mimeo.dev/v1alpha1/namespaces/mimeo-system/environments")? {
        if name(&record).starts_with(spec) {
            writeln!(text, "--- Environment {}\n{}", name(&record), yaml(&record))?;
        }
    }
    Ok(text)
}

/// No more than a person reads.
pub(crate) fn cut(dump: &str) -> String {
    const ENOUGH: usize = 400;
    let lines = dump.lines().count();
    let mut text: String = dump.lines().take(ENOUGH).map(|line| format!("{line}\n")).collect();
    if lines > ENOUGH {
        text.push_str(&format!("({} more lines; KEEP=1 keeps everything to look at)\n", lines - ENOUGH));
    }
    text
}

fn dump_namespace(api: &Api, namespace: &str, text: &mut String) -> Result<()> {
    writeln!(text, "--- namespace {namespace}")?;
    for kind in api.kinds()?.iter().filter(|kind| kind.namespaced) {
        for object in api.list(&kind.path(Some(namespace)))? {
            let own = BRIEF.contains(&kind.kind.as_str()) || name(&object) == "kube-root-ca.crt";
            if !own {
                writeln!(text, "--- {} {}\n{}", kind.kind, name(&object), yaml(&object))?;
            }
        }
    }
    writeln!(text, "--- events of {namespace}")?;
    for event in api.list(&format!("/api/v1/namespaces/{namespace}/events"))? {
        let about = &event["involvedObject"];
        let field = |field: &str| event[field].as_str().unwrap_or_default();
        let (kind, name) =
            (about["kind"].as_str().unwrap_or_default(), about["name"].as_str().unwrap_or_default());
        writeln!(text, "{} {kind}/{name} {}: {}", field("lastTimestamp"), field("reason"), field("message"))?;
    }
    for pod in api.list(&format!("/api/v1/namespaces/{namespace}/pods"))? {
        for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
            let container = container["name"].as_str().unwrap_or_default();
            let path = format!(
                "/api/v1/namespaces/{namespace}/pods/{}/log?container={container}&tailLines=50",
                name(&pod)
            );
            let log = api.send("GET", &path, "application/json", &[])?.body;
            let log = log.as_str().map_or_else(|| log.to_string(), str::to_owned);
            writeln!(text, "--- log of {} {container}\n{log}", name(&pod))?;
        }
    }
    Ok(())
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn yaml(object: &Value) -> String {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.shift_remove("managedFields");
    }
    serde_saphyr::to_string(&object).unwrap_or_else(|_| object.to_string())
}
