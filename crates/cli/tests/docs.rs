//! The documentation against the sources: every code has a row, every row has a code, every link leads somewhere, every
//! command and every flag exists.

#![allow(clippy::panic, reason = "in a test a panic is the finding")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files of one extension below a folder, sorted.
fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|known| known == extension) {
            found.push(path);
        }
    }
}

/// What looks like a code and is none.
const NO_CODES: [&str; 3] = ["SHA256", "SHA384", "SHA512"];

/// Two to four capitals and three digits.
fn is_code(word: &str) -> bool {
    let capitals = word.bytes().take_while(u8::is_ascii_uppercase).count();
    !NO_CODES.contains(&word)
        && (2..=4).contains(&capitals)
        && word.len() == capitals + 3
        && word.bytes().skip(capitals).all(|byte| byte.is_ascii_digit())
}

/// Where a quoted run that begins behind `start` ends: behind its quote.
fn end_of_quoted(text: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start;
    while at < text.len() && text[at] != quote {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The inside of every string literal of a Rust file, with its line. Comments, characters and lifetimes are skipped.
fn literals(source: &str) -> Vec<(usize, String)> {
    let text = source.as_bytes();
    let rest = |at: usize| text.get(at..).unwrap_or_default();
    let find = |from: usize, wanted: &str| {
        rest(from)
            .windows(wanted.len())
            .position(|window| window == wanted.as_bytes())
            .map(|offset| from + offset)
    };
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let in_word = at > 0 && (text[at - 1].is_ascii_alphanumeric() || text[at - 1] == b'_');
        // `r"…"` and `br#"…"#`; `r#name` is no literal.
        let raw = rest(at).strip_prefix(b"b").unwrap_or(rest(at)).strip_prefix(b"r").filter(|_| !in_word);
        let hashes = raw.map_or(0, |raw| raw.iter().take_while(|byte| **byte == b'#').count());
        let (start, end, next) = if rest(at).starts_with(b"//") {
            at = find(at, "\n").unwrap_or(text.len());
            continue;
        } else if rest(at).starts_with(b"/*") {
            at = find(at + 2, "*/").map_or(text.len(), |end| end + 2);
            continue;
        } else if raw.is_some_and(|raw| raw.get(hashes) == Some(&b'"')) {
            let start = find(at, "\"").map_or(text.len(), |quote| quote + 1);
            let close = format!("\"{}", "#".repeat(hashes));
            let end = find(start, &close).unwrap_or(text.len());
            (start, end, end + close.len())
        } else if text[at] == b'"' {
            let next = end_of_quoted(text, at + 1, b'"');
            (at + 1, next - 1, next)
        } else if text[at] == b'\'' && text.get(at + 1) == Some(&b'\\') {
            at = end_of_quoted(text, at + 1, b'\'');
            continue;
        } else if text[at] == b'\'' {
            // A character, of one to four bytes, or the quote of a lifetime.
            let length = source[at + 1..].chars().next().map_or(1, char::len_utf8);
            at += if text.get(at + 1 + length) == Some(&b'\'') { length + 2 } else { 1 };
            continue;
        } else {
            at += 1;
            continue;
        };
        let end = end.min(text.len());
        let line = 1 + text[..start.min(end)].iter().filter(|byte| **byte == b'\n').count();
        found.push((line, source.get(start..end).unwrap_or_default().to_owned()));
        at = next;
    }
    found
}

/// Every code in a string literal of the sources (the test kit prints nothing to users), with the first place it
/// stands at.
fn codes_of_the_sources() -> BTreeMap<String, String> {
    let root = root();
    let mut sources = Vec::new();
    for entry in fs::read_dir(root.join("crates")).expect("the crates") {
        let folder = entry.expect("a crate").path().join("src");
        if folder.is_dir() && !folder.ends_with("testkit/src") {
            files(&folder, "rs", &mut sources);
        }
    }
    assert!(sources.len() > 50, "only {} source files", sources.len());
    sources.sort();
    let mut codes = BTreeMap::new();
    for path in sources {
        let shown = path.strip_prefix(&root).expect("a path below the root").display().to_string();
        for (line, literal) in literals(&read(&path)) {
            for word in
                literal.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| is_code(word))
            {
                codes.entry(word.to_owned()).or_insert_with(|| format!("{shown}:{line}"));
            }
        }
    }
    codes
}

/// The code that each row of `docs/errors.md` begins with, and how many rows it has.
fn codes_of_the_page() -> BTreeMap<String, usize> {
    let mut codes = BTreeMap::new();
    for line in read(&root().join("docs/errors.md")).lines() {
        let Some(row) = line.strip_prefix("| `") else { continue };
        let Some((code, cells)) = row.split_once("` |") else { continue };
        if !is_code(code) {
            continue;
        }
        let cells: Vec<&str> = cells.trim_end_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "a cell is missing: {line}");
        *codes.entry(code.to_owned()).or_insert(0) += 1;
    }
    codes
}

