//! Filters and functions of templates: pure, and named as people know them from Helm.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use base64::Engine as _;
use sha2::{Digest, Sha256};
use spec::{Diagnostic, Files, files, near, yaml};
use tera::{Error, Kwargs, State, Tera, TeraResult, Value};

use crate::sources::{self, Named};

/// Files that one call of `files` may yield.
const MAX_FILES: usize = 1000;
/// Bytes that one call of `files` may yield.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Findings of functions, which Tera itself would only carry as text; each thread renders something else.
#[derive(Clone, Default)]
pub(crate) struct Findings(Arc<Mutex<Vec<(ThreadId, Diagnostic)>>>);

impl Findings {
    /// Keeps a finding of this thread, and gives the error that Tera carries.
    pub(crate) fn tell(&self, finding: Diagnostic) -> Error {
        let cause = finding.cause.clone();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((thread::current().id(), finding));
        Error::message(cause)
    }

    /// The first finding of this thread that is wanted; with it, all of this thread are gone.
    pub(crate) fn take(&self, wanted: impl Fn(&Diagnostic) -> bool) -> Option<Diagnostic> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = thread::current().id();
        let index = told.iter().position(|(thread, finding)| *thread == own && wanted(finding))?;
        let (_, finding) = told.swap_remove(index);
        told.retain(|(thread, _)| *thread != own);
        Some(finding)
    }
}

/// Registers everything that templates may call.
pub(crate) fn register(tera: &mut Tera, commit: &Arc<dyn Files>, findings: &Findings) {
    tera.register_filter("to_yaml", |value: Value, _: Kwargs, _: &State| to_yaml(&value));
    tera.register_filter("to_json", |value: Value, _: Kwargs, _: &State| to_json(&value));
    tera.register_filter("indent", |value: Value, kwargs: Kwargs, _: &State| indent(&value, &kwargs));
    tera.register_filter("nindent", |value: Value, kwargs: Kwargs, _: &State| {
        indent(&value, &kwargs).map(|text| format!("\n{text}"))
    });
    tera.register_filter("quote", |value: Value, _: Kwargs, _: &State| {
        to_json(&Value::from(text(&value)?)).map(|text| escape_invisible(&text))
    });
    tera.register_filter("b64encode", |value: Value, _: Kwargs, _: &State| -> TeraResult<String> {
        Ok(base64::engine::general_purpose::STANDARD.encode(text(&value)?))
    });
    tera.register_filter("sha256", |value: Value, _: Kwargs, _: &State| -> TeraResult<String> {
        Ok(hex::encode(Sha256::digest(text(&value)?)))
    });
    tera.register_filter("slug", |value: Value, _: Kwargs, _: &State| -> TeraResult<String> {
        Ok(slug::slugify(text(&value)?))
    });
    tera.register_filter("default", |value: Value, kwargs: Kwargs, _: &State| -> TeraResult<Value> {
        let default = kwargs.must_get::<Value>("value")?;
        Ok(if value.is_undefined() || value.is_none() { default } else { value })
    });
    let (one, told) = (Arc::clone(commit), findings.clone());
    tera.register_function("file", move |kwargs: Kwargs, _: &State| -> TeraResult<String> {
        let path = kwargs.must_get::<String>("path")?;
        read(&*one, &path).map_err(|finding| told.tell(*finding))
    });
    let (many, told) = (Arc::clone(commit), findings.clone());
    tera.register_function("files", move |kwargs: Kwargs, _: &State| -> TeraResult<Value> {
        let pattern = kwargs.must_get::<String>("glob")?;
        let found = read_all(&*many, &pattern).map_err(|finding| told.tell(*finding))?;
        Ok(Value::from_serializable(&found))
    });
}

