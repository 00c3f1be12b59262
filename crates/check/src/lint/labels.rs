//! Labels the server refuses: a branch name, for one, makes a bad value.

use serde_json::Value;
use spec::Diagnostic;
use spec::name::is_subdomain;

use super::{Found, World};
use crate::subject::{Fault, Subject, dotted, path, step};

pub(crate) fn check<'a>(world: &World<'a>) -> Found<'a> {
    let mut found = Vec::new();
    for subject in &world.subjects {
        let mut places = vec![path(&["metadata", "labels"])];
        if let Some(pods) = subject.pods().filter(|pods| !pods.path.is_empty()) {
            places.push(pods.path.iter().cloned().chain(path(&["metadata", "labels"])).collect());
        }
        for place in places {
            found.extend(of(subject, &place).into_iter().map(|fault| (subject.object, fault)));
        }
    }
    found
}

fn of(subject: &Subject<'_>, place: &[String]) -> Vec<Fault> {
    let steps: Vec<&str> = place.iter().map(String::as_str).collect();
    let labels = subject.at(&steps).and_then(Value::as_object).into_iter().flatten();
    let bad = |(key, value): (&String, &Value)| {
        let at = step(place, key);
        let value = value.as_str().unwrap_or_default();
        if !is_key(key) {
            let help = "use letters, digits, `-`, `_` and `.`, at most 63, perhaps behind `example.org/`";
            let finding = Diagnostic::error("OBJ038", format!("`{key}` is not a key for a label"));
            return Some(Fault::on_key(at, finding.help(help)));
        }
        let finding = if !is_value(value) {
            let help = "use letters, digits, `-`, `_` and `.`, at most 63; `| slug` makes such a text";
            Diagnostic::error("OBJ038", format!("`{}`: `{value}` is not a value for a label", dotted(&at)))
                .help(help)
        } else {
            return None;
        };
        Some(Fault::new(at, finding))
    };
    labels.filter_map(bad).collect()
}

fn is_word(text: &str) -> bool {
    let alphanumeric = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && alphanumeric(text.bytes().next())
        && alphanumeric(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_subdomain(domain) && is_word(name),
        None => is_word(text),
    }
}

fn is_value(text: &str) -> bool {
    text.is_empty() || is_word(text)
}
