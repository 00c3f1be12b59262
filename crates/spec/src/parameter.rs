//! Typed parameters of specs and templates: a JSON Schema subset, written the same in both.

use std::fmt;

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::quantity::{is_quantity, seconds};
use crate::{Diagnostic, HIDDEN, Located, Node, Spot, yaml};

/// JSON Schema types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list.
    Array,
    /// A mapping.
    Object,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
        })
    }
}

/// Formats of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A Kubernetes quantity, such as `500m` or `1Gi`.
    Quantity,
    /// A duration, such as `90s` or `72h`.
    Duration,
}

/// The declaration of one parameter.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its type.
    pub r#type: Type,
    /// A closer look at a string.
    #[serde(default)]
    pub format: Option<Format>,
    /// The value when none is given; without it the parameter is required.
    #[serde(default)]
    pub default: Option<Node>,
    /// The only values allowed.
    #[serde(default, rename = "enum")]
    pub choices: Option<Vec<Node>>,
    /// A regular expression that a string matches.
    #[serde(default)]
    pub pattern: Option<Located<String>>,
    /// The smallest number allowed.
    #[serde(default)]
    pub minimum: Option<f64>,
    /// The largest number allowed.
    #[serde(default)]
    pub maximum: Option<f64>,
    /// The declaration of each item of an array.
    #[serde(default)]
    pub items: Option<Box<Parameter>>,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Accepts only a reference to a Secret: `{secretRef: NAME, key: KEY}`.
    #[serde(default)]
    pub secret: bool,
}

