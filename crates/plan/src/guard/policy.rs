//! Kinds that the policy of an environment does not allow.

use super::Refusal;
use crate::{Desired, Origin, text};

/// Refuses every object of a denied kind: `KIND`, `KIND.GROUP`, or either with `/TYPE` for its `spec.type`, such as
/// `Service/LoadBalancer`. What mimeo itself makes is no template's choice, and allowed.
pub(crate) fn check(desired: &[Desired], deny: &[String]) -> Vec<Refusal> {
    let templated = desired.iter().filter(|desired| matches!(desired.origin, Origin::Template { .. }));
    templated
        .filter_map(|desired| {
            let rule = deny.iter().find(|rule| denies(rule, desired))?;
            Some(Refusal::Denied {
                object: desired.object.clone(),
                component: desired.component.clone(),
                rule: rule.clone(),
            })
        })
        .collect()
}

fn denies(rule: &str, desired: &Desired) -> bool {
    let (kind, of_type) = rule.split_once('/').map_or((rule, None), |(kind, of_type)| (kind, Some(of_type)));
    let (kind, group) = kind.split_once('.').map_or((kind, None), |(kind, group)| (kind, Some(group)));
    desired.object.kind == kind
        && group.is_none_or(|group| desired.object.group == group)
        && of_type.is_none_or(|of_type| text(&desired.manifest, &["spec", "type"]) == Some(of_type))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::guard::tests::desired;

    #[test]
    fn a_rule_denies_its_kind_group_and_type_only() {
        let balancer = desired(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"type": "LoadBalancer"},
        }));
        let ingress = desired(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"},
        }));
        for (rule, denied) in [
            ("Service", &balancer),
            ("Service/LoadBalancer", &balancer),
            ("Ingress", &ingress),
            ("Ingress.networking.k8s.io", &ingress),
        ] {
            assert!(denies(rule, denied), "{rule}");
        }
        for (rule, allowed) in
            [("Service/NodePort", &balancer), ("Ingress.example.com", &ingress), ("Servic", &balancer)]
        {
            assert!(!denies(rule, allowed), "{rule}");
        }
        let own = Desired { origin: Origin::Engine, ..balancer.clone() };
        let all = [own, balancer];
        assert_eq!(check(&all, &["Service".to_owned()]).len(), 1);
    }
}
