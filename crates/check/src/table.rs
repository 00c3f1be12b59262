//! The two tables of `kubernetes/`, found by bisection and decoded as far as they are reached.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::shape::{Field, Object};
use crate::version::{SUPPORTED, Version};

static KINDS: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("../kubernetes/kinds.tsv").lines().collect());
static TYPES: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("../kubernetes/types.tsv").lines().collect());

/// A kind that some version of Kubernetes has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Kind {
    /// Group and version, such as `apps/v1`.
    pub api_version: &'static str,
    pub kind: &'static str,
    minors: &'static str,
    /// Name of its type.
    pub shape: &'static str,
}

impl Kind {
    fn read(line: &'static str) -> Option<Self> {
        let mut cells = line.split('\t');
        let (api_version, kind, minors, _scope) =
            (cells.next()?, cells.next()?, cells.next()?, cells.next()?);
        Some(Self { api_version, kind, minors, shape: cells.next()? })
    }

    /// Whether a version of Kubernetes has it.
    pub(crate) fn is_in(&self, version: Version) -> bool {
        version.is_in(self.minors)
    }

    /// The versions with a table that have it.
    pub(crate) fn versions(&self) -> Vec<Version> {
        SUPPORTED.into_iter().filter(|version| self.is_in(*version)).collect()
    }
}

/// Every kind of every version.
pub(crate) fn kinds() -> impl Iterator<Item = Kind> {
    KINDS.iter().filter_map(|line| Kind::read(line))
}

/// The lines that begin with a key, which a tab follows.
fn lines<'a>(table: &'a [&'static str], key: &'a str) -> impl Iterator<Item = &'static str> + use<'a> {
    let start = table.partition_point(|line| line.split('\t').next().is_some_and(|first| first < key));
    table[start..].iter().copied().take_while(move |line| line.split('\t').next() == Some(key))
}

/// The kind of an object, whatever version has it: a kind that came, went and changed has several.
pub(crate) fn kind(api_version: &str, kind: &str) -> Vec<Kind> {
    lines(&KINDS, api_version).filter_map(Kind::read).filter(|known| known.kind == kind).collect()
}

/// The types of one version.
#[derive(Debug)]
pub(crate) struct Types {
    version: Version,
    read: HashMap<String, Arc<Object>>,
}

impl Types {
    pub(crate) fn new(version: Version) -> Self {
        Self { version, read: HashMap::new() }
    }

    /// A type by name; one that is not in the table takes anything.
    pub(crate) fn get(&mut self, name: &str) -> Arc<Object> {
        if let Some(known) = self.read.get(name) {
            return Arc::clone(known);
        }
        let object =
            Arc::new(decode(name, self.version).unwrap_or(Object { open: true, ..Object::default() }));
        self.read.insert(name.to_owned(), Arc::clone(&object));
        object
    }
}

fn decode(name: &str, version: Version) -> Option<Object> {
    let content = lines(&TYPES, name).find_map(|line| {
        let mut cells = line.splitn(3, '\t').skip(1);
        version.is_in(cells.next()?).then(|| cells.next())?
    })?;
    let Ok(Value::Object(fields)) = serde_json::from_str(content) else { return None };
    let fields =
        fields.iter().map(|(name, words)| (name.clone(), Field::parse(words.as_str().unwrap_or_default())));
    Some(Object { fields: fields.collect(), open: false })
}

/// The versions in which a type has a field.
pub(crate) fn versions_of_field(type_name: &str, field: &str) -> Vec<String> {
    let has = |version: &Version| decode(type_name, *version).is_some_and(|it| it.fields.contains_key(field));
    SUPPORTED.iter().filter(|version| has(version)).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::shape::Shape;

    /// What a type leads to.
    fn reached(shape: &Shape) -> Option<&str> {
        match shape {
            Shape::Type(name) => Some(name),
            Shape::List(items, _) | Shape::Map(items) => reached(items),
            _ => None,
        }
    }

    #[test]
    fn both_tables_are_sorted() {
        for table in [&KINDS, &TYPES] {
            let keys: Vec<&str> = table.iter().filter_map(|line| line.split('\t').next()).collect();
            assert!(keys.len() > 90 && keys.is_sorted());
        }
    }

    #[test]
    fn every_version_has_every_type_it_leads_to() {
        for version in SUPPORTED {
            let mut next: Vec<String> =
                kinds().filter(|kind| kind.is_in(version)).map(|kind| kind.shape.to_owned()).collect();
            assert!(next.len() > 50, "{version}");
            let mut seen = BTreeSet::new();
            while let Some(name) = next.pop() {
                let object = decode(&name, version).unwrap_or_else(|| panic!("{version} has no {name}"));
                for field in object.fields.values() {
                    next.extend(
                        reached(&field.shape).map(str::to_owned).filter(|name| seen.insert(name.clone())),
                    );
                }
            }
            assert!(seen.len() > 300, "{version}: {}", seen.len());
        }
    }

    #[test]
    fn rendering_knows_what_stands_outside_of_namespaces() {
        for line in KINDS.iter() {
            let cells: Vec<&str> = line.split('\t').collect();
            let group = cells[0].split_once('/').map_or("", |(group, _)| group);
            assert_eq!(render::is_cluster_scoped(group, cells[1]), cells[3] == "cluster", "{line}");
        }
    }

    #[test]
    fn fields_come_and_go() {
        let fields = |version| decode("core.v1.PodSpec", version).unwrap().fields;
        assert!(!fields(Version::minor(33)).contains_key("hostnameOverride"));
        assert!(fields(Version::minor(34)).contains_key("hostnameOverride"));
    }

    #[test]
    fn small_enough_to_be_part_of_the_program() {
        let size: usize = KINDS.iter().chain(TYPES.iter()).map(|line| line.len()).sum();
        assert!(size < 1_500_000, "{size}");
    }
}