impl Parameter {
    /// Checks the declaration itself, its default included.
    #[must_use]
    pub fn check(&self, name: &str, spot: &Spot) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut say = |spot: &Spot, cause: String, help: Option<&str>| {
            let mut finding = Diagnostic::error("SPC011", cause).on(format!("parameters.{name}"));
            finding.help = help.map(str::to_owned);
            found.push(spot.mark(finding));
        };
        let mut bad = |spot: &Spot, cause: String| say(spot, cause, None);
        if let Some(pattern) = &self.pattern
            && let Err(error) = compile(&pattern.value)
        {
            bad(&pattern.spot, format!("pattern is not a regular expression: {error}"));
            return found;
        }
        let text_only = self.format.is_some() || self.pattern.is_some();
        if text_only && self.r#type != Type::String {
            bad(spot, format!("`format` and `pattern` need type string, not {}", self.r#type));
        }
        let number = matches!(self.r#type, Type::Integer | Type::Number);
        if (self.minimum.is_some() || self.maximum.is_some()) && !number {
            bad(spot, format!("`minimum` and `maximum` need type integer or number, not {}", self.r#type));
        }
        if matches!((self.minimum, self.maximum), (Some(low), Some(high)) if low > high) {
            bad(spot, "`minimum` is above `maximum`".to_owned());
        }
        if self.items.is_some() && self.r#type != Type::Array {
            bad(spot, format!("`items` needs type array, not {}", self.r#type));
        }
        let looked_at = [
            ("enum", self.choices.is_some()),
            ("pattern", self.pattern.is_some()),
            ("format", self.format.is_some()),
            ("minimum", self.minimum.is_some()),
            ("maximum", self.maximum.is_some()),
            ("items", self.items.is_some()),
        ];
        for (key, _) in looked_at.into_iter().filter(|(_, given)| self.secret && *given) {
            say(
                spot,
                format!("`{key}` says nothing about a secret, of which only the reference is known"),
                Some("remove it"),
            );
        }
        for choice in self.choices.iter().flatten().filter(|_| !self.secret) {
            if let Err(why) = self.accept_type(&choice.to_value()) {
                say(&choice.spot, format!("a value of `enum` {why}"), self.remedy(&choice.to_value()));
            }
        }
        if let Some(default) = self.default.as_ref().filter(|default| !is_template(default))
            && let Err(why) = self.accept(&default.to_value())
        {
            say(&default.spot, format!("default {why}"), self.remedy(&default.to_value()));
        }
        if self.secret {
            // What should be a reference may be the secret itself.
            found.iter_mut().for_each(|finding| finding.snippet = Some(HIDDEN.to_owned()));
        }
        found
    }

    /// What to do about a value of another type, where only its quotes make it one.
    #[must_use]
    pub fn remedy(&self, value: &Value) -> Option<&'static str> {
        match (self.r#type, value) {
            _ if self.secret => None,
            (Type::String, Value::Bool(_)) => {
                Some("put it in quotes: without them YAML reads y, n, yes, no, on, off as booleans")
            }
            (Type::String, Value::Number(_)) => Some("put it in quotes"),
            (Type::Boolean, Value::String(text)) if yaml::scalar(text).is_boolean() => {
                Some("write it without quotes")
            }
            (Type::Integer | Type::Number, Value::String(text)) if yaml::scalar(text).is_number() => {
                Some("write it without quotes")
            }
            _ => None,
        }
    }

    /// Checks a value and brings it into its canonical form; an error completes "value …".
    ///
    /// # Errors
    /// Why the value is not one; a secret is never repeated.
    pub fn accept(&self, value: &Value) -> Result<Value, String> {
        if self.secret {
            return accept_secret(value);
        }
        let value = self.accept_type(value)?;
        if let Some(choices) = &self.choices
            && !choices.iter().any(|choice| choice.to_value() == value)
        {
            let choices: Vec<String> = choices.iter().map(|choice| choice.to_value().to_string()).collect();
            return Err(format!("{value} is not one of {}", choices.join(", ")));
        }
        if let Some(text) = value.as_str() {
            self.accept_text(text)?;
        }
        if let Some(number) = value.as_f64() {
            if self.minimum.is_some_and(|minimum| number < minimum) {
                return Err(format!("{value} is below the minimum {}", self.minimum.unwrap_or_default()));
            }
            if self.maximum.is_some_and(|maximum| number > maximum) {
                return Err(format!("{value} is above the maximum {}", self.maximum.unwrap_or_default()));
            }
        }
        Ok(value)
    }

    fn accept_type(&self, value: &Value) -> Result<Value, String> {
        let mismatch = || Err(format!("is {}, {} is expected", describe(value), self.r#type));
        match (self.r#type, value) {
            (Type::String, Value::String(_))
            | (Type::Boolean, Value::Bool(_))
            | (Type::Object, Value::Object(_)) => Ok(value.clone()),
            // `cpu: 4` is a quantity as much as `cpu: "4"`.
            (Type::String, Value::Number(number)) if self.format == Some(Format::Quantity) => {
                Ok(Value::String(number.to_string()))
            }
            (Type::Integer, Value::Number(number)) => match (number.is_f64(), number.as_f64()) {
                (false, _) => Ok(value.clone()),
                (true, Some(float)) if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 =>
                {
                    #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
                    Ok(Value::from(float as i64))
                }
                _ => mismatch(),
            },
            (Type::Number, Value::Number(_)) => Ok(value.clone()),
            (Type::Array, Value::Array(items)) => match &self.items {
                None => Ok(value.clone()),
                Some(item) => items
                    .iter()
                    .enumerate()
                    .map(|(index, value)| item.accept(value).map_err(|why| format!("item {index} {why}")))
                    .collect::<Result<Vec<_>, _>>()
                    .map(Value::Array),
            },
            _ => mismatch(),
        }
    }

    fn accept_text(&self, text: &str) -> Result<(), String> {
        match self.format {
            Some(Format::Quantity) if !is_quantity(text) => {
                return Err(format!("`{text}` is not a quantity such as 500m or 1Gi"));
            }
            Some(Format::Duration) => {
                seconds(text).map_err(|why| format!("`{text}` {why}; write it like 90s, 20m, 72h or 7d"))?;
            }
            _ => {}
        }
        if let Some(pattern) = &self.pattern
            && !compile(&pattern.value).is_ok_and(|regex| regex.is_match(text))
        {
            return Err(format!("`{text}` does not match {}", pattern.value));
        }
        Ok(())
    }

    /// Takes the text of `--set name=value` as a value of this parameter's type.
    #[must_use]
    pub fn coerce(&self, text: &str) -> Value {
        match self.r#type {
            // `--set tag=010` means the text, whatever YAML would make of it.
            Type::String if !self.secret => Value::String(text.to_owned()),
            _ => yaml::scalar(text),
        }
    }
}

fn accept_secret(value: &Value) -> Result<Value, String> {
    let Some(map) = value.as_object() else {
        return Err("must be a reference to a Secret: {secretRef: NAME, key: KEY}".to_owned());
    };
    let known =
        map.iter().all(|(key, value)| matches!(key.as_str(), "secretRef" | "key") && value.is_string());
    if known && map.contains_key("secretRef") {
        Ok(value.clone())
    } else {
        Err("must be a reference to a Secret: {secretRef: NAME, key: KEY}".to_owned())
    }
}

/// Whether a value holds a template, so that it is known only later.
fn is_template(node: &Node) -> bool {
    let value = node.to_value().to_string();
    value.contains("{{") || value.contains("{%")
}

fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(value) => format!("the string {value:?}"),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Splits `name=value`.
///
/// # Errors
/// `SPC012` when there is no `=` or no name.
pub fn split_set(text: &str) -> Result<(String, String), Box<Diagnostic>> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err(Box::new(
            Diagnostic::error("SPC012", format!("`{text}` is not of the form name=value"))
                .help("write `--set days=30`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameter(text: &str) -> Parameter {
        crate::decode::decode(&yaml::parse("t", text).unwrap(), "").unwrap()
    }

    #[test]
    fn values() {
        let days = parameter("{type: integer, minimum: 1, maximum: 90}");
        assert_eq!(days.accept(&days.coerce("30")), Ok(json!(30)));
        assert!(days.accept(&days.coerce("0")).is_err());
        assert!(days.accept(&days.coerce("x")).is_err());
        assert_eq!(days.accept(&json!(3.0)), Ok(json!(3)));
        let tag = parameter("{type: string}");
        assert_eq!(tag.coerce("010"), json!("010"));
        assert_eq!(tag.coerce("yes"), json!("yes"));
        let flag = parameter("{type: boolean}");
        assert_eq!(flag.coerce("yes"), json!(true));
        let size = parameter("{type: string, format: quantity}");
        assert_eq!(size.accept(&json!(4)), Ok(json!("4")));
        assert!(size.accept(&json!("1 GB")).is_err());
        let list = parameter("{type: array, items: {type: integer}}");
        assert!(list.accept(&json!([1, "a"])).unwrap_err().contains("item 1"));
        let secret = parameter("{type: object, secret: true}");
        assert!(secret.accept(&json!({"secretRef": "s", "key": "k"})).is_ok());
        let why = secret.accept(&json!("hunter2")).unwrap_err();
        assert!(!why.contains("hunter2"));
    }

    #[test]
    fn set() {
        assert_eq!(split_set("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(split_set("a=").unwrap(), ("a".to_owned(), String::new()));
        assert!(split_set("a").is_err());
        assert!(split_set("=a").is_err());
    }
}
