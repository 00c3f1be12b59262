//! Desired and observed objects to a plan.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use serde_json::Value;

use crate::{
    Action, Desired, DryRun, Entry, FIELD_MANAGER, FieldChange, Inventory, Key, ObjectRef, Observed, Order,
    Origin, Ownership, Plan, Provenance, Refusal, Rerun, Stage, Step, Wave, at, definition, desired_digest,
    diff, diff_present,
    guard::{adoption, foreign_owner, immutable_field, mass_deletion},
    is_secret, mounts, moved, owned_digest, ownership,
    prune::prune,
    redact, text, uid,
};

/// Everything a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Name of the environment.
    pub environment: &'a str,
    /// Who it is.
    pub who: Provenance<'a>,
    /// The commit that was rendered.
    pub revision: &'a str,
    /// Digest of the rendered manifests.
    pub manifests: &'a str,
    /// Objects as they are to be.
    pub desired: &'a [Desired],
    /// What the environment owns.
    pub inventory: &'a Inventory,
    /// What the cluster showed.
    pub observed: &'a Observed,
}

/// What the digests say of the live objects that are the environment's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// They are as they were applied, and nothing else is wanted of them.
    pub settled: BTreeSet<Key>,
    /// Their change cannot be told from digests alone: the server is asked what they would become.
    pub unclear: BTreeSet<Key>,
}

/// Compares what is wanted, and what is there, with what was applied.
#[must_use]
pub fn compare(inputs: &Inputs<'_>) -> Compared {
    let known = inputs.inventory.index();
    let mut compared = Compared::default();
    for desired in inputs.desired {
        let key = desired.object.key();
        let entry = known.get(&key).copied();
        let Some(live) = inputs.observed.live.get(&key) else { continue };
        if adoption::is_due(desired, live, entry, inputs.who) {
            if adoption::check(desired, live, inputs.who).is_none() {
                compared.unclear.insert(key);
            }
            continue;
        }
        if is_terminating(live) || !matches!(ownership(live, entry, inputs.who), Ownership::Ours { .. }) {
            continue;
        }
        let side = match is_settled(desired, live, entry) {
            true => &mut compared.settled,
            false => &mut compared.unclear,
        };
        side.insert(key);
    }
    compared
}

/// Objects of which the server is asked what they would become.
#[must_use]
pub fn needs_dry_run(inputs: &Inputs<'_>) -> BTreeSet<Key> {
    compare(inputs).unclear
}

/// Decides what is to be done, or says why nothing may be.
///
/// # Errors
/// Every refusal that was found, not only the first.
pub fn plan(inputs: &Inputs<'_>) -> Result<Plan, Vec<Refusal>> {
    let (plan, refusals) = sketch(inputs);
    if refusals.is_empty() { Ok(plan) } else { Err(refusals) }
}

/// The same for somebody who only looks: what would be done beside what is refused. Where anything is refused,
/// nothing of it is done.
pub fn sketch(inputs: &Inputs<'_>) -> (Plan, Vec<Refusal>) {
    let mut refusals = Vec::new();
    let mut steps: BTreeMap<Key, Step> = BTreeMap::new();
    let known = inputs.inventory.index();
    for desired in inputs.desired {
        match step_for(inputs, desired, known.get(&desired.object.key()).copied()) {
            Ok(Some(step)) => {
                steps.insert(desired.object.key(), step);
            }
            Ok(None) => {}
            Err(refusal) => refusals.push(refusal),
        }
    }
    refusals.extend(mass_deletion::check(inputs.desired, inputs.inventory));
    let (prune, mut notes) = prune(inputs);
    notes.extend(moved::notes(inputs, &known));
    notes.extend(definition::notes(inputs));
    notes.extend(adoption::notes(inputs, steps.values()));
    refusals.extend(mounts::remake(inputs, &mut steps));
    rerun(inputs, &mut steps, !prune.is_empty());
    let mut at_stake = immutable_field::stake(steps.values().chain(&prune));
    at_stake.extend(mass_deletion::stake(inputs.inventory, &prune));
    at_stake.sort();
    at_stake.dedup();
    let plan = Plan {
        version: 1,
        environment: inputs.environment.to_owned(),
        revision: inputs.revision.to_owned(),
        manifests: inputs.manifests.to_owned(),
        waves: waves(inputs.desired, steps),
        prune,
        settings: Vec::new(),
        notes,
        at_stake,
    };
    (plan, refusals)
}

/// Whether nothing has to be asked: what is wanted and what we own are both as they were recorded.
fn is_settled(desired: &Desired, live: &Value, entry: Option<&Entry>) -> bool {
    if matches!(desired.origin, Origin::Generated(_)) {
        return true;
    }
    entry.is_some_and(|entry| {
        !entry.desired.is_empty()
            && entry.desired == desired_digest(desired)
            && Some(&entry.owned) == owned_digest(live, FIELD_MANAGER).as_ref()
    }) && !secret_differs(desired, live)
        && !lacks_empties(desired, live)
}

