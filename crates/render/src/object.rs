//! One manifest: what it may not say, and what is set for it.

use base64::Engine as _;
use serde_json::{Map, Value};
use spec::Diagnostic;
use spec::name::{is_label, is_subdomain};

use crate::kinds;
use crate::rendered::Env;

/// What every object of a component is given.
pub(crate) struct Owner<'a> {
    pub env: &'a Env,
    pub namespace: &'a str,
    pub component: &'a str,
    /// The name it had first: what its pods are labelled with, so that a moved component's go on running.
    pub origin: &'a str,
}

/// A fault and the path of the field it is at.
pub(crate) struct Fault {
    pub path: Vec<String>,
    pub finding: Diagnostic,
}

fn fault<'a>(path: impl IntoIterator<Item = &'a str>, finding: Diagnostic) -> Fault {
    Fault { path: path.into_iter().map(str::to_owned).collect(), finding }
}

/// `Kind/name`, as messages call an object.
pub(crate) fn title(manifest: &Value) -> String {
    let kind = manifest["kind"].as_str().unwrap_or("object");
    match manifest["metadata"]["name"].as_str() {
        Some(name) => format!("{kind}/{name}"),
        None => kind.to_owned(),
    }
}

/// Checks a manifest and gives it its namespace and labels.
pub(crate) fn adopt(manifest: &mut Value, owner: &Owner<'_>) -> Vec<Fault> {
    let mut faults = shape(manifest);
    if !faults.is_empty() {
        return faults;
    }
    let kind = manifest["kind"].as_str().unwrap_or_default().to_owned();
    let group = kinds::group(manifest["apiVersion"].as_str().unwrap_or_default()).to_owned();
    faults.extend(reserved(manifest));
    faults.extend(name_rules(&kind, manifest["metadata"]["name"].as_str().unwrap_or_default()));
    faults.extend(texts(&kind, manifest));
    faults.extend(scope(&group, &kind, manifest, owner));
    if faults.is_empty() {
        label(manifest, &kind, owner);
    }
    faults
}

fn shape(manifest: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let Value::Object(map) = manifest else {
        let finding = Diagnostic::error("OBJ001", "not a mapping, so not a Kubernetes object");
        return vec![fault([], finding)];
    };
    for field in ["apiVersion", "kind"] {
        if map.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
            faults.push(fault([field], no_text(field, map.get(field))));
        }
    }
    match map.get("metadata") {
        Some(Value::Object(metadata)) => {
            if metadata.get("generateName").is_some_and(|name| !name.is_null()) {
                let finding = Diagnostic::error("OBJ005", "`generateName` makes another object every time");
                faults.push(fault(["metadata", "generateName"], finding.help("give it a name")));
            } else if metadata.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
                faults.push(fault(["metadata", "name"], no_text("metadata.name", metadata.get("name"))));
            }
            for field in ["labels", "annotations"] {
                if metadata.get(field).is_some_and(|value| !value.is_object() && !value.is_null()) {
                    let finding = Diagnostic::error("OBJ001", format!("`metadata.{field}` is not a mapping"));
                    faults.push(fault(["metadata", field], finding.help("write one `key: value` per line")));
                }
            }
        }
        None | Some(Value::Null) => faults
            .push(fault(["metadata"], Diagnostic::error("OBJ001", "`metadata` is missing").help("add it"))),
        Some(_) => {
            let finding = Diagnostic::error("OBJ001", "`metadata` is not a mapping");
            faults.push(fault(["metadata"], finding.help("write `metadata: {name: NAME}`")));
        }
    }
    faults
}

/// A field that has to be a text, and is none.
fn no_text(field: &str, value: Option<&Value>) -> Diagnostic {
    match value {
        Some(Value::Number(_) | Value::Bool(_)) => {
            Diagnostic::error("YML005", format!("`{field}` is not a string")).help("put the value in quotes")
        }
        Some(Value::Array(_) | Value::Object(_)) => {
            Diagnostic::error("OBJ001", format!("`{field}` is not a string")).help("write one word")
        }
        _ => Diagnostic::error("OBJ001", format!("`{field}` is missing")).help("add it"),
    }
}

