//! Kinds that the policy of an environment does not allow.

use spec::deny;

use super::Refusal;
use crate::{Desired, Origin, text};

/// Refuses every object of a denied kind: `KIND`, `KIND.GROUP`, or either with `/TYPE` for its `spec.type`, such as
/// `Service/LoadBalancer`. What mimeo itself makes is no template's choice, and allowed.
pub(crate) fn check(desired: &[Desired], rules: &[String]) -> Vec<Refusal> {
    let templated = desired.iter().filter(|desired| matches!(desired.origin, Origin::Template { .. }));
    templated
        .filter_map(|desired| {
            let of_type = text(&desired.manifest, &["spec", "type"]);
            let rule = deny::denied(rules, &desired.object.group, &desired.object.kind, of_type)?;
            Some(Refusal::Denied {
                object: desired.object.clone(),
                component: desired.component.clone(),
                rule: rule.to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::guard::tests::desired;

    #[test]
    fn what_mimeo_makes_itself_is_allowed() {
        let balancer = desired(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"type": "LoadBalancer"},
        }));
        let own = Desired { origin: Origin::Engine, ..balancer.clone() };
        let all = [own, balancer];
        for rule in ["Service", "Service/LoadBalancer"] {
            assert_eq!(check(&all, &[rule.to_owned()]).len(), 1, "{rule}");
        }
        assert_eq!(check(&all, &["Service/NodePort".to_owned()]).len(), 0);
    }
}