/// Whether a custom resource lacks a list or map that is wanted empty: when somebody removed it, and also after
/// the apply that took its last element away. An apply to such an object writes it.
#[must_use]
pub fn lacks_empties(desired: &Desired, live: &Value) -> bool {
    is_custom(&desired.object) && lacks_empty(&desired.manifest, live)
}

/// Whether the kind is defined by a CustomResourceDefinition; by its group, as nothing else is known here.
fn is_custom(object: &ObjectRef) -> bool {
    object.group.contains('.') && !object.group.ends_with(".k8s.io")
}

/// Whether a list or map that is wanted empty is not there. Nobody owns it, as `fieldsV1` names elements only;
/// of its own kinds the server leaves empty ones out.
fn lacks_empty(wanted: &Value, live: &Value) -> bool {
    let Some(fields) = wanted.as_object() else { return false };
    fields.iter().any(|(key, value)| match (value, live.get(key)) {
        (Value::Object(inner), None) => inner.is_empty(),
        (Value::Array(items), None) => items.is_empty(),
        (_, None) => false,
        (value, Some(live)) => lacks_empty(value, live),
    })
}

/// Compares the values of a Secret themselves: no digest of them is kept anywhere.
fn secret_differs(desired: &Desired, live: &Value) -> bool {
    if !is_secret(&desired.manifest) {
        return false;
    }
    let encode = |plain: &str| base64::engine::general_purpose::STANDARD.encode(plain);
    let wanted = redact::secret_values(&desired.manifest, encode);
    let present = redact::secret_values(live, encode);
    wanted.iter().any(|pair| !present.contains(pair))
}

fn step_for(inputs: &Inputs<'_>, desired: &Desired, entry: Option<&Entry>) -> Result<Option<Step>, Refusal> {
    let key = desired.object.key();
    if desired.is_shared() {
        return definition::step_for(inputs, desired);
    }
    let Some(live) = inputs.observed.live.get(&key) else {
        if !inputs.observed.absent.contains(&key) {
            return Err(Refusal::Unknown { object: desired.object.clone() });
        }
        let reason = match entry.and_then(|entry| entry.uid.as_ref()) {
            Some(_) => "it was there and is gone",
            None => "it does not exist",
        };
        return Ok(Some(step(desired, Action::Create, reason, Vec::new(), None)));
    };
    if adoption::is_due(desired, live, entry, inputs.who) {
        return adoption::step_for(inputs, desired, live).map(Some);
    }
    if let Some(refusal) = foreign_owner::check(desired, live, entry, inputs.who) {
        return Err(refusal);
    }
    let step = change(inputs, desired, live, entry)?;
    let unmarked = step
        .as_ref()
        .and_then(|step| foreign_owner::check_unmarked(desired, step.action, live, entry, inputs.who));
    unmarked.map_or(Ok(step), Err)
}

/// What becomes of a live object that is ours.
fn change(
    inputs: &Inputs<'_>,
    desired: &Desired,
    live: &Value,
    entry: Option<&Entry>,
) -> Result<Option<Step>, Refusal> {
    if is_terminating(live) {
        if desired.order.stage == Stage::Namespace {
            return Err(Refusal::Terminating { object: desired.object.clone() });
        }
        return Ok(Some(step(desired, Action::Recreate, "it is being deleted", Vec::new(), Some(live))));
    }
    if desired.is_job() && has_failed(live) {
        let changes = diff_present(live, &desired.manifest);
        return Ok(Some(step(desired, Action::Recreate, "its last run failed", changes, Some(live))));
    }
    let key = desired.object.key();
    if inputs.observed.settled.contains(&key) || is_settled(desired, live, entry) {
        return Ok(None);
    }
    Ok(match inputs.observed.dry_runs.get(&key) {
        None => return Err(Refusal::Unknown { object: desired.object.clone() }),
        Some(DryRun::Immutable(_)) if desired.is_job() => {
            let changes = diff_present(live, &desired.manifest);
            Some(step(
                desired,
                Action::Recreate,
                "a Job runs once: it runs again with the change",
                changes,
                Some(live),
            ))
        }
        Some(DryRun::Immutable(_)) => {
            let changes = diff_present(live, &desired.manifest);
            Some(step(
                desired,
                Action::Recreate,
                "a field that cannot change in place changes",
                changes,
                Some(live),
            ))
        }
        Some(DryRun::Conflict(fields)) => {
            return Err(Refusal::conflict(desired, fields));
        }
        Some(DryRun::Takes(after, fields)) => {
            let mut step = step(desired, Action::Update, TAKEN, diff(live, after), Some(live));
            step.takes = fields.clone();
            Some(step)
        }
        Some(DryRun::TakesBack(after, fields)) => {
            let mut step = step(desired, Action::Update, TAKEN_BACK, diff(live, after), Some(live));
            step.takes_back = fields.clone();
            Some(step)
        }
        Some(DryRun::Becomes(after)) => {
            let changes = diff(live, after);
            let drifted = entry.is_some_and(|entry| entry.desired == desired_digest(desired));
            let reason = if moved::is_all(&changes) {
                moved::reason(entry, desired).unwrap_or_else(|| TAKEN_BACK.to_owned())
            } else {
                match drifted {
                    // Of its values nothing is remembered: either side may have changed them.
                    true if is_secret(&desired.manifest) => {
                        "its values are not those of the template".to_owned()
                    }
                    true => TAKEN_BACK.to_owned(),
                    false => "the template or its values changed".to_owned(),
                }
            };
            (!changes.is_empty()).then(|| step(desired, Action::Update, &reason, changes, Some(live)))
        }
    })
}

