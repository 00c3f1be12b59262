//! A YAML document as a tree in which every value and key knows where it stands.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use crate::Diagnostic;

/// The name under which a [`Located`] asks a deserializer for its place.
pub(crate) const LOCATED: &str = "$mimeo::located";

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Spot {
    /// Path from the root of the repository; empty when it is not from a file.
    pub file: Arc<str>,
    /// Line, counted from 1; 0 when unknown.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl Spot {
    /// Puts a finding at this place, when it is one.
    #[must_use]
    pub fn mark(&self, diagnostic: Diagnostic) -> Diagnostic {
        if self.line == 0 { diagnostic } else { diagnostic.at(&*self.file, self.line, self.column) }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value and where it was written. Compared by value alone.
#[derive(Debug, Clone, Default)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub spot: Spot,
}

impl<T> Located<T> {
    /// A value that stands nowhere, such as one from the command line.
    pub fn nowhere(value: T) -> Self {
        Self { value, spot: Spot::default() }
    }
}

impl Located<String> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}

impl<T: PartialOrd> PartialOrd for Located<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<T: Ord> Ord for Located<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl Borrow<str> for Located<String> {
    fn borrow(&self) -> &str {
        &self.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Parts<T> {
            type Value = Located<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value with its place")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Located<T>, A::Error> {
                let missing = || de::Error::custom("no place");
                let file: String = parts.next_element()?.ok_or_else(missing)?;
                let line = parts.next_element()?.ok_or_else(missing)?;
                let column = parts.next_element()?.ok_or_else(missing)?;
                let value = parts.next_element()?.ok_or_else(missing)?;
                Ok(Located { value, spot: Spot { file: file.into(), line, column } })
            }
        }
        deserializer.deserialize_newtype_struct(LOCATED, Parts(std::marker::PhantomData))
    }
}

/// One value of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub spot: Spot,
    /// What it is.
    pub kind: Kind,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order written.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key and its place.
    pub key: Located<String>,
    /// The value.
    pub value: Node,
}

impl Node {
    /// An empty mapping that stands nowhere.
    #[must_use]
    pub fn empty() -> Self {
        Self { spot: Spot::default(), kind: Kind::Map(Vec::new()) }
    }

    /// A plain value as a tree in which everything stands at one place.
    #[must_use]
    pub fn from_value(value: &Value, spot: &Spot) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(*value),
            Value::Number(value) => Kind::Number(value.clone()),
            Value::String(value) => Kind::String(value.clone()),
            Value::Array(items) => {
                Kind::List(items.iter().map(|item| Self::from_value(item, spot)).collect())
            }
            Value::Object(map) => Kind::Map(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: Located { value: key.clone(), spot: spot.clone() },
                        value: Self::from_value(value, spot),
                    })
                    .collect(),
            ),
        };
        Self { spot: spot.clone(), kind }
    }

    /// The plain value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::String(value) => Value::String(value.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.value.clone(), entry.value.to_value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// The entries, when it is a mapping.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        if let Kind::Map(entries) = &self.kind { entries } else { &[] }
    }

    /// One entry of a mapping.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key.value == key)
    }

    /// The value under one key of a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The text, when it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Kind::String(text) = &self.kind { Some(text) } else { None }
    }

    /// Follows keys and list indices as far as they lead: where a fault at that path is to be shown.
    #[must_use]
    pub fn locate<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> &Spot {
        let mut node = self;
        let mut spot = &self.spot;
        for step in path {
            match &node.kind {
                Kind::Map(_) => {
                    let Some(entry) = node.entry(step) else { break };
                    spot = &entry.key.spot;
                    node = &entry.value;
                }
                Kind::List(items) => {
                    let Some(item) = step.parse::<usize>().ok().and_then(|index| items.get(index)) else {
                        break;
                    };
                    spot = &item.spot;
                    node = item;
                }
                _ => break,
            }
        }
        if matches!(node.kind, Kind::Map(_) | Kind::List(_)) { spot } else { &node.spot }
    }

    /// Like [`Node::locate`], but where the last key stands, not its value.
    #[must_use]
    pub fn locate_key<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> &Spot {
        let steps: Vec<&str> = path.into_iter().collect();
        let parent = steps.iter().rev().skip(1).rev().try_fold(self, |node, step| match &node.kind {
            Kind::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => node.get(step),
        });
        let entry = steps.last().and_then(|last| parent?.entry(last));
        entry.map_or_else(|| self.locate(steps.iter().copied()), |entry| &entry.key.spot)
    }

    /// What it is, in words.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "boolean",
            Kind::Number(_) => "number",
            Kind::String(_) => "string",
            Kind::List(_) => "list",
            Kind::Map(_) => "mapping",
        }
    }
}

/// Any value: the visitor behind every tree.
pub(crate) struct KindVisitor<N, K>(pub std::marker::PhantomData<(N, K)>);

impl<'de, N, K> Visitor<'de> for KindVisitor<N, K>
where
    N: Deserialize<'de> + Into<Node>,
    K: Deserialize<'de> + Into<Located<String>>,
{
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Kind, E> {
        Number::from_f64(value).map(Kind::Number).ok_or_else(|| E::custom("number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<N>()? {
            list.push(item.into());
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<K, N>()? {
            entries.push(Entry { key: key.into(), value: value.into() });
        }
        Ok(Kind::Map(entries))
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor::<Node, Located<String>>(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Located { value, spot } = Located::<Kind>::deserialize(deserializer)?;
        Ok(Self { spot, kind: value })
    }
}
