//! A plan as a file: what was shown to a person is what runs, or nothing does.

use std::collections::BTreeMap;

use cluster::RefKind;
use plan::Plan;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spec::{Category, Diagnostic};

use crate::{Result, preview::Preview};

/// Version of the format.
pub const VERSION: u32 = 1;

/// Everything that is needed to make the same plan again, and the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanFile {
    /// [`VERSION`].
    pub version: u32,
    /// What was rendered.
    pub request: PlanRequest,
    /// What the rendering was made from.
    pub lock: Value,
    /// uid of the record, when the environment existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Generation of the inventory.
    pub inventory: u64,
    /// What is to be done.
    pub plan: Plan,
    /// Short digest of the plan, which an approval names.
    pub digest: String,
    /// Digest of all of the above: nobody changes a plan by hand and means it.
    pub seal: String,
}

/// What was rendered, for somebody who renders it again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanRequest {
    /// Name of the environment spec.
    pub spec: String,
    /// Folder of the repository that holds `environments/` and `templates/`.
    pub path: String,
    /// Identity of the repository.
    pub repository: String,
    /// Branch, tag, or value of `--name`.
    pub r#ref: String,
    /// What `ref` is the name of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_kind: Option<RefKind>,
    /// The full commit id.
    pub revision: String,
    /// `--set`, as given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
    /// The content of `--values`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Value>,
    /// Image as written to the image used instead.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub image_map: BTreeMap<String, String>,
    /// Sources of the spec, each at the commit that was read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: render::Pins,
}

impl PlanFile {
    /// The file of a plan that was just made.
    #[must_use]
    pub fn new(request: PlanRequest, lock: Value, preview: &Preview) -> Self {
        let mut file = Self {
            version: VERSION,
            request,
            lock,
            record: preview.record.as_ref().and_then(|record| record.metadata.uid.clone()),
            inventory: preview.stored.generation,
            plan: preview.plan.clone(),
            digest: preview.plan.digest(),
            seal: String::new(),
        };
        file.seal = file.sealed();
        file
    }

    fn sealed(&self) -> String {
        let unsealed = Self { seal: String::new(), ..self.clone() };
        plan::digest(&serde_json::to_value(unsealed).unwrap_or_default())
    }

    /// Reads a file; one that was changed by hand is not believed.
    ///
    /// # Errors
    /// When it is no plan of this version, or not as it was written.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let refused = |cause: String| {
            Diagnostic::error("PLN005", cause)
                .on(name.to_owned())
                .help("Make it with `mimeo plan SPEC -o FILE`")
        };
        let file: Self =
            serde_json::from_str(text).map_err(|error| refused(format!("it is no plan: {error}")))?;
        if file.version != VERSION {
            return Err(refused(format!("it is a plan of version {}, not {VERSION}", file.version)).into());
        }
        if file.sealed() != file.seal || file.plan.digest() != file.digest {
            return Err(refused("it was changed since it was made".to_owned()).into());
        }
        Ok(file)
    }

    /// Whether a plan that was made just now is the plan of the file.
    ///
    /// # Errors
    /// Everything that is different: the lock, the record, the inventory, or what is to be done because an
    /// object appeared, went, was made anew or changed in fields that mimeo owns.
    pub fn check(&self, lock: &Value, now: &Preview) -> Result<()> {
        let mut moved = Vec::new();
        if *lock != self.lock {
            moved.push("the rendering is another one: see the lock".to_owned());
        }
        let record = now.record.as_ref().and_then(|record| record.metadata.uid.as_ref());
        if record != self.record.as_ref() {
            moved.push("the environment was made, or made anew".to_owned());
        } else if now.stored.generation != self.inventory {
            moved.push(format!(
                "the inventory is at generation {}, the plan saw {}",
                now.stored.generation, self.inventory
            ));
        }
        moved.extend(self.plan.differences(&now.plan));
        if moved.is_empty() {
            return Ok(());
        }
        let mut refused = Diagnostic::new(
            "PLN004",
            Category::Refused,
            "the world moved since the plan was made: nothing was done",
        )
        .on(self.plan.environment.clone())
        .help("Make a new plan, look at it, and run that");
        refused.detail = moved;
        Err(refused.into())
    }
}
