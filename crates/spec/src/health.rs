//! What a template says about the health of the custom resources it makes.

use expression::Expression;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::schema;
use crate::{Diagnostic, Located};

/// Groups that belong to Kubernetes itself: mimeo has rules of its own for their kinds.
const BUILT_IN: [&str; 19] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// A rule for one kind. The names of the expressions are those of Flux's `healthCheckExprs`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HealthRule {
    /// `Kind.group`, such as `KafkaTopic.kafka.example.com`.
    #[schemars(extend("pattern" = schema::KIND_AND_GROUP))]
    pub kind: Located<String>,
    /// CEL: holds when an object is what was asked for.
    pub current: Located<String>,
    /// CEL: holds while it is on its way.
    #[serde(default)]
    pub in_progress: Option<Located<String>>,
    /// CEL: holds when it will not become healthy by waiting.
    #[serde(default)]
    pub failed: Option<Located<String>>,
    /// CEL: a text that says why it is not healthy.
    #[serde(default)]
    pub message: Option<Located<String>>,
}

impl HealthRule {
    /// Kind and group.
    #[must_use]
    pub fn group_kind(&self) -> (&str, &str) {
        self.kind.value.split_once('.').map_or(("", self.kind.as_str()), |(kind, group)| (group, kind))
    }
}

/// Everything that is wrong with the rules of a template.
pub(crate) fn check(rules: &[HealthRule]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("spec.health[{index}]");
        if let Some((cause, help)) = wrong_kind(rule, &rules[..index]) {
            let finding = Diagnostic::error("TPL021", cause).help(help).on(format!("{path}.kind"));
            found.push(rule.kind.spot.mark(finding));
        }
        let fields = [
            ("current", Some(&rule.current)),
            ("inProgress", rule.in_progress.as_ref()),
            ("failed", rule.failed.as_ref()),
            ("message", rule.message.as_ref()),
        ];
        for (field, source) in fields.into_iter().filter_map(|(field, source)| Some((field, source?))) {
            let Err(mistake) = Expression::compile(source.as_str()) else { continue };
            let cause = format!("the expression cannot be used: {}", mistake.cause);
            let help = mistake.help.unwrap_or_else(|| {
                "write CEL over `object`, `metadata`, `spec` and `status`; it is not rendered".to_owned()
            });
            let finding = Diagnostic::error("TPL022", cause).help(help).on(format!("{path}.{field}"));
            found.push(source.spot.mark(finding));
        }
    }
    found
}

/// What is wrong with the kind of a rule, and what to do.
fn wrong_kind(rule: &HealthRule, earlier: &[HealthRule]) -> Option<(String, &'static str)> {
    let (group, kind) = rule.group_kind();
    let written = rule.kind.as_str();
    let is_kind =
        kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.chars().all(|c| c.is_ascii_alphanumeric());
    if BUILT_IN.contains(&group) || (group.is_empty() && is_kind) {
        let help = "write `Kind.group` of a custom resource, such as KafkaTopic.kafka.example.com";
        return Some((
            format!("`{written}` is no custom resource: mimeo has rules of its own for its kind"),
            help,
        ));
    }
    if !is_kind || !group.split('.').all(crate::name::is_label) || !group.contains('.') {
        let help = "write the kind and its group, without the version, such as KafkaTopic.kafka.example.com";
        return Some((format!("`{written}` is not `Kind.group`"), help));
    }
    let twice = earlier.iter().any(|other| other.group_kind() == (group, kind));
    twice.then(|| (format!("there is a rule for `{written}` already"), "keep one of them"))
}
