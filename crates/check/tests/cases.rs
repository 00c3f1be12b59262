//! One file, one case: every `tests/cases/check/*.case` is rendered and checked, and what is found is compared.
//!
//! A case begins with a line that says what it shows. Then come sections: files of the commit
//! (`-- path/with.slash --`), `-- args --`, and what is expected, `-- findings --`. What a case leaves out of
//! `environments/qa.yaml` and `templates/web/` is filled in by the smallest that works.
//! `UPDATE_EXPECT=1` rewrites the expectations, `CASE=part of a name` runs only some.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod defaults;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use check::{Question, Version, check, rules};
use render::{Request, render, survey};
use spec::{Diagnostic, Severity};
use testkit::CaseFile;

const FINDINGS: &str = "findings";

/// A case, and how it is rendered.
struct Case(CaseFile);

impl Case {
    fn findings(&self) -> Option<&str> {
        self.0.section(FINDINGS)
    }

    fn versions(&self) -> Vec<Version> {
        let args = self.0.section("args").unwrap_or_default();
        let mut given = args.lines().map(|line| line.strip_prefix("kubernetes ").unwrap());
        given.next_back().map_or(vec![Version::NEWEST], |text| Version::range(text).unwrap())
    }

    /// What is found, as text.
    fn actual(&self) -> String {
        let request = defaults::request();
        let files = defaults::files(&self.0);
        let survey = survey(&request, &files);
        let other = Request { ref_name: "other".to_owned(), ..request };
        let twin = render(&other, &files).ok().map(|(twin, _)| twin);
        let mut found = survey.found;
        found.extend(rules(&survey.denied, survey.rendered.as_ref(), &self.versions()));
        if let Some(rendered) = &survey.rendered {
            let question = Question {
                rendered,
                complete: survey.complete,
                twin: twin.as_ref(),
                versions: &self.versions(),
            };
            found.extend(check(&question));
        }
        show(&found)
    }

    fn check(&self, update: bool) -> Result<(), String> {
        let actual = self.actual();
        if update {
            let mut text = self.0.title.clone();
            for (name, body) in self.0.sections.iter().filter(|(name, _)| name != FINDINGS) {
                write!(text, "-- {name} --\n{body}").unwrap();
            }
            write!(text, "-- {FINDINGS} --\n{actual}").unwrap();
            std::fs::write(&self.0.path, text).unwrap();
            return Ok(());
        }
        match self.findings() {
            Some(expected) if expected == actual => Ok(()),
            expected => Err(format!("expected\n{}but got\n{actual}", expected.unwrap_or("(nothing)\n"))),
        }
    }
}

fn show(findings: &[Diagnostic]) -> String {
    let mut text = String::new();
    for finding in findings {
        let severity = match finding.severity {
            Severity::Error => "",
            Severity::Warning => "warning ",
            Severity::Note => "note ",
        };
        writeln!(text, "{severity}{finding}").unwrap();
        if let Some(snippet) = &finding.snippet {
            writeln!(text, "  | {}", snippet.escape_debug()).unwrap();
        }
        if let Some(help) = &finding.help {
            writeln!(text, "  help: {help}").unwrap();
        }
    }
    if text.is_empty() { "none\n".to_owned() } else { text }
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = CaseFile::all("check").unwrap().into_iter().map(Case).collect();
    assert!(cases.len() > 80, "only {} cases", cases.len());
    for case in &cases {
        for (name, _) in &case.0.sections {
            let known = name.contains('/') || name == "args" || name == FINDINGS;
            assert!(known, "{}: unknown section {name}", case.0.path.display());
        }
    }
    cases
}

#[test]
fn check_cases() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let wanted = std::env::var("CASE").unwrap_or_default();
    let failures: Vec<String> = cases()
        .iter()
        .filter(|case| case.0.name().contains(&wanted))
        .filter_map(|case| case.check(update).err().map(|why| format!("{}: {why}", case.0.path.display())))
        .collect();
    assert!(
        failures.is_empty(),
        "{}\n{} failed; UPDATE_EXPECT=1 rewrites",
        failures.join("\n"),
        failures.len()
    );
}

/// Every code in the sources of `check` has a case that shows it, and one in whose name is `ok` that has no
/// finding stands beside the rules of `lint`.
#[test]
fn every_code_has_a_case() {
    let cases = cases();
    let written: String = cases.iter().filter_map(|case| case.findings()).collect();
    let mut missing = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let codes = text.split("error(\"").skip(1).filter_map(|rest| rest.split('"').next());
            // Said of an argument, not of a file.
            missing.extend(
                codes
                    .filter(|code| *code != "ARG010" && !written.contains(&format!("{code}: ")))
                    .map(str::to_owned),
            );
            let rule = path.file_stem().unwrap().to_string_lossy().into_owned();
            let is_rule = path.parent().unwrap().ends_with("lint") && rule != "mod";
            let ok = |case: &&Case| {
                let name = case.0.name();
                name.starts_with(&rule) && name.ends_with("-ok") && case.findings() == Some("none\n")
            };
            if is_rule && !cases.iter().any(|case| ok(&case)) {
                missing.insert(format!("{rule}*-ok.case"));
            }
        }
    }
    assert!(missing.is_empty(), "no case shows {missing:?}");
}
