//! What `check` found: a summary for people, JSON, SARIF for code scanning, annotations for a pull request.

use std::collections::BTreeMap;

use check::Version;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};
use spec::{Diagnostic, Severity};

use super::{count, plain};

/// Everything that was looked at and found.
#[derive(Default)]
pub struct Checked {
    /// Each spec.
    pub specs: Vec<Looked>,
    /// Versions of Kubernetes that have to take it.
    pub versions: Vec<Version>,
    /// Commit id; `None` where none was found.
    pub revision: Option<String>,
    /// Each finding once, by place.
    pub found: Vec<Diagnostic>,
}

/// A spec that was to be looked at.
pub struct Looked {
    /// Its name.
    pub name: String,
    /// How many objects it makes.
    pub objects: usize,
    /// Whether these are all.
    pub state: State,
}

/// How far a check of a spec came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All of it.
    Complete,
    /// Components could not be rendered.
    Incomplete,
    /// It was not looked at, since another one ran away.
    Unseen,
}

impl Checked {
    /// How many findings weigh this much.
    pub fn count(&self, severity: Severity) -> usize {
        self.found.iter().filter(|finding| finding.severity == severity).count()
    }

    /// For people, who see the end first: notes, warnings, errors, each in the order of their places.
    pub fn gravest_last(&self) -> Vec<Diagnostic> {
        let mut found = self.found.clone();
        found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        found
    }
}

/// Findings in the order of their places, each once: specs that share a template find the same fault, and so
/// do two components of one template.
pub fn unique(found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut unique: Vec<Diagnostic> = Vec::new();
    for finding in found {
        let same = |known: &&mut Diagnostic| {
            known.code == finding.code && known.place == finding.place && known.cause == finding.cause
        };
        match unique
            .iter_mut()
            .find(same)
            .filter(|known| known.place.is_some() || known.object == finding.object)
        {
            Some(known) => also_in(known, finding),
            None => unique.push(finding),
        }
    }
    unique.sort_by(|a, b| a.place.cmp(&b.place));
    unique
}

fn also_in(known: &mut Diagnostic, finding: Diagnostic) {
    known.severity = known.severity.min(finding.severity);
    if let Some(object) = finding.object.filter(|object| Some(object) != known.object.as_ref()) {
        let line = format!("also in {object}");
        if !known.detail.contains(&line) {
            known.detail.push(line);
        }
    }
}

/// For people: what was looked at, and how much was found.
pub fn summary(checked: &Checked) -> String {
    let mut lines: Vec<String> = checked
        .specs
        .iter()
        .map(|Looked { name, objects, state }| match state {
            State::Complete => format!("{name}: {objects} objects"),
            State::Incomplete => {
                format!("{name}: {objects} objects, and components that could not be rendered")
            }
            State::Unseen => format!("{name}: not checked, since rendering was ended"),
        })
        .collect();
    let notes = checked.count(Severity::Note);
    let notes = if notes > 0 { format!(", {}", count(notes, "note")) } else { String::new() };
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    let (errors, warnings) = (count(errors, "error"), count(warnings, "warning"));
    lines.push(format!("{errors}, {warnings}{notes} (Kubernetes {})", versions(checked)));
    lines.join("\n")
}

fn versions(checked: &Checked) -> String {
    let all: Vec<String> = checked.versions.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// For programs.
pub fn json(checked: &Checked) -> Value {
    let specs: Vec<Value> = checked
        .specs
        .iter()
        .map(|Looked { name, objects, state }| {
            json!({"name": name, "objects": objects, "complete": *state == State::Complete})
        })
        .collect();
    let versions: Vec<String> = checked.versions.iter().map(ToString::to_string).collect();
    json!({"items": checked.found, "specs": specs, "kubernetes": versions, "revision": checked.revision})
}

/// The workflow commands of GitHub Actions, which Gitea's runner knows, too.
pub fn github(checked: &Checked) -> String {
    let line = |finding: &Diagnostic| {
        let level = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let mut properties = Vec::new();
        if let Some(place) = &finding.place {
            properties.push(format!("file={}", property(&place.file)));
            properties.push(format!("line={},col={}", place.line, place.column));
        }
        let title = [Some(finding.code), finding.object.as_deref()].into_iter().flatten().collect::<Vec<_>>();
        properties.push(format!("title={}", property(&title.join(" "))));
        format!("::{level} {}::{}", properties.join(","), message(&text(finding)))
    };
    let mut lines: Vec<String> = checked.found.iter().map(line).collect();
    lines.push(summary(checked));
    lines.join("\n")
}

/// Cause, evidence and help, one to a line.
fn text(finding: &Diagnostic) -> String {
    let mut lines = vec![plain(&finding.cause)];
    lines.extend(finding.detail.iter().map(|line| plain(line)));
    lines.extend(finding.help.iter().map(|help| format!("help: {}", plain(help))));
    lines.join("\n")
}

/// A message as workflow commands escape it.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property as workflow commands escape it.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

/// What may not stand in the path of a URI as it is.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b':');

/// SARIF 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0): one run, the codes as its rules.
pub fn sarif(checked: &Checked) -> String {
    let pages = pages();
    let mut rules: Vec<&'static str> = checked.found.iter().map(|finding| finding.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let described: Vec<Value> = rules.iter().map(|code| rule(code, &pages)).collect();
    let results: Vec<Value> = checked
        .found
        .iter()
        .map(|finding| result(finding, rules.iter().position(|code| *code == finding.code)))
        .collect();
    let log = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "mimeo",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": described,
            }},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {"SRCROOT": {"description": {"text": "The root of the repository"}}},
            "properties": {"revision": checked.revision, "kubernetes": versions(checked)},
            "results": results,
        }],
    });
    serde_json::to_string_pretty(&log).unwrap_or_default()
}

/// Code to what it means and what to do, from the page of errors.
fn pages() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let rows = include_str!("../../../../docs/errors.md").lines();
    let row = |line: &'static str| {
        let (code, cells) = line.strip_prefix("| `")?.split_once("` | ")?;
        let mut cells = cells.trim_end_matches([' ', '|']).split(" | ").skip(1);
        Some((code, (cells.next()?, cells.next()?)))
    };
    rows.filter_map(row).collect()
}

fn rule(code: &str, pages: &BTreeMap<&str, (&str, &str)>) -> Value {
    let (meaning, remedy) = pages.get(code).copied().unwrap_or((code, "see docs/errors.md"));
    json!({
        "id": code,
        "shortDescription": {"text": meaning},
        "help": {"text": remedy, "markdown": remedy},
    })
}

fn result(finding: &Diagnostic, rule: Option<usize>) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let mut location = json!({});
    if let Some(place) = &finding.place {
        let mut region = json!({"startLine": place.line.max(1), "startColumn": place.column.max(1)});
        if let Some(snippet) = &finding.snippet {
            region["snippet"] = json!({"text": plain(snippet)});
        }
        let uri = utf8_percent_encode(&place.file, PATH).to_string();
        location["physicalLocation"] =
            json!({"artifactLocation": {"uri": uri, "uriBaseId": "SRCROOT"}, "region": region});
    }
    if let Some(object) = &finding.object {
        location["logicalLocations"] = json!([{"fullyQualifiedName": object}]);
    }
    let place = finding.place.as_ref().map(|place| place.file.as_str()).unwrap_or_default();
    let same = json!([finding.code, place, finding.object, finding.cause]);
    json!({
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": level,
        "message": {"text": text(finding)},
        "locations": [location],
        // Without the line: a finding that only moved is the same one.
        "partialFingerprints": {"mimeo/v1": plan::digest(&same)},
    })
}
