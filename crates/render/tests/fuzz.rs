//! The functions that `make soak` fuzzes, here on what is committed: the corpus, every file of every case, and
//! small seeded changes to them. `MIMEO_SEED` chooses other changes, `MIMEO_SOAK` makes thirty times as many.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::Path;

use spec::Files;

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;
mod support;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 3] =
    [("spec", fuzz::spec), ("yaml", fuzz::yaml), ("template", fuzz::template)];

/// Pieces that mean something to YAML or Tera.
const PIECES: [&str; 40] = [
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "---\n",
    "\n",
    "\t",
    "  ",
    ": ",
    "- ",
    "? ",
    "| ",
    ">-\n",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "!x ",
    "%YAML 1.2\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "\\",
    "#",
    "~",
    "0644",
    "yes",
    ".inf",
    "1e999",
    "\u{feff}",
    "\u{202e}",
    "\u{0}",
    "é",
    "{{ params.n }}",
    "{% for x in params.list %}{% endfor %}",
];

/// Small and good enough to choose places; the numbers only have to be the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() >= 10, "{target} has a corpus of {}", files.len());
    files
}

/// What the cases hold for a target.
fn from_cases(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut inputs = Vec::new();
    for case in support::cases("spec").iter().chain(&support::cases("render")) {
        let files = case.files();
        for path in files.list("").unwrap() {
            let fits = match target {
                "spec" => path == "environments/qa.yaml",
                "template" => path.contains("/manifests/"),
                _ => path.ends_with(".yaml"),
            };
            if let Some(text) = files.read(&path).unwrap().filter(|_| fits) {
                inputs.push((format!("{}: {path}", case.path.display()), text));
            }
        }
    }
    inputs.sort();
    inputs.dedup_by(|a, b| a.1 == b.1);
    inputs
}

fn change(input: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..=random.below(3) {
        let from = random.below(out.len() + 1);
        let to = (from + random.below(12)).min(out.len());
        match random.below(4) {
            0 => drop(out.drain(from..to)),
            1 => {
                let copy = out[from..to].to_vec();
                out.splice(from..from, copy);
            }
            2 => drop(out.splice(from..to, PIECES[random.below(PIECES.len())].bytes())),
            _ => drop(out.splice(from..from, PIECES[random.below(PIECES.len())].bytes())),
        }
    }
    out
}

fn tried(name: &str, input: &[u8], target: Target) {
    if std::panic::catch_unwind(|| target(input)).is_err() {
        let shown = String::from_utf8_lossy(input);
        unreachable!("{name} breaks it; see the panic above. The input:\n{}", shown.escape_debug());
    }
}

#[test]
fn the_corpus_breaks_nothing() {
    for (name, target) in TARGETS {
        for (path, input) in corpus(name).into_iter().chain(from_cases(name)) {
            tried(&path, &input, target);
        }
    }
}

#[test]
fn small_changes_break_nothing() {
    let seed: u64 = std::env::var("MIMEO_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let rounds = if std::env::var_os("MIMEO_SOAK").is_some() { 100 } else { 3 };
    let mut random = Random(seed);
    for (name, target) in TARGETS {
        for (path, input) in corpus(name).into_iter().chain(from_cases(name)) {
            // The bombs are tried as they are; changed they only cost time.
            if input.len() > 10_000 || path.contains("bomb") {
                continue;
            }
            for _ in 0..rounds {
                tried(&format!("a change to {path}"), &change(&input, &mut random), target);
            }
        }
    }
}
