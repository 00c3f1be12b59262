//! What a field takes: the words of `kubernetes/types.tsv`, and the schemas of custom resources.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Any,
    String,
    Boolean,
    /// An integer, and how many bits it may need.
    Integer(u32),
    Number,
    Quantity,
    IntOrString,
    Time,
    Enum(Vec<String>),
    List(Box<Shape>, Keys),
    Map(Box<Shape>),
    /// A type of the table, by name.
    Type(String),
    Object(Arc<Object>),
}

/// In what the items of a list have to differ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Keys {
    Nothing,
    Themselves,
    /// Fields, and what stands for one that is left out.
    Fields(Vec<(String, Option<String>)>),
}

/// A mapping with known fields.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Object {
    pub fields: BTreeMap<String, Field>,
    /// Whether fields that are not known are kept.
    pub open: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub shape: Shape,
    pub required: bool,
    /// Whether `null` stands for a field that is left out.
    pub nullable: bool,
}

impl Field {
    /// Reads the words of the table; what is not understood takes anything.
    pub(crate) fn parse(text: &str) -> Self {
        let required = text.starts_with('!');
        Self { shape: Shape::parse(text.trim_start_matches('!')), required, nullable: true }
    }
}

impl Shape {
    fn parse(text: &str) -> Self {
        if let Some(name) = text.strip_prefix('@') {
            return Self::Type(name.to_owned());
        }
        if let Some(values) = text.strip_prefix("{}") {
            return Self::Map(Box::new(Self::parse(values)));
        }
        if let Some(words) = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
            return Self::Enum(words.split('|').map(str::to_owned).collect());
        }
        if let Some((keys, items)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return Self::List(Box::new(Self::parse(items)), Keys::parse(keys));
        }
        match text {
            "string" => Self::String,
            "boolean" => Self::Boolean,
            "int32" => Self::Integer(32),
            "int64" => Self::Integer(64),
            "number" | "double" => Self::Number,
            "quantity" => Self::Quantity,
            "int-or-string" => Self::IntOrString,
            "time" => Self::Time,
            _ => Self::Any,
        }
    }

    /// What is expected, in words.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::String | Self::Enum(_) => "a string",
            Self::Boolean => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Number => "a number",
            Self::Quantity => "a quantity",
            Self::IntOrString => "an integer or a string",
            Self::Time => "a time",
            Self::List(..) => "a list",
            Self::Map(_) | Self::Type(_) | Self::Object(_) => "a mapping",
        }
    }
}

impl Keys {
    fn parse(text: &str) -> Self {
        match text {
            "" => Self::Nothing,
            "=" => Self::Themselves,
            _ => Self::Fields(
                text.split(',')
                    .map(|key| match key.split_once('=') {
                        Some((key, default)) => (key.to_owned(), Some(default.to_owned())),
                        None => (key.to_owned(), None),
                    })
                    .collect(),
            ),
        }
    }
}
