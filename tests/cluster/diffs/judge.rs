//! What an apply would do, asked of the API server object by object, and compared without any code of mimeo's.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::{Answer, Api};

/// What an apply of a manifest comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It becomes this.
    Becomes(Value),
    /// Somebody else owns a field; forced, it becomes this.
    Conflict(Value),
    /// It is a good manifest, but not for the object that is there.
    Recreate,
    /// It is no good manifest.
    Invalid(String),
}

/// Asks the server, as its administrator, under mimeo's field manager.
pub fn judge(api: &Api, collection: &str, manifest: &Value) -> Result<Verdict> {
    let path = format!("{collection}/{}", manifest["metadata"]["name"].as_str().context("a name")?);
    let ask = |force: &str| -> Result<Answer> {
        let path = format!("{path}?dryRun=All&fieldManager=mimeo{force}");
        api.send("PATCH", &path, "application/apply-patch+yaml", manifest.to_string().as_bytes())
    };
    let answer = ask("")?;
    let forced = if answer.status == 409 { ask("&force=true")? } else { answer.clone() };
    match (answer.status, forced.status) {
        (200, _) => return Ok(Verdict::Becomes(answer.body)),
        (409, 200) => return Ok(Verdict::Conflict(forced.body)),
        _ => {}
    }
    let mut other = manifest.clone();
    other["metadata"]["name"] = json!("another-name");
    let made = api.post(&format!("{collection}?dryRun=All"), &other)?;
    // By its schema a custom resource is invalid whatever it was before: an apply that takes away every field
    // of a free map leaves `null` there.
    let schema = forced.message().contains(" in body must be ");
    Ok(if made.is_ok() && answer.status != 409 && !schema {
        Verdict::Recreate
    } else {
        Verdict::Invalid(forced.message().to_owned())
    })
}

/// An object without what the server and its controllers note in it.
pub fn content(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let bookkeeping = ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"];
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|key, _| !bookkeeping.contains(&key.as_str()));
    }
    object
}

/// Whether the changes that mimeo shows lead from the live object to what it becomes, nothing left out and
/// nothing too much. Of a Secret the values cannot be compared, but where they are.
pub fn agrees(live: &Value, becomes: &Value, changes: &[Value]) -> Result<()> {
    let (live, becomes) = (content(live), content(becomes));
    let secret = live["kind"] == "Secret";
    let mut made = live.clone();
    let mut gone = Vec::new();
    for change in changes {
        let path = change["path"].as_str().context("a change without a path")?;
        if let Some(list) = path.strip_suffix(" (order)") {
            order(&live, &becomes, list, change)?;
            continue;
        }
        let steps = steps(path)?;
        let before = get(&live, &steps);
        let hidden = secret && (path == "data" || path.starts_with("data.") || path.starts_with("data["));
        let shown = |side: &str, value: Option<&Value>| {
            if hidden { change.get(side).is_some() == value.is_some() } else { change.get(side) == value }
        };
        ensure!(shown("before", before.as_ref()), "{path} is {before:?}, mimeo shows {change}");
        ensure!(!hidden || !change.to_string().contains("Y2FuYXJ5"), "a secret is shown: {change}");
        let after = if hidden { get(&becomes, &steps) } else { change.get("after").cloned() };
        ensure!(!hidden || shown("after", after.as_ref()), "{path}: {change}");
        match after {
            Some(after) => put(&mut made, &steps, after)?,
            None => gone.push(steps),
        }
    }
    // Higher indexes first.
    for steps in gone.iter().rev() {
        take(&mut made, steps);
    }
    ensure!(
        sorted(&made) == sorted(&becomes),
        "the server makes\n{becomes}\nof\n{live}\nmimeo shows {}\nwhich makes\n{made}",
        json!(changes)
    );
    // What only changes places is shown, too.
    let moves = live != becomes && sorted(&live) == sorted(&becomes);
    ensure!(!moves || !changes.is_empty(), "a new order is not shown: {live}\n{becomes}");
    ensure!(live != becomes || changes.is_empty(), "nothing changes, mimeo shows {}", json!(changes));
    Ok(())
}

