//! The JSON Schemas against the parser: every file of every case, and every shipped one, goes through both.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jsonschema::Validator;
use serde_json::{Value, json};
use spec::{Diagnostic, Files, Severity, schema};

mod support;

use support::cases;

/// What a schema cannot know about one file: codes with which the parser refuses what the schema accepts, or the
/// one file of a case.
const OUT_OF_SIGHT: [(&str, &str); 43] = [
    ("extends-removes-template: environments/qa.yaml", "whether what is removed was needed"),
    ("extends-removes-type: environments/qa.yaml", "whether what is removed was needed"),
    ("CTR001", "which contracts there are stands in other files"),
    ("CTR002", "the outputs of a contract stand in another file"),
    ("ENV001", "a duration of zero, or beyond ten years, has the form of one"),
    ("SPC006", "a schema does not know the file's name"),
    ("SPC007", "what the other specs extend stands there"),
    ("SPC008", "which specs there are is not in the file"),
    ("SPC009", "a template's parameters stand in its own file"),
    ("SPC010", "whether a value is given is seen only at the end"),
    ("SPC011", "fields of a declaration that contradict each other"),
    ("SPC014", "values are judged by declarations, which are data"),
    ("SPC015", "which templates there are is not in the file"),
    ("SPC026", "the form of a field's path is a grammar of its own"),
    ("SPC027", "what the component renders is not in the file"),
    ("SPC016", "components may come from a spec that extends this one"),
    ("SPC017", "whether a component exists is said elsewhere in the file"),
    ("SPC018", "what a component provides stands in its template"),
    ("SPC028", "the forms of a url and of a ref, and whether a name is given twice"),
    ("sources-no-ref: environments/qa.yaml", "what is left out may come from the spec this one extends"),
    ("sources-no-url: environments/qa.yaml", "what is left out may come from the spec this one extends"),
    ("TPL009", "which files there are"),
    ("data-where: environments/qa.yaml", "the inside of SQL"),
    ("gates-sql: environments/qa.yaml", "the inside of SQL"),
    ("gate-name: environments/qa.yaml", "a name may be rendered"),
    ("borrowed-limited: environments/qa.yaml", "two fields that exclude each other"),
    ("borrowed-isolated: environments/qa.yaml", "two fields that exclude each other"),
    ("SPC029", "what is not carried out yet has its place in the schema"),
    ("LCK001", "the lock is another file"),
    ("LCK002", "the lock is another file"),
    ("SPC025", "moves are judged by the components, and by one another"),
    ("TPL001", "the inside of strings"),
    ("TPL003", "how long a template runs"),
    ("TPL013", "which Jobs are rendered"),
    ("TPL021", "which groups are Kubernetes' own, and which kind has a rule already"),
    ("TPL022", "the inside of expressions"),
    ("WIR001", "wiring"),
    ("WIR002", "wiring"),
    ("WIR003", "wiring"),
    ("WIR004", "wiring"),
    ("WIR005", "wiring"),
    ("WIR006", "wiring"),
    ("WIR007", "wiring"),
];

/// Cases whose files say nearly everything that can be said, for [`mutants`].
const RICH: [&str; 13] = [
    "spec/sources",
    "spec/wired",
    "spec/extends",
    "spec/policy",
    "spec/values-order",
    "spec/not-carried-out",
    "spec/generates",
    "spec/needs",
    "spec/moved-swap",
    "spec/policy-deny-forms",
    "spec/health-rules",
    "render/hooks",
    "render/passthrough",
];

struct Schemas(BTreeMap<&'static str, Validator>, Validator);

impl Schemas {
    fn new() -> Self {
        let of = |kind: &str| jsonschema::draft7::new(&schema::of(kind).unwrap()).unwrap();
        let each = schema::KINDS.into_iter().map(|kind| (kind, of(kind))).collect();
        Self(each, jsonschema::draft7::new(&schema::any()).unwrap())
    }

    /// What the schema says against a file; `None` when it is no YAML, so that no schema sees it.
    fn refusals(&self, path: &str, text: &[u8]) -> Option<Vec<String>> {
        let text = std::str::from_utf8(text).ok()?;
        let value = spec::yaml::parse(path, text).ok()?.to_value();
        let errors = self.0[kind_of(path)?].iter_errors(&value);
        let told: Vec<String> = errors.map(|error| format!("{}: {error}", error.instance_path())).collect();
        if value["kind"] == kind_of(path)? {
            assert_eq!(self.1.is_valid(&value), told.is_empty(), "{path}: the schema for all kinds differs");
        }
        Some(told)
    }
}

fn kind_of(path: &str) -> Option<&'static str> {
    let parent = Path::new(path).parent()?.to_str()?;
    if path.ends_with("/template.yaml") && parent.contains("templates/") {
        Some("Template")
    } else if parent.ends_with("environments") && path.ends_with(".lock.yaml") {
        Some("EnvironmentLock")
    } else if parent.ends_with("environments") && path.ends_with(".yaml") {
        Some("EnvironmentSpec")
    } else if parent.ends_with("contracts") {
        Some("Contract")
    } else {
        None
    }
}

