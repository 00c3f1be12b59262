//! `environments/<name>.lock.yaml`: the commit of every source that a spec declares.
//!
//! `mimeo lock` writes it, people commit it, and it is read from the same commit as the spec.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::decode::decode;
use crate::environment::EnvironmentSpec;
use crate::load::{self, API_VERSION};
use crate::sources::SourceBody;
use crate::{Diagnostic, Files, Located, files, schema, yaml};

/// The `kind` of a lock file.
pub const KIND: &str = "EnvironmentLock";

/// One source at one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// As the spec declares it.
    pub url: String,
    /// As the spec declares it.
    pub r#ref: String,
    /// The full commit id that the ref stood for when it was pinned.
    pub revision: String,
}

/// Name of a source to its pin.
pub type Pins = BTreeMap<String, Pin>;

/// What stands under `spec`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LockBody")]
pub(crate) struct Body {
    /// Name of a source to the commit that is read.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": schema::LABEL}))]
    sources: BTreeMap<Located<String>, PinBody>,
}

/// One source at one commit.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Pin")]
struct PinBody {
    /// As the spec declares it.
    url: Located<String>,
    /// As the spec declares it.
    r#ref: Located<String>,
    /// The full commit id that the ref stood for when it was pinned.
    #[schemars(extend("pattern" = schema::REVISION))]
    revision: Located<String>,
}

/// One source of a spec, and the commit it is pinned to or why it is not.
#[derive(Debug, Clone)]
pub struct Source {
    /// What the spec says.
    pub body: SourceBody,
    /// Its commit, or the finding at the spec or the lock file.
    pub pin: Result<Pin, Box<Diagnostic>>,
}

/// Path of a spec's lock file.
#[must_use]
pub fn path(root: &str, name: &str) -> String {
    files::join(root, &format!("environments/{name}.lock.yaml"))
}

/// The bytes of a lock file: sources in order of name, fields in a fixed order.
///
/// # Errors
/// `YML008` when a value is one that YAML has no words for.
pub fn text(name: &str, pins: &Pins) -> Result<String, Box<Diagnostic>> {
    let file = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {"sources": pins},
    });
    let mut text = format!("# Written by `mimeo lock {name}`, to be committed.\n{}", yaml::to_yaml(&file)?);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// The sources of a spec with their pins at the same commit, in the order declared; and what is wrong with the
/// lock file as a whole: it cannot be read, or pins what the spec does not declare.
#[must_use]
pub fn pinned(spec: &EnvironmentSpec, files: &dyn Files, root: &str) -> (Vec<Source>, Vec<Diagnostic>) {
    let file = path(root, &spec.name);
    let declared = &spec.body.sources;
    let loaded = match load::load(files, &file, KIND, &spec.name) {
        Ok(Some(loaded)) => loaded,
        Ok(None) => {
            let place = format!("there is no {file} at this commit");
            let missing = |source: &SourceBody| unpinned(source, spec, &place);
            return (with_pins(declared, |source| Err(Box::new(missing(source)))), Vec::new());
        }
        Err(finding) => return (with_pins(declared, |_| Err(finding.clone())), vec![*finding]),
    };
    let body: Body = match decode(&loaded.spec, "spec") {
        Ok(body) => body,
        Err(finding) => {
            let finding = Box::new(finding.with_source(&loaded.text));
            return (with_pins(declared, |_| Err(finding.clone())), vec![*finding]);
        }
    };
    let is_declared = |name: &str| declared.iter().any(|source| source.name.as_str() == name);
    let surplus = body.sources.keys().filter(|name| !is_declared(name.as_str())).map(|name| {
        let cause = format!("the spec has no source `{}`", name.value);
        let finding = Diagnostic::error("LCK002", cause).on(format!("spec.sources.{}", name.value));
        name.spot.mark(finding).help(lock_again(&spec.name)).with_source(&loaded.text)
    });
    let surplus: Vec<Diagnostic> = surplus.collect();
    let pin = |source: &SourceBody| match body.sources.get(source.name.as_str()) {
        Some(pin) => agreed(source, pin, spec, &file).map_err(|finding| {
            Box::new(if finding.snippet.is_none() { finding.with_source(&loaded.text) } else { finding })
        }),
        None => Err(Box::new(unpinned(source, spec, &format!("{file} does not have it")))),
    };
    (with_pins(declared, pin), surplus)
}

/// The sources of a spec with pins that come from elsewhere than its commit, such as a plan.
#[must_use]
pub fn given(spec: &EnvironmentSpec, pins: &Pins, from: &str) -> Vec<Source> {
    let place = |text: &String| Located::nowhere(text.clone());
    with_pins(&spec.body.sources, |source| match pins.get(source.name.as_str()) {
        Some(pin) => {
            let body =
                PinBody { url: place(&pin.url), r#ref: place(&pin.r#ref), revision: place(&pin.revision) };
            agreed(source, &body, spec, from).map_err(Box::new)
        }
        None => Err(Box::new(unpinned(source, spec, &format!("{from} does not have it")))),
    })
}

fn with_pins(
    declared: &[SourceBody],
    pin: impl Fn(&SourceBody) -> Result<Pin, Box<Diagnostic>>,
) -> Vec<Source> {
    declared.iter().map(|body| Source { body: body.clone(), pin: pin(body) }).collect()
}

/// The pin, when it is of what the spec declares.
fn agreed(source: &SourceBody, pin: &PinBody, spec: &EnvironmentSpec, file: &str) -> Result<Pin, Diagnostic> {
    let name = source.name.as_str();
    for (field, said, locked) in [("url", &source.url, &pin.url), ("ref", &source.r#ref, &pin.r#ref)] {
        if said != locked {
            // A URL in a lock file that was written by hand may hold a token: it is not shown.
            let locked =
                if field == "ref" { format!("has `{}`", locked.value) } else { "has another".to_owned() };
            let cause = format!("source `{name}` has {field} `{}`, {file} {locked}", said.value);
            let finding = Diagnostic::error("LCK002", cause).on(format!("spec.sources.{name}.{field}"));
            return Err(quoted(said.spot.mark(finding).help(lock_again(&spec.name)), spec));
        }
    }
    let revision = pin.revision.as_str();
    if !is_revision(revision) {
        let finding = Diagnostic::error("LCK003", format!("`{revision}` is no full commit id"));
        let finding = finding.on(format!("spec.sources.{name}.revision")).help(lock_again(&spec.name));
        return Err(pin.revision.spot.mark(finding));
    }
    Ok(Pin { url: pin.url.value.clone(), r#ref: pin.r#ref.value.clone(), revision: revision.to_owned() })
}

/// Whether a text is a full commit id: 40 hexadecimal digits in lower case.
#[must_use]
pub fn is_revision(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn unpinned(source: &SourceBody, spec: &EnvironmentSpec, why: &str) -> Diagnostic {
    let name = source.name.as_str();
    let finding = Diagnostic::error("LCK001", format!("source `{name}` is not pinned: {why}"));
    let help = format!("{}, or use --update-lock", lock_again(&spec.name));
    quoted(source.name.spot.mark(finding).on(format!("spec.sources.{name}")).help(help), spec)
}

fn lock_again(spec: &str) -> String {
    format!("run `mimeo lock {spec}` and commit the file")
}

fn quoted(finding: Diagnostic, spec: &EnvironmentSpec) -> Diagnostic {
    match finding.place.as_ref().and_then(|place| spec.texts.get(&place.file)) {
        Some(text) => finding.with_source(text),
        None => finding,
    }
}
