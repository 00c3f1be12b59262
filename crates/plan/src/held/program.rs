//! Which of the programs of a cluster a controller is, and whether it runs.

use jiff::Timestamp;
use serde_json::Value;

use super::Clues;
use crate::{at, text};

/// A program that may be the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `Deployment ops/widget-operator`.
    pub name: String,
    /// Why it is taken for the controller.
    pub because: String,
    /// How many of its pods are ready, and how many it asks for.
    pub ready: (i64, i64),
    /// Whether it is being deleted itself.
    pub going: bool,
}

impl Found {
    /// Whether at least one of its pods can work.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.ready.0 > 0
    }
}

/// Names that many programs have: alone they prove nothing. kubebuilder names every container `manager`.
const COMMON: [&str; 9] =
    ["manager", "controller", "operator", "main", "app", "server", "unknown", "before-first-apply", "python"];

/// Words of domains that say nothing about whose they are.
const FILLERS: [&str; 17] = [
    "com",
    "org",
    "net",
    "dev",
    "cloud",
    "tech",
    "example",
    "apps",
    "api",
    "core",
    "operator",
    "operators",
    "controller",
    "finalizer",
    "finalizers",
    "kubernetes",
    "crd",
];

/// The programs to which the clues lead best: by a field manager's name, or else by a word of a domain.
/// `programs` are Deployments, StatefulSets, DaemonSets and Pods that nobody owns.
#[must_use]
pub fn find(clues: &Clues, programs: &[Value]) -> Vec<Found> {
    let by_manager: Vec<Found> = programs
        .iter()
        .filter_map(|program| {
            let names = names(program);
            let manager = clues
                .managers
                .iter()
                .filter(|manager| !COMMON.contains(&manager.as_str()))
                .find(|manager| names.iter().any(|name| name == *manager))?;
            Some(found(program, format!("field manager {manager} wrote the object")))
        })
        .collect();
    if !by_manager.is_empty() {
        return by_manager;
    }
    programs
        .iter()
        .filter_map(|program| {
            let names = names(program);
            let words: Vec<&str> = names.iter().flat_map(|name| name.split(['-', '.', '_'])).collect();
            let word = clues.domains.iter().flat_map(|domain| significant(domain)).find(|word| {
                words.iter().any(|part| {
                    part == word
                        || part.strip_suffix('s') == Some(*word)
                        || word.strip_suffix('s') == Some(*part)
                })
            })?;
            Some(found(program, format!("its name has {word:?}, as the finalizer or the kind has")))
        })
        .collect()
}

fn significant(domain: &str) -> impl Iterator<Item = &str> {
    domain.split(['.', '-']).filter(|word| word.len() > 2 && !FILLERS.contains(word))
}

/// Everything by which a program may be known: its own name, those of its containers, of their images and of what
/// they start, and its usual labels.
fn names(program: &Value) -> Vec<String> {
    let mut names: Vec<String> =
        text(program, &["metadata", "name"]).map(str::to_owned).into_iter().collect();
    let labels = at(program, &["metadata", "labels"]);
    for label in ["app.kubernetes.io/name", "app.kubernetes.io/instance", "app", "name", "k8s-app"] {
        names.extend(labels.and_then(|all| all.get(label)?.as_str()).map(str::to_owned));
    }
    let pod = program.pointer("/spec/template/spec").or_else(|| program.get("spec"));
    let containers = pod.and_then(|pod| pod.get("containers")?.as_array());
    for container in containers.into_iter().flatten() {
        let image = text(container, &["image"]).unwrap_or_default();
        let image = image.split('@').next().unwrap_or_default();
        let image = image.rsplit('/').next().unwrap_or_default();
        names.extend(image.split(':').next().map(str::to_owned));
        names.extend(text(container, &["name"]).map(str::to_owned));
        let started = container.pointer("/command/0").and_then(Value::as_str).unwrap_or_default();
        names.extend(started.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned));
    }
    names
}

fn found(program: &Value, because: String) -> Found {
    let kind = text(program, &["kind"]).unwrap_or("Pod");
    let (namespace, name) = (text(program, &["metadata", "namespace"]), text(program, &["metadata", "name"]));
    Found {
        name: format!("{kind} {}/{}", namespace.unwrap_or("-"), name.unwrap_or("-")),
        because,
        ready: readiness(program),
        going: crate::is_terminating(program),
    }
}

/// How many pods of a program are ready, and how many it asks for.
#[must_use]
pub fn readiness(program: &Value) -> (i64, i64) {
    let number = |path: &[&str]| at(program, path).and_then(Value::as_i64);
    match text(program, &["kind"]) {
        Some("DaemonSet") => (
            number(&["status", "numberReady"]).unwrap_or(0),
            number(&["status", "desiredNumberScheduled"]).unwrap_or(0),
        ),
        Some("Pod") => {
            let conditions = program.pointer("/status/conditions").and_then(Value::as_array);
            let ready = conditions
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            (i64::from(ready), 1)
        }
        _ => (number(&["status", "readyReplicas"]).unwrap_or(0), number(&["spec", "replicas"]).unwrap_or(1)),
    }
}

/// A Lease by which a controller says that it is the one at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderLease {
    /// `ops/widget-operator`.
    pub name: String,
    /// Who holds it.
    pub holder: String,
    /// Seconds since it was renewed.
    pub age: i64,
}

impl LeaderLease {
    /// client-go renews every 2 s and lets a lease of 15 s run out; a minute bears with slow clocks.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.age < 60
    }
}