fn read(commit: &dyn Files, path: &str) -> Result<String, Box<Diagnostic>> {
    sources::check_path(path)?;
    if let Some(text) = files::read_text(commit, path)? {
        return Ok(text);
    }
    let at = pinned(commit, path)?;
    let folder = sources::folder(path);
    let siblings = commit.list(folder).unwrap_or_default();
    let hint = near::hint(path, &format!("file in `{folder}` at {at}"), siblings.iter().map(String::as_str));
    Err(Box::new(Diagnostic::error("TPL009", format!("no file `{path}` at {at}")).help(hint)))
}

/// Which commit a path that finds nothing is looked for at.
fn pinned(commit: &dyn Files, path: &str) -> Result<&'static str, Box<Diagnostic>> {
    match Named::parse(path) {
        Some(named) if !named.is_there(commit)? => Err(named.unknown()),
        Some(_) => Ok("the commit of its source"),
        None => Ok("this commit"),
    }
}

fn read_all(
    commit: &dyn Files,
    pattern: &str,
) -> Result<serde_json::Map<String, serde_json::Value>, Box<Diagnostic>> {
    sources::check_path(pattern)?;
    // `**` has to be a whole step of a path, so the name of a source stands outside of what is matched.
    let prefix = Named::parse(pattern).map_or("", |named| named.prefix);
    let compiled = glob::Pattern::new(&pattern[prefix.len()..]).map_err(|error| {
        Box::new(Diagnostic::error("TPL009", format!("`{pattern}` is not a glob: {}", error.msg)))
    })?;
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    // Only the part of the commit that the pattern can reach is listed.
    let fixed = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    let mut found = serde_json::Map::new();
    let mut bytes = 0;
    for path in commit.list(sources::folder(&pattern[..fixed]))? {
        if !path.strip_prefix(prefix).is_some_and(|inner| compiled.matches_with(inner, options)) {
            continue;
        }
        let text = files::read_text(commit, &path)?.unwrap_or_default();
        bytes += text.len();
        if found.len() == MAX_FILES || bytes > MAX_BYTES {
            let cause = format!("`{pattern}` matches more than {MAX_FILES} files or {MAX_BYTES} bytes");
            return Err(Box::new(Diagnostic::error("GIT011", cause).help("narrow the pattern")));
        }
        found.insert(path, serde_json::Value::String(text));
    }
    if found.is_empty() {
        let cause = format!("`{pattern}` matches no file at {}", pinned(commit, pattern)?);
        return Err(Box::new(
            Diagnostic::error("TPL009", cause).help("give a path from the root of the repository"),
        ));
    }
    Ok(found)
}

fn defined(value: &Value) -> TeraResult<()> {
    if value.is_undefined() { Err(Error::message("the value is not defined")) } else { Ok(()) }
}

fn text(value: &Value) -> TeraResult<String> {
    defined(value)?;
    if value.is_none() {
        return Ok(String::new());
    }
    if value.is_map() || value.is_array() {
        return Err(Error::message("a text is expected, not a list or mapping: use to_yaml or to_json"));
    }
    Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn to_json(value: &Value) -> TeraResult<String> {
    defined(value)?;
    serde_json::to_string(value).map_err(Error::message)
}

fn to_yaml(value: &Value) -> TeraResult<String> {
    let value: serde_json::Value = serde_json::from_str(&to_json(value)?).map_err(Error::message)?;
    let text = yaml::to_yaml(&value).map_err(|finding| Error::message(finding.cause))?;
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Characters that a YAML file may not hold as they are.
fn escape_invisible(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut out, character| {
        if yaml::check_characters("", character.encode_utf8(&mut [0; 4])).is_ok() {
            out.push(character);
        } else {
            out.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
        out
    })
}

/// Like Helm's: every line, the first too; empty lines stay empty.
fn indent(value: &Value, kwargs: &Kwargs) -> TeraResult<String> {
    let width = kwargs.must_get::<usize>("n")?.min(200);
    let pad = " ".repeat(width);
    let text = text(value)?;
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| if line.is_empty() { String::new() } else { format!("{pad}{line}") })
        .collect();
    Ok(lines.join("\n"))
}
