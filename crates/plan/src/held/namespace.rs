//! Why a namespace does not go, read from its conditions
//! (`k8s.io/kubernetes/pkg/controller/namespace/deletion/status_condition_utils.go`).

use serde_json::Value;

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceCause {
    /// A part of the API does not answer: nobody can say whether it has something in the namespace.
    Unanswered {
        /// Group and version, such as `metrics.k8s.io/v1beta1`; empty where the message has none.
        group_versions: Vec<String>,
        /// What the namespace controller says.
        message: String,
    },
    /// Objects are left.
    Remaining {
        /// Plural, group and number.
        resources: Vec<(String, String, u64)>,
        /// What the namespace controller says.
        message: String,
    },
    /// Objects are held by finalizers.
    Held {
        /// Finalizers and how many objects have each.
        finalizers: Vec<(String, u64)>,
        /// What the namespace controller says.
        message: String,
    },
    /// Anything else, in the namespace controller's own words.
    Other(String),
}

/// What the conditions of a namespace on its way out say.
#[must_use]
pub fn namespace_causes(live: &Value) -> Vec<NamespaceCause> {
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .filter(|condition| condition["status"] == "True")
        .filter_map(|condition| {
            let message = condition["message"].as_str().unwrap_or_default().to_owned();
            Some(match condition["type"].as_str()? {
                "NamespaceDeletionDiscoveryFailure" => {
                    NamespaceCause::Unanswered { group_versions: group_versions(&message), message }
                }
                "NamespaceContentRemaining" => {
                    let resources = counted(&message, " has ", " resource instances")
                        .into_iter()
                        .map(|(resource, count)| {
                            let (plural, group) = resource.split_once('.').unwrap_or((&resource, ""));
                            (plural.to_owned(), group.to_owned(), count)
                        })
                        .collect();
                    NamespaceCause::Remaining { resources, message }
                }
                "NamespaceFinalizersRemaining" => NamespaceCause::Held {
                    finalizers: counted(&message, " in ", " resource instances"),
                    message,
                },
                "NamespaceDeletionGroupVersionParsingFailure" | "NamespaceDeletionContentFailure" => {
                    NamespaceCause::Other(message)
                }
                _ => return None,
            })
        })
        .collect()
}

/// `…: stale.example.com/v1: stale GroupVersion discovery, metrics.k8s.io/v1beta1: …`: what stands before `: `
/// and looks like a group and a version. A group that aggregated discovery calls stale stands as
/// `stale GroupVersion discovery: metrics.k8s.io/v1beta1` (client-go `discovery/helper.go`).
fn group_versions(message: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in message.split([' ', ',', ';', '(', ')', '"']) {
        let word = word.trim_matches(':');
        let Some((group, version)) = word.split_once('/') else { continue };
        let is_version = version.starts_with('v')
            && version[1..].starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let is_group = group.contains('.')
            && group.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
        if is_version && is_group && !found.iter().any(|known| known == word) {
            found.push(word.to_owned());
        }
    }
    found
}

/// `Some …: <name><between><count><after>, <name>…` to names and counts.
fn counted(message: &str, between: &str, after: &str) -> Vec<(String, u64)> {
    let list = message.split_once(": ").map_or(message, |(_, list)| list);
    list.split(", ")
        .filter_map(|part| {
            let (name, rest) = part.split_once(between)?;
            let count =
                rest.strip_suffix(after).or_else(|| rest.strip_suffix(after.trim_end_matches('s')))?;
            Some((name.to_owned(), count.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn causes(kind: &str, status: &str, message: &str) -> Vec<NamespaceCause> {
        namespace_causes(
            &json!({"status": {"conditions": [{"type": kind, "status": status, "message": message}]}}),
        )
    }

    #[test]
    fn a_part_of_the_api_that_does_not_answer_is_named() {
        let message = "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: \
                       stale.example.com/v1: stale GroupVersion discovery: stale.example.com/v1";
        let NamespaceCause::Unanswered { group_versions, .. } =
            &causes("NamespaceDeletionDiscoveryFailure", "True", message)[0]
        else {
            panic!()
        };
        assert_eq!(group_versions, &["stale.example.com/v1"]);
    }

    #[test]
    fn what_remains_is_counted() {
        let message = "Some resources are remaining: configmaps. has 2 resource instances, widgets.example.com has 1 resource instances";
        let NamespaceCause::Remaining { resources, .. } =
            &causes("NamespaceContentRemaining", "True", message)[0]
        else {
            panic!()
        };
        assert_eq!(
            resources,
            &[
                ("configmaps".to_owned(), String::new(), 2),
                ("widgets".to_owned(), "example.com".to_owned(), 1)
            ]
        );
        let message = "Some content in the namespace has finalizers remaining: example.com/stuck in 2 resource instances";
        let NamespaceCause::Held { finalizers, .. } =
            &causes("NamespaceFinalizersRemaining", "True", message)[0]
        else {
            panic!()
        };
        assert_eq!(finalizers, &[("example.com/stuck".to_owned(), 2)]);
    }

    #[test]
    fn what_is_over_is_no_cause() {
        assert_eq!(causes("NamespaceContentRemaining", "False", "All content successfully removed"), []);
        assert_eq!(causes("Whatever", "True", "x"), []);
        let other = causes("NamespaceDeletionContentFailure", "True", "Failed to delete all resource types");
        assert_eq!(other, [NamespaceCause::Other("Failed to delete all resource types".to_owned())]);
    }
}
