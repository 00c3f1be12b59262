//! CustomResourceDefinitions that a rendering carries, and the kinds that come with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use plan::{Definition, Desired, Inventory, Key, ObjectRef, Observed, Origin, Stage, Step};
use serde_json::Value;
use spec::{Category, Diagnostic};

use crate::{Result, Session, down};

/// How long the API server may take to serve the kinds of new definitions.
const SERVED: Duration = Duration::from_secs(30);

/// API group and kind of custom resources.
pub(crate) type Kinds = BTreeSet<(String, String)>;

/// What the server serves of the definitions that a rendering carries.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// Of each shared definition, the versions that are served.
    pub versions: BTreeMap<Key, Vec<String>>,
    /// Kinds that the server does not know yet: no object of theirs can be there.
    pub coming: Kinds,
}

/// Asks discovery, which everybody may, for the kinds of all definitions.
pub(crate) async fn served(session: &Session, desired: &[Desired]) -> Result<Served> {
    let mut found = Served::default();
    for (desired, definition) in carried(desired) {
        let (group, kind) = (&definition.group, &definition.kind);
        let served = session.kinds.served(&session.cluster, group, kind, &definition.versions).await?;
        if served.is_empty() {
            found.coming.insert((group.clone(), kind.clone()));
        }
        if desired.is_shared() {
            found.versions.insert(desired.object.key(), served);
        }
    }
    Ok(found)
}

/// Definitions of the inventory that are no longer wanted, and why they stay all the same: with one goes every
/// object of its kind, also what is none of the environment's.
pub(crate) async fn in_use(
    session: &Session,
    wanted: &[ObjectRef],
    inventory: &Inventory,
    observed: &Observed,
) -> Result<BTreeMap<Key, String>> {
    let wanted: BTreeSet<Key> = wanted.iter().map(ObjectRef::key).collect();
    let going: Vec<_> =
        inventory.entries.iter().filter(|entry| !wanted.contains(&entry.object.key())).collect();
    let uids: BTreeSet<&str> = going.iter().filter_map(|entry| entry.uid.as_deref()).collect();
    let mut held = BTreeMap::new();
    for entry in &going {
        let key = entry.object.key();
        let Some(live) = observed.live.get(&key) else { continue };
        if let Some(why) = down::in_use_but(session, &entry.object, live, &uids).await? {
            held.insert(key, why);
        }
    }
    Ok(held)
}

/// Waits until the kinds of the definitions that were just applied are served.
pub(crate) async fn wait(session: &Session, desired: &[Desired], steps: &[Step]) -> Result<()> {
    let begun = Instant::now();
    let applied: BTreeSet<Key> = steps.iter().map(|step| step.object.key()).collect();
    for (desired, definition) in carried(desired) {
        if !applied.contains(&desired.object.key()) {
            continue;
        }
        loop {
            session.keep_going()?;
            session.kinds.forget().await;
            let Definition { group, kind, versions, .. } = &definition;
            let served = session.kinds.served(&session.cluster, group, kind, versions).await?;
            if versions.iter().all(|version| served.contains(version)) {
                break;
            }
            if begun.elapsed() > SERVED {
                return Err(not_served(session, &desired.object).await.into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Says what the definition's own status says: its names may be taken, or it is being deleted.
async fn not_served(session: &Session, object: &ObjectRef) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(
        "CLU011",
        Category::Timeout,
        format!("the API server does not serve its kind {} s after it was applied", SERVED.as_secs()),
    )
    .on(object.to_string())
    .help(format!("Look at `kubectl get crd {} -o yaml`, then run the command again", object.name));
    if let Ok(resource) = session.resource(object).await
        && let Ok(Some(live)) = session.cluster.get(&resource, object).await
    {
        let conditions = live.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        diagnostic.detail = conditions
            .filter(|condition| condition["status"] != "True" || condition["type"] == "Terminating")
            .map(|condition| format!("{}: {}", text(condition, "type"), text(condition, "message")))
            .collect();
    }
    diagnostic
}

fn carried(desired: &[Desired]) -> impl Iterator<Item = (&Desired, Definition)> {
    let definitions = desired.iter().filter(|desired| desired.order.stage == Stage::Definitions);
    definitions.filter_map(|desired| Some((desired, Definition::of(&desired.manifest)?)))
}

/// Takes the namespace off resources whose definition says that they stand outside of namespaces. One without
/// the environment's digits in its name would be shared with other environments.
pub(crate) fn unscope(desired: &mut [Desired], environment: &str) -> Vec<Diagnostic> {
    let outside: Kinds = carried(desired)
        .filter(|(_, definition)| !definition.namespaced)
        .map(|(_, definition)| (definition.group, definition.kind))
        .collect();
    let mut found = Vec::new();
    for desired in desired.iter_mut() {
        let object = &mut desired.object;
        if !outside.contains(&(object.group.clone(), object.kind.clone())) {
            continue;
        }
        object.namespace = None;
        if let Some(metadata) = desired.manifest.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("namespace");
        }
        if !object.name.contains(environment.get(..8).unwrap_or(environment)) {
            let finding =
                Diagnostic::error("OBJ009", "stands outside of namespaces, so environments would share it")
                    .on(object.short())
                    .help("put `{{ env.name }}` into its name");
            found.push(match &desired.origin {
                Origin::Template { file, line } => finding.at(file.clone(), *line, 1),
                _ => finding,
            });
        }
    }
    found
}
