//! The order in which an environment goes.

use serde::{Deserialize, Serialize};

use crate::{Entry, Inventory, ObjectRef, Stage};

/// One phase of a teardown: its members go side by side, and are proven gone before the next phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeardownPhase {
    /// Name of the phase, for the record and for people.
    pub name: String,
    /// What is deleted one by one.
    pub entries: Vec<Entry>,
}

/// Splits an inventory into phases. In an owned namespace only what acts outside it or must go in
/// order is deleted one by one; the rest goes with the namespace, which is the last phase.
#[must_use]
pub fn teardown(inventory: &Inventory, owned_namespace: Option<&str>) -> Vec<TeardownPhase> {
    let mut phases: Vec<(usize, Entry)> = inventory
        .entries
        .iter()
        .filter_map(|entry| phase_of(entry, owned_namespace).map(|phase| (phase, entry.clone())))
        .collect();
    phases.sort_by(|(a, x), (b, y)| (a, y.order, &y.object).cmp(&(b, x.order, &x.object)));
    let mut result: Vec<TeardownPhase> = Vec::new();
    for (phase, entry) in phases {
        let name = PHASES[phase];
        match result.last_mut().filter(|last| last.name == name) {
            Some(last) => last.entries.push(entry),
            None => result.push(TeardownPhase { name: name.to_owned(), entries: vec![entry] }),
        }
    }
    result
}

const PHASES: [&str; 7] = [
    "data jobs",
    "custom resources",
    "ingress and load balancers",
    "workloads",
    "volumes",
    "rest",
    "namespace",
];

fn phase_of(entry: &Entry, owned_namespace: Option<&str>) -> Option<usize> {
    let object = &entry.object;
    let inside = owned_namespace.is_some() && object.namespace.as_deref() == owned_namespace;
    let phase = if object.is("", "Namespace") {
        return (owned_namespace == Some(object.name.as_str())).then_some(6);
    } else if entry.order.stage == Stage::Data {
        0
    } else if is_custom(object) {
        1
    } else if entry.outside || object.kind == "Ingress" {
        2
    } else if matches!(object.group.as_str(), "apps" | "batch") || object.is("", "Pod") {
        3
    } else if object.is("", "PersistentVolumeClaim") {
        4
    } else {
        5
    };
    // Claims too: a pod that mounts one holds it (`kubernetes.io/pvc-protection`), and the namespace takes
    // its pods first. The receipt looks for the volumes behind them.
    let goes_with_namespace = inside && !matches!(phase, 0..=2);
    (!goes_with_namespace).then_some(phase)
}

/// Built-in groups have no dot or end in `.k8s.io`; every other group is a custom resource whose
/// controller may have something outside to clean up.
fn is_custom(object: &ObjectRef) -> bool {
    object.group.contains('.') && !object.group.ends_with(".k8s.io")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Order;

    fn phases(owned: Option<&str>) -> Vec<(String, Vec<String>)> {
        let entry = |group: &str, kind: &str, namespace: Option<&str>, stage: Stage, outside: bool| Entry {
            object: ObjectRef {
                group: group.into(),
                version: "v1".into(),
                kind: kind.into(),
                namespace: namespace.map(str::to_owned),
                name: if kind == "Namespace" { "ns".into() } else { kind.to_lowercase() },
            },
            component: "c".into(),
            order: Order { level: 0, stage },
            uid: Some("u".into()),
            pending: false,
            outside,
            desired: String::new(),
            owned: String::new(),
        };
        let inventory = Inventory {
            entries: vec![
                entry("", "Namespace", None, Stage::Namespace, false),
                entry("", "ConfigMap", Some("ns"), Stage::Config, false),
                entry("", "PersistentVolumeClaim", Some("ns"), Stage::Config, false),
                entry("apps", "StatefulSet", Some("ns"), Stage::Workload, false),
                entry("", "Service", Some("ns"), Stage::Config, true),
                entry("kafka.example.com", "Topic", Some("ns"), Stage::Workload, false),
                entry("batch", "Job", Some("mimeo-data"), Stage::Data, false),
                entry("rbac.authorization.k8s.io", "ClusterRole", None, Stage::Roles, false),
            ],
        };
        teardown(&inventory, owned)
            .into_iter()
            .map(|phase| (phase.name, phase.entries.iter().map(|entry| entry.object.kind.clone()).collect()))
            .collect()
    }

    #[test]
    fn an_owned_namespace_takes_what_only_lives_inside_it() {
        let names = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            phases(Some("ns")),
            [
                ("data jobs".to_owned(), names(&["Job"])),
                ("custom resources".to_owned(), names(&["Topic"])),
                ("ingress and load balancers".to_owned(), names(&["Service"])),
                ("rest".to_owned(), names(&["ClusterRole"])),
                ("namespace".to_owned(), names(&["Namespace"])),
            ]
        );
    }

    #[test]
    fn a_borrowed_namespace_stays_and_workloads_go_before_their_volumes() {
        let phases = phases(None);
        let position =
            |kind: &str| phases.iter().position(|(_, kinds)| kinds.iter().any(|known| known == kind));
        assert!(position("StatefulSet") < position("PersistentVolumeClaim"));
        assert_eq!(position("Namespace"), None);
    }
}
