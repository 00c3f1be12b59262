//! Which kinds are waited for, and which explain them.

use std::collections::BTreeMap;

use plan::{
    Key, ObjectRef, Wave,
    health::{Surroundings, World, assess},
};
use serde_json::Value;

use super::Rules;

/// Kinds that are what they were asked to be as soon as they exist.
pub(super) fn has_health(object: &ObjectRef) -> bool {
    let at_once = matches!(
        object.kind.as_str(),
        "ConfigMap" | "Secret" | "ServiceAccount" | "LimitRange" | "ResourceQuota" | "Namespace"
    ) && object.group.is_empty();
    !(at_once
        || matches!(
            object.group.as_str(),
            "rbac.authorization.k8s.io" | "policy" | "autoscaling" | "scheduling.k8s.io" | "storage.k8s.io"
        )
        || object.kind == "NetworkPolicy"
        || object.kind == "CronJob")
}

/// Kinds that tell why an object is not healthy.
pub(crate) fn explaining(object: &ObjectRef) -> &'static [(&'static str, &'static str)] {
    match (object.group.as_str(), object.kind.as_str()) {
        ("apps", "Deployment") => &[("", "Pod"), ("apps", "ReplicaSet"), ("", "Event")],
        ("apps" | "batch", _) => &[("", "Pod"), ("", "Event")],
        ("", "Service") => &[
            ("discovery.k8s.io", "EndpointSlice"),
            ("apps", "Deployment"),
            ("apps", "StatefulSet"),
            ("apps", "DaemonSet"),
        ],
        ("", "Pod") => &[("", "Event")],
        ("", "PersistentVolumeClaim") => &[("", "Pod"), ("", "Event")],
        _ => &[],
    }
}

/// Whether live objects that were just listed are all healthy: an unchanged environment needs no watch.
pub(crate) fn settled(
    desired: &[plan::Desired],
    waves: &[Wave],
    live: &BTreeMap<Key, Value>,
    slices: &[Value],
    rules: &Rules,
) -> bool {
    let world = World::of(live.values().filter(|object| object["kind"] != "Pod").chain(slices));
    let by_key = rules.by_key(desired);
    waves.iter().flat_map(|wave| &wave.wait_for).filter(|object| has_health(object)).all(|object| {
        let key = object.key();
        let around = Surroundings::new(&world).rule(by_key.get(&key).map(AsRef::as_ref));
        live.get(&key).is_some_and(|object| assess(object, &around).is_healthy())
    })
}
