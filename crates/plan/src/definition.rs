//! CustomResourceDefinitions that a rendering carries.
//!
//! A definition belongs to the cluster: deleting it deletes every resource of its kind, whoever made it. So one
//! that is missing is made, and nothing is ever changed or deleted, as Helm does with the folder `crds/`. One whose
//! group has the environment's digits in it can be nobody else's, and is an object of the environment like others.

use serde_json::Value;

use crate::{
    Action, Desired, ENVIRONMENT_LABEL, Inputs, Note, Refusal, Stage, Step, at, planner::step, text,
};

/// What a CustomResourceDefinition defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// API group of the kind.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The versions that are to be served.
    pub versions: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Definition {
    /// Reads a manifest; `None` for everything that is no complete definition.
    #[must_use]
    pub fn of(manifest: &Value) -> Option<Self> {
        let api_version = manifest.get("apiVersion")?.as_str()?;
        if manifest.get("kind")?.as_str()? != "CustomResourceDefinition"
            || !api_version.starts_with("apiextensions.k8s.io/")
        {
            return None;
        }
        let versions = at(manifest, &["spec", "versions"])?.as_array()?;
        let served = versions.iter().filter(|version| version["served"] == true);
        Some(Self {
            group: text(manifest, &["spec", "group"])?.to_owned(),
            kind: text(manifest, &["spec", "names", "kind"])?.to_owned(),
            versions: served.filter_map(|version| text(version, &["name"]).map(str::to_owned)).collect(),
            namespaced: text(manifest, &["spec", "scope"]) != Some("Cluster"),
        })
    }
}

impl Desired {
    /// Whether this is a definition that environments share: made where it is missing, and kept.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.order.stage == Stage::Definitions
            && text(&self.manifest, &["metadata", "labels", ENVIRONMENT_LABEL]).is_none()
    }
}

/// A definition that environments share is made where the cluster does not know its kind, and otherwise left alone.
pub(crate) fn step_for(inputs: &Inputs<'_>, desired: &Desired) -> Result<Option<Step>, Refusal> {
    let object = || desired.object.clone();
    let served = inputs.observed.served.get(&desired.object.key());
    let (Some(served), Some(definition)) = (served, Definition::of(&desired.manifest)) else {
        return Err(Refusal::Unknown { object: object() });
    };
    if served.is_empty() {
        let reason = "the cluster does not know the kind; the definition stays when the environment goes";
        return Ok(Some(step(desired, Action::Create, reason, Vec::new(), None)));
    }
    let missing: Vec<String> =
        definition.versions.into_iter().filter(|version| !served.contains(version)).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    Err(Refusal::Definition { object: object(), served: served.clone(), missing })
}

/// Definitions of the rendering that the cluster has already.
pub(crate) fn notes(inputs: &Inputs<'_>) -> Vec<Note> {
    let shared = inputs.desired.iter().filter(|desired| desired.is_shared());
    let known = shared.filter(|desired| {
        inputs.observed.served.get(&desired.object.key()).is_some_and(|served| !served.is_empty())
    });
    let text = "left alone: the cluster has this definition already";
    known.map(|desired| Note { object: desired.object.clone(), text: text.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_served_versions_count() {
        let manifest = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "spec": {
                "group": "example.com", "scope": "Cluster", "names": {"kind": "Topic"},
                "versions": [{"name": "v1", "served": true}, {"name": "v1beta1", "served": false}],
            },
        });
        let definition = Definition::of(&manifest).unwrap();
        assert_eq!((definition.versions, definition.namespaced), (vec!["v1".to_owned()], false));
        assert_eq!(Definition::of(&json!({"apiVersion": "v1", "kind": "ConfigMap"})), None);
    }
}
