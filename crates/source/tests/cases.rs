//! What is wrong with a revision, a URL or a tree: one file of `tests/cases/git`, one case.
//!
//! A case begins with a line that says what it shows. `-- fast-import --` is the stream from which git makes the
//! repository (`{REPEAT 3 ab}` stands for `ababab`), `-- config --` are lines for `git config`, and `-- asked --` is
//! one line: `open LOCATION`, `resolve REV|- [NAME]`, `identity`, `read PATH`, `list FOLDER`. `-- answer --` is what
//! comes back; there `REPO` is the folder of the repository. `UPDATE_EXPECT=1` rewrites the answers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use source::Repository;
use spec::{Diagnostic, Files};
use tempfile::TempDir;
use testkit::CaseFile;

const SECTIONS: [&str; 4] = ["fast-import", "config", "asked", "answer"];

fn git(folder: &Path, arguments: &[&str], input: &[u8]) {
    let mut child = Command::new("git")
        .args(["-c", "init.defaultBranch=main", "-c", "core.protectNTFS=false"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// With every `{REPEAT COUNT TEXT}` written out.
fn repeated(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{REPEAT ") {
        let (inside, behind) = after.split_once('}').unwrap();
        let (count, word) = inside.split_once(' ').unwrap();
        out += before;
        out += &word.repeat(count.parse().unwrap());
        rest = behind;
    }
    out + rest
}

fn repository(case: &CaseFile, folder: &Path) {
    git(folder, &["init", "--quiet"], b"");
    for line in case.section("config").unwrap_or_default().lines() {
        let (name, value) = line.split_once(' ').unwrap();
        git(folder, &["config", name, value], b"");
    }
    if let Some(stream) = case.section("fast-import") {
        git(folder, &["fast-import", "--quiet"], repeated(stream).as_bytes());
    }
}

/// A finding in one line and those below it that belong to it.
fn shown(finding: &Diagnostic) -> String {
    let mut lines = vec![format!("{finding}")];
    lines.extend(finding.detail.iter().map(|detail| format!("  {detail}")));
    lines.extend(finding.help.iter().map(|help| format!("  help: {help}")));
    lines.join("\n")
}

fn answer(asked: &str, folder: &Path) -> String {
    let (verb, rest) = asked.split_once(' ').unwrap_or((asked, ""));
    let cache = folder.join("cache");
    let location = if verb == "open" { rest.replace("\\n", "\n") } else { folder.display().to_string() };
    let answered = Repository::open(Some(&location), &cache).and_then(|repository| {
        let tree =
            || repository.resolve(Some("main"), None).and_then(|found| repository.tree(&found.revision));
        Ok(match verb {
            "open" => format!("opened {}", repository.label()),
            "resolve" => {
                let mut words = rest.split(' ');
                let rev = words.next().filter(|rev| *rev != "-");
                let found = repository.resolve(rev, words.next())?;
                format!("{} {}", found.revision, found.ref_name)
            }
            "identity" => repository.identity(None)?,
            "read" => match tree()?.read(rest)? {
                Some(content) => format!("{} bytes", content.len()),
                None => "no such file".to_owned(),
            },
            "list" => tree()?.list(rest)?.join("\n"),
            other => panic!("{other} is nothing that can be asked"),
        })
    });
    let text = answered.unwrap_or_else(|error| shown(&error.diagnostic()));
    text.replace(&folder.canonicalize().unwrap().display().to_string(), "REPO") + "\n"
}

#[test]
fn every_case_is_answered_as_it_says() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let cases = CaseFile::all("git").unwrap();
    assert!(cases.len() >= 30, "{} cases", cases.len());
    let mut failures = Vec::new();
    for case in cases {
        for (name, _) in &case.sections {
            assert!(SECTIONS.contains(&name.as_str()), "{}: unknown section {name}", case.path.display());
        }
        let folder = TempDir::new().unwrap();
        repository(&case, folder.path());
        let found = answer(case.section("asked").unwrap().trim_end_matches('\n'), folder.path());
        let expected = case.section("answer").unwrap_or_default();
        if found == expected {
            continue;
        }
        if update {
            let text = std::fs::read_to_string(&case.path).unwrap();
            let kept = text.split("-- answer --").next().unwrap();
            std::fs::write(&case.path, format!("{kept}-- answer --\n{found}")).unwrap();
        } else {
            failures.push(format!("{}\nexpected:\n{expected}found:\n{found}", case.path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
