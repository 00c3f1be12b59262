//! Services.
//!
//! kstatus calls every Service current, also one without endpoints and a load balancer without address.

use serde_json::{Map, Value};

use super::read::{at, group_kind, int, list, name, replicas, text};
use super::world::{named, spelled};
use super::{Health, NO_REPLICAS, Question, Surroundings, related};

/// A Service is healthy when somebody answers behind it, unless nobody is asked to.
pub(super) fn assess(object: &Value, around: &Surroundings<'_>) -> Health {
    let kind = text(object, &["spec", "type"]).unwrap_or("ClusterIP");
    if kind == "ExternalName" {
        return Health::healthy();
    }
    if kind == "LoadBalancer" && !has_address(object) {
        return Health::progressing("waits for an address of its load balancer");
    }
    let Some(selector) =
        at(object, &["spec", "selector"]).and_then(Value::as_object).filter(|s| !s.is_empty())
    else {
        return Health::noted("no selector: its endpoints are kept by others");
    };
    // Those with one of the labels; the others are compared.
    let labelled = selector
        .iter()
        .take(1)
        .flat_map(|(key, value)| around.ask(Question::Labelled(key.clone(), spelled(value))));
    let selected: Vec<&Value> = labelled.filter(|workload| selects(selector, object, workload)).collect();
    if selected.is_empty() {
        return Health::noted("it selects no workload of the environment");
    }
    let Some(busy) = selected.iter().find(|workload| asks_for_pods(workload)) else {
        return Health::noted(NO_REPLICAS);
    };
    match endpoints(object, around) {
        Endpoints::Ready => Health::healthy(),
        Endpoints::WithoutPorts => {
            Health::progressing(format!("no pod has the port that it names: {}", port_names(object)))
        }
        Endpoints::None => Health::progressing(format!("no ready endpoint: waits for {}", called(busy))),
    }
}

/// Whether a load balancer has been given an address, for a Service or an Ingress.
pub(super) fn has_address(object: &Value) -> bool {
    let given = list(object, &["status", "loadBalancer", "ingress"]).iter();
    given.into_iter().any(|a| text(a, &["ip"]).is_some() || text(a, &["hostname"]).is_some())
}

/// Labels of the pods that a workload makes; of a bare pod its own.
pub(super) fn pod_labels(workload: &Value) -> Option<&Map<String, Value>> {
    let template = at(workload, &["spec", "template", "metadata", "labels"]);
    template.or_else(|| at(workload, &["metadata", "labels"]).filter(|_| is_pod(workload)))?.as_object()
}

/// Whether this is a pod that stands alone: it has no template.
fn is_pod(workload: &Value) -> bool {
    at(workload, &["spec", "template"]).is_none()
}

/// Whether the Service's selector matches the workload's pods.
fn selects(selector: &Map<String, Value>, service: &Value, workload: &Value) -> bool {
    let namespace = |object| text(object, &["metadata", "namespace"]);
    let same_namespace = match (namespace(service), namespace(workload)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    same_namespace
        && pod_labels(workload)
            .is_some_and(|labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// Whether a workload asks for pods that could answer.
fn asks_for_pods(workload: &Value) -> bool {
    if related::going(workload) {
        return false;
    }
    if is_pod(workload) {
        return !related::ended(workload);
    }
    // A DaemonSet asks for as many as there are nodes that match; until it has counted, for some.
    match int(workload, &["status", "desiredNumberScheduled"]) {
        Some(wanted) if group_kind(workload).1 == "DaemonSet" => wanted > 0,
        _ => replicas(workload) > 0,
    }
}

/// What the EndpointSlices of a Service hold.
enum Endpoints {
    /// At least one ready endpoint.
    Ready,
    /// Ready endpoints, but none of them has a port that the Service names.
    WithoutPorts,
    /// No ready endpoint.
    None,
}

/// Looks for a ready endpoint.
fn endpoints(service: &Value, around: &Surroundings<'_>) -> Endpoints {
    let slices = named(service).into_iter().flat_map(|name| around.ask(Question::SlicesOf(name)));
    let mut serving = slices.filter(|slice| list(slice, &["endpoints"]).iter().any(is_ready)).peekable();
    if serving.peek().is_none() {
        return Endpoints::None;
    }
    let needs_port = !list(service, &["spec", "ports"]).is_empty();
    let with_port = serving.any(|slice| !needs_port || !list(slice, &["ports"]).is_empty());
    if with_port { Endpoints::Ready } else { Endpoints::WithoutPorts }
}

/// Whether an endpoint takes requests. The API says that an absent condition is to be read as true.
fn is_ready(endpoint: &Value) -> bool {
    let ready = at(endpoint, &["conditions", "ready"]).filter(|ready| !ready.is_null());
    !list(endpoint, &["addresses"]).is_empty() && ready.is_none_or(|ready| ready.as_bool() == Some(true))
}

/// The target ports that are given by name.
fn port_names(service: &Value) -> String {
    let names = list(service, &["spec", "ports"]).iter().filter_map(|port| text(port, &["targetPort"]));
    names.collect::<Vec<_>>().join(", ")
}

/// `Deployment/web`.
fn called(workload: &Value) -> String {
    let kind = match group_kind(workload).1 {
        "" => "workload",
        kind => kind,
    };
    format!("{kind}/{}", name(workload))
}