/// Findings of the whole rendering, and of every file that may not have been reached.
fn findings(case: &support::Case, files: &Arc<dyn Files>) -> Vec<Diagnostic> {
    let request = case.request();
    let mut found = match render::render(&request, files) {
        Ok((_, warnings)) => warnings,
        Err(findings) => findings,
    };
    for path in files.list("").unwrap() {
        if kind_of(&path) != Some("Template") {
            continue;
        }
        let folder = path.strip_suffix("/template.yaml").unwrap();
        let (root, name) = folder.rsplit_once("templates/").unwrap();
        let root = root.trim_end_matches('/');
        found.extend(spec::template::load(&**files, root, name).err().into_iter().flatten());
    }
    found.retain(|finding| finding.severity == Severity::Error);
    found
}

#[test]
fn what_the_parser_accepts_the_schema_accepts() {
    let schemas = Schemas::new();
    let (mut both_refuse, mut both_accept, mut wrong) = (0, 0, Vec::new());
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for case in cases("spec").iter().chain(&cases("render")) {
        let files = case.limited();
        let found = findings(case, &files);
        let name = case.name();
        for path in files.list("").unwrap() {
            let Some(text) = files.read(&path).unwrap() else { continue };
            let Some(refusals) = schemas.refusals(&path, &text) else { continue };
            let codes: BTreeSet<&str> = found
                .iter()
                .filter(|finding| finding.place.as_ref().is_some_and(|place| place.file == path))
                .map(|finding| finding.code)
                .collect();
            let at = format!("{name}: {path}");
            match (codes.is_empty(), refusals.is_empty()) {
                (true, true) => both_accept += 1,
                (true, false) => {
                    wrong.push(format!("{at}: accepted, but the schema says {refusals:?}"));
                }
                (false, true) => {
                    for code in codes {
                        seen.extend([code.to_owned(), at.clone()]);
                        if !OUT_OF_SIGHT.iter().any(|(known, _)| *known == code || *known == at) {
                            wrong.push(format!("{at}: {code}, but the schema says nothing"));
                        }
                    }
                }
                (false, false) => both_refuse += 1,
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{} differ", wrong.join("\n"), wrong.len());
    let unused = OUT_OF_SIGHT.iter().filter(|(known, _)| !seen.contains(*known));
    assert_eq!(unused.collect::<Vec<_>>(), [] as [&(&str, &str); 0], "these are seen by now");
    assert!(both_refuse > 25 && both_accept > 150, "{both_refuse} refused by both, {both_accept} accepted");
}

/// Puts every value of a tree in turn in the place of something else, and takes every entry away.
fn mutants(value: &Value) -> Vec<Value> {
    let odd = [json!(null), json!("x"), json!(3), json!(true), json!([]), json!({}), json!("{{ env.id }}")];
    let mut all: Vec<Value> = odd.into_iter().filter(|other| other != value).collect();
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let mut less = map.clone();
                less.shift_remove(key);
                all.push(Value::Object(less));
                for mutant in mutants(inner) {
                    let mut other = map.clone();
                    other.insert(key.clone(), mutant);
                    all.push(Value::Object(other));
                }
            }
            let mut more = map.clone();
            more.insert("other".to_owned(), json!("x"));
            all.push(Value::Object(more));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for mutant in mutants(item) {
                    let mut other = items.clone();
                    other[index] = mutant;
                    all.push(Value::Array(other));
                }
            }
        }
        _ => {}
    }
    all
}

/// What the whole rendering accepts, the schema accepts; by thousands of small changes to what is right.
/// A fifth of them runs unless `MIMEO_SOAK` is set; `MIMEO_SEED` says which.
#[test]
fn a_changed_file_that_renders_is_accepted() {
    let schemas = Schemas::new();
    let seed: usize = std::env::var("MIMEO_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let step = if std::env::var_os("MIMEO_SOAK").is_some() { 1 } else { 5 };
    let (mut rendered, mut refused, mut wrong) = (0, 0, Vec::new());
    for name in RICH {
        let (folder, stem) = name.split_once('/').unwrap();
        let all = cases(folder);
        let case = all.iter().find(|case| case.name() == stem).unwrap();
        let files = case.files();
        // Where another spec removes or replaces a part, a base may say anything there: the one exception.
        let judged = |path: &String| kind_of(path).is_some() && !path.ends_with("/base.yaml");
        for path in files.list("").unwrap().into_iter().filter(judged) {
            let text = files.read(&path).unwrap().unwrap();
            let value = spec::yaml::parse(&path, std::str::from_utf8(&text).unwrap()).unwrap().to_value();
            for mutant in mutants(&value).into_iter().skip(seed % step).step_by(step) {
                let text = spec::yaml::to_yaml(&mutant).unwrap();
                let mut files = files.clone();
                files.insert(path.clone(), text.clone());
                let files = case.opened(files);
                if !findings(case, &files).is_empty() {
                    refused += 1;
                    continue;
                }
                rendered += 1;
                let refusals = schemas.refusals(&path, text.as_bytes()).unwrap_or_default();
                if !refusals.is_empty() {
                    wrong.push(format!("{name}: {path}: {refusals:?}\n{text}"));
                }
            }
        }
    }
    eprintln!("{rendered} changed files render, {refused} do not");
    assert!(wrong.is_empty(), "{}\n{} differ", wrong.join("\n"), wrong.len());
    assert!(rendered * step > 100, "only {rendered} of the changed files render");
}
