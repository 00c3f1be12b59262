//! The YAML that nearly every manifest is, written in one pass: block mappings and lists, words, numbers, and
//! literal blocks of printable ASCII.
//!
//! Whatever is not plainly that yields `None`, and the general writer writes the whole value. What is written
//! here are the bytes it would have written.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

/// Nesting that is written here.
const DEPTH: usize = 32;
/// Bytes of a scalar on one line; the general writer folds what is longer than 80 characters.
const WIDTH: usize = 80;

/// Writes a mapping at the end of `out`; `None` says that the general writer has to. `out` then holds a part.
pub(super) fn document(value: &Value, out: &mut String) -> Option<()> {
    match value {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, out),
        _ => None,
    }
}

/// Writes the entries of a mapping, of which the first stands where `out` ends.
fn mapping(map: &Map<String, Value>, indent: usize, out: &mut String) -> Option<()> {
    for (index, (name, value)) in map.iter().enumerate() {
        if index > 0 {
            spaces(indent, out)?;
        }
        is_key(name).then_some(())?;
        out.push_str(name);
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                spaces(indent + 2, out)?;
                mapping(inner, indent + 2, out)?;
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                list(items, indent, out)?;
            }
            scalar => {
                out.push(' ');
                leaf(scalar, indent + 2, out)?;
            }
        }
    }
    Some(())
}

fn list(items: &[Value], indent: usize, out: &mut String) -> Option<()> {
    for item in items {
        spaces(indent, out)?;
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => mapping(inner, indent + 2, out)?,
            Value::Array(inner) if !inner.is_empty() => return None,
            scalar => leaf(scalar, indent + 2, out)?,
        }
    }
    Some(())
}

/// What has nothing below it, and the end of its line. Lines of a text are indented by `indent`.
fn leaf(value: &Value, indent: usize, out: &mut String) -> Option<()> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => integer(number, out)?,
        Value::String(text) if text.contains('\n') => return literal(text, indent, out),
        Value::String(text) => line(text, out)?,
        // Those that are not empty were written before.
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
    out.push('\n');
    Some(())
}

fn integer(number: &Number, out: &mut String) -> Option<()> {
    // Writing into a string cannot fail.
    let _ = write!(out, "{}", number.as_i64()?);
    Some(())
}

/// A text of one line, in quotes where it would be read as something else.
fn line(text: &str, out: &mut String) -> Option<()> {
    if text.len() > WIDTH || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    if is_plain(text) {
        out.push_str(text);
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // The empty text as well.
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(serde_saphyr::to_string(&text).ok()?.strip_suffix('\n')?);
    }
    Some(())
}

/// A text of several lines, of which the first is not empty and the last ends at most once.
fn literal(text: &str, indent: usize, out: &mut String) -> Option<()> {
    let body = text.strip_suffix('\n');
    out.push_str(if body.is_some() { "|\n" } else { "|-\n" });
    let body = body.unwrap_or(text);
    if body.starts_with([' ', '\n']) || body.ends_with('\n') || body.is_empty() {
        return None;
    }
    let mut begins = false;
    for line in body.split('\n') {
        // The general writer takes it for a block that begins with an empty line, and writes quotes.
        if begins && line.is_empty() {
            return None;
        }
        begins = line.ends_with(['|', '-', '+']);
        if !line.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return None;
        }
        if !line.is_empty() {
            spaces(indent, out)?;
        }
        out.push_str(line);
        out.push('\n');
    }
    Some(())
}

fn is_key(text: &str) -> bool {
    text.len() <= WIDTH && is_word(text)
}

/// A text that nobody reads as anything else: a word, or a number with a unit.
fn is_plain(text: &str) -> bool {
    let unit = text.trim_start_matches(|character: char| character.is_ascii_digit());
    is_word(text)
        || (unit.len() < text.len()
            && !unit.is_empty()
            && unit.bytes().all(|byte| b"mkKMGTPi".contains(&byte)))
}

