//! A value against what its type takes: unknown fields, wrong types, missing fields, words that are none,
//! list items that are the same to the server.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use spec::{Diagnostic, near, quantity};

use crate::shape::{Keys, Object, Shape};
use crate::subject::{Fault, dotted, step};
use crate::table::{self, Types};

/// Walks values of one version's types.
pub(crate) struct Walk<'a> {
    pub types: &'a mut Types,
    pub faults: Vec<Fault>,
    /// What the version is called in messages, such as `Kubernetes 1.35`.
    pub whose: String,
}

impl Walk<'_> {
    /// A whole object: `apiVersion`, `kind` and `metadata` are known even where its schema leaves them out.
    pub(crate) fn object(&mut self, value: &Value, object: &Object) {
        let Some(map) = value.as_object() else { return };
        let mut whole = object.clone();
        for (name, words) in
            [("apiVersion", "string"), ("kind", "string"), ("metadata", "@meta.v1.ObjectMeta")]
        {
            let known = crate::shape::Field::parse(words);
            whole.fields.insert(name.to_owned(), known);
        }
        whole.fields.entry("status".to_owned()).or_insert_with(|| crate::shape::Field::parse("any"));
        self.fields(map, &whole, None, &[]);
    }

    fn fields(&mut self, map: &Map<String, Value>, object: &Object, type_name: Option<&str>, at: &[String]) {
        for (name, value) in map {
            match object.fields.get(name) {
                Some(field) if value.is_null() && field.nullable => {}
                Some(field) => self.value(value, &field.shape, &step(at, name)),
                None if object.open => {}
                None => self.unknown(name, object, type_name, at),
            }
        }
        for (name, field) in object.fields.iter().filter(|(_, field)| field.required) {
            if map.get(name).is_none_or(Value::is_null) {
                let cause = format!("`{}` is missing", dotted(&step(at, name)));
                let help = format!("add it: {} needs it, {}", self.whose, field.shape.words());
                self.say(at, Diagnostic::error("OBJ031", cause).help(help));
            }
        }
    }

    fn unknown(&mut self, name: &str, object: &Object, type_name: Option<&str>, at: &[String]) {
        let known = object.fields.keys().map(String::as_str);
        let near = near::near(name, known.clone());
        let elsewhere =
            type_name.map(|type_name| table::versions_of_field(type_name, name)).unwrap_or_default();
        let help = match near[..] {
            _ if !elsewhere.is_empty() => format!("Kubernetes {} has it", elsewhere.join(", ")),
            [] if object.fields.len() > 20 => "remove it".to_owned(),
            _ => near::hint(name, "field here", known),
        };
        let at = step(at, name);
        let cause = format!("{} has no field `{}`", self.whose, dotted(&at));
        self.faults.push(Fault::on_key(at, Diagnostic::error("OBJ004", cause).help(help)));
    }

    fn value(&mut self, value: &Value, shape: &Shape, at: &[String]) {
        match (shape, value) {
            (Shape::Any, _) => {}
            (Shape::Type(name), Value::Object(map)) => {
                let object = self.types.get(name);
                self.fields(map, &object, Some(name), at);
            }
            (Shape::Object(object), Value::Object(map)) => self.fields(map, object, None, at),
            (Shape::Map(values), Value::Object(map)) => {
                for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                    self.value(value, values, &step(at, key));
                }
            }
            (Shape::List(items, keys), Value::Array(list)) => self.list(list, items, keys, at),
            (Shape::Enum(words), Value::String(word)) => self.word(word, words, at),
            (Shape::Integer(bits), Value::Number(_)) => self.integer(value, *bits, at),
            (Shape::Quantity, Value::String(text)) if !quantity::is_quantity(text) => {
                let cause = format!("`{}`: `{text}` is not a quantity", dotted(at));
                self.say(at, Diagnostic::error("OBJ032", cause).help("write one such as 500m or 8Gi"));
            }
            (Shape::String | Shape::Time | Shape::Quantity | Shape::IntOrString, Value::String(_))
            | (Shape::Boolean, Value::Bool(_))
            | (Shape::Number | Shape::Quantity, Value::Number(_)) => {}
            (Shape::IntOrString, Value::Number(_)) => self.integer(value, 32, at),
            _ => self.mistyped(value, shape, at),
        }
    }

    fn list(&mut self, list: &[Value], items: &Shape, keys: &Keys, at: &[String]) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (index, item) in list.iter().enumerate() {
            let here = step(at, index);
            self.value(item, items, &here);
            let Some((key, shown)) = key_of(item, keys) else { continue };
            if let Some(first) = seen.get(&key) {
                let cause =
                    format!("`{}` is the same as `{}`: {shown}", dotted(&here), dotted(&step(at, first)));
                let help = "remove one of them: the server takes each only once";
                self.say(&here, Diagnostic::error("OBJ033", cause).help(help));
            } else {
                seen.insert(key, index);
            }
        }
    }

    fn word(&mut self, word: &str, words: &[String], at: &[String]) {
        // Where it is left empty, the server puts its default.
        if word.is_empty() || words.iter().any(|known| known == word) {
            return;
        }
        let cause = format!("`{}` cannot be `{word}`", dotted(at));
        let help =
            near::hint(word, "word for it", words.iter().filter(|word| !word.is_empty()).map(String::as_str));
        self.say(at, Diagnostic::error("OBJ032", cause).help(help));
    }

    fn integer(&mut self, value: &Value, bits: u32, at: &[String]) {
        let whole = value.as_i64().or_else(|| {
            let float = value.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e18)?;
            format!("{float:.0}").parse().ok()
        });
        let (problem, help) = match whole {
            None => ("is not an integer", "write a whole number"),
            Some(whole) if bits == 32 && i32::try_from(whole).is_err() => {
                ("needs more than 32 bits", "write a smaller number")
            }
            Some(_) => return,
        };
        let cause = format!("`{}`: {value} {problem}", dotted(at));
        self.say(at, Diagnostic::error("OBJ032", cause).help(help));
    }

    fn mistyped(&mut self, value: &Value, shape: &Shape, at: &[String]) {
        let cause = format!("`{}` takes {}, not {}", dotted(at), shape.words(), word_for(value));
        let help = match (shape, value) {
            (Shape::String | Shape::Enum(_) | Shape::Time, Value::Bool(_) | Value::Number(_)) => {
                "put the value in quotes, or use `| quote`"
            }
            (Shape::Boolean | Shape::Integer(_) | Shape::Number, Value::String(_)) => "take the quotes away",
            (Shape::List(..), _) => "write it as a list: each item behind `- `",
            _ => "correct the value, or its indentation",
        };
        self.say(at, Diagnostic::error("OBJ030", cause).help(help));
    }

    fn say(&mut self, at: &[String], finding: Diagnostic) {
        self.faults.push(Fault::new(at.to_vec(), finding));
    }
}

/// What tells a list item from the others, and how a message shows it.
fn key_of(item: &Value, keys: &Keys) -> Option<(String, String)> {
    match keys {
        Keys::Nothing => None,
        Keys::Themselves => Some((item.to_string(), item.to_string())),
        Keys::Fields(fields) => {
            let mut key = String::new();
            let mut shown = Vec::new();
            for (field, default) in fields {
                let value = match (item.get(field), default) {
                    (Some(value), _) if !value.is_null() => value.clone(),
                    (_, Some(default)) => Value::String(default.clone()),
                    _ => return None,
                };
                key.push_str(&format!("{value}\n"));
                shown.push(format!("{field} {value}"));
            }
            Some((key, shown.join(", ")))
        }
    }
}

fn word_for(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