const TAKEN: &str = "the spec overrides what others manage";
const TAKEN_BACK: &str = "somebody changed fields that mimeo owns";

/// A step on an object; `live` is what the plan saw of it.
pub(crate) fn step(
    desired: &Desired,
    action: Action,
    reason: &str,
    changes: Vec<FieldChange>,
    live: Option<&Value>,
) -> Step {
    Step {
        action,
        object: desired.object.clone(),
        component: desired.component.clone(),
        order: desired.order,
        reason: reason.to_owned(),
        changes,
        takes_back: Vec::new(),
        takes: Vec::new(),
        going: live.is_some_and(is_terminating),
        ahead: false,
        uid: live.and_then(uid).map(str::to_owned),
        resource_version: live
            .and_then(|live| text(live, &["metadata", "resourceVersion"]))
            .map(str::to_owned),
        owned: live.and_then(|live| owned_digest(live, FIELD_MANAGER)),
    }
}

/// Adds the Jobs whose result is worthless once the steps so far have run. One round per level is
/// enough, since a Job depends on levels below its own only; gates come last.
fn rerun(inputs: &Inputs<'_>, steps: &mut BTreeMap<Key, Step>, prunes: bool) {
    let mut jobs: Vec<&Desired> =
        inputs.desired.iter().filter(|desired| !desired.reruns_after.is_empty()).collect();
    jobs.sort_by_key(|desired| desired.order);
    for job in jobs {
        let key = job.object.key();
        let Some(live) = inputs.observed.live.get(&key) else { continue };
        if steps.get(&key).is_some_and(|step| step.action == Action::Recreate) {
            continue;
        }
        let reason = job.reruns_after.iter().find_map(|after| match after {
            Rerun::AfterStorageOf(component) => {
                storage_is_new(steps, component).then(|| format!("the storage of {component} is new"))
            }
            Rerun::AfterDataOf(component) => steps
                .values()
                .any(|step| step.order.stage == Stage::Data && step.component == *component)
                .then(|| format!("data is copied into {component} again")),
            Rerun::AfterAnything => {
                let changes = prunes || steps.values().any(|step| !moved::is_all(&step.changes));
                changes.then(|| "the environment changes".to_owned())
            }
        });
        if let Some(reason) = reason {
            steps.insert(key, step(job, Action::Recreate, &reason, Vec::new(), Some(live)));
        }
    }
}

fn storage_is_new(steps: &BTreeMap<Key, Step>, component: &str) -> bool {
    steps.values().any(|step| {
        step.component == component
            && matches!(step.action, Action::Create | Action::Recreate)
            && (step.object.is("", "PersistentVolumeClaim") || step.object.is("apps", "StatefulSet"))
    })
}

fn waves(desired: &[Desired], mut steps: BTreeMap<Key, Step>) -> Vec<Wave> {
    let orders: BTreeSet<Order> = desired.iter().map(|desired| desired.order).collect();
    let has = |level: usize, stage: Stage| orders.contains(&Order { level, stage });
    orders
        .iter()
        .map(|&order| {
            let mut own: Vec<Step> = desired
                .iter()
                .filter(|desired| desired.order == order)
                .filter_map(|desired| steps.remove(&desired.object.key()))
                .collect();
            own.sort_by(|a, b| a.object.cmp(&b.object));
            let stages: &[Stage] = match order.stage {
                // A Service is ready when its workload is, and a volume binds when a pod uses it.
                Stage::Config if has(order.level, Stage::Workload) => &[],
                Stage::Workload => &[Stage::Config, Stage::Workload],
                // Whoever applies them waits for their kinds to be served.
                Stage::Definitions | Stage::Roles => &[],
                Stage::Namespace => &[Stage::Namespace],
                Stage::Access => &[Stage::Access],
                Stage::Config => &[Stage::Config],
                Stage::Before => &[Stage::Before],
                Stage::After => &[Stage::After],
                Stage::Data => &[Stage::Data],
                Stage::Gate => &[Stage::Gate],
            };
            let wait_for: Vec<ObjectRef> = desired
                .iter()
                .filter(|desired| desired.order.level == order.level && stages.contains(&desired.order.stage))
                .map(|desired| desired.object.clone())
                .collect();
            Wave { order, steps: own, wait_for }
        })
        .collect()
}

/// Whether somebody has deleted the object, and it is on its way out.
#[must_use]
pub fn is_terminating(live: &Value) -> bool {
    at(live, &["metadata", "deletionTimestamp"]).is_some_and(|time| !time.is_null())
}

fn has_failed(job: &Value) -> bool {
    job.pointer("/status/conditions").and_then(Value::as_array).is_some_and(|conditions| {
        conditions.iter().any(|condition| condition["type"] == "Failed" && condition["status"] == "True")
    })
}
