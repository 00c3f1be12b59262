//! What keeps an object from going after it was deleted: its finalizers, who put each there, and which program
//! would have to take it away. From live objects alone; who reads them is not known here.

mod namespace;
mod program;

use serde_json::Value;

pub use namespace::{NamespaceCause, namespace_causes};
pub use program::{Found, LeaderLease, find, leader_lease, readiness};

use crate::{FIELD_MANAGER, at, text};

/// One finalizer of a live object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its name.
    pub finalizer: String,
    /// Whose it is.
    pub holder: Holder,
}

/// Who takes a finalizer away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A part of Kubernetes itself.
    BuiltIn {
        /// What it is called.
        controller: &'static str,
        /// The program it is a part of, unless it answers already or need not run.
        program: Option<&'static str>,
        /// Until when it keeps the object.
        until: &'static str,
    },
    /// A controller that somebody installed.
    Foreign(Clues),
}

/// What is known of a controller from the objects it works on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clues {
    /// Field managers that put the finalizer there or wrote the status: client-go names them after the program.
    pub managers: Vec<String>,
    /// Domains: of the finalizer (`acme.io` in `acme.io/cleanup`) and of the object's API group.
    pub domains: Vec<String>,
}

const MANAGER: Option<&str> = Some("kube-controller-manager");

/// Finalizers of Kubernetes' own controllers: whose each is, in which program, and until when it holds an object.
const BUILT_IN: &[(&str, &str, Option<&str>, &str)] = &[
    ("foregroundDeletion", "the garbage collector", MANAGER, "what it owns is gone"),
    ("orphan", "the garbage collector", MANAGER, "what it owns is set free"),
    ("kubernetes", "the namespace controller", MANAGER, "everything in it is gone"),
    ("kubernetes.io/pvc-protection", "the volume controller", MANAGER, "no pod uses the claim"),
    ("kubernetes.io/pv-protection", "the volume controller", MANAGER, "no claim is bound to the volume"),
    ("batch.kubernetes.io/job-tracking", "the Job controller", MANAGER, "the pod is counted"),
    (
        "service.kubernetes.io/load-balancer-cleanup",
        "the cloud's service controller",
        Some("cloud-controller-manager"),
        "the load balancer is gone",
    ),
    (
        "customresourcecleanup.apiextensions.k8s.io",
        "the API server",
        None,
        "every resource of the kind is gone",
    ),
    ("mimeo.dev/teardown", "mimeo", None, "`mimeo down` or `mimeo gc` has taken the environment down"),
];

/// Every finalizer of a live object, with what is known of who takes it away.
#[must_use]
pub fn holds(live: &Value) -> Vec<Hold> {
    // A namespace has its own beside those that every object may have.
    let own =
        if live.get("kind").and_then(Value::as_str) == Some("Namespace") { "/spec/finalizers" } else { "" };
    [("/metadata/finalizers"), own]
        .into_iter()
        .filter(|path| !path.is_empty())
        .filter_map(|path| live.pointer(path)?.as_array())
        .flatten()
        .filter_map(Value::as_str)
        .map(|finalizer| hold(live, finalizer))
        .collect()
}

/// Until when one of Kubernetes' own finalizers holds an object.
#[must_use]
pub fn until(finalizer: &str) -> Option<&'static str> {
    BUILT_IN.iter().find(|(name, ..)| *name == finalizer).map(|(.., until)| *until)
}

fn hold(live: &Value, finalizer: &str) -> Hold {
    let known = BUILT_IN.iter().find(|(name, ..)| *name == finalizer);
    let holder = match known {
        Some(&(_, controller, program, until)) => Holder::BuiltIn { controller, program, until },
        None => Holder::Foreign(clues(live, finalizer)),
    };
    Hold { finalizer: finalizer.to_owned(), holder }
}

/// What a finalizer and the object that carries it tell of a controller.
#[must_use]
pub fn clues(live: &Value, finalizer: &str) -> Clues {
    let mut clues = Clues::default();
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let entries: Vec<&Value> = entries.into_iter().flatten().collect();
    let sets = |entry: &Value| {
        let value = format!("v:{}", Value::String(finalizer.to_owned()));
        at(entry, &["fieldsV1", "f:metadata", "f:finalizers"]).is_some_and(|set| set.get(value).is_some())
    };
    let writes_status = |entry: &Value| {
        text(entry, &["subresource"]) == Some("status") || at(entry, &["fieldsV1", "f:status"]).is_some()
    };
    let setters = entries.iter().filter(|entry| sets(entry));
    for entry in setters.chain(entries.iter().filter(|entry| writes_status(entry))) {
        let Some(manager) = text(entry, &["manager"]) else { continue };
        if manager != FIELD_MANAGER && !clues.managers.iter().any(|known| known == manager) {
            clues.managers.push(manager.to_owned());
        }
    }
    let group =
        text(live, &["apiVersion"]).and_then(|version| version.split_once('/')).map(|(group, _)| group);
    let domain = finalizer.split_once('/').map_or(finalizer, |(domain, _)| domain);
    for domain in [Some(domain), group].into_iter().flatten() {
        let is_kubernetes = domain.ends_with("k8s.io") || domain.ends_with("kubernetes.io");
        if domain.contains('.') && !is_kubernetes && !clues.domains.iter().any(|known| known == domain) {
            clues.domains.push(domain.to_owned());
        }
    }
    clues
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_manager_that_set_the_finalizer_comes_before_the_one_that_writes_the_status() {
        let live = json!({
            "apiVersion": "widgets.acme.io/v1", "kind": "Widget",
            "metadata": {
                "finalizers": ["cleanup.acme.io/outside"],
                "managedFields": [
                    {"manager": "mimeo", "operation": "Apply", "fieldsV1": {"f:spec": {}}},
                    {"manager": "reporter", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
                    {"manager": "widget-operator", "operation": "Update",
                     "fieldsV1": {"f:metadata": {"f:finalizers": {".": {}, "v:\"cleanup.acme.io/outside\"": {}}}}}
                ]
            }
        });
        let holds = holds(&live);
        assert_eq!(holds.len(), 1);
        let Holder::Foreign(clues) = &holds[0].holder else { panic!("{holds:?}") };
        assert_eq!(clues.managers, ["widget-operator", "reporter"]);
        assert_eq!(clues.domains, ["cleanup.acme.io", "widgets.acme.io"]);
    }

    #[test]
    fn kubernetes_own_finalizers_are_known() {
        let live = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"finalizers": ["foregroundDeletion"]}, "spec": {"finalizers": ["kubernetes"]}
        });
        let holds = holds(&live);
        assert_eq!(holds.len(), 2);
        assert!(holds.iter().all(|hold| matches!(hold.holder, Holder::BuiltIn { .. })), "{holds:?}");
    }

    #[test]
    fn a_finalizer_that_mimeo_applied_says_nothing_of_a_controller() {
        let live = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "finalizers": ["acme.io/hold"],
                "managedFields": [{"manager": "mimeo", "operation": "Apply",
                    "fieldsV1": {"f:metadata": {"f:finalizers": {"v:\"acme.io/hold\"": {}}}}}]
            }
        });
        let Holder::Foreign(clues) = &holds(&live)[0].holder else { panic!("it is nobody's of Kubernetes") };
        assert!(clues.managers.is_empty());
        assert_eq!(clues.domains, ["acme.io"]);
    }
}
