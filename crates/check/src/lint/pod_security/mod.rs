//! The Pod Security Standards, as far as a pod template breaks them.
//!
//! Source: kubernetes.io/docs/concepts/security/pod-security-standards, and the checks of
//! k8s.io/pod-security-admission v0.35, whose own fixtures the tests replay.

mod baseline;
mod restricted;
mod select;
#[cfg(test)]
mod tests;

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
        for breach in breaches(&pods, Level::Restricted, version) {
            if baseline.iter().any(|known| known.at == breach.at) {
                continue;
            }
            let cause = format!("Pod Security `restricted`: {}", breach.cause);
            found.push((subject.object, fault(&breach, Diagnostic::error("OBJ023", cause).warning())));
        }
    }
    found
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
