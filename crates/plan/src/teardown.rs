//! The order in which an environment goes, as a whole and in parts.

use std::cmp::Reverse;

use crate::{Entry, Inventory, ObjectRef, Stage, Step};

/// The phases of a teardown, in the order in which they run. One without members is skipped. They stand between
/// the fence, after which nothing is applied any more, and the sweep, whose live reads make the receipt.
///
/// What lives outside Kubernetes has its place between the Jobs of data and the custom resources; nothing that
/// mimeo makes does so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Jobs that say goodbye while everything is still there.
    Hooks,
    /// Jobs that copy data into the environment, and gates.
    DataJobs,
    /// Custom resources, whose controllers run on until they are gone.
    CustomResources,
    /// What leads into the workloads from elsewhere: ingresses, load balancers, webhooks, aggregated APIs. The
    /// last two would answer nothing without their workloads, and hold up every later delete.
    Network,
    /// What runs.
    Workloads,
    /// Claims, once no pod holds them.
    Volumes,
    /// Configuration, accounts, rights, definitions of kinds.
    Rest,
    /// The environment's own namespace, with everything in it.
    Namespace,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Hooks,
        Self::DataJobs,
        Self::CustomResources,
        Self::Network,
        Self::Workloads,
        Self::Volumes,
        Self::Rest,
        Self::Namespace,
    ];

    /// Its name, for the record and for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hooks => "hooks",
            Self::DataJobs => "data jobs",
            Self::CustomResources => "custom resources",
            Self::Network => "ingress and load balancers",
            Self::Workloads => "workloads",
            Self::Volumes => "volumes",
            Self::Rest => "rest",
            Self::Namespace => "namespace",
        }
    }

    /// The phase of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }
}

/// The members of one phase, those of higher levels first.
#[derive(Debug, Clone, PartialEq)]
pub struct TeardownPhase {
    /// Which phase.
    pub phase: Phase,
    /// What is deleted one by one.
    pub entries: Vec<Entry>,
}

impl TeardownPhase {
    /// Members of one level of components go side by side, and are proven gone before what they need goes.
    pub fn levels(&self) -> impl Iterator<Item = &[Entry]> {
        self.entries.chunk_by(|a, b| a.order.level == b.order.level)
    }
}

/// Splits an inventory into phases. In an owned namespace only what acts outside it or must go in
/// order is deleted one by one; the rest goes with the namespace, which is the last phase.
#[must_use]
pub fn teardown(inventory: &Inventory, owned_namespace: Option<&str>) -> Vec<TeardownPhase> {
    let mut members: Vec<(Phase, &Entry)> = inventory
        .entries
        .iter()
        .filter_map(|entry| phase_of(entry, owned_namespace).map(|phase| (phase, entry)))
        .collect();
    members.sort_by_key(|&(phase, entry)| (phase, Reverse(entry.order), &entry.object));
    members
        .chunk_by(|(a, _), (b, _)| a == b)
        .map(|part| TeardownPhase {
            phase: part[0].0,
            entries: part.iter().map(|&(_, entry)| entry.clone()).collect(),
        })
        .collect()
}

/// The phase in which an object is deleted by itself; `None` where it goes with the environment's namespace, or is
/// a namespace that somebody lent.
#[must_use]
pub fn phase_of(entry: &Entry, owned_namespace: Option<&str>) -> Option<Phase> {
    let object = &entry.object;
    let inside = owned_namespace.is_some() && object.namespace.as_deref() == owned_namespace;
    let phase = if object.is("", "Namespace") {
        return (owned_namespace == Some(object.name.as_str())).then_some(Phase::Namespace);
    } else if entry.order.stage == Stage::Data {
        Phase::DataJobs
    } else if is_custom(object) {
        Phase::CustomResources
    } else if entry.outside || leads_inside(object) {
        Phase::Network
    } else if matches!(object.group.as_str(), "apps" | "batch") || object.is("", "Pod") {
        Phase::Workloads
    } else if object.is("", "PersistentVolumeClaim") {
        Phase::Volumes
    } else {
        Phase::Rest
    };
    // Claims too: a pod that mounts one holds it (`kubernetes.io/pvc-protection`), and the namespace takes
    // its pods first. The receipt looks for the volumes behind them.
    let goes_with_namespace = inside && phase > Phase::Network;
    (!goes_with_namespace).then_some(phase)
}

fn leads_inside(object: &ObjectRef) -> bool {
    object.kind == "Ingress"
        || object.group == "apiregistration.k8s.io"
        || (object.group == "admissionregistration.k8s.io" && object.kind.ends_with("WebhookConfiguration"))
}

/// API groups that every API server has itself: `k8s.io/kubernetes/pkg/controlplane/instance.go`. Others may end
/// in `.k8s.io`, too, such as `gateway.networking.k8s.io`, and are custom resources.
const BUILT_IN: [&str; 18] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Whether the object is of a kind that somebody added to the API server: its controller may have something
/// outside to clean up.
#[must_use]
pub fn is_custom(object: &ObjectRef) -> bool {
    object.group.contains('.') && !BUILT_IN.contains(&object.group.as_str())
}

/// When a step of a prune comes: custom resources while their controllers still run, definitions of kinds after
/// everything else, and the rest against the order of apply.
pub(crate) fn prune_order(step: &Step) -> (u8, Reverse<crate::Order>) {
    let turn = if is_custom(&step.object) {
        0
    } else if step.object.is("apiextensions.k8s.io", "CustomResourceDefinition") {
        2
    } else {
        1
    };
    (turn, Reverse(step.order))
}

