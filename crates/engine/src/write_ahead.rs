//! The inventory as it must be before the first write of a plan, and after the last.

use std::collections::{BTreeMap, BTreeSet};

use plan::{
    Action, Desired, DryRun, Entry, FIELD_MANAGER, Inventory, Key, Observed, Ownership, Plan, Provenance,
    Step,
};
use serde_json::Value;

/// Adds a pending entry for every object the plan creates, and one with the uid of every object it adopts, and
/// records what of these turns out to be ours by now. Returns whether anything changed.
pub(crate) fn write_ahead(
    inventory: &mut Inventory,
    plan: &Plan,
    desired: &[Desired],
    observed: &Observed,
    who: Provenance<'_>,
) -> bool {
    let before = inventory.clone();
    for entry in inventory.entries.iter_mut().filter(|entry| entry.pending || entry.adopting) {
        if let Some(live) = observed.live.get(&entry.object.key())
            && plan::ownership(live, Some(entry), who) == (Ownership::Ours { marked: true })
        {
            entry.uid = plan::uid(live).map(str::to_owned);
            entry.pending = false;
            entry.adopting = false;
        }
    }
    let desired: BTreeMap<Key, &Desired> =
        desired.iter().map(|desired| (desired.object.key(), desired)).collect();
    let mut known: BTreeMap<Key, usize> =
        inventory.entries.iter().enumerate().map(|(index, entry)| (entry.object.key(), index)).collect();
    let makes = |step: &&Step| matches!(step.action, Action::Create | Action::Recreate | Action::Adopt);
    for step in plan.steps().filter(makes) {
        let key = step.object.key();
        // What environments share belongs to none of them.
        let wanted = desired.get(&key);
        if wanted.is_some_and(|wanted| wanted.is_shared()) {
            continue;
        }
        // The object of this uid, and no other, is about to become ours.
        let adopting = step.action == Action::Adopt;
        match known.get(&key) {
            Some(&index) if adopting => {
                let entry = &mut inventory.entries[index];
                *entry = Entry {
                    uid: step.uid.clone(),
                    pending: false,
                    adopting,
                    desired: String::new(),
                    owned: String::new(),
                    ..entry.clone()
                };
            }
            Some(&index) => {
                let entry = &mut inventory.entries[index];
                // What was to be adopted is gone: nothing of it is known any more.
                if entry.adopting {
                    (entry.uid, entry.adopting) = (None, false);
                }
                entry.pending = true;
            }
            None => {
                let outside = wanted.is_some_and(|wanted| wanted.acts_outside());
                known.insert(key, inventory.entries.len());
                inventory.entries.push(Entry {
                    object: step.object.clone(),
                    component: step.component.clone(),
                    order: step.order,
                    uid: step.uid.clone().filter(|_| adopting),
                    pending: !adopting,
                    adopting,
                    outside,
                    desired: String::new(),
                    owned: String::new(),
                });
            }
        }
    }
    inventory.sort();
    let mut sorted = before;
    sorted.sort();
    *inventory != sorted
}

/// Notes how the server stores an object after mimeo applied it, or found it as wanted.
pub(crate) fn settle(inventory: &mut Inventory, desired: &Desired, live: &Value) {
    inventory.put(Entry {
        object: desired.object.clone(),
        component: desired.component.clone(),
        order: desired.order,
        uid: plan::uid(live).map(str::to_owned),
        pending: false,
        adopting: false,
        outside: desired.acts_outside(),
        desired: plan::desired_digest(desired),
        owned: plan::owned_digest(live, FIELD_MANAGER).unwrap_or_default(),
    });
}

/// What the look at the cluster alone says of the inventory. Where another run was overtaken that may be alive,
/// what it was about to create may still come: it stays pending until a run that overtakes nobody.
pub(crate) fn remember(
    inventory: &mut Inventory,
    plan: &Plan,
    desired: &[Desired],
    observed: &Observed,
    overtook: bool,
) {
    shrink(inventory, desired, observed, overtook);
    // What was found as wanted although its digests said otherwise, or nobody had noted them: remember them.
    let known = inventory.clone();
    let known = known.index();
    let changed: BTreeSet<Key> = plan.steps().map(|step| step.object.key()).collect();
    for desired in desired {
        let key = desired.object.key();
        let noted = known
            .get(&key)
            .is_some_and(|entry| !entry.desired.is_empty() && entry.component == desired.component);
        if let Some(seen) = observed.live.get(&key)
            && (!noted || observed.dry_runs.contains_key(&key))
            && !changed.contains(&key)
        {
            // As the server would answer an apply: somebody may have changed a field there and back, and own
            // it by now. With what is owned today, his next change of it would go unseen.
            let settled = match observed.dry_runs.get(&key) {
                Some(DryRun::Becomes(after)) => after,
                _ => seen,
            };
            settle(inventory, desired, settled);
        }
    }
}

/// Forgets what is proven gone: entries that are not wanted and whose object a live read did not show, or showed
/// that it was never adopted.
fn shrink(inventory: &mut Inventory, desired: &[Desired], observed: &Observed, overtook: bool) {
    let wanted: BTreeSet<Key> = desired.iter().map(|desired| desired.object.key()).collect();
    inventory.entries.retain(|entry| {
        let key = entry.object.key();
        let never_ours = entry.adopting && observed.live.contains_key(&key);
        let may_come = overtook && entry.pending;
        wanted.contains(&key) || may_come || !(observed.absent.contains(&key) || never_ours)
    });
}
