//! The manifests of one component: rendered, read as YAML, checked, with every fault at its template line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use spec::template;
use spec::{Diagnostic, Files, files, yaml};

use crate::engine::Engine;
use crate::images;
use crate::mark::{self, Mapped};
use crate::names::{self, Names, Scope};
use crate::object::{self, Fault, Owner};
use crate::origin::{self, Origin, Text};
use crate::rendered::RenderedObject;
use crate::steps;
use crate::strings::context;

/// The manifests and partials of one template, compiled.
pub(crate) struct Compiled {
    pub engine: Engine,
    manifests: Vec<Source>,
    partials: Vec<Source>,
    /// Names that any of them sets: a partial may use what its includer set.
    locals: BTreeSet<String>,
}

/// A manifest or partial.
struct Source {
    path: String,
    text: Arc<str>,
    names: Names,
}

impl Source {
    fn new((path, text): (String, String)) -> Self {
        Self { names: Names::of(&text), path, text: text.into() }
    }
}

/// Reads and compiles a template's folder.
pub(crate) fn compile(commit: &Arc<dyn Files>, root: &str, name: &str) -> Result<Compiled, Vec<Diagnostic>> {
    let folder = template::folder(root, name);
    let manifests = read(commit, &format!("{folder}/manifests"), true)?;
    let partials = read(commit, &format!("{folder}/partials"), false)?;
    let named: Vec<(String, String, String)> = partials
        .iter()
        .map(|(path, text)| (path[folder.len() + 1..].to_owned(), path.clone(), text.clone()))
        .collect();
    let engine = Engine::compile(commit, &manifests, &named)?;
    let [manifests, partials] =
        [manifests, partials].map(|sources| sources.into_iter().map(Source::new).collect::<Vec<_>>());
    let locals = manifests.iter().chain(&partials).flat_map(|source| source.names.locals.clone()).collect();
    Ok(Compiled { engine, manifests, partials, locals })
}

/// Every name in the manifests and partials that is not declared, where no values are known.
pub(crate) fn undeclared(compiled: &Compiled, scope: &Scope<'_>) -> Vec<Diagnostic> {
    let of_partials = Scope { extra: &compiled.locals, ..*scope };
    let partials =
        compiled.partials.iter().flat_map(|it| names::undeclared(&it.path, &it.text, &of_partials));
    let manifests = compiled.manifests.iter().flat_map(|it| names::undeclared(&it.path, &it.text, scope));
    partials.chain(manifests).collect()
}

fn read(
    commit: &Arc<dyn Files>,
    folder: &str,
    yaml_only: bool,
) -> Result<Vec<(String, String)>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let mut texts = Vec::new();
    for path in commit.list(folder).map_err(|finding| vec![*finding])? {
        if yaml_only && !path.ends_with(".yaml") {
            let finding = Diagnostic::error("TPL012", "not a manifest: its name does not end in .yaml");
            found.push(finding.at(&path, 1, 1).help("rename it, or move it out of manifests/"));
            continue;
        }
        match files::read_text(&**commit, &path) {
            Ok(Some(text)) => match yaml::check_characters(&path, &text) {
                Ok(()) if mark::has_marks(&text) => {
                    found.push(Diagnostic::error("YML009", "noncharacter U+FDD0 or U+FDD1").at(&path, 1, 1));
                }
                Ok(()) => texts.push((path, text)),
                Err(finding) => found.push(finding.with_source(&text)),
            },
            Ok(None) => {}
            Err(finding) => found.push(*finding),
        }
    }
    if found.is_empty() { Ok(texts) } else { Err(found) }
}

/// What rendering a component's manifests yields.
#[derive(Default)]
pub(crate) struct Output {
    pub objects: Vec<RenderedObject>,
    pub findings: Vec<Diagnostic>,
    pub images: BTreeSet<String>,
    /// Bytes of text that the manifests rendered to.
    pub bytes: usize,
}

/// Bytes that all manifests of an environment may render to.
pub(crate) const MAX_TOTAL: usize = 32 * 1024 * 1024;

