//! One file, one case: every `tests/cases/{spec,render}/*.case` is rendered and compared.
//!
//! A case begins with a line that says what it shows. Then come sections: files of the commit
//! (`-- path/with.slash --`; with `(escaped)` behind the path `\u{…}` and `\xNN` are read), `-- args --`, and
//! what is expected: `-- diagnostics --`, or `-- manifests --` and `-- rendered --`.
//! What a case leaves out of `environments/qa.yaml` and `templates/web/` is filled in by the smallest that
//! works. `UPDATE_EXPECT=1` rewrites the expectations.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use render::{Request, render};
use spec::{Diagnostic, Files, MemoryFiles, Severity};

const DEFAULTS: [(&str, &str); 3] = [
    (
        "environments/qa.yaml",
        "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: qa}\nspec:\n  components:\n    web: {template: web}\n",
    ),
    (
        "templates/web/template.yaml",
        "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec: {}\n",
    ),
    (
        "templates/web/manifests/all.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\n",
    ),
];

const EXPECTED_SECTIONS: [&str; 3] = ["diagnostics", "manifests", "rendered"];

struct Case {
    path: PathBuf,
    title: String,
    sections: Vec<(String, String)>,
}

impl Case {
    fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut title = String::new();
        let mut sections: Vec<(String, String)> = Vec::new();
        for line in text.split_inclusive('\n') {
            let header = line.trim_end().strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --"));
            match (header, sections.last_mut()) {
                (Some(name), _) => sections.push((name.to_owned(), String::new())),
                (None, Some((_, body))) => body.push_str(line),
                (None, None) => title.push_str(line),
            }
        }
        assert!(!title.trim().is_empty(), "{}: the first line says what the case shows", path.display());
        Self { path, title, sections }
    }

    fn section(&self, name: &str) -> Option<&str> {
        self.sections.iter().find(|(known, _)| known == name).map(|(_, body)| body.as_str())
    }

    fn files(&self) -> MemoryFiles {
        let mut files = MemoryFiles::default();
        for (path, text) in DEFAULTS {
            files.insert(path, text);
        }
        for (name, body) in &self.sections {
            if name.ends_with(" (absent)") {
                let mut kept = MemoryFiles::default();
                let gone = name.trim_end_matches(" (absent)");
                for path in files.list("").unwrap().into_iter().filter(|path| path != gone) {
                    let content = files.read(&path).unwrap().unwrap();
                    kept.insert(path, content);
                }
                files = kept;
            } else if let Some(path) = name.strip_suffix(" (escaped)") {
                files.insert(path, unescape(body));
            } else if name.contains('/') {
                files.insert(name.clone(), body.clone());
            }
        }
        files
    }

    fn request(&self) -> Request {
        let mut request = Request {
            spec: "qa".to_owned(),
            repository: "git.example.com/team/flights".to_owned(),
            ref_name: "main".to_owned(),
            revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            tool_version: "test".to_owned(),
            ..Request::default()
        };
        for line in self.section("args").unwrap_or_default().lines() {
            let (key, value) = line.split_once(' ').unwrap();
            match key {
                "spec" => request.spec = value.to_owned(),
                "root" => request.root = value.to_owned(),
                "ref" => request.ref_name = value.to_owned(),
                "set" => request.set.push(spec::parameter::split_set(value).unwrap()),
                "values" => request.values = Some(serde_json::from_str(value).unwrap()),
                "image" => {
                    let (from, to) = value.split_once(' ').unwrap();
                    request.image_map.insert(from.to_owned(), to.to_owned());
                }
                other => panic!("{}: unknown argument {other}", self.path.display()),
            }
        }
        request
    }

    /// Name of each expectation to what really came.
    fn actual(&self) -> BTreeMap<String, String> {
        let files: Arc<dyn Files> = Arc::new(self.files());
        let mut actual = BTreeMap::new();
        match render(&self.request(), &files) {
            Ok((rendered, warnings)) => {
                assert!(warnings.iter().all(|finding| finding.severity == Severity::Warning));
                if !warnings.is_empty() {
                    actual.insert("diagnostics".to_owned(), show(&warnings));
                }
                if warnings.is_empty() || self.section("manifests").is_some() {
                    actual.insert("manifests".to_owned(), rendered.yaml_stream().unwrap());
                }
                if self.section("rendered").is_some() {
                    let mut rest = rendered;
                    // The others are shown as manifests.
                    rest.objects.retain(|object| object.adopt || !object.overrides.is_empty());
                    actual.insert(
                        "rendered".to_owned(),
                        format!("{}\n", serde_json::to_string_pretty(&rest).unwrap()),
                    );
                }
            }
            Err(findings) => {
                assert!(findings.iter().any(|finding| finding.severity == Severity::Error));
                actual.insert("diagnostics".to_owned(), show(&findings));
            }
        }
        actual
    }

    fn check(&self, update: bool) -> Result<(), String> {
        for (name, body) in &self.sections {
            let known = name.contains('/') || name == "args" || EXPECTED_SECTIONS.contains(&name.as_str());
            assert!(known, "{}: unknown section {name}", self.path.display());
            let expected = EXPECTED_SECTIONS.contains(&name.as_str());
            assert!(
                update || !expected || !body.trim().is_empty(),
                "{}: {name} is empty",
                self.path.display()
            );
        }
        let actual = self.actual();
        if update {
            let mut text = self.title.clone();
            for (name, body) in
                self.sections.iter().filter(|(name, _)| !EXPECTED_SECTIONS.contains(&name.as_str()))
            {
                write!(text, "-- {name} --\n{body}").unwrap();
            }
            for (name, body) in &actual {
                write!(text, "-- {name} --\n{body}").unwrap();
            }
            std::fs::write(&self.path, text).unwrap();
            return Ok(());
        }
        for name in EXPECTED_SECTIONS {
            let (expected, actual) = (self.section(name), actual.get(name).map(String::as_str));
            if expected != actual {
                let show = |text: Option<&str>| text.unwrap_or("(nothing)\n").to_owned();
                return Err(format!("{name}: expected\n{}but got\n{}", show(expected), show(actual)));
            }
        }
        Ok(())
    }
}

