//! What a component declares about single objects: which of them it adopts, and which fields it takes over.
//!
//! ```yaml
//! adopt: [ConfigMap/settings]                  # KIND/NAME, or KIND.GROUP/NAME
//! overrides: {Deployment/web: [spec.replicas]} # fields as a diff shows them
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::environment::ComponentBody;
use crate::{Diagnostic, Located};

/// An object of a component, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName<'a> {
    /// Kind, such as `Deployment`.
    pub kind: &'a str,
    /// API group, where it is said.
    pub group: Option<&'a str>,
    /// Name, as it is rendered.
    pub name: &'a str,
}

impl<'a> ObjectName<'a> {
    /// Reads `KIND/NAME` or `KIND.GROUP/NAME`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        let (kind, group) = kind.split_once('.').map_or((kind, None), |(kind, group)| (kind, Some(group)));
        let is_kind = kind.starts_with(|first: char| first.is_ascii_uppercase())
            && kind.chars().all(|c| c.is_ascii_alphanumeric());
        let is_name = !name.is_empty() && !name.contains(|c: char| c == '/' || c == '{' || c.is_whitespace());
        (is_kind && is_name && group.is_none_or(crate::name::is_subdomain)).then_some(Self {
            kind,
            group,
            name,
        })
    }

    /// Whether a manifest is that object's.
    #[must_use]
    pub fn is_of(&self, manifest: &Value) -> bool {
        let api_version = manifest["apiVersion"].as_str().unwrap_or_default();
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        manifest["kind"] == self.kind
            && manifest["metadata"]["name"] == self.name
            && self.group.is_none_or(|wanted| wanted == group)
    }
}

/// A step of the way from a manifest to one of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// `.replicas`, or `["a.b/c"]` for a key with other characters.
    Key(String),
    /// `[name=web]`: the item of a list of which a field has this value.
    Item(String, String),
    /// `[0]`.
    Index(usize),
}

/// A field of a manifest, as diffs write it: `spec.template.spec.containers[name=web].image`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

impl FieldPath {
    /// Reads a path; `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        // A leading dot is how kubectl writes a path.
        let mut rest = text.strip_prefix('.').unwrap_or(text);
        let mut key_is_due = true;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix("[\"") {
                let (key, after) = inner.split_once("\"]")?;
                steps.push(Step::Key(key.to_owned()));
                rest = after;
            } else if let Some(inner) = rest.strip_prefix('[').filter(|_| !key_is_due) {
                let (item, after) = inner.split_once(']')?;
                steps.push(match item.split_once('=') {
                    Some((key, value)) if !key.is_empty() => {
                        Step::Item(key.to_owned(), value.trim_matches('"').to_owned())
                    }
                    Some(_) => return None,
                    None => Step::Index(item.parse().ok()?),
                });
                rest = after;
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (key, after) = rest.split_at(end);
                let plain = |c: char| c.is_ascii_alphanumeric() || "-_$".contains(c);
                (key_is_due && !key.is_empty() && key.chars().all(plain)).then_some(())?;
                steps.push(Step::Key(key.to_owned()));
                rest = after;
            }
            key_is_due = false;
            if let Some(after) = rest.strip_prefix('.') {
                (!after.is_empty()).then_some(())?;
                rest = after;
                key_is_due = true;
            }
        }
        (!steps.is_empty()).then_some(Self(steps))
    }

    /// Keys and indices from the root of a manifest to the field; `None` where the manifest does not set it.
    #[must_use]
    pub fn find(&self, manifest: &Value) -> Option<Vec<String>> {
        let mut value = manifest;
        let mut way = Vec::new();
        for step in &self.0 {
            let (name, next) = match step {
                Step::Key(key) => (key.clone(), value.as_object()?.get(key)?),
                Step::Item(key, wanted) => {
                    let has = |item: &Value| match item.get(key) {
                        Some(Value::String(text)) => text == wanted,
                        Some(other) => {
                            serde_json::from_str::<Value>(wanted).is_ok_and(|wanted| wanted == *other)
                        }
                        None => false,
                    };
                    let items = value.as_array()?;
                    let index = items.iter().position(has)?;
                    (index.to_string(), &items[index])
                }
                Step::Index(index) => (index.to_string(), value.as_array()?.get(*index)?),
            };
            way.push(name);
            value = next;
        }
        Some(way)
    }
}

