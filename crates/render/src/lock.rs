//! Canonical bytes, and the record of what they were made from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};
use spec::{Diagnostic, Files, template, yaml};

use crate::object::canonical;
use crate::rendered::{Lock, Rendered, RenderedObject};
use crate::request::Request;

impl Rendered {
    /// The manifests as a YAML stream, in apply order: the bytes that the lock's digest is of.
    ///
    /// # Errors
    /// `YML008` when a manifest holds what YAML has no words for.
    pub fn yaml_stream(&self) -> Result<String, Box<Diagnostic>> {
        stream(&self.objects)
    }
}

fn stream(objects: &[RenderedObject]) -> Result<String, Box<Diagnostic>> {
    let mut out = String::new();
    for object in objects {
        out.push_str("---\n");
        out.push_str(&yaml::to_yaml(&object.manifest)?);
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    Ok(out)
}

pub(crate) fn lock<'a>(
    request: &Request,
    files: &dyn Files,
    templates: impl Iterator<Item = &'a String>,
    mut values: Value,
    images: &BTreeSet<String>,
    objects: &[RenderedObject],
) -> Result<Lock, Box<Diagnostic>> {
    let mut trees = BTreeMap::new();
    for name in templates {
        if let Some(id) = files.tree_id(&template::folder(&request.root, name))? {
            trees.insert(name.clone(), id);
        }
    }
    canonical(&mut values);
    let used = |(image, _): &(&String, &String)| images.contains(*image);
    Ok(Lock {
        version: 1,
        tool: request.tool_version.clone(),
        revision: request.revision.clone(),
        governed_by: None,
        templates: trees,
        values: hex::encode(Sha256::digest(values.to_string())),
        images: images.iter().cloned().collect(),
        image_map: request.image_map.iter().filter(used).map(|(a, b)| (a.clone(), b.clone())).collect(),
        manifests: hex::encode(Sha256::digest(stream(objects)?)),
    })
}
