//! JSON Schemas of the files, generated from the types that read them: for editors and other programs.
//!
//! What the parser accepts, the schema accepts. The other way round a schema is only a first look: it sees one
//! file, and neither the templates in its strings nor the files it names.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::load::API_VERSION;
use crate::{Located, Node, contract, environment, lock_file, template};

/// The kinds of files that have a schema.
pub const KINDS: [&str; 4] = ["EnvironmentSpec", "Template", "Contract", lock_file::KIND];

const DEFINITIONS: &str = "#/definitions/";
/// A DNS-1123 label.
pub(crate) const LABEL: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
/// The name of a parameter, a requirement or an output.
pub(crate) const IDENTIFIER: &str = "^[a-z_][a-z0-9_]*$";
/// `NAME/vN`.
pub(crate) const CONTRACT: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?/v[1-9][0-9]*$";
/// `KIND`, `KIND.GROUP`, or either with `/TYPE`.
pub(crate) const DENY: &str = r"^[A-Z][A-Za-z0-9]*(\.[a-z0-9][a-z0-9.-]*)?(/[A-Z][A-Za-z0-9]*)?$";
/// `Kind.group` of a custom resource.
pub(crate) const KIND_AND_GROUP: &str = r"^[A-Z][A-Za-z0-9]*(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?){2,}$";
/// See [`crate::quantity::seconds`].
pub(crate) const DURATION: &str = "^\\s*([0-9]+[smhdw])+\\s*$";
/// `NAMESPACE/NAME`.
pub(crate) const REFERENCE: &str = "^[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9.-]*$";
/// A full commit id.
pub(crate) const REVISION: &str = "^[0-9a-f]{40}$";
/// A string that is known only once it is rendered.
const TEMPLATE: &str = r"\{\{|\{%";

/// The schema of one kind of [`KINDS`] (JSON Schema draft 7, which editors know best).
#[must_use]
pub fn of(kind: &str) -> Option<Value> {
    let mut generator = generator();
    let schema = file(kind, &mut generator)?;
    Some(root(schema, generator))
}

/// One schema for files of every kind, told apart by their `kind`.
#[must_use]
pub fn any() -> Value {
    let mut generator = generator();
    let mut branches = Vec::new();
    for kind in KINDS {
        let Some(then) = file(kind, &mut generator) else { continue };
        branches.push(json!({"if": {"properties": {"kind": {"const": kind}}}, "then": then}));
    }
    let schema = json!({
        "title": "A file of mimeo",
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": KINDS}},
        "allOf": branches,
    });
    root(schema, generator)
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft07().into_generator()
}

fn file(kind: &str, generator: &mut SchemaGenerator) -> Option<Value> {
    let (body, description) = match kind {
        "EnvironmentSpec" => (overlaid(generator), "environments/NAME.yaml: what an environment is made of"),
        "Template" => (
            generator.subschema_for::<template::Body>().to_value(),
            "templates/NAME/template.yaml: what a template takes, needs, makes and offers",
        ),
        "Contract" => (
            generator.subschema_for::<contract::Body>().to_value(),
            "contracts/NAME-vN.yaml: an interface between components",
        ),
        lock_file::KIND => (
            generator.subschema_for::<lock_file::Body>().to_value(),
            "environments/NAME.lock.yaml: the commit of every source, written by `mimeo lock`",
        ),
        _ => return None,
    };
    Some(json!({
        "title": kind,
        "description": description,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind},
            "metadata": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": false,
                "properties": {"name": {
                    "description": "The name of the file or folder",
                    "type": "string",
                    "pattern": LABEL,
                    "maxLength": if ["EnvironmentSpec", lock_file::KIND].contains(&kind) { 30 } else { 63 },
                }},
            },
            "spec": body,
        },
    }))
}

fn root(schema: Value, mut generator: SchemaGenerator) -> Value {
    let mut root = Map::new();
    root.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    if let Value::Object(schema) = schema {
        root.extend(schema);
    }
    let mut definitions: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    add_partial(&mut definitions);
    definitions.values_mut().for_each(tidy);
    definitions.sort_keys();
    if !definitions.is_empty() {
        root.insert("definitions".to_owned(), Value::Object(definitions));
    }
    Value::Object(root)
}

/// Drops what says nothing to a reader: defaults that are `null`, and the width of numbers.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.retain(|key, value| {
                !(key == "default" && value.is_null()
                    || key == "format" && ["double", "uint64"].iter().any(|width| value == width))
            });
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// The body of a spec: complete when it stands alone, and otherwise what is laid over another one.
fn overlaid(generator: &mut SchemaGenerator) -> Value {
    let whole = generator.subschema_for::<environment::Body>().to_value();
    let mut partial = whole.clone();
    loosen(&mut partial);
    json!({"if": {"type": "object", "required": ["extends"]}, "then": partial, "else": whole})
}

