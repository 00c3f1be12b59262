//! What a rendering is asked for.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use spec::lock_file::Pins;
use spec::{Files, Node};

/// The commit that decides how long an environment lives and what it may do, in place of its own.
#[derive(Clone)]
pub struct Governor {
    /// The full commit id.
    pub revision: String,
    /// Its files.
    pub files: Arc<dyn Files>,
}

/// Everything beside the commit that a rendering depends on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// The content of `--values FILE`: name to value, with places in that file.
    #[serde(with = "crate::carried::node")]
    pub values: Option<Node>,
    /// Image as written to the image used instead.
    pub image_map: BTreeMap<String, String>,
    /// The commits of its sources, where not the lock file at the commit decides.
    pub pins: Option<Pins>,
    /// Version of the tool, for the lock.
    pub tool_version: String,
}
