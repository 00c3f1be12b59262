//! One file, one document of a known kind: the envelope every file of the project shares.

use serde::Deserialize;

use crate::decode::decode;
use crate::files::{self, Files};
use crate::node::Kind;
use crate::{Diagnostic, Located, Node, near, yaml};

/// The version of all files.
pub const API_VERSION: &str = "mimeo.dev/v1alpha1";

/// A file's `spec`, checked to be of the kind and name asked for.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Path from the root of the repository.
    pub file: String,
    /// The text, for excerpts.
    pub text: String,
    /// What stands under `spec`.
    pub spec: Node,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Envelope {
    #[expect(dead_code, reason = "checked before; named here so that it is a known field")]
    api_version: Located<String>,
    #[expect(dead_code, reason = "checked before; named here so that it is a known field")]
    kind: Located<String>,
    metadata: Metadata,
    spec: Node,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: Located<String>,
}

/// Reads a file of one kind whose `metadata.name` must be `name`; `None` when there is no such file.
///
/// # Errors
/// When it cannot be read, or is of another kind, version or name.
pub fn load(
    files: &dyn Files,
    file: &str,
    kind: &str,
    name: &str,
) -> Result<Option<Loaded>, Box<Diagnostic>> {
    let Some(text) = files::read_text(files, file)? else { return Ok(None) };
    parse(file, text, kind, name).map(Some)
}

/// As [`load`], from the text.
///
/// # Errors
/// When it is not YAML, or is of another kind, version or name.
pub fn parse(file: &str, text: String, kind: &str, name: &str) -> Result<Loaded, Box<Diagnostic>> {
    let excerpt = |finding: Box<Diagnostic>| Box::new(finding.with_source(&text));
    let node = yaml::parse(file, &text)?;
    if !matches!(node.kind, Kind::Map(_) | Kind::Null) {
        let cause = format!("a {} where a mapping is expected", node.type_name());
        let finding = Diagnostic::error("SPC003", cause).help(format!("begin with `kind: {kind}`"));
        return Err(excerpt(Box::new(node.spot.mark(finding))));
    }
    // Version and kind first: a newer or another file would only give misleading errors below.
    check(&node, "kind", kind, "SPC005").map_err(excerpt)?;
    check(&node, "apiVersion", API_VERSION, "ENV009").map_err(excerpt)?;
    let envelope: Envelope = decode(&node, "").map_err(excerpt)?;
    if envelope.metadata.name.value != name {
        let cause = format!("metadata.name is `{}`, the file says `{name}`", envelope.metadata.name.value);
        let finding = Diagnostic::error("SPC006", cause).help("give file and metadata.name the same name");
        return Err(excerpt(Box::new(envelope.metadata.name.spot.mark(finding))));
    }
    Ok(Loaded { file: file.to_owned(), text, spec: envelope.spec })
}

fn check(node: &Node, field: &str, wanted: &str, code: &'static str) -> Result<(), Box<Diagnostic>> {
    let Some(found) = node.get(field) else {
        let finding = Diagnostic::error("SPC002", format!("field `{field}` is missing"));
        return Err(Box::new(node.spot.mark(finding).help(format!("add `{field}: {wanted}`"))));
    };
    if found.as_str() == Some(wanted) {
        return Ok(());
    }
    let shown = found.as_str().unwrap_or(found.type_name());
    let cause = format!("{field} is `{shown}`, expected `{wanted}`");
    let finding = Diagnostic::error(code, cause).help(near::hint(shown, field, [wanted]));
    Err(Box::new(found.spot.mark(finding)))
}
