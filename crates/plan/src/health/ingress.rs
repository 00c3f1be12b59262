//! Ingresses. kstatus has no rule for them, so each is current at once.

use serde_json::Value;

use super::read::text;
use super::{Health, service};

/// An Ingress that names a class asks that class's controller for an address. One without a class
/// is served by nobody: the API server has already filled in the default class where there is one.
pub(super) fn assess(object: &Value) -> Health {
    let named = text(object, &["spec", "ingressClassName"]);
    let class = named.or_else(|| text(object, &["metadata", "annotations", "kubernetes.io/ingress.class"]));
    match class {
        _ if service::has_address(object) => Health::healthy(),
        Some(class) => Health::progressing(format!("waits for an address from ingress class {class}")),
        None => Health::noted("no ingress class: nothing serves it"),
    }
}