#[test]
fn every_code_has_one_row_and_every_row_a_code() {
    let (sources, page) = (codes_of_the_sources(), codes_of_the_page());
    assert!(sources.len() > 100, "only {} codes found in the sources", sources.len());
    let missing: Vec<String> = sources
        .iter()
        .filter(|(code, _)| !page.contains_key(*code))
        .map(|(code, place)| format!("{code} ({place})"))
        .collect();
    assert!(missing.is_empty(), "codes without a row in docs/errors.md: {missing:?}");
    let unknown: Vec<&String> = page.keys().filter(|code| !sources.contains_key(*code)).collect();
    assert!(unknown.is_empty(), "rows of docs/errors.md whose code nothing prints: {unknown:?}");
    let twice: Vec<&String> = page.iter().filter(|(_, rows)| **rows > 1).map(|(code, _)| code).collect();
    assert!(twice.is_empty(), "more than one row in docs/errors.md: {twice:?}");
}

#[test]
fn the_pages_name_no_code_that_is_not_there() {
    let sources = codes_of_the_sources();
    let family = |code: &str| code.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let families: BTreeSet<String> = sources.keys().map(|code| family(code)).collect();
    for path in pages() {
        for word in read(&path).split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_code(word)) {
            let known = sources.contains_key(word) || !families.contains(&family(word));
            assert!(known, "{}: nothing prints {word}", path.display());
        }
    }
}

/// The pages whose links are checked.
fn pages() -> Vec<PathBuf> {
    let root = root();
    let mut pages = Vec::new();
    files(&root.join("docs"), "md", &mut pages);
    assert!(pages.len() >= 4, "docs/ has {} pages", pages.len());
    pages.extend(
        ["README.md", "ARCHITECTURE.md"]
            .map(|name| root.join(name))
            .into_iter()
            .filter(|page| page.is_file()),
    );
    pages
}

/// A page without its fenced code.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// Anchors of a page's headings, as forges make them.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut checked = 0;
    for page in pages() {
        let text = prose(&read(&page));
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap_or_default().trim_matches(['<', '>']);
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            assert!(path.exists(), "{}: {target} leads nowhere", page.display());
            if !anchor.is_empty() && path.extension().is_some_and(|extension| extension == "md") {
                assert!(
                    anchors(&read(&path)).iter().any(|known| known == anchor),
                    "{}: {target} has no such heading",
                    page.display()
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} links found");
}

/// The program explains a command instead of running it; it refuses words that it does not know.
fn refusal(words: &[&str]) -> Option<String> {
    let said = Command::new(env!("CARGO_BIN_EXE_mimeo")).args(words).arg("--help").output().expect("mimeo");
    (!said.status.success()).then(|| String::from_utf8_lossy(&said.stderr).into_owned())
}

/// The commands of a page's fenced code, without prompt and comment.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let fenced = text.split("```").skip(1).step_by(2);
    let lines = fenced.flat_map(str::lines).map(|line| line.trim_start_matches("$ "));
    let calls = lines.filter_map(|line| line.strip_prefix("mimeo "));
    calls.map(|call| call.split(" #").next().unwrap_or(call).split_whitespace().collect()).collect()
}

#[test]
fn every_command_of_the_pages_exists() {
    let mut checked = 0;
    for page in pages() {
        for words in commands(&read(&page)) {
            let refused = refusal(&words);
            assert!(refused.is_none(), "{}: mimeo {}: {refused:?}", page.display(), words.join(" "));
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} commands found");
    assert!(refusal(&["gc", "--nonsense"]).is_some() && refusal(&["nonsense"]).is_some());
}

#[test]
fn the_jobs_for_ci_are_short_and_their_commands_exist() {
    let mut jobs = Vec::new();
    files(&root().join("pipelines/ci"), "yml", &mut jobs);
    assert_eq!(jobs.len(), 2);
    for job in jobs {
        let text = read(&job);
        let lines = text.lines().count();
        assert!(lines <= 20, "{}: {lines} lines", job.display());
        // The pull request's own code must not come near the token.
        assert!(
            ![" uses:", "{uses:"].iter().any(|word| text.contains(word)),
            "{}: runs other code",
            job.display()
        );
        let calls: Vec<Vec<&str>> = text
            .lines()
            .filter_map(|line| line.split_once("run: mimeo ")?.1.strip_suffix('}'))
            .map(|call| call.split_whitespace().collect())
            .collect();
        let names: BTreeSet<&str> = calls.iter().filter_map(|words| words.first().copied()).collect();
        assert_eq!(names, BTreeSet::from(["gc", "preview"]), "{}", job.display());
        for words in calls {
            let refused = refusal(&words);
            assert!(refused.is_none(), "{}: mimeo {}: {refused:?}", job.display(), words.join(" "));
        }
    }
}

#[test]
fn literals_are_told_from_the_rest() {
    let source = concat!(
        "// \"AA001\"\n/* \"AA002\" */ let a = \"AA003: \\\"x\\\" AA004\";\n",
        "let c = ['\"', '\\'', 'ü']; fn f<'a>(_: &'a str) { g(\"AA005\") }\n",
        "let r = r#\"AA006 \" AA007\"#; let r#type = \"\"; let b = br\"AA008\";\n",
    );
    let found = literals(source);
    let words: Vec<&str> = found
        .iter()
        .flat_map(|(_, literal)| literal.split(|c: char| !c.is_ascii_alphanumeric()))
        .filter(|word| is_code(word))
        .collect();
    assert_eq!(words, ["AA003", "AA004", "AA005", "AA006", "AA007", "AA008"]);
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4, 4, 4]);
    for word in ["A001", "AAAAA001", "AA01", "AA0001", "aa001", "AA001x", "AA00A"] {
        assert!(!is_code(word), "{word}");
    }
}
