//! What uses a volume that is made again: Kubernetes keeps a claim as long as a pod uses it, also one that has ended.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    Action, Desired, Inputs, Key, Refusal, Step, at, diff_present, guard::foreign_owner, planner::step, text,
};

/// Makes the workloads and Jobs that mount a claim that is made again go before it, and come again after it: a
/// Job that filled the volume fills the new one.
/// Returns a refusal for each that may not be deleted.
pub(crate) fn remake(inputs: &Inputs<'_>, steps: &mut BTreeMap<Key, Step>) -> Vec<Refusal> {
    let claims: BTreeMap<(Option<String>, String), String> = steps
        .values()
        .filter(|step| step.action == Action::Recreate && step.object.is("", "PersistentVolumeClaim"))
        .map(|step| ((step.object.namespace.clone(), step.object.name.clone()), step.object.short()))
        .collect();
    if claims.is_empty() {
        return Vec::new();
    }
    let known = inputs.inventory.index();
    let mut refusals = Vec::new();
    for desired in inputs.desired {
        let key = desired.object.key();
        let Some(live) = inputs.observed.live.get(&key) else { continue };
        let namespace = &desired.object.namespace;
        let Some(claim) =
            mounted(desired, live).into_iter().find_map(|name| claims.get(&(namespace.clone(), name)))
        else {
            continue;
        };
        let entry = known.get(&key).copied();
        if let Some(refusal) =
            foreign_owner::check_unmarked(desired, Action::Recreate, live, entry, inputs.who)
        {
            refusals.push(refusal);
            continue;
        }
        let remade = steps.entry(key).or_insert_with(|| {
            let reason = format!("it mounts {claim}, which is made again");
            step(desired, Action::Recreate, &reason, Vec::new(), Some(live))
        });
        // It is somebody's still.
        if remade.action == Action::Adopt {
            continue;
        }
        if remade.action != Action::Recreate {
            remade.action = Action::Recreate;
            remade.reason = format!("{}; it mounts {claim}, which is made again", remade.reason);
            remade.changes = diff_present(live, &desired.manifest);
        }
        remade.ahead = true;
    }
    refusals
}

/// Names of the claims that the pods of a workload use, as it is and as it is to be.
fn mounted(desired: &Desired, live: &Value) -> BTreeSet<String> {
    let object = &desired.object;
    let path: &[&str] = match (object.group.as_str(), object.kind.as_str()) {
        ("", "Pod") => &["spec", "volumes"],
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job")
        | ("", "ReplicationController") => &["spec", "template", "spec", "volumes"],
        ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template", "spec", "volumes"],
        _ => return BTreeSet::new(),
    };
    [live, &desired.manifest]
        .into_iter()
        .filter_map(|manifest| at(manifest, path)?.as_array())
        .flatten()
        .filter_map(|volume| text(volume, &["persistentVolumeClaim", "claimName"]))
        .map(str::to_owned)
        .collect()
}