/// What belongs to the API server, to controllers or to mimeo.
fn reserved(manifest: &mut Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let refuse = |path: &[&str], what: &str| {
        let finding = Diagnostic::error("OBJ014", format!("{what} is reserved")).help("remove it");
        fault(path.iter().copied(), finding)
    };
    let Some(map) = manifest.as_object_mut() else { return faults };
    if map.get("status").is_some_and(|status| !is_empty(status)) {
        faults.push(refuse(&["status"], "`status`"));
    }
    map.shift_remove("status");
    let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) else { return faults };
    metadata.retain(|field, value| {
        let servers = SERVER_FIELDS.contains(&field.as_str());
        // `creationTimestamp: null` and the like come out of `kubectl create --dry-run`.
        if servers && !is_empty(value) {
            faults.push(refuse(&["metadata", field], &format!("`metadata.{field}`")));
        }
        !servers
    });
    for finalizer in metadata.get("finalizers").and_then(Value::as_array).into_iter().flatten() {
        // Nobody would ever take it off, and the object could not be deleted.
        if let Some(name) = finalizer.as_str().filter(|name| name.starts_with("mimeo.dev/")) {
            faults.push(refuse(&["metadata", "finalizers"], &format!("finalizer `{name}`")));
        }
    }
    for field in ["labels", "annotations"] {
        for key in metadata.get(field).and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            let domain = key.split_once('/').map_or("", |(domain, _)| domain);
            if domain == "mimeo.dev" || domain.ends_with(".mimeo.dev") || domain == "applyset.kubernetes.io" {
                faults.push(refuse(&["metadata", field, key], &format!("`{key}`")));
            }
        }
    }
    faults
}

const SERVER_FIELDS: [&str; 9] = [
    "ownerReferences",
    "managedFields",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
];

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn name_rules(kind: &str, name: &str) -> Option<Fault> {
    let (valid, rule) = match kind {
        // RBAC names are path segments.
        "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => {
            (!name.contains(['/', '%']) && name != "." && name != "..", "no `/` or `%`")
        }
        "Service" => (
            is_label(name) && name.starts_with(|first: char| first.is_ascii_lowercase()),
            "at most 63 lower-case letters, digits and hyphens, a letter first",
        ),
        "CronJob" => (
            is_subdomain(name) && name.len() <= 52,
            "at most 52 lower-case letters, digits, hyphens and dots",
        ),
        "Namespace" | "StatefulSet" | "Job" => {
            (is_label(name), "at most 63 lower-case letters, digits and hyphens")
        }
        _ => (is_subdomain(name), "at most 253 lower-case letters, digits, hyphens and dots"),
    };
    if valid {
        return None;
    }
    let cause = format!("`{name}` ({} characters) is not a name for a {kind}", name.chars().count());
    Some(fault(["metadata", "name"], Diagnostic::error("OBJ015", cause).help(format!("use {rule}"))))
}

/// Maps of texts in which YAML's `yes` and `010` have become something else.
fn texts(kind: &str, manifest: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let own: &[&[&str]] = match kind {
        "ConfigMap" => &[&["data"]],
        "Secret" => &[&["data"], &["stringData"]],
        _ => &[],
    };
    let metadata: &[&[&str]] = &[&["metadata", "labels"], &["metadata", "annotations"]];
    let inner = kinds::pod_template(kind).map(|template| (template, metadata));
    for (template, paths) in [(&[] as &[&str], metadata), (&[], own)].into_iter().chain(inner) {
        let within = template.iter().try_fold(manifest, |value, step| value.get(*step));
        for path in paths {
            let values = path.iter().try_fold(within, |value, step| Some(value?.get(*step)));
            let values = values.flatten().and_then(Value::as_object);
            for (key, value) in values.into_iter().flatten() {
                let place = || template.iter().chain(*path).copied().chain([key.as_str()]);
                let words = || place().collect::<Vec<_>>().join(".");
                if !value.is_string() && !value.is_null() {
                    let finding = Diagnostic::error("YML005", format!("`{}` is not a string", words()));
                    let finding = finding.help("put the value in quotes, or use `| quote`");
                    faults.push(fault(place(), finding));
                } else if kind == "Secret"
                    && path[0] == "data"
                    && !is_base64(value.as_str().unwrap_or_default())
                {
                    // The value is never shown.
                    let finding = Diagnostic::error("OBJ020", format!("`{}` is not base64", words()));
                    faults.push(fault(place(), finding.help("use `| b64encode`, or stringData")));
                }
            }
        }
    }
    faults.extend(env_values(kind, manifest));
    faults
}

fn is_base64(text: &str) -> bool {
    base64::engine::general_purpose::STANDARD.decode(text.replace(['\n', '\r'], "")).is_ok()
}

