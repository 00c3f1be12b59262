//! From a [`Node`] to a typed value; an error knows the path and the place.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::Diagnostic;
use crate::near;
use crate::node::{Entry, Kind, LOCATED, Node, Spot};

/// Turns a tree into a typed value; `path` is where the tree hangs, such as `spec`.
///
/// # Errors
/// One finding: an unknown or missing field, or a value of another type.
pub(crate) fn decode<'de, T: de::Deserialize<'de>>(
    node: &'de Node,
    path: &str,
) -> Result<T, Box<Diagnostic>> {
    T::deserialize(node).map_err(|error| Box::new(error.diagnostic(path)))
}

#[derive(Debug)]
enum Reason {
    Unknown { field: String, known: &'static [&'static str] },
    Missing(&'static str),
    Type { found: String, expected: String, quotable: bool },
    Other(String),
}

/// Why a tree is not of the type asked for.
#[derive(Debug)]
pub struct DecodeError {
    reason: Reason,
    spot: Option<Spot>,
    path: Vec<String>,
}

impl DecodeError {
    fn new(reason: Reason) -> Self {
        Self { reason, spot: None, path: Vec::new() }
    }

    fn at(mut self, spot: &Spot) -> Self {
        if self.spot.is_none() {
            self.spot = Some(spot.clone());
        }
        self
    }

    fn under(mut self, step: impl Into<String>) -> Self {
        self.path.push(step.into());
        self
    }

    fn diagnostic(self, root: &str) -> Diagnostic {
        let mut path = root.to_owned();
        for step in self.path.iter().rev() {
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(step);
        }
        let found = match self.reason {
            Reason::Unknown { field, known } => Diagnostic::error(
                "SPC001",
                format!("unknown field `{field}`"),
            )
            .help(near::hint(&field, "other field here", known.iter().copied())),
            Reason::Missing(field) => Diagnostic::error("SPC002", format!("field `{field}` is missing"))
                .help(format!("add `{field}`")),
            Reason::Type { found, expected, quotable: true } => {
                Diagnostic::error("YML005", format!("{found} where {expected} is expected"))
                    .help("put the value in quotes")
            }
            Reason::Type { found, expected, quotable: false } => {
                Diagnostic::error("SPC003", format!("{found} where {expected} is expected"))
            }
            Reason::Other(text) => Diagnostic::error("SPC003", text),
        };
        let found = if path.is_empty() { found } else { found.on(path) };
        match &self.spot {
            Some(spot) => spot.mark(found),
            None => found,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.reason)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Reason::Other(message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = match expected.to_string().as_str() {
            "a map" => "a mapping".to_owned(),
            "a sequence" => "a list".to_owned(),
            other => other.to_owned(),
        };
        // The value itself is not echoed: it may be a secret that stands in the wrong place.
        let (found, scalar) = match unexpected {
            Unexpected::Bool(_) => ("a boolean", true),
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => ("an integer", true),
            Unexpected::Float(_) => ("a number", true),
            Unexpected::Str(_) | Unexpected::Char(_) => ("a string", false),
            Unexpected::Unit | Unexpected::Option => ("nothing", false),
            Unexpected::Seq => ("a list", false),
            Unexpected::Map => ("a mapping", false),
            _ => ("another type", false),
        };
        let quotable = scalar && expected.contains("string");
        Self::new(Reason::Type { found: found.to_owned(), expected, quotable })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let reason =
            Reason::Type { found: unexpected.to_string(), expected: expected.to_string(), quotable: false };
        Self::new(reason)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Reason::Other(format!("`{variant}` is not one of {}", expected.join(", "))))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Reason::Unknown { field: field.to_owned(), known: expected })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Reason::Missing(field))
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let result = match &self.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), _, _) => visitor.visit_i64(value),
                (_, Some(value), _) => visitor.visit_u64(value),
                (_, _, Some(value)) => visitor.visit_f64(value),
                _ => Err(de::Error::custom("number out of range")),
            },
            Kind::String(text) => visitor.visit_borrowed_str(text),
            Kind::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Kind::Map(entries) => visitor.visit_map(Entries { entries: entries.iter(), current: None }),
        };
        result.map_err(|error| error.at(&self.spot))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.kind == Kind::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == LOCATED {
            return visitor.visit_seq(Parts { spot: &self.spot, value: self, next: 0 });
        }
        visitor.visit_newtype_struct(self).map_err(|error| error.at(&self.spot))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let Kind::String(text) = &self.kind else {
            return self.deserialize_any(visitor);
        };
        visitor.visit_enum(Variant(text)).map_err(|error| error.at(&self.spot))
    }

    /// Only from a mapping: serde would take the items of a list for the fields, in their order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if matches!(self.kind, Kind::Map(_)) {
            return self.deserialize_any(visitor);
        }
        let (found, expected) = (described(&self.kind).to_owned(), "a mapping".to_owned());
        Err(DecodeError::new(Reason::Type { found, expected, quotable: false }).at(&self.spot))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// As serde's own errors call it.
fn described(kind: &Kind) -> &'static str {
    match kind {
        Kind::Null => "nothing",
        Kind::Bool(_) => "a boolean",
        Kind::Number(number) if number.is_f64() => "a number",
        Kind::Number(_) => "an integer",
        Kind::String(_) => "a string",
        Kind::List(_) => "a list",
        Kind::Map(_) => "a mapping",
    }
}

struct Variant<'de>(&'de str);

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), DecodeError> {
        let name: StrDeserializer<'de, DecodeError> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _seed: S) -> Result<S::Value, DecodeError> {
        Err(de::Error::custom("a plain word is expected"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, DecodeError> {
        Err(de::Error::custom("a plain word is expected"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, DecodeError> {
        Err(de::Error::custom("a plain word is expected"))
    }
}

struct Items<'de> {
    items: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(item).map(Some).map_err(|error| error.under(format!("[{index}]")))
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = DecodeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        self.current = self.entries.next();
        let Some(entry) = self.current else { return Ok(None) };
        seed.deserialize(Key(entry)).map(Some).map_err(|error| error.at(&entry.key.spot))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        let entry = self.current.take().ok_or_else(|| de::Error::custom("a value without a key"))?;
        seed.deserialize(&entry.value).map_err(|error| error.under(&*entry.key.value))
    }
}

struct Key<'de>(&'de Entry);

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_str(&self.0.key.value)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == LOCATED {
            let text: StrDeserializer<'de, DecodeError> = self.0.key.value.as_str().into_deserializer();
            return visitor.visit_seq(Parts { spot: &self.0.key.spot, value: text, next: 0 });
        }
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit option
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// File, line, column and value of a [`crate::Located`].
struct Parts<'de, D> {
    spot: &'de Spot,
    value: D,
    next: usize,
}

impl<'de, D: Deserializer<'de, Error = DecodeError> + Clone> SeqAccess<'de> for Parts<'de, D> {
    type Error = DecodeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        self.next += 1;
        match self.next {
            1 => seed.deserialize((&*self.spot.file).into_deserializer()).map(Some),
            2 => seed.deserialize((self.spot.line as u64).into_deserializer()).map(Some),
            3 => seed.deserialize((self.spot.column as u64).into_deserializer()).map(Some),
            4 => seed.deserialize(self.value.clone()).map(Some),
            _ => Ok(None),
        }
    }
}
