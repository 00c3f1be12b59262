//! What a rendering is asked for.

use std::collections::BTreeMap;

use serde_json::Value;

/// Everything beside the commit that a rendering depends on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Name of the environment spec.
    pub spec: String,
    /// Folder that holds `environments/` and `templates/`; empty for the root of the repository.
    pub root: String,
    /// The repository's identity.
    pub repository: String,
    /// Full branch or tag name, `pr/<number>`, or the value of `--name`.
    pub ref_name: String,
    /// The full commit id.
    pub revision: String,
    /// `--set name=value`, in the order given.
    pub set: Vec<(String, String)>,
    /// The content of `--values FILE`: name to value.
    pub values: Option<Value>,
    /// Image as written to the image used instead.
    pub image_map: BTreeMap<String, String>,
    /// Version of the tool, for the lock.
    pub tool_version: String,
}
