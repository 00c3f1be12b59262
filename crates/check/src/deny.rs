//! Rules of `policy.deny` that nothing known can be denied by: a rule with a slip in it protects from nothing.

use std::collections::BTreeSet;

use render::{Rendered, Written};
use spec::deny::Rule;
use spec::{Diagnostic, near};

use crate::shape::Shape;
use crate::table::{self, Kind, Types};
use crate::version::Version;

/// Warnings about the rules that name no kind of these versions, nor one that is rendered or defined. A custom
/// kind of a group of its own may be the cluster's, and is nobody's mistake.
#[must_use]
pub fn rules(written: &[Written], rendered: Option<&Rendered>, versions: &[Version]) -> Vec<Diagnostic> {
    let kinds: Vec<Kind> =
        table::kinds().filter(|kind| versions.iter().any(|version| kind.is_in(*version))).collect();
    let custom = rendered.map(custom).unwrap_or_default();
    let warn = |written: &Written| {
        let (cause, help) = wrong(&Rule::parse(&written.text)?, &kinds, &custom, versions)?;
        let mut finding = Diagnostic::error("SPC030", cause).warning().help(help).on("spec.policy.deny");
        finding.place = written.place.clone();
        finding.snippet = written.snippet.clone();
        Some(finding)
    };
    written.iter().filter_map(warn).collect()
}

/// Group and kind of what is rendered, and of what it defines.
fn custom(rendered: &Rendered) -> BTreeSet<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let pairs = rendered.objects.iter().flat_map(|object| {
        let (manifest, spec) = (&object.manifest, &object.manifest["spec"]);
        let own = (group(&text(&manifest["apiVersion"])).to_owned(), text(&manifest["kind"]));
        [own, (text(&spec["group"]), text(&spec["names"]["kind"]))]
    });
    pairs.filter(|(_, kind)| !kind.is_empty()).collect()
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// What is wrong with a rule, and what to do.
fn wrong(
    rule: &Rule<'_>,
    kinds: &[Kind],
    custom: &BTreeSet<(String, String)>,
    versions: &[Version],
) -> Option<(String, String)> {
    let Rule { kind, group: wanted, of_type } = *rule;
    let known = |known: &&Kind| known.kind == kind && wanted.is_none_or(|it| it == group(known.api_version));
    if let Some(known) = kinds.iter().find(known) {
        return of_type.and_then(|of_type| wrong_type(known, of_type, versions));
    }
    let is_custom =
        |(group, name): &(String, String)| name == kind && wanted.is_none_or(|wanted| wanted == group);
    if custom.iter().any(is_custom) {
        return None;
    }
    let names = |of: &dyn Fn(&Kind) -> bool| -> Vec<&str> {
        kinds.iter().filter(|kind| of(kind)).map(|kind| kind.kind).collect()
    };
    let Some(wanted) = wanted else {
        let help = match near::near(kind, names(&|_| true)) {
            near if near.is_empty() => format!("write a custom kind with its group: {kind}.example.com"),
            near => near::hint(kind, "kind", near),
        };
        return Some((format!("`{kind}` is no kind of Kubernetes, so the rule denies nothing"), help));
    };
    let groups: BTreeSet<&str> = kinds.iter().map(|kind| group(kind.api_version)).collect();
    if groups.contains(wanted) {
        let help = near::hint(kind, "kind", names(&|known| group(known.api_version) == wanted));
        return Some((format!("{wanted} has no kind `{kind}`, so the rule denies nothing"), help));
    }
    let slip = near::slip(wanted, groups.iter().copied());
    if slip.is_none() && wanted.contains('.') {
        return None;
    }
    let help = near::hint(wanted, "group", groups.into_iter().filter(|group| !group.is_empty()));
    Some((format!("`{wanted}` is no API group, so the rule denies nothing"), help))
}

/// Why nothing of a kind has this `spec.type`.
fn wrong_type(kind: &Kind, of_type: &str, versions: &[Version]) -> Option<(String, String)> {
    let words = versions.iter().filter(|version| kind.is_in(**version)).map(|version| {
        let mut types = Types::new(*version);
        let object = types.get(kind.shape);
        let Some(Shape::Type(spec)) = object.fields.get("spec").map(|field| field.shape.clone()) else {
            return None;
        };
        Some(match &types.get(&spec).fields.get("type")?.shape {
            Shape::Enum(words) => words.clone(),
            _ => vec![of_type.to_owned()],
        })
    });
    let words: BTreeSet<String> = words.flatten().flatten().collect();
    if words.contains(of_type) {
        return None;
    }
    let kind = kind.kind;
    let cause = format!("no {kind} has `spec.type: {of_type}`, so the rule denies nothing");
    let help = match words.is_empty() {
        true => format!("write `{kind}`: it has no `spec.type`"),
        false => near::hint(of_type, "type", words.iter().map(String::as_str)),
    };
    Some((cause, help))
}
