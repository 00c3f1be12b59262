//! Tera, set up so that a template can reach nothing but its arguments and the commit.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde_json::Value;
use spec::{Diagnostic, Files, Node, Spot, near};
use tera::{Context, ErrorKind, Tera};

use crate::filters::{self, Findings};
use crate::mark::{self, Mapped};
use crate::scan;
use crate::steps::{Steps, is_limit};

/// Bytes that one manifest may render to.
pub(crate) const MAX_OUTPUT: usize = 8 * 1024 * 1024;

/// Name of what is rendered from a string.
const ONE_OFF: &str = "__tera_one_off";

/// Templates of one folder, compiled once.
pub(crate) struct Engine {
    tera: Tera,
    /// The same without marks, made when an error has to be shown.
    sources: Vec<(String, String)>,
    commit: Arc<dyn Files>,
    findings: Findings,
    steps: Steps,
    /// Name in Tera to path in the repository.
    paths: BTreeMap<String, String>,
}

impl Engine {
    /// An engine without files, for the strings of specs.
    pub(crate) fn strings(commit: &Arc<dyn Files>) -> Self {
        let findings = Findings::default();
        let steps = Steps::default();
        let mut tera = bare(commit, &findings);
        steps.register(&mut tera, commit, &findings);
        let (commit, sources) = (Arc::clone(commit), Vec::new());
        Self { tera, sources, commit, findings, steps, paths: BTreeMap::new() }
    }

    /// Compiles manifests (path and text; marked) and partials (name, path and text).
    pub(crate) fn compile(
        commit: &Arc<dyn Files>,
        manifests: &[(String, String)],
        partials: &[(String, String, String)],
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut engine = Self::strings(commit);
        let mut marked = Vec::new();
        for (path, text) in manifests {
            engine.paths.insert(path.clone(), path.clone());
            marked.push((path.clone(), engine.steps.put(path, &mark::mark(text)).into_owned()));
            engine.sources.push((path.clone(), text.clone()));
        }
        for (name, path, text) in partials {
            engine.paths.insert(name.clone(), path.clone());
            marked.push((name.clone(), engine.steps.put(path, text).into_owned()));
            engine.sources.push((name.clone(), text.clone()));
        }
        // The plain texts first: places in their errors are right.
        let mut plain = bare(commit, &engine.findings);
        plain.add_raw_templates(engine.sources.clone()).map_err(|error| engine.load_faults(&error))?;
        engine.tera.add_raw_templates(marked).map_err(|error| engine.load_faults(&error))?;
        Ok(engine)
    }

    /// Renders one manifest.
    pub(crate) fn manifest(&self, path: &str, context: &Context) -> Result<Mapped, Box<Diagnostic>> {
        self.commit.step(&path.into(), 1).map_err(|finding| Box::new(self.excerpt(*finding)))?;
        let mut out = Limited { bytes: Vec::new(), full: false };
        if let Err(error) = self.tera.render_to(path, context, &mut out) {
            if let Some(finding) = self.limit() {
                return Err(Box::new(self.excerpt(finding)));
            }
            return Err(self.plain_fault(path, context, &out, &error));
        }
        let text = String::from_utf8(out.bytes).unwrap_or_default();
        Ok(mark::unmark(&text))
    }

    /// Renders a string; one that is exactly one `{{ … }}` keeps its type.
    pub(crate) fn string(
        &self,
        text: &str,
        context: &Context,
        spot: &Spot,
    ) -> Result<Value, Box<Diagnostic>> {
        let text = self.steps.put_at(&spot.file, spot.line, text);
        let single = scan::single_expression(&text);
        let source = match single {
            Some(expression) => format!("{{% set __value = {expression} %}}{{{{ __value | to_json }}}}"),
            None => text.clone().into_owned(),
        };
        let mut out = Limited { bytes: Vec::new(), full: false };
        self.tera.render_str_to(&source, context, false, &mut out).map_err(|error| {
            let mut finding = self.fault(&error, out.full);
            finding.place = None;
            Box::new(spot.mark(finding))
        })?;
        let text = String::from_utf8(out.bytes).unwrap_or_default();
        Ok(match single {
            Some(_) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            None => Value::String(text),
        })
    }