fn order(live: &Value, becomes: &Value, list: &str, change: &Value) -> Result<()> {
    let steps = steps(list)?;
    for (object, side) in [(live, "before"), (becomes, "after")] {
        let items = get(object, &steps).unwrap_or_default();
        let keys: Vec<Value> = change[side].as_array().cloned().unwrap_or_default();
        let items = items.as_array().cloned().unwrap_or_default();
        ensure!(
            keys.len() == items.len()
                && keys.iter().zip(&items).all(|(key, item)| {
                    item.as_object().is_some_and(|fields| fields.values().any(|value| value == key))
                }),
            "{list} is {items:?}, mimeo shows {change}"
        );
    }
    ensure!(change["before"] != change["after"], "{list} keeps its order");
    Ok(())
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
    Item(String, String),
}

/// `spec.ports[name=http].port`, `data["a.b"]`, `args[0]`.
fn steps(path: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("[\"") {
            let (key, after) = inner.split_once("\"]").with_context(|| path.to_owned())?;
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (inner, after) = inner.split_once(']').with_context(|| path.to_owned())?;
            steps.push(match inner.split_once('=') {
                Some((key, value)) => Step::Item(key.to_owned(), value.to_owned()),
                None => Step::Index(inner.parse()?),
            });
            rest = after;
        } else {
            let text = rest.strip_prefix('.').unwrap_or(rest);
            let end = text.find(['.', '[']).unwrap_or(text.len());
            ensure!(end > 0, "{path} is no path");
            steps.push(Step::Key(text[..end].to_owned()));
            rest = &text[end..];
        }
    }
    Ok(steps)
}

fn is_item(item: &Value, key: &str, wanted: &str) -> bool {
    item.get(key).is_some_and(|value| value.as_str().map_or(value.to_string(), str::to_owned) == wanted)
}

fn get(object: &Value, steps: &[Step]) -> Option<Value> {
    let mut at = object;
    for step in steps {
        at = match step {
            Step::Key(key) => at.get(key)?,
            Step::Index(index) => at.get(index)?,
            Step::Item(key, wanted) => at.as_array()?.iter().find(|item| is_item(item, key, wanted))?,
        };
    }
    Some(at.clone())
}

fn put(object: &mut Value, steps: &[Step], value: Value) -> Result<()> {
    let Some((step, rest)) = steps.split_first() else {
        *object = value;
        return Ok(());
    };
    let inner = match (object, step) {
        (Value::Object(fields), Step::Key(key)) => fields.entry(key.clone()).or_insert(Value::Null),
        (Value::Array(items), Step::Index(index)) => {
            ensure!(*index <= items.len(), "{step:?} is beyond the list");
            if *index == items.len() {
                items.push(Value::Null);
            }
            &mut items[*index]
        }
        (Value::Array(items), Step::Item(key, wanted)) => {
            let place = items.iter().position(|item| is_item(item, key, wanted));
            let place = place.unwrap_or_else(|| {
                items.push(Value::Null);
                items.len() - 1
            });
            &mut items[place]
        }
        (other, step) => bail!("{step:?} does not lead into {other}"),
    };
    put(inner, rest, value)
}

fn take(object: &mut Value, steps: &[Step]) {
    match (object, steps) {
        (Value::Object(fields), [Step::Key(key)]) => drop(fields.shift_remove(key)),
        (Value::Array(items), [Step::Index(index)]) => drop(items.remove(*index)),
        (Value::Array(items), [Step::Item(key, wanted)]) => items.retain(|item| !is_item(item, key, wanted)),
        (Value::Object(fields), [Step::Key(key), rest @ ..]) => {
            if let Some(inner) = fields.get_mut(key) {
                take(inner, rest);
            }
        }
        (Value::Array(items), [Step::Index(index), rest @ ..]) => take(&mut items[*index], rest),
        (Value::Array(items), [Step::Item(key, wanted), rest @ ..]) => {
            if let Some(inner) = items.iter_mut().find(|item| is_item(item, key, wanted)) {
                take(inner, rest);
            }
        }
        _ => {}
    }
}

/// The same with the items of lists that hold objects in one order: places are compared apart.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), sorted(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            if items.iter().all(Value::is_object) {
                let text = |item: &Value| -> String {
                    let fields: BTreeSet<String> = item
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|(key, value)| format!("{key}={value}"))
                        .collect();
                    fields.into_iter().collect()
                };
                items.sort_by_cached_key(text);
            }
            items.into()
        }
        other => other.clone(),
    }
}