fn show(findings: &[Diagnostic]) -> String {
    let mut text = String::new();
    for finding in findings {
        let severity = if finding.severity == Severity::Warning { "warning " } else { "" };
        writeln!(text, "{severity}{finding}").unwrap();
        if let Some(snippet) = &finding.snippet {
            writeln!(text, "  | {}", snippet.escape_debug()).unwrap();
        }
        if let Some(help) = &finding.help {
            writeln!(text, "  help: {help}").unwrap();
        }
    }
    text
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let tail = &rest[at + 1..];
        if let Some(hex) = tail.strip_prefix('x') {
            out.push(u8::from_str_radix(&hex[..2], 16).unwrap());
            rest = &hex[2..];
        } else {
            let (hex, after) = tail.strip_prefix("u{").unwrap().split_once('}').unwrap();
            let character = char::from_u32(u32::from_str_radix(hex, 16).unwrap()).unwrap();
            out.extend_from_slice(character.to_string().as_bytes());
            rest = after;
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn cases(folder: &str) -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases").join(folder);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        assert!(path.extension().is_some_and(|end| end == "case"), "{} is not a case", path.display());
    }
    assert!(!paths.is_empty(), "no cases in {folder}");
    paths.into_iter().map(Case::read).collect()
}

fn run(folder: &str) {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    // `CASE=part of a name` runs only the cases it is in.
    let wanted = std::env::var("CASE").unwrap_or_default();
    let failures: Vec<String> = cases(folder)
        .iter()
        .filter(|case| case.path.to_string_lossy().contains(&wanted))
        .filter_map(|case| case.check(update).err().map(|why| format!("{}: {why}", case.path.display())))
        .collect();
    assert!(
        failures.is_empty(),
        "{}\n{} failed; UPDATE_EXPECT=1 rewrites",
        failures.join("\n"),
        failures.len()
    );
}

#[test]
fn spec_cases() {
    run("spec");
}

#[test]
fn render_cases() {
    run("render");
}

/// Every code in the sources of `spec` and `render` has a case, unless it is listed with its reason.
#[test]
fn every_code_has_a_case() {
    let elsewhere = BTreeSet::from([
        // Cannot come out of files in memory; in crates/source/tests.
        "GIT006", "GIT007", "GIT009", "GIT011", "GIT012",
        // `--set` is split by the command line; in spec::parameter.
        "SPC012",
    ]);
    let mut written = String::new();
    for case in cases("spec").iter().chain(&cases("render")) {
        written.push_str(case.section("diagnostics").unwrap_or_default());
    }
    let mut missing = BTreeSet::new();
    for folder in ["../spec/src", "src"] {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for quoted in text.split('"').skip(1).step_by(1) {
                let digits = quoted.trim_start_matches(|c: char| c.is_ascii_uppercase());
                let is_code = quoted.len() == digits.len() + 3
                    && digits.len() == 3
                    && digits.bytes().all(|b| b.is_ascii_digit());
                if is_code && !elsewhere.contains(quoted) && !written.contains(&format!("{quoted}: ")) {
                    missing.insert(quoted.to_owned());
                }
            }
        }
    }
    assert!(missing.is_empty(), "no case shows {missing:?}");
}