    /// Renders the strings of a tree in place.
    pub(crate) fn tree(&self, node: &mut Node, context: &Context) -> Result<(), Box<Diagnostic>> {
        match &mut node.kind {
            spec::node::Kind::String(text) if scan::is_template(text) => {
                let value = self.string(text, context, &node.spot)?;
                *node = Node::from_value(&value, &node.spot);
                Ok(())
            }
            spec::node::Kind::List(items) => items.iter_mut().try_for_each(|item| self.tree(item, context)),
            spec::node::Kind::Map(entries) => {
                entries.iter_mut().try_for_each(|entry| self.tree(&mut entry.value, context))
            }
            _ => Ok(()),
        }
    }

    /// The limit that ended a rendering. It would end another one of the same, too, and has its place.
    fn limit(&self) -> Option<Diagnostic> {
        self.findings.take(is_limit)
    }

    /// Renders again without marks, so that columns are those of the file.
    fn plain_fault(
        &self,
        path: &str,
        context: &Context,
        out: &Limited,
        first: &tera::Error,
    ) -> Box<Diagnostic> {
        let mut plain = bare(&self.commit, &self.findings);
        let again = plain
            .add_raw_templates(self.sources.clone())
            .and_then(|()| plain.render_to(path, context, Limited { bytes: Vec::new(), full: false }));
        let finding = match &again {
            Err(error) => self.fault(error, out.full),
            Ok(()) => self.fault(first, out.full),
        };
        // What was too much is known by what came last.
        let last = if out.full { mark::unmark(&String::from_utf8_lossy(&out.bytes)).last() } else { 1 };
        let finding = if finding.place.is_none() { finding.at(path, last, 1) } else { finding };
        Box::new(self.excerpt(finding))
    }

    fn excerpt(&self, finding: Diagnostic) -> Diagnostic {
        let file = finding.place.as_ref().map(|place| place.file.clone());
        let source = self.sources.iter().find(|(name, _)| self.paths.get(name) == file.as_ref());
        match source {
            Some((_, text)) => finding.with_source(text),
            None => finding,
        }
    }

    fn fault(&self, error: &tera::Error, full: bool) -> Diagnostic {
        let told = self.findings.take(|_| true);
        let (report, syntax) = match error.kind() {
            ErrorKind::SyntaxError(report) => (report, true),
            ErrorKind::RenderingError(report) => (report, false),
            _ if full => return too_much(),
            ErrorKind::CircularInclude { include_chain, .. } => {
                let names: Vec<&str> = include_chain.iter().map(|name| self.path(name)).collect();
                let cause = format!("includes run in a circle: {}", names.join(" → "));
                return self.at_reference(include_chain, "include", Diagnostic::error("TPL005", cause));
            }
            ErrorKind::CircularExtend { inheritance_chain, .. } => {
                let cause = format!("`extends` runs in a circle: {}", inheritance_chain.join(" → "));
                return self.at_reference(inheritance_chain, "extends", Diagnostic::error("TPL005", cause));
            }
            ErrorKind::MissingParent { parent, .. } => return self.outside(parent),
            other => {
                return unknown_reference(&other.to_string(), self)
                    .unwrap_or_else(|| Diagnostic::error("TPL011", first_line(&other.to_string())));
            }
        };
        let message = report.message().split(" Available ").next().unwrap_or_default().trim_end_matches('.');
        let undefined = message.contains("not defined") || message.contains("is undefined");
        let mut finding = match told {
            Some(finding) => at_fault(finding, self.path(report.filename())),
            None if full => too_much(),
            None if syntax && message.contains("end of input") => {
                Diagnostic::error("TPL010", "the template ends in the middle of a tag or section")
                    .help("close it")
            }
            None if syntax => Diagnostic::error("TPL010", lower(message)),
            None if undefined => Diagnostic::error("TPL001", lower(message))
                .help("test it with `is defined`, or give it a value"),
            None => Diagnostic::error("TPL011", lower(message)),
        };
        if report.filename() != ONE_OFF && !report.filename().is_empty() {
            finding = finding.at(
                self.path(report.filename()),
                report.span().start_line,
                report.span().start_col + 1,
            );
        }
        finding
    }

    /// Findings of a load, which may hold several reports in one text.
    fn load_faults(&self, error: &tera::Error) -> Vec<Diagnostic> {
        let text = error.to_string();
        let several: Vec<Diagnostic> = match error.kind() {
            ErrorKind::Msg(_) => {
                text.split("\n\n").filter_map(|report| unknown_reference(report, self)).collect()
            }
            _ => Vec::new(),
        };
        let found = if several.is_empty() { vec![self.fault(error, false)] } else { several };
        found.into_iter().map(|finding| self.excerpt(finding)).collect()
    }

