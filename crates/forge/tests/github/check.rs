//! GitHub's API description, and what is wrong with a request or an answer by it.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::support::Seen;

pub static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let mut whole = serde_json::from_str(include_str!("description.json")).unwrap();
    nullable_as_type(&mut whole);
    whole
});

/// `nullable` of OpenAPI 3.0 in words of JSON Schema.
fn nullable_as_type(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(nullable_as_type),
        Value::Object(object) => {
            object.values_mut().for_each(nullable_as_type);
            if object.get("nullable") == Some(&Value::Bool(true)) {
                object.remove("nullable");
                if let Some(Value::String(kind)) = object.get("type").cloned() {
                    object.insert("type".to_owned(), json!([kind, "null"]));
                    return;
                }
                let schema = std::mem::take(object);
                object.insert("anyOf".to_owned(), json!([{"type": "null"}, schema]));
            }
        }
        _ => {}
    }
}

/// What a `$ref` leads to.
pub fn resolve(value: &Value) -> &Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => resolve(DESCRIPTION.pointer(reference.trim_start_matches('#')).unwrap()),
        None => value,
    }
}

/// What GitHub's own examples lack of what its description requires.
pub const GAPS: [&str; 5] = [
    "/requested_teams/0: \"type\" is a required property",
    ": \"language\" is a required property",
    "/source: \"language\" is a required property",
    ": \"auto_merge\" is a required property",
    "/user: \"role_name\" is a required property",
];

/// Every way in which a value is not as the schema says.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut root = Map::from_iter([("allOf".to_owned(), json!([schema]))]);
    root.insert("components".to_owned(), DESCRIPTION["components"].clone());
    let validator = jsonschema::draft7::new(&Value::Object(root)).unwrap();
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The operation of a request, with the values in its path.
fn operation(method: &str, path: &str) -> Option<(&'static Value, Vec<(String, String)>)> {
    let parts: Vec<&str> = path.split('/').collect();
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    let mut matching = paths.iter().filter_map(|(template, item)| {
        let expected: Vec<&str> = template.split('/').collect();
        let mut values = Vec::new();
        (expected.len() == parts.len()).then_some(())?;
        for (expected, part) in expected.iter().zip(&parts) {
            match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => {
                    let value = percent_encoding::percent_decode_str(part).decode_utf8().ok()?;
                    values.push((name.to_owned(), value.into_owned()));
                }
                None if expected == part => {}
                None => return None,
            }
        }
        Some((values.len(), item.get(method.to_ascii_lowercase())?, values))
    });
    let first = matching.next()?;
    let best = matching.fold(first, |best, other| if other.0 < best.0 { other } else { best });
    Some((best.1, best.2))
}

/// What is wrong with a request, by the description.
pub fn check(seen: &Seen) -> Result<&'static Value, String> {
    let (operation, path_values) =
        operation(&seen.method, seen.path()).ok_or("no such operation in the description")?;
    let parameters: Vec<&Value> =
        operation["parameters"].as_array().into_iter().flatten().map(resolve).collect();
    let query_values = seen.query();
    let given = [("path", &path_values), ("query", &query_values)];
    for (place, (name, value)) in
        given.iter().flat_map(|(place, values)| values.iter().map(move |v| (*place, v)))
    {
        let parameter =
            parameters.iter().find(|known| known["in"] == place && known["name"] == name.as_str());
        let schema = resolve(&parameter.ok_or(format!("no {place} parameter `{name}`"))?["schema"]);
        let typed = match schema["type"].as_str() {
            Some("integer") => json!(value.parse::<i64>().map_err(|error| format!("{name}: {error}"))?),
            _ => json!(value),
        };
        let wrong = violations(schema, &typed);
        if !wrong.is_empty() {
            return Err(format!("{place} parameter `{name}`: {wrong:?}"));
        }
    }
    for parameter in parameters.iter().filter(|parameter| parameter["required"] == true) {
        let has = given.iter().any(|(place, values)| {
            parameter["in"] == *place && values.iter().any(|(name, _)| parameter["name"] == name.as_str())
        });
        if !has {
            return Err(format!("the required parameter {} is missing", parameter["name"]));
        }
    }
    check_body(seen, operation)?;
    check_headers(seen)?;
    Ok(operation)
}

fn check_body(seen: &Seen, operation: &Value) -> Result<(), String> {
    let Some(described) = operation.get("requestBody") else {
        return if seen.body.is_empty() { Ok(()) } else { Err("a body, where none is described".to_owned()) };
    };
    let body: Value = serde_json::from_str(&seen.body).map_err(|error| format!("the body: {error}"))?;
    let schema = &described["content"]["application/json"]["schema"];
    let mut wrong = violations(schema, &body);
    let known = resolve(schema)["properties"].as_object().unwrap();
    wrong.extend(body.as_object().unwrap().keys().filter(|name| !known.contains_key(*name)).cloned());
    if seen.header("content-type") != Some("application/json") {
        wrong.push("content-type".to_owned());
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("the body: {wrong:?}")) }
}

/// <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#headers>
fn check_headers(seen: &Seen) -> Result<(), String> {
    let expected = [
        ("accept", "application/vnd.github+json"),
        ("x-github-api-version", "2022-11-28"),
        ("user-agent", concat!("mimeo/", env!("CARGO_PKG_VERSION"))),
        ("authorization", "Bearer s3cret-token"),
    ];
    for (name, value) in expected {
        if seen.header(name) != Some(value) {
            return Err(format!("header {name}: {:?}", seen.header(name)));
        }
    }
    Ok(())
}
