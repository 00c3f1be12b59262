//! One file, one case: every `tests/cases/{spec,render}/*.case` is rendered and compared.
//!
//! A case begins with a line that says what it shows. Then come sections: files of the commit
//! (`-- path/with.slash --`, and `-- NAME:path --` of its sources; with `(escaped)` behind the path `\u{…}` and `\xNN` are
//! read), `-- args --`, and
//! `-- values.yaml --` (what `--values` names), and what is expected: `-- diagnostics --`, or `-- manifests --` and `-- rendered --`, or
//! `-- explained --`.
//! What a case leaves out of `environments/qa.yaml` and `templates/web/` is filled in by the smallest that
//! works. `UPDATE_EXPECT=1` rewrites the expectations.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use render::{Setting, render};
use spec::{Diagnostic, Severity};

mod support;

use support::{Case, cases};

const EXPECTED_SECTIONS: [&str; 4] = ["diagnostics", "explained", "manifests", "rendered"];

/// Name of each expectation to what really came.
fn actual(case: &Case) -> BTreeMap<String, String> {
    let files = case.limited();
    let mut actual = BTreeMap::new();
    if case.section("explained").is_some() {
        let said = match render::explain(&case.request(), &files) {
            Ok(explained) => explained.items.iter().map(line).collect(),
            Err(findings) => show(&findings),
        };
        actual.insert("explained".to_owned(), said);
        return actual;
    }
    match render(&case.request(), &files) {
        Ok((rendered, warnings)) => {
            assert!(warnings.iter().all(|finding| finding.severity == Severity::Warning));
            if !warnings.is_empty() {
                actual.insert("diagnostics".to_owned(), show(&warnings));
            }
            if warnings.is_empty() || case.section("manifests").is_some() {
                actual.insert("manifests".to_owned(), rendered.yaml_stream().unwrap().to_string());
            }
            if case.section("rendered").is_some() {
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

fn check(case: &Case, update: bool) -> Result<(), String> {
    for (name, body) in &case.sections {
        let known = name.contains(['/', ':'])
            || ["args", "values.yaml"].contains(&name.as_str())
            || EXPECTED_SECTIONS.contains(&name.as_str());
        assert!(known, "{}: unknown section {name}", case.path.display());
        let expected = EXPECTED_SECTIONS.contains(&name.as_str());
        assert!(update || !expected || !body.trim().is_empty(), "{}: {name} is empty", case.path.display());
    }
    let actual = actual(case);
    if update {
        let mut text = case.title.clone();
        for (name, body) in
            case.sections.iter().filter(|(name, _)| !EXPECTED_SECTIONS.contains(&name.as_str()))
        {
            write!(text, "-- {name} --\n{body}").unwrap();
        }
        for (name, body) in &actual {
            write!(text, "-- {name} --\n{body}").unwrap();
        }
        std::fs::write(&case.path, text).unwrap();
        return Ok(());
    }
    for name in EXPECTED_SECTIONS {
        let (expected, actual) = (case.section(name), actual.get(name).map(String::as_str));
        if expected != actual {
            let show = |text: Option<&str>| text.unwrap_or("(nothing)\n").to_owned();
            return Err(format!("{name}: expected\n{}but got\n{}", show(expected), show(actual)));
        }
    }
    Ok(())
}

fn line(item: &Setting) -> String {
    let place = item.place.as_ref().map(|place| format!(" {place}")).unwrap_or_default();
    let template = item.template.as_ref().map(|text| format!(" from {text:?}")).unwrap_or_default();
    let secret = if item.secret { " (a reference)" } else { "" };
    format!("{} = {}{secret} | {:?}{place}{template}\n", item.name, item.value, item.origin)
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

fn run(folder: &str) {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    // `CASE=part of a name` runs only the cases it is in.
    let wanted = std::env::var("CASE").unwrap_or_default();
    let failures: Vec<String> = cases(folder)
        .iter()
        .filter(|case| case.path.to_string_lossy().contains(&wanted))
        .filter_map(|case| check(case, update).err().map(|why| format!("{}: {why}", case.path.display())))
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
        // Only a pull request is governed; in governed.rs. What is on this machine; in crates/cli/tests/lock.rs.
        "LCK004", "LCK005", // Of files that no rendering reads; in crates/cli/tests/check.rs.
        "CTR003", // Memory is not counted here; in crates/cli/tests/limits.rs.
        "TPL014",
    ]);
    let mut written = String::new();
    for case in cases("spec").iter().chain(&cases("render")) {
        written.push_str(case.section("diagnostics").unwrap_or_default());
    }
    let mut missing = BTreeSet::new();
    for folder in ["../spec/src", "../spec/src/yaml", "src"] {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                assert!(path.ends_with("src/yaml"), "{} is not looked into", path.display());
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
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