    /// Puts a finding where the first template of a chain names the second one.
    fn at_reference(&self, chain: &[String], keyword: &str, finding: Diagnostic) -> Diagnostic {
        let finding = finding.help(format!("take out one `{keyword}` of these"));
        let [from, to, ..] = chain else { return finding };
        let Some((name, source)) = self.sources.iter().find(|(name, _)| name == from) else { return finding };
        let names_it = |part: &scan::Part<'_>| match part {
            scan::Part::Tag(tag) if tag.keyword() == Some(keyword) => {
                tag.tokens.iter().any(|token| token.kind == scan::TokenKind::Text(to)).then_some(tag.at)
            }
            _ => None,
        };
        let at = scan::parts(source).iter().find_map(names_it);
        let (line, column) = at.map_or((1, 1), |at| scan::position(source, at));
        finding.at(self.path(name), line, column)
    }

    fn path<'a>(&'a self, name: &'a str) -> &'a str {
        self.paths.get(name).map_or(name, String::as_str)
    }

    fn outside(&self, name: &str) -> Diagnostic {
        let partials = self.paths.keys().map(String::as_str).filter(|name| name.starts_with("partials/"));
        let hint = near::hint(name, "file in this template's partials/", partials);
        Diagnostic::error("TPL006", format!("`{name}` is not a partial of this template")).help(hint)
    }
}

/// A finding that is shown where a template asks for a file: it says which file, when that has the fault.
fn at_fault(mut finding: Diagnostic, template: &str) -> Diagnostic {
    let limit = is_limit(&finding);
    if let Some(place) = finding.place.take().filter(|place| !limit && place.file != template) {
        finding.cause = format!("{}: {}", place.file, finding.cause);
    }
    finding
}

fn bare(commit: &Arc<dyn Files>, findings: &Findings) -> Tera {
    let mut tera = Tera::default();
    tera.autoescape_on(Vec::<&str>::new());
    filters::register(&mut tera, commit, findings);
    tera
}

fn too_much() -> Diagnostic {
    Diagnostic::error("TPL004", format!("output is larger than {MAX_OUTPUT} bytes")).help("shorten the loops")
}

fn lower(text: &str) -> String {
    let mut characters = first_line(text).chars().collect::<Vec<_>>();
    if let Some(first) = characters.first_mut() {
        first.make_ascii_lowercase();
    }
    characters.into_iter().collect()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ")
}

/// Reads Tera's report of an unknown filter, function, test, component or include back into its parts.
fn unknown_reference(report: &str, engine: &Engine) -> Option<Diagnostic> {
    let (what, rest) = report.trim_start().strip_prefix("error: Unknown ")?.split_once(" `")?;
    let (name, rest) = rest.split_once('`')?;
    let finding = match what {
        "template" => engine.outside(name),
        _ => {
            let hint = near::near(name, KNOWN.iter().copied());
            let help = match hint[..] {
                [] => "templates see only the commit and their parameters: rendering must be repeatable"
                    .to_owned(),
                _ => format!("did you mean `{}`?", hint.join("`, `")),
            };
            Diagnostic::error("TPL002", format!("there is no {what} `{name}`")).help(help)
        }
    };
    let place = rest.split_once("--> ").and_then(|(_, place)| place.lines().next());
    let mut parts = place.unwrap_or_default().rsplitn(3, ':');
    let column = parts.next().and_then(|text| text.trim().parse().ok());
    let line = parts.next().and_then(|text| text.parse().ok());
    match (parts.next(), line, column) {
        (Some(file), Some(line), Some(column)) if file != ONE_OFF => {
            Some(finding.at(engine.path(file), line, column))
        }
        _ => Some(finding),
    }
}

/// Filters and functions worth proposing.
const KNOWN: [&str; 27] = [
    "to_yaml",
    "to_json",
    "indent",
    "nindent",
    "quote",
    "b64encode",
    "sha256",
    "slug",
    "default",
    "upper",
    "lower",
    "trim",
    "replace",
    "length",
    "reverse",
    "split",
    "round",
    "first",
    "last",
    "join",
    "sort",
    "unique",
    "keys",
    "values",
    "file",
    "files",
    "range",
];

/// Refuses to grow beyond [`MAX_OUTPUT`].
struct Limited {
    bytes: Vec<u8>,
    full: bool,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_OUTPUT {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
