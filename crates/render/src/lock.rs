//! Canonical bytes, and the record of what they were made from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use spec::{Diagnostic, Files, template, yaml};

use crate::object::canonical;
use crate::pipeline::Prepared;
use crate::rendered::{Lock, Rendered, RenderedObject};
use crate::request::Request;
use crate::values;

/// Version of the format of a [`Lock`].
pub const LOCK_VERSION: u32 = 2;

impl Lock {
    /// Every field that another lock has otherwise: its name, the value here, the value there.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let value = |lock: &Self| serde_json::to_value(lock).unwrap_or_default();
        let mut found = Vec::new();
        differences("", &value(self), &value(other), &mut found);
        found
    }
}

fn differences(name: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    let nothing = Map::new();
    match (one, other) {
        (one, other) if one == other => {}
        (Value::Object(_) | Value::Null, Value::Object(_) | Value::Null) => {
            let [one, other] = [one, other].map(|value| value.as_object().unwrap_or(&nothing));
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in names {
                let inner = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                let get = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differences(&inner, &get(one), &get(other), found);
            }
        }
        (one, other) => {
            found.push(format!("{name}: {one}, now {other}").replace(": null, now", ": nothing, now"))
        }
    }
}

impl Rendered {
    /// The manifests as a YAML stream, in apply order: the bytes that the lock's digest is of.
    ///
    /// # Errors
    /// `YML008` when a manifest holds what YAML has no words for.
    pub fn yaml_stream(&self) -> Result<Arc<str>, Box<Diagnostic>> {
        match &self.stream.0 {
            Some(stream) => Ok(Arc::clone(stream)),
            None => stream(&self.objects).map(Arc::from),
        }
    }
}

/// The bytes of the manifests, where they were written already. Says nothing that the objects do not say, so two are
/// always equal.
#[derive(Clone, Default)]
pub struct Stream(Option<Arc<str>>);

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

impl PartialEq for Stream {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

fn stream(objects: &[RenderedObject]) -> Result<String, Box<Diagnostic>> {
    let mut out = String::new();
    for object in objects {
        out.push_str("---\n");
        yaml::write(&object.manifest, &mut out)?;
    }
    Ok(out)
}

pub(crate) fn lock(
    request: &Request,
    files: &dyn Files,
    prepared: &Prepared,
    mut values: Value,
    images: &BTreeSet<String>,
    objects: &[RenderedObject],
) -> Result<(Lock, Stream), Box<Diagnostic>> {
    let mut trees = BTreeMap::new();
    for name in prepared.templates.keys() {
        if let Some(id) = files.tree_id(&template::folder(&request.root, name))? {
            trees.insert(name.clone(), id);
        }
    }
    canonical(&mut values);
    let stream = stream(objects)?;
    let used = |(image, _): &(&String, &String)| images.contains(*image);
    let lock = Lock {
        version: LOCK_VERSION,
        tool: request.tool_version.clone(),
        spec: request.spec.clone(),
        repository: request.repository.clone(),
        r#ref: request.ref_name.clone(),
        path: request.root.clone(),
        revision: request.revision.clone(),
        governed_by: None,
        sources: prepared.pins.clone(),
        templates: trees,
        parameters: values::plain(&prepared.inputs).into_iter().collect(),
        values: hex::encode(Sha256::digest(values.to_string())),
        images: images.iter().cloned().collect(),
        image_map: request.image_map.iter().filter(used).map(|(a, b)| (a.clone(), b.clone())).collect(),
        manifests: hex::encode(Sha256::digest(&stream)),
    };
    Ok((lock, Stream(Some(stream.into()))))
}