/// Parts of a prune, in order: the members of each go side by side, and are proven gone before the next.
pub fn prune_groups(prune: &[Step]) -> impl Iterator<Item = &[Step]> {
    prune.chunk_by(|a, b| prune_order(a) == prune_order(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Order};

    fn object(group: &str, kind: &str, namespace: Option<&str>) -> ObjectRef {
        ObjectRef {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            namespace: namespace.map(str::to_owned),
            name: if kind == "Namespace" { "ns".into() } else { kind.to_lowercase() },
        }
    }

    fn entry(group: &str, kind: &str, namespace: Option<&str>, level: usize, stage: Stage) -> Entry {
        Entry {
            object: object(group, kind, namespace),
            component: "c".into(),
            order: Order { level, stage },
            uid: Some("u".into()),
            pending: false,
            adopting: false,
            outside: kind == "Service",
            desired: String::new(),
            owned: String::new(),
        }
    }

    fn inventory() -> Inventory {
        let ns = Some("ns");
        Inventory {
            entries: vec![
                entry("", "Namespace", None, 0, Stage::Namespace),
                entry("", "ConfigMap", ns, 0, Stage::Config),
                entry("", "PersistentVolumeClaim", ns, 0, Stage::Config),
                entry("apps", "StatefulSet", ns, 0, Stage::Workload),
                entry("apps", "Deployment", ns, 1, Stage::Workload),
                entry("", "Service", ns, 0, Stage::Config),
                entry("kafka.example.com", "Kafka", ns, 0, Stage::Workload),
                entry("kafka.example.com", "Topic", ns, 1, Stage::Workload),
                entry("gateway.networking.k8s.io", "Gateway", ns, 0, Stage::Workload),
                entry("batch", "Job", Some("mimeo-data"), 0, Stage::Data),
                entry("rbac.authorization.k8s.io", "ClusterRole", None, 0, Stage::Roles),
                entry(
                    "admissionregistration.k8s.io",
                    "ValidatingWebhookConfiguration",
                    None,
                    0,
                    Stage::Config,
                ),
            ],
        }
    }

    fn phases(owned: Option<&str>) -> Vec<(Phase, Vec<Vec<String>>)> {
        let kinds = |level: &[Entry]| level.iter().map(|entry| entry.object.kind.clone()).collect();
        teardown(&inventory(), owned)
            .iter()
            .map(|phase| (phase.phase, phase.levels().map(kinds).collect()))
            .collect()
    }

    fn names(levels: &[&[&str]]) -> Vec<Vec<String>> {
        levels.iter().map(|level| level.iter().map(|kind| (*kind).to_owned()).collect()).collect()
    }

    #[test]
    fn an_owned_namespace_takes_what_only_lives_inside_it() {
        assert_eq!(
            phases(Some("ns")),
            [
                (Phase::DataJobs, names(&[&["Job"]])),
                (Phase::CustomResources, names(&[&["Topic"], &["Gateway", "Kafka"]])),
                (Phase::Network, names(&[&["Service", "ValidatingWebhookConfiguration"]])),
                (Phase::Rest, names(&[&["ClusterRole"]])),
                (Phase::Namespace, names(&[&["Namespace"]])),
            ]
        );
    }

    #[test]
    fn a_borrowed_namespace_stays_and_workloads_go_before_their_volumes() {
        let phases = phases(None);
        let order: Vec<Phase> = phases.iter().map(|(phase, _)| *phase).collect();
        assert!(order.is_sorted(), "{order:?}");
        assert!(!order.contains(&Phase::Namespace));
        let workloads = phases.iter().find(|(phase, _)| *phase == Phase::Workloads);
        assert_eq!(
            workloads.map(|(_, levels)| levels.clone()),
            Some(names(&[&["Deployment"], &["StatefulSet"]]))
        );
        assert!(order.contains(&Phase::Volumes));
    }

    #[test]
    fn every_phase_is_found_by_its_name() {
        for phase in Phase::ALL {
            assert_eq!(Phase::named(phase.name()), Some(phase));
        }
        assert!(Phase::ALL.is_sorted(), "their order is the order of the teardown");
    }

    #[test]
    fn a_prune_deletes_custom_resources_before_their_controllers_and_their_kind_last() {
        let step = |group: &str, kind: &str, level: usize, stage: Stage| Step {
            action: Action::Delete,
            object: object(group, kind, Some("ns")),
            component: "c".into(),
            order: Order { level, stage },
            reason: String::new(),
            changes: Vec::new(),
            takes_back: Vec::new(),
            takes: Vec::new(),
            going: false,
            ahead: false,
            uid: None,
            resource_version: None,
            owned: None,
        };
        let mut steps = vec![
            step("apiextensions.k8s.io", "CustomResourceDefinition", 2, Stage::Config),
            step("apps", "Deployment", 1, Stage::Workload),
            step("", "ConfigMap", 1, Stage::Config),
            // At the same point of the order as its operator, and below it.
            step("example.com", "Widget", 1, Stage::Workload),
            step("example.com", "Gadget", 0, Stage::Workload),
        ];
        steps.sort_by_key(prune_order);
        let groups: Vec<Vec<&str>> = prune_groups(&steps)
            .map(|group| group.iter().map(|step| step.object.kind.as_str()).collect())
            .collect();
        assert_eq!(
            groups,
            [
                vec!["Widget"],
                vec!["Gadget"],
                vec!["Deployment"],
                vec!["ConfigMap"],
                vec!["CustomResourceDefinition"]
            ]
        );
    }
}
