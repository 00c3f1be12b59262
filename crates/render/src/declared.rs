//! What a component declares about its objects: which exist already and are adopted, and which fields are taken
//! from other managers. Every declaration has to fit what was rendered.

use serde_json::Value;
use spec::declared::{FieldPath, ObjectName};
use spec::environment::ComponentBody;
use spec::{Diagnostic, Located, near};

use crate::kinds;
use crate::object::title;
use crate::rendered::{GeneratedSecret, RenderedObject};

/// Notes in the objects of one component what is declared about them.
pub(crate) fn declare(
    component: &str,
    body: &ComponentBody,
    objects: &mut [RenderedObject],
    generated: &[GeneratedSecret],
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for wanted in &body.adopt {
        let place = |cause: String| misplaced(component, "adopt", wanted, cause);
        match object_of(wanted.as_str(), objects, generated) {
            Ok(index) => match cannot_be_adopted(&objects[index]) {
                Some(why) => {
                    let finding = place(format!("`{}` cannot be adopted: {why}", wanted.value));
                    found.push(finding.help("remove it from `adopt`"));
                }
                None => objects[index].adopt = true,
            },
            Err((cause, help)) => found.push(place(cause).help(help)),
        }
    }
    for (wanted, fields) in &body.overrides {
        let index = match object_of(wanted.as_str(), objects, generated) {
            Ok(index) => index,
            Err((cause, help)) => {
                found.push(misplaced(component, "overrides", wanted, cause).help(help));
                continue;
            }
        };
        for field in fields {
            let path = FieldPath::parse(field.as_str());
            match path.and_then(|path| path.find(&objects[index].manifest)) {
                Some(way) => objects[index].overrides.push(way),
                None => {
                    let cause = format!("the manifest of `{}` does not set `{}`", wanted.value, field.value);
                    let help =
                        "what is overridden is the template's own value: set it there, or remove the path";
                    found.push(misplaced(component, "overrides", field, cause).help(help));
                }
            }
        }
    }
    found
}

fn misplaced(component: &str, field: &str, at: &Located<String>, cause: String) -> Diagnostic {
    at.spot.mark(Diagnostic::error("SPC027", cause).on(format!("spec.components.{component}.{field}")))
}

/// The one object of that name, or what is wrong with the name, and what to do.
fn object_of(
    wanted: &str,
    objects: &[RenderedObject],
    generated: &[GeneratedSecret],
) -> Result<usize, (String, String)> {
    // What is no name was found out when the spec was read.
    let name =
        ObjectName::parse(wanted).ok_or_else(|| (format!("`{wanted}` names no object"), String::new()))?;
    let fitting: Vec<usize> =
        (0..objects.len()).filter(|&index| name.is_of(&objects[index].manifest)).collect();
    // `Service` is that of Kubernetes itself, wherever there are others.
    let core =
        |index: &&usize| !objects[**index].manifest["apiVersion"].as_str().unwrap_or_default().contains('/');
    match (&fitting[..], fitting.iter().find(core)) {
        ([index], _) | (_, Some(index)) => Ok(*index),
        ([_, ..], None) => {
            Err((format!("`{wanted}` names more than one object"), "write KIND.GROUP/NAME".to_owned()))
        }
        _ if name.kind == "Secret" && generated.iter().any(|secret| secret.secret == name.name) => Err((
            format!("`{wanted}` is generated, not rendered"),
            "mimeo makes its values itself; render a Secret to adopt one".to_owned(),
        )),
        _ => {
            let known: Vec<String> = objects.iter().map(|object| title(&object.manifest)).collect();
            let hint = near::hint(wanted, "object of the component", known.iter().map(String::as_str));
            Err((format!("the component does not render `{wanted}`"), hint))
        }
    }
}

fn cannot_be_adopted(object: &RenderedObject) -> Option<&'static str> {
    let api_version = object.manifest["apiVersion"].as_str().unwrap_or_default();
    let kind = object.manifest["kind"].as_str().unwrap_or_default();
    let labels = &object.manifest["metadata"]["labels"];
    if (kinds::group(api_version), kind) == ("batch", "Job") {
        return Some("a Job that somebody else ran says nothing about this environment");
    }
    let shared = kinds::is_definition(kinds::group(api_version), kind)
        && labels.get("mimeo.dev/environment").and_then(Value::as_str).is_none();
    shared.then_some("environments share this definition, and it belongs to none of them")
}
