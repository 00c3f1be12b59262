//! Reading fields that may be missing or mistyped.

use serde_json::Value;

/// Longest piece of somebody else's text inside a cause.
const LONGEST: usize = 400;

/// A value by a path of keys.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// A non-empty string by a path of keys.
pub(super) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path)?.as_str().filter(|text| !text.is_empty())
}

/// An integer by a path of keys.
pub(super) fn int(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path)?.as_i64()
}

/// A counter of a status: controllers leave out those that are zero.
pub(super) fn count(object: &Value, name: &str) -> i64 {
    int(object, &["status", name]).unwrap_or(0)
}

/// A list by a path of keys; what is no list is empty.
pub(super) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether a flag is set.
pub(super) fn flag(value: &Value, path: &[&str]) -> bool {
    at(value, path).and_then(Value::as_bool).unwrap_or(false)
}

/// The object's name; an object without one is called `?` in causes.
pub(super) fn name(object: &Value) -> &str {
    text(object, &["metadata", "name"]).unwrap_or("?")
}

/// The object's uid.
pub(super) fn uid(object: &Value) -> Option<&str> {
    text(object, &["metadata", "uid"])
}

/// API group (empty for the core group) and kind.
pub(super) fn group_kind(object: &Value) -> (&str, &str) {
    let group =
        text(object, &["apiVersion"]).and_then(|version| version.split_once('/')).map_or("", |(g, _)| g);
    (group, text(object, &["kind"]).unwrap_or(""))
}

/// The condition of a type.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, &["status", "conditions"]).iter().find(|condition| text(condition, &["type"]) == Some(kind))
}

/// The status of a condition, such as `True`.
pub(super) fn condition_status<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    text(condition(object, kind)?, &["status"])
}

/// `reason: message` of a condition, or whichever of the two exists.
pub(super) fn words(condition: &Value) -> String {
    match (text(condition, &["reason"]), text(condition, &["message"])) {
        (Some(reason), Some(message)) => format!("{reason}: {}", clean(message)),
        (Some(reason), None) => clean(reason),
        (None, Some(message)) => clean(message),
        (None, None) => "no reason given".to_owned(),
    }
}

/// Somebody else's text on one line, without control characters and of bounded length.
pub(super) fn clean(text: &str) -> String {
    let plain: String = uncoloured(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    line.chars().take(LONGEST).chain(['…']).collect()
}

/// Without the escape sequences by which programs colour their messages.
fn uncoloured(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or("").to_owned();
    for part in parts {
        plain.push_str(
            part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').get(1..).unwrap_or(""),
        );
    }
    plain
}

/// How many pods a workload asks for; absent means one, as the API server would fill in.
pub(super) fn replicas(object: &Value) -> i64 {
    int(object, &["spec", "replicas"]).unwrap_or(1)
}

/// The time of an object or event as text that sorts by time: RFC 3339 in UTC without its `Z`, which
/// would sort a whole second after its own fractions.
pub(super) fn sortable(time: Option<&str>) -> &str {
    time.unwrap_or("").trim_end_matches('Z')
}
