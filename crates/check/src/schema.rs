//! Every object against the API of a version of Kubernetes.

use std::collections::BTreeSet;

use render::RenderedObject;
use spec::{Diagnostic, near};

use crate::crd::{self, Custom};
use crate::removed;
use crate::subject::{Fault, Subject, path};
use crate::table::{self, Kind, Types};
use crate::version::Version;
use crate::walk::Walk;

/// What one version of Kubernetes would not take.
pub(crate) fn check<'a>(subjects: &[Subject<'a>], version: Version) -> Vec<(&'a RenderedObject, Fault)> {
    let mut types = Types::new(version);
    let custom = crd::schemas(subjects);
    let mut found = Vec::new();
    for subject in subjects {
        let faults = one(subject, version, &mut types, &custom);
        found.extend(faults.into_iter().map(|fault| (subject.object, fault)));
    }
    found
}

fn one(subject: &Subject<'_>, version: Version, types: &mut Types, custom: &Custom) -> Vec<Fault> {
    let written = subject.manifest()["apiVersion"].as_str().unwrap_or_default();
    if let Some(schema) = custom.get(&(written.to_owned(), subject.kind.to_owned())) {
        let Some(schema) = schema else {
            let cause = format!("the CustomResourceDefinition does not serve {written}");
            return vec![say(Diagnostic::error("OBJ003", cause).help("use a version with `served: true`"))];
        };
        let whose = format!("the definition of {}", subject.kind);
        let mut walk = Walk { types, faults: Vec::new(), whose };
        walk.object(subject.manifest(), schema);
        return walk.faults;
    }
    let kinds = table::kind(written, subject.kind);
    let Some(kind) = kinds.iter().find(|kind| kind.is_in(version)) else {
        return vec![say(absent(subject, written, version, &kinds))];
    };
    let whose = format!("Kubernetes {version}");
    let shape = types.get(kind.shape);
    let mut walk = Walk { types, faults: Vec::new(), whose };
    walk.object(subject.manifest(), &shape);
    let mut faults = walk.faults;
    if written.contains("alpha") || written.contains("beta") {
        let cause = format!("{written} is not served unless an admin switches it on");
        let finding =
            Diagnostic::error("OBJ035", cause).warning().help("use a stable version, if there is one");
        faults.push(say(finding));
    }
    faults
}

fn say(finding: Diagnostic) -> Fault {
    Fault::new(path(&["apiVersion"]), finding)
}

/// Why a version of Kubernetes has no such kind.
fn absent(subject: &Subject<'_>, written: &str, version: Version, kinds: &[Kind]) -> Diagnostic {
    let kind = subject.kind;
    if let Some((minor, replacement)) = removed::removal(written, kind) {
        let help = match replacement {
            Some(replacement) => format!("use {replacement}"),
            None => "remove it: nothing takes its place".to_owned(),
        };
        let cause = format!("Kubernetes 1.{minor} removed {kind} of {written}");
        return Diagnostic::error("OBJ003", cause).help(help);
    }
    let others: Vec<&str> = table::kinds()
        .filter(|known| known.kind == kind && known.is_in(version))
        .map(|known| known.api_version)
        .collect();
    if !kinds.is_empty() {
        let there: Vec<String> =
            kinds.iter().flat_map(Kind::versions).map(|version| version.to_string()).collect();
        let help = match others[..] {
            [] => format!("Kubernetes {} has it", there.join(", ")),
            _ => format!("use {}", others.join(" or ")),
        };
        return Diagnostic::error("OBJ003", format!("Kubernetes {version} has no {kind} of {written}"))
            .help(help);
    }
    if !is_own_group(subject.group) {
        return custom_kind(subject, written, &others);
    }
    let cause = format!("Kubernetes {version} has no {kind} of {written}");
    let finding = Diagnostic::error("OBJ002", cause);
    if !others.is_empty() {
        return finding.help(format!("use {}", others.join(" or ")));
    }
    let same_group = |known: &Kind| known.is_in(version) && known.api_version == written;
    let group: Vec<&str> = table::kinds().filter(same_group).map(|known| known.kind).collect();
    match near::near(kind, group.iter().copied())[..] {
        [] => {
            let all: Vec<Kind> = table::kinds().filter(|known| known.is_in(version)).collect();
            finding.help(near::hint(kind, "kind", near::near(kind, all.iter().map(|known| known.kind))))
        }
        _ => finding.help(near::hint(kind, "kind", group.iter().copied())),
    }
}

/// A kind of a group that is not Kubernetes' own, and of which the rendering has no definition: somebody's custom
/// kind, or a group that was mistyped. `others` are the groups and versions that Kubernetes has the kind in.
fn custom_kind(subject: &Subject<'_>, written: &str, others: &[&str]) -> Diagnostic {
    let (group, kind) = (subject.group, subject.kind);
    let own = || table::kinds().filter_map(|known| Some(known.api_version.split_once('/')?.0));
    let slip = near::slip(group, own());
    // "should be a domain with at least one dot": apiextensions-apiserver, ValidateCustomResourceDefinitionSpec.
    let cause = match slip {
        None if group.contains('.') => {
            let cause = format!("{kind} of {written} is a custom kind, so its fields are not checked");
            let mut help = "the cluster must have its CustomResourceDefinition".to_owned();
            if !others.is_empty() {
                help = format!("{help}; Kubernetes' own {kind} is of {}", others.join(" or "));
            }
            return Diagnostic::error("OBJ034", cause).note().help(help);
        }
        None => {
            format!("Kubernetes has no API group `{group}`, and no definition can have one without a dot")
        }
        Some(own) => {
            format!("Kubernetes has no API group `{group}`, but `{own}`: its fields are not checked")
        }
    };
    let finding = Diagnostic::error("OBJ044", cause).warning();
    match others {
        [] => finding.help(near::hint(group, "API group", own().collect::<BTreeSet<_>>())),
        _ => finding.help(format!("use {}", others.join(" or "))),
    }
}

/// Whether an API group is one of Kubernetes' own, which no custom kind may use.
fn is_own_group(group: &str) -> bool {
    let own = |known: Kind| known.api_version.split_once('/').map_or("", |(group, _)| group) == group;
    group == "extensions" || table::kinds().any(own)
}