/// What begins the name of a definition that may be incomplete, because it is laid over a complete one.
const PARTIAL: &str = "Overlay";

/// Adds the definition of a partial body, and every one it refers to.
fn add_partial(definitions: &mut Map<String, Value>) {
    let mut todo = vec!["SpecBody".to_owned()];
    while let Some(name) = todo.pop() {
        let partial_name = format!("{PARTIAL}{name}");
        let Some(whole) = definitions.get(&name).filter(|_| !definitions.contains_key(&partial_name)) else {
            continue;
        };
        let mut partial = whole.clone();
        loosen(&mut partial);
        references(&partial, &mut todo);
        definitions.insert(partial_name, partial);
    }
}

/// Names of the definitions that a partial one needs a partial form of.
fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            let target =
                map.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix(DEFINITIONS));
            found.extend(target.and_then(|name| name.strip_prefix(PARTIAL)).map(str::to_owned));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// By the rules of `extends`: nothing has to be there, and `null` removes. Lists are replaced as a whole, so
/// their items stay as they are.
fn loosen(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    map.shift_remove("required");
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(loosen_value);
    }
    if let Some(additional) = map.get_mut("additionalProperties").filter(|value| value.is_object()) {
        loosen_value(additional);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(branches)) = map.get_mut(key) {
            branches.iter_mut().for_each(loosen);
        }
    }
    if let Some(Value::String(path)) = map.get_mut("$ref") {
        *path = path.replacen(DEFINITIONS, &format!("{DEFINITIONS}{PARTIAL}"), 1);
    }
}

fn loosen_value(schema: &mut Value) {
    loosen(schema);
    if allows_null(schema) {
        return;
    }
    if let Some(Value::Array(branches)) = schema.get_mut("anyOf") {
        branches.push(json!({"type": "null"}));
        return;
    }
    let mut value = schema.take();
    let mut outer = Map::new();
    if let Some(description) = value.as_object_mut().and_then(|map| map.shift_remove("description")) {
        outer.insert("description".to_owned(), description);
    }
    outer.insert("anyOf".to_owned(), json!([value, {"type": "null"}]));
    *schema = Value::Object(outer);
}

fn allows_null(schema: &Value) -> bool {
    let Value::Object(map) = schema else { return true };
    let any = ["type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const"];
    let listed =
        map.get("type").and_then(Value::as_array).is_some_and(|types| types.contains(&json!("null")));
    listed || has_branch(schema, &json!({"type": "null"})) || !any.iter().any(|key| map.contains_key(*key))
}

fn has_branch(schema: &Value, branch: &Value) -> bool {
    schema.get("anyOf").and_then(Value::as_array).is_some_and(|branches| branches.contains(branch))
}

/// The schema of a value in which any part may be a template instead.
pub(crate) struct Templated<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for Templated<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Templated{}", T::schema_name()).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Inline, because the same type may stand elsewhere without templates.
        let mut inline = SchemaSettings::draft07().with(|s| s.inline_subschemas = true).into_generator();
        let mut schema = T::json_schema(&mut inline).to_value();
        or_template(&mut schema);
        Schema::try_from(schema).unwrap_or_default()
    }
}

fn or_template(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(or_template);
    }
    for key in ["additionalProperties", "items"] {
        map.get_mut(key).into_iter().for_each(or_template);
    }
    let plain_text =
        map.get("type") == Some(&json!("string")) || map.get("type") == Some(&json!(["string", "null"]));
    let narrowed = ["pattern", "enum", "const", "oneOf", "anyOf"].iter().any(|key| map.contains_key(*key));
    let anything = !narrowed && !map.contains_key("type");
    if anything || (plain_text && !narrowed) {
        return;
    }
    let template = json!({"type": "string", "pattern": TEMPLATE, "description": "A template"});
    if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
        branches.push(template);
        return;
    }
    let mut outer = Map::new();
    if let Some(description) = map.shift_remove("description") {
        outer.insert("description".to_owned(), description);
    }
    outer.insert("anyOf".to_owned(), json!([schema.take(), template]));
    *schema = Value::Object(outer);
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl JsonSchema for Node {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::default()
    }
}

/// `owned`, or `{borrowed: NAME}`.
pub(crate) fn namespace(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [
        {"const": "owned"},
        {
            "type": "object",
            "required": ["borrowed"],
            "additionalProperties": false,
            "properties": {"borrowed": {"type": "string", "pattern": LABEL}},
        },
    ]})
}

/// `all`, or names of columns.
pub(crate) fn columns(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [
        {"const": "all"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": true},
    ]})
}

/// A quantity; a bare number is one, too.
pub(crate) struct Quantity;

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number"]})
    }
}

/// One value to compare with.
pub(crate) fn one_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "number", "boolean"]})
}

/// Outputs of a contract: name to value.
pub(crate) type Outputs = BTreeMap<Located<String>, Node>;
