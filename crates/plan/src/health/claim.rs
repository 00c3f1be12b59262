//! PersistentVolumeClaims.
//!
//! To wait for a claim whose class binds at the first consumer is to wait for ever when no pod uses it.

use serde_json::Value;

use super::read::{at, name, text};
use super::{Finding, Health, Surroundings, Trouble, event, related};

/// A claim is healthy when it is bound, or when it is for a pod to bind it and there is none.
pub(super) fn assess(object: &Value, around: &Surroundings<'_>) -> Health {
    let claim = name(object);
    match text(object, &["status", "phase"]) {
        Some("Bound") => return Health::healthy(),
        Some("Lost") => {
            let volume = text(object, &["spec", "volumeName"]).unwrap_or("?");
            let cause = format!("claim {claim} has lost its volume {volume}: the data is not reachable");
            return Health::Failed(Finding::new(Trouble::Volume, cause));
        }
        Some("Pending") => {}
        _ => return Health::progressing("its controller has not seen it yet"),
    }
    if let Some(message) = event::unprovisioned(claim, around) {
        let cause = format!("claim {claim} gets no volume: {message}");
        return Health::Trouble(Finding::new(Trouble::Volume, cause));
    }
    if let Some(missing) = missing_class(object, around) {
        let cause = format!("claim {claim} gets no volume: there is no StorageClass {missing}");
        return Health::Trouble(Finding::new(Trouble::Volume, cause));
    }
    let used = related::claim_is_used(claim, around);
    match (waits_for_consumer(object, around), used) {
        (true, false) => Health::noted("not bound: it waits for its first consumer, and no pod uses it"),
        (true, true) => Health::progressing("waits to be bound for the pod that uses it"),
        (false, _) => Health::progressing("waits to be bound to a volume"),
    }
}

/// The StorageClass that the claim names, where it is known that there is none of that name. A claim that
/// names its volume needs none.
fn missing_class<'a>(object: &'a Value, around: &Surroundings<'_>) -> Option<&'a str> {
    let wanted = text(object, &["spec", "storageClassName"])?;
    if text(object, &["spec", "volumeName"]).is_some() {
        return None;
    }
    let known = around.storage_classes()?;
    (!known.iter().any(|class| name(class) == wanted)).then_some(wanted)
}

/// Whether the claim is to be bound only when a pod uses it: by its class, or by the word of the
/// controller where classes could not be read.
fn waits_for_consumer(object: &Value, around: &Surroundings<'_>) -> bool {
    class(object, around)
        .is_some_and(|class| text(class, &["volumeBindingMode"]) == Some("WaitForFirstConsumer"))
        || event::awaits_consumer(name(object), around)
}

/// The claim's StorageClass. A name that is absent means the default class, an empty one means none.
fn class<'a>(object: &Value, around: &Surroundings<'a>) -> Option<&'a Value> {
    let classes = around.storage_classes()?;
    match at(object, &["spec", "storageClassName"]).filter(|name| !name.is_null()) {
        Some(wanted) => {
            let wanted = wanted.as_str().filter(|wanted| !wanted.is_empty())?;
            classes.iter().find(|class| name(class) == wanted)
        }
        None => classes.iter().find(|class| is_default(class)),
    }
}

/// Whether claims that name no class get this one.
fn is_default(class: &Value) -> bool {
    let key = "storageclass.kubernetes.io/is-default-class";
    text(class, &["metadata", "annotations", key]) == Some("true")
}