/// Letters, digits and what joins them; a letter first, or a slash. Not what YAML 1.1 knows by name.
fn is_word(text: &str) -> bool {
    let joins = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    let first = text.bytes().next();
    first.is_some_and(|first| first.is_ascii_alphabetic() || first == b'/')
        && text.bytes().all(joins)
        && !(text.len() <= 5 && NAMED.iter().any(|name| name.eq_ignore_ascii_case(text)))
}

/// Words that are values to some reader of YAML.
const NAMED: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];

fn spaces(count: usize, out: &mut String) -> Option<()> {
    const SPACES: &str = "                                                                ";
    out.push_str(SPACES.get(..count).filter(|_| count <= 2 * DEPTH)?);
    Some(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use serde_json::json;

    use super::*;
    use crate::yaml::to_yaml;

    /// What both writers make of a value; true when it was written here.
    fn agrees(value: &Value) -> bool {
        let mut quick = String::new();
        if document(value, &mut quick).is_none() {
            return false;
        }
        assert_eq!(quick, to_yaml(value).unwrap(), "{value}");
        true
    }

    #[test]
    fn usual_manifests_are_written_here() {
        for value in [
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a-1"}}),
            json!({"a": [{"b": "50m", "c": ["x", 1, true, null]}, {}, [], "64Mi"], "d": {}, "e": [], "f": -1}),
            json!({"a": {"b/c.d-e_f": "b: c", "g": "", "h": "8080", "i": "-p", "j": "yes", "k": "a #b"}}),
            json!({"a": "x\n  y\n", "b": {"c": "x\ny"}, "d": ["x\ny\n"], "e": "a\n\nb|\n \n\nc\n", "f": "\"a\"\\n"}),
        ] {
            assert!(agrees(&value), "{value}");
        }
    }

    #[test]
    fn the_general_writer_writes_the_rest() {
        for value in [
            json!({}),
            json!([1]),
            json!({"a": [[1]]}),
            json!({"on": 1}),
            json!({"a b": 1}),
            json!({"1": 1}),
            json!({"a": 1.5}),
            json!({"a": u64::MAX}),
            json!({"a": "\u{e9}"}),
            json!({"a": "x\ty"}),
            json!({"a": "\n"}),
            json!({"a": " x\ny"}),
            json!({"a": "x\ny\n\n"}),
            json!({"a": "x\n\u{202e}y"}),
            json!({"a": "x|\n\ny"}),
            json!({"a": "x ".repeat(41)}),
        ] {
            assert!(!agrees(&value), "{value}");
        }
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-zA-Z/][a-zA-Z0-9/._-]{0,12}",
            2 => "[a-z0-9 .:#|>+-]{0,6}",
            2 => "[0-9]{0,3}[a-zA-Z.:_-]{0,3}",
            1 => "[ -~]{0,90}",
            1 => "[ -~\t\u{e9}\u{202e}]{0,3}",
            2 => "([a-z |+-]{0,3}\n){0,4}[a-z |]{0,2}",
            1 => prop::sample::select(NAMED.to_vec()).prop_map(str::to_owned),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            6 => text().prop_map(Value::String),
            1 => any::<i64>().prop_map(Value::from),
            1 => prop::sample::select(vec![json!(null), json!(true), json!(false), json!([]), json!({}), json!(0.5)]),
        ];
        leaf.prop_recursive(4, 12, 3, |inner| {
            prop_oneof![
                1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                3 => prop::collection::btree_map("[a-z][a-zA-Z/.]{0,5}", inner, 0..3).prop_map(|map| json!(map)),
            ]
        })
    }

    /// Small values that are often written here, and often not: more with `PROPTEST_CASES`.
    #[test]
    fn both_writers_agree() {
        let cases = ProptestConfig::default().cases * 20;
        let mut runner =
            TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..Default::default() });
        let written = Cell::new(0);
        let agreed = runner.run(&value(), |value| {
            written.set(written.get() + u32::from(agrees(&json!({"k": value}))));
            Ok(())
        });
        agreed.unwrap();
        assert!((cases / 10..cases * 9 / 10).contains(&written.get()), "{} of {cases} here", written.get());
    }
}
