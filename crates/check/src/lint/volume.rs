//! A volume mount without its volume: the server refuses the pods.

use std::collections::BTreeSet;

use serde_json::Value;
use spec::{Diagnostic, near};

use super::{Found, World};
use crate::subject::{Fault, Pods, Subject, step};

pub(crate) fn check<'a>(world: &World<'a>) -> Found<'a> {
    let mut found = Vec::new();
    for subject in &world.subjects {
        let Some(pods) = subject.pods() else { continue };
        let known = volumes(subject, &pods);
        for container in pods.containers() {
            for (list, field) in [("volumeMounts", "name"), ("volumeDevices", "name")] {
                for (index, mount) in container.value[list].as_array().into_iter().flatten().enumerate() {
                    let Some(name) = mount[field].as_str().filter(|name| !known.contains(name)) else {
                        continue;
                    };
                    let at = step(&step(&step(&container.path, list), index), field);
                    let cause = format!(
                        "container `{}` mounts `{name}`, which is no volume of the pod",
                        container.name()
                    );
                    let help = near::hint(name, "volume", known.iter().copied());
                    let finding = Diagnostic::error("OBJ037", cause).help(help);
                    found.push((subject.object, Fault::new(at, finding)));
                }
            }
        }
    }
    found
}

/// Names of the volumes that containers may mount.
fn volumes<'a>(subject: &Subject<'a>, pods: &Pods<'a>) -> BTreeSet<&'a str> {
    let names = |list: Option<&'a Value>, field: &'a [&'a str]| {
        let name =
            move |item: &'a Value| field.iter().try_fold(item, |value, step| value.get(step))?.as_str();
        list.and_then(Value::as_array).into_iter().flatten().filter_map(name)
    };
    names(pods.spec().get("volumes"), &["name"])
        .chain(names(subject.at(&["spec", "volumeClaimTemplates"]), &["metadata", "name"]))
        .collect()
}