fn env_values(kind: &str, manifest: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut path: Vec<&str> = match (kind, kinds::pod_template(kind)) {
        ("Pod", _) => vec![],
        (_, Some(template)) => template.to_vec(),
        _ => return faults,
    };
    path.push("spec");
    let pod = path.iter().try_fold(manifest, |value, step| value.get(*step));
    for list in ["initContainers", "containers"] {
        let containers = pod.and_then(|pod| pod.get(list)).and_then(Value::as_array).into_iter().flatten();
        for (number, container) in containers.enumerate() {
            let variables = container.get("env").and_then(Value::as_array).into_iter().flatten();
            for (index, variable) in variables.enumerate() {
                let Some(value) = variable.get("value") else { continue };
                if value.is_string() || value.is_null() {
                    continue;
                }
                let name = variable.get("name").and_then(Value::as_str).unwrap_or("?");
                let (number, index) = (number.to_string(), index.to_string());
                let place = path.iter().copied().chain([list, &number, "env", &index, "value"]);
                let finding =
                    Diagnostic::error("YML005", format!("the value of variable `{name}` is not a string"));
                faults.push(fault(place, finding.help("put the value in quotes, or use `| quote`")));
            }
        }
    }
    faults
}

fn scope(group: &str, kind: &str, manifest: &mut Value, owner: &Owner<'_>) -> Option<Fault> {
    if group.is_empty() && kind == "Namespace" {
        let finding = Diagnostic::error("OBJ008", "the environment's namespace is made by mimeo");
        return Some(fault(["kind"], finding.help("remove the Namespace")));
    }
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let given = manifest["metadata"]["namespace"].as_str().map(str::to_owned);
    let metadata = manifest.get_mut("metadata").and_then(Value::as_object_mut)?;
    if kinds::is_definition(group, kind) {
        metadata.shift_remove("namespace");
        return None;
    }
    if kinds::is_cluster_scoped(group, kind) {
        let digits = &owner.env.id[..8];
        if !name.contains(digits) {
            let cause = "stands outside of namespaces, so environments would share it";
            let help = "put `{{ env.name }}` into its name";
            return Some(fault(["metadata", "name"], Diagnostic::error("OBJ009", cause).help(help)));
        }
        metadata.shift_remove("namespace");
        return None;
    }
    match given {
        Some(given) if given != owner.namespace => {
            let cause = format!("namespace `{given}` is not the environment's, `{}`", owner.namespace);
            let help = "leave `namespace` out, or write `{{ namespace }}`";
            Some(fault(["metadata", "namespace"], Diagnostic::error("OBJ007", cause).help(help)))
        }
        _ => {
            metadata.insert("namespace".to_owned(), Value::String(owner.namespace.to_owned()));
            None
        }
    }
}

fn label(manifest: &mut Value, kind: &str, owner: &Owner<'_>) {
    let api_version = manifest["apiVersion"].as_str().unwrap_or_default();
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
    if kinds::is_definition(kinds::group(api_version), kind) && !name.contains(&owner.env.id[..8]) {
        // The cluster's, not the environment's: it is made where it is missing, and stays.
        return;
    }
    set_labels(manifest, owner, owner.component);
    if let Some(template) = kinds::pod_template(kind).and_then(|path| kinds::at(manifest, path)) {
        set_labels(template, owner, owner.origin);
    }
    if kind == "CronJob"
        && let Some(job) = kinds::at(manifest, &["spec", "jobTemplate"])
    {
        set_labels(job, owner, owner.origin);
    }
    // Volumes of a StatefulSet are made from these, and have to be found again at teardown.
    if let Some(claims) = kinds::at(manifest, &["spec", "volumeClaimTemplates"]).and_then(Value::as_array_mut)
    {
        claims.iter_mut().for_each(|claim| set_labels(claim, owner, owner.origin));
    }
}

fn set_labels(object: &mut Value, owner: &Owner<'_>, component: &str) {
    let Some(object) = object.as_object_mut() else { return };
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let Some(metadata) = metadata.as_object_mut() else { return };
    let labels = metadata.entry("labels").or_insert_with(|| Value::Object(Map::new()));
    if labels.is_null() {
        *labels = Value::Object(Map::new());
    }
    let Some(labels) = labels.as_object_mut() else { return };
    for (key, value) in [
        ("app.kubernetes.io/managed-by", "mimeo"),
        ("mimeo.dev/component", component),
        ("mimeo.dev/environment", owner.env.id.as_str()),
    ] {
        labels.insert(key.to_owned(), Value::String(value.to_owned()));
    }
}

/// Keys sorted, at any depth.
pub(crate) fn canonical(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(canonical);
            if !map.keys().is_sorted() {
                map.sort_keys();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(canonical),
        _ => {}
    }
}
