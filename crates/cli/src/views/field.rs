//! One field that changes, for people: long texts by their lines, long words around the first difference.

use plan::FieldChange;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::{
    ui::{BAD, GOOD},
    views::plain,
};

/// Longest value that is shown on one line.
const LONGEST: usize = 100;
/// So much of a longer one stands before the first difference.
const BEFORE: usize = 30;
/// Lines around those that differ, as `kubectl diff` shows them.
const AROUND: usize = 3;

/// The lines of one change, indented.
pub fn lines(change: &FieldChange) -> Vec<String> {
    let (before, after) = (change.before.as_ref(), change.after.as_ref());
    if is_long(before) || is_long(after) {
        let mut lines = vec![format!("    {}:", plain(&change.path))];
        lines.extend(text_diff(&block(before), &block(after)));
        return lines;
    }
    let word = |value: Option<&Value>| value.map(|value| plain(&word(value)));
    let (before, after) = match (word(before), word(after)) {
        (Some(before), Some(after)) => around(&before, &after),
        (before, after) => (before.map(|text| cut(&text)), after.map(|text| cut(&text))),
    };
    let none = || "(none)".to_owned();
    vec![format!(
        "    {}: {} → {}",
        plain(&change.path),
        before.unwrap_or_else(none),
        after.unwrap_or_else(none)
    )]
}

/// Texts of several lines, and what has fields and is too long for one line, are shown line by line.
fn is_long(value: Option<&Value>) -> bool {
    match value {
        Some(Value::String(text)) => text.contains('\n'),
        Some(value @ (Value::Object(_) | Value::Array(_))) => value.to_string().chars().count() > LONGEST,
        _ => false,
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The value as lines: a text as it is, anything else as YAML.
fn block(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => spec::yaml::to_yaml(value).unwrap_or_else(|_| value.to_string()),
    }
}

/// Lines that differ, with a few around them; what lies between two places is left out and marked.
fn text_diff(before: &str, after: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for (number, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if number > 0 {
            lines.push("        …".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = plain(change.value().trim_end_matches('\n'));
            let differs = change.tag() != ChangeTag::Equal;
            let end = if change.missing_newline() && differs { " (no newline at the end)" } else { "" };
            lines.push(match change.tag() {
                ChangeTag::Equal => format!("        {text}"),
                ChangeTag::Delete => format!("      {BAD}- {text}{BAD:#}{end}"),
                ChangeTag::Insert => format!("      {GOOD}+ {text}{GOOD:#}{end}"),
            });
        }
    }
    lines
}

/// Both values, cut around the first place where they differ.
fn around(before: &str, after: &str) -> (Option<String>, Option<String>) {
    let same = before.chars().zip(after.chars()).take_while(|(one, other)| one == other).count();
    let fits = before.chars().count().max(after.chars().count()) <= LONGEST;
    let skip = if fits || same + BEFORE <= LONGEST { 0 } else { same - BEFORE };
    let part = |text: &str| {
        let rest: String = text.chars().skip(skip).collect();
        format!("{}{}", if skip > 0 { "…" } else { "" }, cut(&rest))
    };
    (Some(part(before)), Some(part(after)))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(LONGEST).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(before: Option<Value>, after: Option<Value>) -> String {
        let change = FieldChange { path: "data.a".to_owned(), before, after };
        lines(&change).iter().map(|line| format!("{}\n", anstream::adapter::strip_str(line))).collect()
    }

    #[test]
    fn short_values_stand_on_one_line_as_they_are_written() {
        assert_eq!(shown(Some(json!("1000m")), Some(json!("1"))), "    data.a: 1000m → 1\n");
        assert_eq!(shown(Some(json!("1")), Some(json!(""))), "    data.a: 1 → \"\"\n");
        assert_eq!(shown(None, Some(json!({"x": 1}))), "    data.a: (none) → {\"x\":1}\n");
        assert_eq!(shown(Some(Value::Null), None), "    data.a: null → (none)\n");
    }

    #[test]
    fn a_long_value_is_shown_where_it_differs() {
        let long = |end: &str| json!(format!("{}{end}", "x".repeat(300)));
        let text = shown(Some(long("first")), Some(long("second")));
        assert_eq!(text, format!("    data.a: …{0}first → …{0}second\n", "x".repeat(30)));
        let text = shown(Some(long("")), Some(json!(format!("y{}", "x".repeat(300)))));
        assert!(text.starts_with("    data.a: xxx") && text.contains(" → yxxx"), "{text}");
    }

    #[test]
    fn a_text_of_lines_is_shown_by_its_lines() {
        let text = |changed: &[usize]| {
            let line =
                |number| if changed.contains(&number) { "other\n".into() } else { format!("{number}\n") };
            json!((1..=20).map(line).collect::<String>())
        };
        let shown_text = shown(Some(text(&[])), Some(text(&[5, 17])));
        assert!(shown_text.contains("        4\n      - 5\n      + other\n        6\n"), "{shown_text}");
        assert!(shown_text.contains("        8\n        …\n        14\n"), "{shown_text}");
        assert!(!shown_text.contains("        1\n"), "{shown_text}");
        let ends = shown(Some(json!("a\nb\n")), Some(json!("a\nb")));
        assert!(ends.contains("- b\n      + b (no newline at the end)"), "{ends}");
        assert_eq!(shown(None, Some(json!("a\nb\n"))), "    data.a:\n      + a\n      + b\n");
    }

    #[test]
    fn what_has_many_fields_is_shown_as_yaml() {
        let container = json!({"name": "side", "image": "registry.example.com/side:1", "env": [{"name": "A", "value": "x".repeat(80)}]});
        let text = shown(None, Some(container));
        assert!(text.contains("+ image: registry.example.com/side:1\n"), "{text}");
        assert!(text.contains(&"x".repeat(80)), "{text}");
    }
}
