//! The Pod Security Standards, as far as a pod template breaks them.
//!
//! Source: kubernetes.io/docs/concepts/security/pod-security-standards, and the checks of
//! k8s.io/pod-security-admission v0.35, whose own fixtures the tests replay.

mod baseline;
mod restricted;
mod select;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;
use spec::Diagnostic;

use super::{Found, World};
use crate::subject::{Fault, Pods};
use crate::version::Version;

/// A level, and what breaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// What the namespace of an environment enforces.
    Baseline,
    Restricted,
}

/// One control that a pod breaks: where, and in what words.
pub(crate) struct Breach {
    pub at: Vec<String>,
    pub cause: String,
    pub help: &'static str,
}

pub(crate) fn check<'a>(world: &World<'a>, version: Version) -> Found<'a> {
    let mut found = Vec::new();
    for subject in &world.subjects {
        let Some(pods) = subject.pods() else { continue };
        let baseline = breaches(&pods, Level::Baseline, version);
        for breach in &baseline {
            let finding = Diagnostic::error("OBJ012", format!("Pod Security `baseline`: {}", breach.cause));
            // What a borrowed namespace enforces is not known here.
            let finding = if world.owns_namespace() { finding } else { finding.warning() };
            found.push((subject.object, fault(breach, finding)));
        }
        let mut restricted = breaches(&pods, Level::Restricted, version);
        restricted.retain(|breach| baseline.iter().all(|known| known.at != breach.at));
        for Gathered { at, causes, helps } in gathered(subject.manifest(), restricted) {
            let cause = format!("Pod Security `restricted`: {}", causes.join(", "));
            let finding = Diagnostic::error("OBJ023", cause).help(helps.join(", ")).warning();
            found.push((subject.object, Fault::new(at, finding)));
        }
    }
    found
}

/// One or more controls that are broken at one place.
struct Gathered {
    at: Vec<String>,
    causes: Vec<String>,
    helps: Vec<&'static str>,
}

/// Breaches, with all that a container does not say as one: it has one place, and is mended in one go.
fn gathered(manifest: &Value, breaches: Vec<Breach>) -> Vec<Gathered> {
    let mut found: Vec<Gathered> = Vec::new();
    let mut lacking: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for Breach { at, cause, help } in breaches {
        let container = container(&at).filter(|_| !is_set(manifest, &at)).map(<[String]>::to_vec);
        let known = container.as_ref().and_then(|container| lacking.get(container));
        match known.and_then(|&known| found.get_mut(known)) {
            Some(first) => {
                // The container is named already.
                first.causes.push(cause.split_once("` ").map_or(cause.clone(), |(_, what)| what.to_owned()));
                first.helps.push(help.trim_start_matches("set "));
            }
            None => {
                lacking.extend(container.map(|container| (container, found.len())));
                found.push(Gathered { at, causes: vec![cause], helps: vec![help] });
            }
        }
    }
    found
}

/// The path of the container that a field is of.
fn container(at: &[String]) -> Option<&[String]> {
    let (container, _) = at.split_at(at.iter().position(|step| step == "securityContext")?);
    container.last()?.parse::<usize>().ok().map(|_| container)
}

fn is_set(manifest: &Value, path: &[String]) -> bool {
    path.iter()
        .try_fold(manifest, |value, step| match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            fields => fields.get(step),
        })
        .is_some()
}

fn fault(breach: &Breach, finding: Diagnostic) -> Fault {
    Fault::new(breach.at.clone(), finding.help(breach.help))
}

/// What a pod template breaks of a level, without what it breaks of a lower one.
pub(crate) fn breaches(pods: &Pods<'_>, level: Level, version: Version) -> Vec<Breach> {
    match level {
        Level::Baseline => baseline::breaches(pods, version),
        Level::Restricted => restricted::breaches(pods, version),
    }
}

/// From 1.35 on, root inside of a user namespace of its own is nobody outside.
fn has_user_namespace(pods: &Pods<'_>, version: Version) -> bool {
    version >= Version::minor(35) && pods.spec()["hostUsers"] == Value::Bool(false)
}
