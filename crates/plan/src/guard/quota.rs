//! What the workloads ask for, against the quota of the environment: told before the first write, where Kubernetes
//! would refuse pods one by one later.
//!
//! A lower bound: what runs for good is counted, Jobs and what controllers add are not. What is refused here
//! could never run.

use std::collections::BTreeMap;

use serde_json::Value;
use spec::quantity;

use super::Refusal;
use crate::{Desired, at};

/// How many contributors a refusal names.
const NAMED: usize = 3;

/// What each object asks of each resource, by object.
type Asked = BTreeMap<String, Vec<(String, f64)>>;

/// Refuses every resource of which the workloads in `namespace` ask for more than the quota has.
pub(crate) fn check(desired: &[Desired], namespace: &str, quota: &BTreeMap<String, String>) -> Vec<Refusal> {
    let mut asked = Asked::new();
    if !quota.is_empty() {
        let inside = desired.iter().filter(|desired| desired.object.namespace.as_deref() == Some(namespace));
        inside.for_each(|desired| add(desired, &mut asked));
    }
    quota
        .iter()
        .filter_map(|(resource, allowed)| {
            // `cpu` and `memory` in a quota stand for the requests.
            let name = if matches!(resource.as_str(), "cpu" | "memory") {
                format!("requests.{resource}")
            } else {
                resource.clone()
            };
            let mut parts = asked.get(&name)?.clone();
            let sum: f64 = parts.iter().map(|(_, part)| part).sum();
            (sum > quantity::number(allowed)? * (1.0 + f64::EPSILON)).then(|| {
                parts.sort_by(|a, b| b.1.total_cmp(&a.1));
                let shown = |(object, part): &(String, f64)| format!("{object} {}", show(&name, *part));
                Refusal::Quota {
                    resource: resource.clone(),
                    asked: show(&name, sum),
                    allowed: allowed.clone(),
                    largest: parts.iter().take(NAMED).map(shown).collect(),
                }
            })
        })
        .collect()
}

fn add(desired: &Desired, asked: &mut Asked) {
    let manifest = &desired.manifest;
    let mut put = |resource: &str, amount: f64| {
        if amount > 0.0 {
            asked.entry(resource.to_owned()).or_default().push((desired.object.short(), amount));
        }
    };
    if let Some((replicas, pod)) = pods(desired) {
        put("pods", replicas);
        for resource in ["cpu", "memory"] {
            for side in ["requests", "limits"] {
                put(&format!("{side}.{resource}"), replicas * of_pod(pod, side, resource));
            }
        }
        let claims = at(manifest, &["spec", "volumeClaimTemplates"]).and_then(Value::as_array);
        for claim in claims.into_iter().flatten() {
            put("persistentvolumeclaims", replicas);
            put("requests.storage", replicas * storage(claim));
        }
    } else if desired.object.is("", "PersistentVolumeClaim") {
        put("persistentvolumeclaims", 1.0);
        put("requests.storage", storage(manifest));
    }
}

/// How many pods of which spec run for good.
fn pods(desired: &Desired) -> Option<(f64, &Value)> {
    let manifest = &desired.manifest;
    if desired.object.is("", "Pod") {
        return Some((1.0, at(manifest, &["spec"])?));
    }
    let pod = at(manifest, &["spec", "template", "spec"])?;
    let replicas = at(manifest, &["spec", "replicas"]).and_then(Value::as_f64).unwrap_or(1.0);
    match desired.object.kind.as_str() {
        "Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController" => Some((replicas, pod)),
        // At least one node, or it would not be there.
        "DaemonSet" => Some((1.0, pod)),
        _ => None,
    }
}

/// The containers run together, after the init containers one by one. A request that is absent is the limit.
fn of_pod(pod: &Value, side: &str, resource: &str) -> f64 {
    let of = |container: &Value| {
        let side_of = |side: &str| at(container, &["resources", side, resource]).and_then(amount);
        side_of(side).or_else(|| side_of("limits").filter(|_| side == "requests")).unwrap_or_default()
    };
    let list = |name: &str| pod.get(name).and_then(Value::as_array).into_iter().flatten();
    let together: f64 = list("containers").map(of).sum();
    list("initContainers").map(of).fold(together, f64::max)
}

fn storage(claim: &Value) -> f64 {
    at(claim, &["spec", "resources", "requests", "storage"]).and_then(amount).unwrap_or_default()
}

fn amount(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| quantity::number(value.as_str()?))
}

fn show(resource: &str, amount: f64) -> String {
    let bytes = resource.ends_with("memory") || resource.ends_with("storage");
    match amount {
        _ if bytes && amount >= 1024f64.powi(3) => {
            format!("{:.4}", amount / 1024f64.powi(3)).trimmed() + "Gi"
        }
        _ if bytes => format!("{:.0}Mi", (amount / 1024f64.powi(2)).ceil()),
        _ if resource.ends_with("cpu") && amount < 1.0 => format!("{:.0}m", amount * 1000.0),
        _ => format!("{amount:.3}").trimmed(),
    }
}

trait Trimmed {
    /// Without zeros after the point that say nothing.
    fn trimmed(&self) -> String;
}

impl Trimmed for String {
    fn trimmed(&self) -> String {
        self.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::guard::tests::desired;

    fn set(name: &str, replicas: u32, resources: Value) -> Desired {
        desired(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name, "namespace": "ns"},
            "spec": {
                "replicas": replicas,
                "template": {"spec": {"containers": [{"name": "a", "resources": resources}]}},
                "volumeClaimTemplates": [{"spec": {"resources": {"requests": {"storage": "2Gi"}}}}],
            },
        }))
    }

    fn refused(desired: &[Desired], resource: &str, allowed: &str) -> Option<(String, Vec<String>)> {
        let quota = BTreeMap::from([(resource.to_owned(), allowed.to_owned())]);
        match check(desired, "ns", &quota).pop()? {
            Refusal::Quota { asked, largest, .. } => Some((asked, largest)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_asked_for_is_told_with_the_largest_first() {
        let all = [
            set("small", 1, json!({"requests": {"cpu": "500m"}})),
            set("large", 3, json!({"limits": {"cpu": 1, "memory": "1Gi"}})),
        ];
        let largest = vec!["StatefulSet/large 3".to_owned(), "StatefulSet/small 500m".to_owned()];
        assert_eq!(refused(&all, "cpu", "3"), Some(("3.5".to_owned(), largest)));
        for (resource, allowed, asked) in [
            ("requests.memory", "2Gi", "3Gi"),
            ("limits.cpu", "2500m", "3"),
            ("pods", "3", "4"),
            ("persistentvolumeclaims", "3", "4"),
            ("requests.storage", "7Gi", "8Gi"),
        ] {
            assert_eq!(refused(&all, resource, allowed).map(|(asked, _)| asked).as_deref(), Some(asked));
        }
        for (resource, allowed) in
            [("cpu", "3500m"), ("pods", "4"), ("requests.storage", "8Gi"), ("secrets", "0")]
        {
            assert_eq!(refused(&all, resource, allowed), None, "{resource}");
        }
    }

    #[test]
    fn init_containers_count_where_they_ask_for_more() {
        let mut one = set("one", 1, json!({"requests": {"cpu": 1}}));
        one.manifest["spec"]["template"]["spec"]["initContainers"] =
            json!([{"resources": {"requests": {"cpu": 2}}}, {"resources": {"requests": {"cpu": 2}}}]);
        assert_eq!(refused(&[one], "cpu", "1").map(|(asked, _)| asked).as_deref(), Some("2"));
    }
}
