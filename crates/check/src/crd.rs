//! Schemas of custom resources, from the CustomResourceDefinitions of the same rendering.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::shape::{Field, Keys, Object, Shape};
use crate::subject::Subject;

/// Group, version and kind to the schema; `None` for a version that is not served.
pub(crate) type Custom = BTreeMap<(String, String), Option<Arc<Object>>>;

/// What the definitions among the objects say, by `apiVersion` and kind.
pub(crate) fn schemas(subjects: &[Subject<'_>]) -> Custom {
    let mut known = Custom::new();
    for subject in subjects.iter().filter(|it| it.is("apiextensions.k8s.io", "CustomResourceDefinition")) {
        let spec = &subject.manifest()["spec"];
        let (Some(group), Some(kind)) = (spec["group"].as_str(), spec["names"]["kind"].as_str()) else {
            continue;
        };
        for version in spec["versions"].as_array().into_iter().flatten() {
            let Some(name) = version["name"].as_str() else { continue };
            let schema = &version["schema"]["openAPIV3Schema"];
            let object = version["served"].as_bool().unwrap_or(true).then(|| match shape(schema) {
                Shape::Object(object) => object,
                _ => Arc::new(Object { open: true, ..Object::default() }),
            });
            known.insert((format!("{group}/{name}"), kind.to_owned()), object);
        }
    }
    known
}

/// A structural schema as a shape: as much of it as says which fields there are and what they take.
fn shape(schema: &Value) -> Shape {
    let flag = |name: &str| schema[name].as_bool().unwrap_or(false);
    if flag("x-kubernetes-int-or-string") {
        return Shape::IntOrString;
    }
    if let Some(words) = words(schema) {
        return Shape::Enum(words);
    }
    let open = flag("x-kubernetes-preserve-unknown-fields") || flag("x-kubernetes-embedded-resource");
    match schema["type"].as_str() {
        Some("object") => match (&schema["additionalProperties"], schema["properties"].as_object()) {
            (_, Some(properties)) => {
                let required: Vec<&str> =
                    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let field = |(name, inner): (&String, &Value)| {
                    let field = Field {
                        shape: shape(inner),
                        required: required.contains(&name.as_str()) && inner.get("default").is_none(),
                        // The server drops a null that a default replaces.
                        nullable: inner["nullable"] == true || inner.get("default").is_some(),
                    };
                    (name.clone(), field)
                };
                Shape::Object(Arc::new(Object { fields: properties.iter().map(field).collect(), open }))
            }
            (values @ Value::Object(_), None) => Shape::Map(Box::new(shape(values))),
            (Value::Bool(true), None) => anything(),
            _ if open => anything(),
            // A mapping without a known field: the server takes all of them away.
            _ => Shape::Object(Arc::default()),
        },
        Some("array") => Shape::List(Box::new(shape(&schema["items"])), keys(schema)),
        Some("string") => Shape::String,
        Some("boolean") => Shape::Boolean,
        Some("integer") => Shape::Integer(if schema["format"] == "int32" { 32 } else { 64 }),
        Some("number") => Shape::Number,
        _ => Shape::Any,
    }
}

/// A mapping of any keys.
fn anything() -> Shape {
    Shape::Object(Arc::new(Object { open: true, ..Object::default() }))
}

/// The words of an enum that has nothing but strings.
fn words(schema: &Value) -> Option<Vec<String>> {
    let values = schema["enum"].as_array()?;
    values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

fn keys(schema: &Value) -> Keys {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Keys::Themselves,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            let default = |key: &str| match &schema["items"]["properties"][key]["default"] {
                Value::String(text) => Some(text.clone()),
                _ => None,
            };
            Keys::Fields(keys.filter_map(Value::as_str).map(|key| (key.to_owned(), default(key))).collect())
        }
        _ => Keys::Nothing,
    }
}