/// The Lease of a controller: named as a field manager is, with a word of a domain, or held by a pod of the
/// program.
#[must_use]
pub fn leader_lease(
    clues: &Clues,
    program: Option<&str>,
    leases: &[Value],
    now: Timestamp,
) -> Option<LeaderLease> {
    let all = leases.iter().filter_map(|lease| {
        let name = text(lease, &["metadata", "name"])?;
        let holder = text(lease, &["spec", "holderIdentity"]).filter(|holder| !holder.is_empty())?;
        let short = program.and_then(|program| program.rsplit('/').next());
        let held = short.is_some_and(|short| holder.starts_with(&format!("{short}-")));
        let managed =
            clues.managers.iter().any(|manager| !COMMON.contains(&manager.as_str()) && manager == name);
        let words = || name.split(['-', '.', '_']);
        let worded = clues.domains.iter().any(|domain| {
            name.contains(domain.as_str()) || significant(domain).any(|word| words().any(|part| part == word))
        });
        (held || managed || worded).then_some(())?;
        let renewed: Timestamp = text(lease, &["spec", "renewTime"])?.parse().ok()?;
        Some(LeaderLease {
            name: format!("{}/{name}", text(lease, &["metadata", "namespace"]).unwrap_or("-")),
            holder: holder.to_owned(),
            age: now.as_second() - renewed.as_second(),
        })
    });
    all.min_by_key(|lease| lease.age)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(name: &str, container: &str, image: &str, replicas: i64, ready: i64) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"namespace": "ops", "name": name},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": container, "image": image}]}}},
            "status": {"readyReplicas": ready}
        })
    }

    fn clues(managers: &[&str], domains: &[&str]) -> Clues {
        let own = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        Clues { managers: own(managers), domains: own(domains) }
    }

    fn names_of(found: &[Found]) -> Vec<&str> {
        found.iter().map(|found| found.name.as_str()).collect()
    }

    #[test]
    fn a_field_manager_names_the_program() {
        let programs = [
            deployment("widget-operator", "manager", "acme/widgets:1", 0, 0),
            deployment("other", "manager", "acme/other:1", 1, 1),
        ];
        let found = find(&clues(&["widget-operator"], &["acme.io"]), &programs);
        assert_eq!(names_of(&found), ["Deployment ops/widget-operator"]);
        assert_eq!(found[0].ready, (0, 0));
        assert!(!found[0].runs());
    }

    #[test]
    fn a_name_that_everybody_has_is_no_clue() {
        let programs = [deployment("other", "manager", "acme/other:1", 1, 1)];
        assert_eq!(find(&clues(&["manager"], &["widgets.acme.io"]), &programs), []);
    }

    #[test]
    fn a_word_of_the_domain_leads_there_where_no_manager_does() {
        let programs = [
            deployment(
                "cnpg-controller-manager",
                "manager",
                "ghcr.io/cloudnative-pg/cloudnative-pg@sha256:1",
                1,
                1,
            ),
            deployment("web", "main", "nginx", 1, 1),
        ];
        let found = find(&clues(&["manager"], &["postgresql.cnpg.io"]), &programs);
        assert_eq!(names_of(&found), ["Deployment ops/cnpg-controller-manager"]);
        assert!(found[0].runs());
    }

    #[test]
    fn the_top_of_a_domain_is_nobodys() {
        let programs = [deployment("example-io", "com", "k8s", 1, 1)];
        assert_eq!(find(&clues(&[], &["example.com", "finalizers.io"]), &programs), []);
    }

    #[test]
    fn a_lease_tells_whether_somebody_leads() {
        let now: Timestamp = "2030-01-01T00:01:00Z".parse().unwrap();
        let lease = |name: &str, holder: &str, renewed: &str| {
            json!({
                "metadata": {"namespace": "ops", "name": name}, "spec": {"holderIdentity": holder, "renewTime": renewed}
            })
        };
        let leases = [
            lease("a1b2c3.acme.io", "widget-operator-7d9-x_1", "2030-01-01T00:00:55.000000Z"),
            lease("old.acme.io", "somebody", "2029-01-01T00:00:55.000000Z"),
            lease("other", "somebody", "2030-01-01T00:00:59.000000Z"),
        ];
        let found = leader_lease(&clues(&[], &["acme.io"]), None, &leases, now).unwrap();
        assert_eq!((found.name.as_str(), found.age, found.is_fresh()), ("ops/a1b2c3.acme.io", 5, true));
        let by_holder = leader_lease(&clues(&[], &[]), Some("Deployment ops/widget-operator"), &leases, now);
        assert_eq!(by_holder.map(|lease| lease.holder), Some("widget-operator-7d9-x_1".to_owned()));
        assert_eq!(leader_lease(&clues(&["x"], &["none.org"]), None, &leases, now), None);
        let stale = leader_lease(&clues(&[], &["acme.io"]), None, &leases[1..2], now).unwrap();
        assert!(!stale.is_fresh());
    }

    #[test]
    fn pods_and_daemon_sets_are_counted_in_their_own_way() {
        let daemons = json!({"kind": "DaemonSet", "status": {"numberReady": 2, "desiredNumberScheduled": 3}});
        assert_eq!(readiness(&daemons), (2, 3));
        let pod = json!({"kind": "Pod", "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert_eq!(readiness(&pod), (1, 1));
        assert_eq!(readiness(&json!({"kind": "Deployment"})), (0, 1));
    }
}