/// Renders all manifests of one component, up to [`MAX_TOTAL`].
pub(crate) fn render(
    compiled: &Compiled,
    scope: &Scope<'_>,
    owner: &Owner<'_>,
    image_map: &BTreeMap<String, String>,
) -> Output {
    let mut output = Output::default();
    for Source { path, text, names } in &compiled.partials {
        let scope = Scope { extra: &compiled.locals, ..*scope };
        output.findings.extend(names.check(path, text, &scope));
    }
    let context = context(scope.values);
    // A fault of a partial would be told again by every manifest that includes it. What one manifest is
    // found to be, above all a warning, never decides about another.
    let faulty_partial = !output.findings.is_empty();
    for Source { path, text, names } in &compiled.manifests {
        let undefined = names.check(path, text, scope);
        if !undefined.is_empty() || faulty_partial {
            output.findings.extend(undefined);
            continue;
        }
        match compiled.engine.manifest(path, &context) {
            Ok(mapped) => {
                output.bytes += mapped.text.len();
                if output.bytes > MAX_TOTAL {
                    break;
                }
                one(path, text, mapped, owner, image_map, &mut output);
            }
            Err(finding) => {
                let ended = steps::is_limit(&finding);
                output.findings.push(*finding);
                if ended {
                    break;
                }
            }
        }
    }
    output
}

fn one(
    path: &str,
    source: &Arc<str>,
    mapped: Mapped,
    owner: &Owner<'_>,
    image_map: &BTreeMap<String, String>,
    output: &mut Output,
) {
    if let Some(finding) = split_document(path, source, &mapped) {
        output.findings.push(finding);
        return;
    }
    let documents = match yaml::documents(path, &mapped.text) {
        Ok(documents) => documents,
        Err(finding) => {
            output.findings.push(origin::back(*finding, source, &mapped));
            return;
        }
    };
    let text = Arc::new(Text::new(path, source, mapped));
    for (index, document) in documents.into_iter().enumerate() {
        let line = text.line(document.line);
        for (item, mut manifest) in flatten(document.value) {
            let title = object::title(&manifest);
            let origin = Origin::new(&text, index, item);
            let say = |fault: Fault| origin.mark(&fault.path, fault.finding, &title);
            let faults = object::adopt(&mut manifest, owner);
            let failed = !faults.is_empty();
            output.findings.extend(faults.into_iter().map(say));
            if failed {
                continue;
            }
            for (place, finding) in images::visit(&mut manifest, image_map, &mut output.images) {
                output.findings.push(origin.mark(&place, finding, &title));
            }
            object::canonical(&mut manifest);
            let component = owner.component.to_owned();
            output.objects.push(RenderedObject {
                component,
                hook: None,
                adopt: false,
                overrides: Vec::new(),
                manifest,
                file: path.to_owned(),
                line,
                origin,
            });
        }
    }
}

/// A `kind: List` is what kubectl prints for several objects; it is taken apart.
fn flatten(value: Value) -> Vec<(Option<usize>, Value)> {
    let is_list = value["kind"] == "List" && value["apiVersion"] == "v1";
    match value {
        Value::Object(mut map) if is_list && map.get("items").is_some_and(Value::is_array) => {
            match map.shift_remove("items") {
                Some(Value::Array(items)) => {
                    items.into_iter().enumerate().map(|(index, item)| (Some(index), item)).collect()
                }
                _ => Vec::new(),
            }
        }
        value => vec![(None, value)],
    }
}

/// A document border that no line of the template has, so a value brought it in.
fn split_document(path: &str, source: &str, mapped: &Mapped) -> Option<Diagnostic> {
    let lines: Vec<&str> = source.lines().collect();
    for (index, text) in mapped.text.lines().enumerate() {
        if !(text.starts_with("---") || text.starts_with("...")) {
            continue;
        }
        let line = mapped.line(index + 1);
        let template = lines.get(line - 1).copied().unwrap_or_default();
        if template.contains("{{") && !template.trim_start().starts_with(&text[..3]) {
            let column = template.find("{{").map_or(1, |at| template[..at].chars().count() + 1);
            let finding = Diagnostic::error("TPL007", "a value splits the document in two");
            return Some(
                finding
                    .at(path, line, column)
                    .with_source(source)
                    .help("use `| quote`, or `| to_yaml | nindent(n=2)`"),
            );
        }
    }
    None
}