/// Everything in the declarations of a component that is none in form.
pub(crate) fn check(component: &str, body: &ComponentBody) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut refuse = |at: &Located<String>, field: &str, cause: String, help: &str| {
        let finding = Diagnostic::error("SPC026", cause).on(format!("spec.components.{component}.{field}"));
        found.push(at.spot.mark(finding.help(help)));
    };
    let mut seen = BTreeSet::new();
    for object in &body.adopt {
        if ObjectName::parse(object.as_str()).is_none() {
            refuse(object, "adopt", format!("`{}` names no object", object.value), NAME);
        } else if !seen.insert(object.as_str()) {
            refuse(object, "adopt", format!("`{}` is adopted twice", object.value), "keep it once");
        }
    }
    for (object, fields) in &body.overrides {
        if ObjectName::parse(object.as_str()).is_none() {
            refuse(object, "overrides", format!("`{}` names no object", object.value), NAME);
        }
        if fields.is_empty() {
            refuse(object, "overrides", format!("`{}` has no field", object.value), "name one, or remove it");
        }
        for field in fields.iter().filter(|field| FieldPath::parse(field.as_str()).is_none()) {
            refuse(field, "overrides", format!("`{}` is no path of a field", field.value), PATH);
        }
    }
    found
}

const NAME: &str = "write KIND/NAME as it is rendered, such as Deployment/web, or KIND.GROUP/NAME";
const PATH: &str = "write it as `mimeo diff` shows it, such as spec.replicas, data[\"a.b\"] or \
                    spec.template.spec.containers[name=web].image";

/// `overrides` of a component: object to its fields.
pub type Overrides = BTreeMap<Located<String>, Vec<Located<String>>>;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_named_by_kind_group_and_name() {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "system:a"},
        });
        for (text, is) in [
            ("Role/system:a", true),
            ("Role.rbac.authorization.k8s.io/system:a", true),
            ("Role.example.com/system:a", false),
            ("Role/system:b", false),
            ("Roles/system:a", false),
        ] {
            assert_eq!(ObjectName::parse(text).map(|name| name.is_of(&role)), Some(is), "{text}");
        }
        for text in ["", "a", "/a", "Role/", "role/a", "Role/a/b", "Role/{{ name }}", "Role./a", "R le/a"] {
            assert_eq!(ObjectName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn fields_are_found_as_diffs_write_them() {
        let manifest = json!({
            "data": {"a.b": "1", "a": "2"},
            "spec": {"replicas": 1, "ports": [{"port": 80}], "containers": [{"name": "a"}, {"name": "w", "image": "i"}]},
        });
        for (text, way) in [
            ("spec.replicas", &["spec", "replicas"][..]),
            (".spec.replicas", &["spec", "replicas"]),
            ("spec", &["spec"]),
            ("data[\"a.b\"]", &["data", "a.b"]),
            ("data.a", &["data", "a"]),
            ("spec.containers[name=w].image", &["spec", "containers", "1", "image"]),
            ("spec.containers[name=\"w\"]", &["spec", "containers", "1"]),
            ("spec.containers[1].image", &["spec", "containers", "1", "image"]),
            ("spec.ports[port=80].port", &["spec", "ports", "0", "port"]),
        ] {
            let found = FieldPath::parse(text).and_then(|path| path.find(&manifest));
            assert_eq!(found, Some(way.iter().map(|step| (*step).to_owned()).collect()), "{text}");
        }
        for text in
            ["spec.paused", "data.b", "spec.containers[name=x]", "spec.containers[7]", "spec[0]", "data.a.b"]
        {
            let path = FieldPath::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(path.find(&manifest), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in
            ["", ".", "a.", "a..b", "a[", "a[]", "a[=b]", "a[x]", "[0]", "a b", "a/b", "a[\"b]", "a[0]b"]
        {
            assert_eq!(FieldPath::parse(text), None, "{text}");
        }
    }
}
