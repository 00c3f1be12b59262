//! A workload that would not find its own pods: the server refuses it.

use serde_json::Value;
use spec::Diagnostic;

use super::{Found, World};
use crate::subject::{Fault, path, step};

pub(crate) fn check<'a>(world: &World<'a>) -> Found<'a> {
    let mut found = Vec::new();
    for subject in world.subjects.iter().filter(|subject| subject.group == "apps") {
        let Some(pods) = subject.pods() else { continue };
        let wanted = subject.at(&["spec", "selector", "matchLabels"]).and_then(Value::as_object);
        for (key, value) in wanted.into_iter().flatten() {
            let has = pods.label(key);
            if value.as_str() == has {
                continue;
            }
            let has = has.map_or("has no such label".to_owned(), |has| format!("has `{has}`"));
            let wants = value.as_str().unwrap_or_default();
            let cause = format!("the selector wants the label {key} to be `{wants}`, its pod template {has}");
            let help = "give spec.selector.matchLabels and spec.template.metadata.labels the same value";
            let at = step(&path(&["spec", "selector", "matchLabels"]), key);
            let finding = Diagnostic::error("OBJ036", cause).help(help);
            found.push((subject.object, Fault::new(at, finding)));
        }
    }
    found
}
