//! Objects of many kinds, and what is done to them: one file per kind under `corpus/`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Map, Value};
use testkit::checkout;

/// So many objects of every kind.
const COPIES: [&str; 2] = ["a", "b"];
/// The value in a file that takes the field away.
const ABSENT: &str = "ABSENT";

#[derive(Deserialize)]
struct File {
    manifest: Value,
    fields: BTreeMap<String, Vec<Value>>,
}

/// One object of the environment.
pub struct Thing {
    /// Its manifest as the template has it.
    pub manifest: Value,
    /// What was applied last.
    pub applied: Value,
    /// JSON pointer to the values a field may take; `None` is none.
    pub fields: Vec<(String, Vec<Option<Value>>)>,
}

impl Thing {
    /// `Kind/name`.
    pub fn title(&self) -> String {
        title(&self.manifest)
    }

    /// Whether the template is as it was applied. Of a Secret's values mimeo remembers nothing: which keys it
    /// has decides.
    pub fn is_as_applied(&self) -> bool {
        let remembered = |manifest: &Value| {
            let mut manifest = manifest.clone();
            if manifest["kind"] == "Secret" {
                for field in ["data", "stringData"] {
                    let values = manifest[field].as_object_mut().map(Map::values_mut);
                    values.into_iter().flatten().for_each(|value| *value = Value::Null);
                }
            }
            manifest
        };
        remembered(&self.manifest) == remembered(&self.applied)
    }
}

/// `Kind/name`.
pub fn title(manifest: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text(&manifest["kind"]), text(&manifest["metadata"]["name"]))
}

/// Every object of the corpus.
pub fn load() -> Result<Vec<Thing>> {
    let folder = checkout().join("tests/cluster/diffs/corpus");
    let mut paths: Vec<_> =
        std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    let mut things = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path)?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).context("a file without a name")?;
        for copy in COPIES {
            let text = text
                .replace("NAMESPACE", "THE-SPACE")
                .replace("NAME", &format!("{stem}-{copy}"))
                .replace("THE-SPACE", "NAMESPACE")
                .replace("PEER", &format!("role-{copy}"));
            let file: File = serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
            let value = |value: Value| if value == ABSENT { None } else { Some(value) };
            let fields =
                file.fields.into_iter().map(|(path, values)| (path, values.into_iter().map(value).collect()));
            things.push(Thing {
                applied: file.manifest.clone(),
                manifest: file.manifest,
                fields: fields.collect(),
            });
        }
    }
    Ok(things)
}

/// Numbers that are the same every time (Steele, Lea, Flood: splitmix64).
pub struct Random(pub u64);

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap_or_default()
    }

    /// A field of an object and a value for it.
    pub fn edit(&mut self, thing: &Thing) -> (String, Option<Value>) {
        let (path, values) = &thing.fields[self.below(thing.fields.len())];
        (path.clone(), values[self.below(values.len())].clone())
    }
}

/// Sets a value by its JSON pointer, or takes it away; what is missing on the way is made.
pub fn set(object: &mut Value, pointer: &str, value: Option<&Value>) {
    let steps: Vec<String> =
        pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    let Some((last, way)) = steps.split_last() else { return };
    let mut at = object;
    for step in way {
        at = match at {
            Value::Array(items) => match step.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                Some(item) => item,
                None => return,
            },
            other => {
                if value.is_none() && other.get(step).is_none_or(Value::is_null) {
                    return;
                }
                if other.get(step).is_none_or(Value::is_null) {
                    other[step] = Value::Object(Map::new());
                }
                &mut other[step]
            }
        };
    }
    match (at, value) {
        (Value::Object(fields), Some(value)) => drop(fields.insert(last.clone(), value.clone())),
        (Value::Object(fields), None) => drop(fields.remove(last)),
        _ => {}
    }
}

/// A document that holds one value at a JSON pointer; `None` where the way leads through a list.
pub fn only(pointer: &str, value: &Value) -> Option<Value> {
    if pointer.split('/').any(|step| step.parse::<usize>().is_ok()) {
        return None;
    }
    let mut document = Value::Object(Map::new());
    set(&mut document, pointer, Some(value));
    Some(document)
}
