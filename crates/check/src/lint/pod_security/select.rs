//! The fields of a pod that a control is about.

use serde_json::Value;

use crate::subject::{Pods, step};

/// A field that is set, and where.
pub(crate) struct Set<'a> {
    pub at: Vec<String>,
    pub value: &'a Value,
}

/// Every field that a path leads to; a `*` in it stands for every key or item.
pub(crate) fn below<'a>(start: &'a Value, at: &[String], steps: &str) -> Vec<Set<'a>> {
    let mut reached = vec![Set { at: at.to_vec(), value: start }];
    for name in steps.split('.') {
        let mut next = Vec::new();
        for set in reached {
            match (name, set.value) {
                ("*", Value::Array(items)) => next.extend(
                    items.iter().enumerate().map(|(index, value)| Set { at: step(&set.at, index), value }),
                ),
                ("*", Value::Object(map)) => {
                    next.extend(map.iter().map(|(key, value)| Set { at: step(&set.at, key), value }));
                }
                _ => next.extend(set.value.get(name).map(|value| Set { at: step(&set.at, name), value })),
            }
        }
        reached = next;
    }
    reached.retain(|set| !set.value.is_null());
    reached
}

/// Fields of the pod's spec.
pub(crate) fn of_pod<'a>(pods: &Pods<'a>, steps: &str) -> Vec<Set<'a>> {
    below(pods.spec(), &pods.field(&[]), steps)
}

/// Fields of every container.
pub(crate) fn of_containers<'a>(pods: &Pods<'a>, steps: &str) -> Vec<Set<'a>> {
    pods.containers().iter().flat_map(|container| below(container.value, &container.path, steps)).collect()
}

/// Fields of the pod's spec and of every container.
pub(crate) fn of_both<'a>(pods: &Pods<'a>, steps: &str) -> Vec<Set<'a>> {
    of_pod(pods, steps).into_iter().chain(of_containers(pods, steps)).collect()
}
