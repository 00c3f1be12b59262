//! An object as the rules see it, and what they say about it.

use render::RenderedObject;
use serde_json::Value;
use spec::Diagnostic;

/// A finding and the field it is about.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Keys and indices from the root of the manifest.
    pub path: Vec<String>,
    pub finding: Diagnostic,
    /// Whether it is about the key itself, not about its value.
    on_key: bool,
}

impl Fault {
    /// About a value.
    pub(crate) fn new(path: Vec<String>, finding: Diagnostic) -> Self {
        Self { path, finding, on_key: false }
    }

    /// About a key.
    pub(crate) fn on_key(path: Vec<String>, finding: Diagnostic) -> Self {
        Self { path, finding, on_key: true }
    }

    /// The finding at its template line.
    pub(crate) fn place(self, object: &RenderedObject) -> Diagnostic {
        match self.on_key {
            true => object.mark_key(&self.path, self.finding),
            false => object.mark(&self.path, self.finding),
        }
    }
}

/// A path, a step longer.
pub(crate) fn step(path: &[String], next: impl ToString) -> Vec<String> {
    path.iter().cloned().chain([next.to_string()]).collect()
}

/// A path of words.
pub(crate) fn path(steps: &[&str]) -> Vec<String> {
    steps.iter().map(|step| (*step).to_owned()).collect()
}

/// A path as messages show it: `spec.containers[0].image`.
pub(crate) fn dotted(path: &[String]) -> String {
    let mut text = String::new();
    for step in path {
        if step.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push_str(&format!("[{step}]"));
        } else if step.contains(['.', '/']) {
            text.push_str(&format!("[{step:?}]"));
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(step);
        }
    }
    text
}

/// One object of the rendering.
pub(crate) struct Subject<'a> {
    pub object: &'a RenderedObject,
    pub group: &'a str,
    pub kind: &'a str,
    pub name: &'a str,
}

/// The pods that an object makes.
pub(crate) struct Pods<'a> {
    /// Where the pod template stands; empty for a Pod.
    pub path: Vec<String>,
    /// The template, with `metadata` and `spec`.
    pub template: &'a Value,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(object: &'a RenderedObject) -> Self {
        let text = |value: &'a Value| value.as_str().unwrap_or_default();
        let api_version = text(&object.manifest["apiVersion"]);
        Self {
            object,
            group: api_version.split_once('/').map_or("", |(group, _)| group),
            kind: text(&object.manifest["kind"]),
            name: text(&object.manifest["metadata"]["name"]),
        }
    }

    pub(crate) fn manifest(&self) -> &'a Value {
        &self.object.manifest
    }

    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// The value at a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&'a Value> {
        path.iter().try_fold(self.manifest(), |value, step| value.get(*step))
    }

    /// The pods it makes, when it is one of Kubernetes' own kinds that do.
    pub(crate) fn pods(&self) -> Option<Pods<'a>> {
        let steps: &[&str] = match (self.group, self.kind) {
            ("", "Pod") => &[],
            ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job")
            | ("", "ReplicationController") => &["spec", "template"],
            ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template"],
            _ => return None,
        };
        Some(Pods { path: path(steps), template: self.at(steps)? })
    }
}

/// A container, and where it stands.
pub(crate) struct Container<'a> {
    pub path: Vec<String>,
    pub value: &'a Value,
}

impl Container<'_> {
    pub(crate) fn name(&self) -> &str {
        self.value["name"].as_str().unwrap_or("?")
    }
}

impl<'a> Pods<'a> {
    pub(crate) fn spec(&self) -> &'a Value {
        &self.template["spec"]
    }

    /// The path of a field of the pod's spec.
    pub(crate) fn field(&self, steps: &[&str]) -> Vec<String> {
        self.path.iter().cloned().chain(["spec".to_owned()]).chain(path(steps)).collect()
    }

    /// Every container, init containers first.
    pub(crate) fn containers(&self) -> Vec<Container<'a>> {
        let mut all = Vec::new();
        for list in ["initContainers", "containers", "ephemeralContainers"] {
            let items = self.spec()[list].as_array().into_iter().flatten();
            for (index, value) in items.enumerate() {
                all.push(Container { path: self.field(&[list, &index.to_string()]), value });
            }
        }
        all
    }

    /// The labels its pods have.
    pub(crate) fn label(&self, key: &str) -> Option<&'a str> {
        self.template["metadata"]["labels"][key].as_str()
    }
}
