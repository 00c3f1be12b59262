//! Rules of `policy.deny`: a kind that no template may use.

use crate::name::is_subdomain;

/// `KIND`, `KIND.GROUP`, or either with `/TYPE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'a> {
    /// The kind.
    pub kind: &'a str,
    /// Its API group; without one it is any.
    pub group: Option<&'a str>,
    /// What `spec.type` is; without one it is anything.
    pub of_type: Option<&'a str>,
}

impl<'a> Rule<'a> {
    /// Reads a rule; kinds and types begin with a capital.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (kind, of_type) =
            text.split_once('/').map_or((text, None), |(kind, of_type)| (kind, Some(of_type)));
        let (kind, group) = kind.split_once('.').map_or((kind, None), |(kind, group)| (kind, Some(group)));
        let word = |text: &str| {
            text.starts_with(|first: char| first.is_ascii_uppercase())
                && text.chars().all(|c| c.is_ascii_alphanumeric())
        };
        let valid = word(kind) && group.is_none_or(is_subdomain) && of_type.is_none_or(word);
        valid.then_some(Self { kind, group, of_type })
    }

    /// Whether it denies an object of this group, kind and `spec.type`.
    #[must_use]
    pub fn denies(&self, group: &str, kind: &str, of_type: Option<&str>) -> bool {
        self.kind == kind
            && self.group.is_none_or(|wanted| wanted == group)
            && self.of_type.is_none_or(|wanted| of_type == Some(wanted))
    }
}

/// The first of some rules that denies an object.
#[must_use]
pub fn denied<'a>(rules: &'a [String], group: &str, kind: &str, of_type: Option<&str>) -> Option<&'a str> {
    let denies = |rule: &&String| Rule::parse(rule).is_some_and(|rule| rule.denies(group, kind, of_type));
    rules.iter().find(denies).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_denies_its_kind_group_and_type_only() {
        let balancer = ("", "Service", Some("LoadBalancer"));
        let ingress = ("networking.k8s.io", "Ingress", None);
        for (rule, (group, kind, of_type), denies) in [
            ("Service", balancer, true),
            ("Service/LoadBalancer", balancer, true),
            ("Ingress", ingress, true),
            ("Ingress.networking.k8s.io", ingress, true),
            ("Service/NodePort", balancer, false),
            ("Ingress.example.com", ingress, false),
            ("Servic", balancer, false),
        ] {
            assert_eq!(Rule::parse(rule).unwrap().denies(group, kind, of_type), denies, "{rule}");
        }
    }

    #[test]
    fn forms() {
        for text in ["ingress", "Ingress.", "Ingress.Example", "Service/", "Service/load", "Ser-vice", ""] {
            assert_eq!(Rule::parse(text), None, "{text}");
        }
    }
}
