//! The effective values of a spec, one line each.

use render::{Layer, Setting};
use serde_json::Value;

use crate::{
    args::Output,
    views::{plain, table},
};

/// Characters of the longest value in a table that is not wide.
const LONGEST: usize = 60;

/// Field, value, and where it was written.
pub fn text(items: &[Setting], output: Output) -> String {
    if output == Output::Name {
        return items.iter().map(|item| format!("{}\n", plain(&item.name))).collect();
    }
    let longest = if output == Output::Wide { usize::MAX } else { LONGEST };
    let rows =
        items.iter().map(|item| vec![plain(&item.name), cut(&value(item), longest), from(item, longest)]);
    table(&["FIELD", "VALUE", "FROM"], rows.collect())
}

/// A text as it is where that is clear, everything else as JSON.
fn value(item: &Setting) -> String {
    match &item.value {
        Value::Object(reference) if item.secret => {
            let part = |name: &str| reference.get(name).and_then(Value::as_str);
            let key = part("key").map(|key| format!(", key {key}")).unwrap_or_default();
            plain(&format!("Secret {}{key}", part("secretRef").unwrap_or_default()))
        }
        Value::String(text) if spec::yaml::scalar(text) == item.value && !text.contains('\n') => plain(text),
        other => plain(&other.to_string()),
    }
}

fn from(item: &Setting, longest: usize) -> String {
    let place = item.place.as_ref().map(|place| format!("{}:{}", plain(&place.file), place.line));
    let place = place.unwrap_or_default();
    let what = match item.origin {
        Layer::Set => "--set".to_owned(),
        Layer::Values => format!("--values {place}"),
        Layer::Spec => place,
        Layer::Default => format!("{place} (default)"),
    };
    match &item.template {
        // A long one would be cut on both sides of the difference.
        Some(template) if template.chars().count() <= longest => format!("{what} {}", plain(template)),
        _ => what,
    }
}

fn cut(text: &str, longest: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= longest {
        return text;
    }
    let kept: String = text.chars().take(longest.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn setting(value: Value, origin: Layer, template: Option<&str>) -> Setting {
        let place = (origin != Layer::Set).then(|| spec::Place {
            file: "environments/qa.yaml".to_owned(),
            line: 7,
            column: 3,
        });
        let template = template.map(str::to_owned);
        Setting { name: "parameters.x".to_owned(), value, origin, place, template, secret: false }
    }

    #[test]
    fn one_line_each() {
        let reference = json!({"secretRef": "team", "key": "token"});
        let items = [
            setting(json!(30), Layer::Set, None),
            setting(json!("30"), Layer::Values, None),
            setting(json!("a b"), Layer::Spec, Some("{{ params.y }}")),
            setting(json!("two\nlines\u{202e}"), Layer::Default, None),
            Setting { secret: true, ..setting(reference, Layer::Spec, None) },
            setting(json!("x".repeat(70)), Layer::Spec, Some(&"y".repeat(70))),
        ];
        let text = text(&items, Output::Text);
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "FIELD VALUE FROM",
                "parameters.x 30 --set",
                "parameters.x \"30\" --values environments/qa.yaml:7",
                "parameters.x a b environments/qa.yaml:7 {{ params.y }}",
                "parameters.x \"two\\nlines\u{fffd}\" environments/qa.yaml:7 (default)",
                "parameters.x Secret team, key token environments/qa.yaml:7",
                &format!("parameters.x {}… environments/qa.yaml:7", "x".repeat(59)),
            ]
        );
    }
}
