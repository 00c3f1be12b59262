//! An object as it is to be: the rendered manifest with everything the engine adds.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{ObjectRef, digest, is_secret, redact};

/// The annotation that ties an object to the uid of its Environment record.
pub const OWNER_ANNOTATION: &str = "mimeo.dev/owner";

/// The label that holds the id of the environment.
pub const ENVIRONMENT_LABEL: &str = "mimeo.dev/environment";

/// The points of one level of components at which objects are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// CustomResourceDefinitions: their kinds are served before anything of them is applied.
    Definitions,
    /// The environment's namespace.
    Namespace,
    /// Who may work in it.
    Access,
    /// Roles: the server refuses a binding to one that is not there yet.
    Roles,
    /// Everything that does not run: configuration, services, volumes.
    Config,
    /// Hook Jobs that run before the component's workloads.
    Before,
    /// What runs.
    Workload,
    /// Hook Jobs that run once the component is healthy.
    After,
    /// Copies of data into the component.
    Data,
    /// Queries that decide whether the environment is ready.
    Gate,
}

/// The place of an object in the order of apply: by level of its component, then by stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Order {
    /// Level of the component.
    pub level: usize,
    /// Point inside the level.
    pub stage: Stage,
}

/// Where the content of an object comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A template: file from the root of the repository, and line.
    Template {
        /// Path of the template.
        file: String,
        /// First line of the document, counted from 1.
        line: usize,
    },
    /// Random values, made once: key to length. Never changed once the object exists.
    Generated(BTreeMap<String, usize>),
    /// The engine itself: the namespace, its binding, data and gate Jobs.
    Engine,
}

/// A change that makes the result of a Job worthless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rerun {
    /// The volume or the stateful workload of the component is new.
    AfterStorageOf(String),
    /// Data is copied into the component again.
    AfterDataOf(String),
    /// Anything at all changes.
    AfterAnything,
}

/// One object as it is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Its name.
    pub object: ObjectRef,
    /// The component it belongs to; `environment` for what belongs to none.
    pub component: String,
    /// When it is applied.
    pub order: Order,
    /// The manifest as it is sent, but for preconditions.
    pub manifest: Value,
    /// Where the content comes from.
    pub origin: Origin,
    /// What makes this Job run again; empty for everything that is no Job.
    pub reruns_after: Vec<Rerun>,
    /// What the spec declares about it.
    pub declared: Declared,
}

/// What a spec declares about one object, so that it may be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// It may exist already without being anybody's environment's, and becomes this one's.
    pub adopt: bool,
    /// Fields that are taken from whoever else manages them: keys and indices from the root of the manifest.
    pub overrides: Vec<Vec<String>>,
}

impl Desired {
    /// Adds the annotation that ties the object to its record; what environments share is nobody's.
    #[must_use]
    pub fn owned_by(mut self, record_uid: &str) -> Self {
        if self.is_shared() {
            return self;
        }
        if let Some(metadata) = self.manifest.get_mut("metadata").and_then(Value::as_object_mut) {
            let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
            annotations[OWNER_ANNOTATION] = json!(record_uid);
        }
        self
    }

    /// Whether it has something outside the cluster that its controller must clean up.
    #[must_use]
    pub fn acts_outside(&self) -> bool {
        self.object.kind == "Ingress"
            || (self.object.is("", "Service")
                && crate::text(&self.manifest, &["spec", "type"]) == Some("LoadBalancer"))
    }

    /// Whether this is a batch/v1 Job, which runs once and is replaced rather than changed.
    #[must_use]
    pub fn is_job(&self) -> bool {
        self.object.is("batch", "Job")
    }
}

/// SHA-256 of what is asked for. The values of a Secret do not enter it (see
/// [`crate::owned_digest`]); of a generated one, its keys and lengths do.
#[must_use]
pub fn desired_digest(desired: &Desired) -> String {
    let mut manifest = Cow::Borrowed(&desired.manifest);
    if is_secret(&manifest) {
        redact::drop_secret_values(manifest.to_mut());
    }
    match &desired.origin {
        Origin::Generated(keys) => digest(&json!([manifest, keys])),
        _ => digest(&manifest),
    }
}
