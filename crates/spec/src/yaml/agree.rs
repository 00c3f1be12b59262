//! What is read quickly is what the general parser reads.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;

use super::general_documents;
use super::quick::documents;

/// What both parsers make of a text; true when it was read here.
fn agrees(text: &str) -> bool {
    if crate::yaml::check_characters("f", text).is_err() {
        return false;
    }
    let Some(quick) = documents(text) else { return false };
    let general = general_documents("f", text).unwrap_or_else(|finding| panic!("{finding}\n{text}"));
    assert_eq!(quick, general, "{text}");
    true
}

#[test]
fn usual_manifests_are_read_here() {
    for text in [
        "a: 1\n",
        "# c\n---\na: 1\n---\n# only a comment\n---\n\nb: 2",
        "a:\n- x\n- k: v\n  l: [a, 'b c', \"d\\n\", -f, 1.5, 8080:80]\nb: {c: {d: [], e: {}}, f: null}\n",
        "a: |\n  x\n\n    y \n  \nb: |-\n\n  x\nc:\n  - |+\n    z\n\nd: e\n",
        "a: x # c\nb: # c\n  c: 'it''s'   # d\n  # e\n  d: http://h:1/p?q=a#b\n",
        "a:\n  - - 1\n    - 2\n  -\n    b: 3\n  -\n  - c:\n    - 4\n    d: {}\nb:\nc:\n",
        "  a: 1\n  b: on\n  c: 0644\n  d: 1e3\n  e: 12:30:45\n  f: .5\n  g: -\u{e9} # h\n  h: 1.36.0\n",
        "\"a b\": 1\n'yes': yes\nx/y.z-1: (a) [b] {c}, d: e\n".replace(", d: e", ",d:e").as_str(),
        "- 1\n- a: b\n-   c: d\n    e: f\n- \"g\": h\n",
        "",
        "---\n---\n",
    ] {
        assert!(agrees(text), "{text}");
    }
    assert_eq!(
        documents("a: |\n  x\n\n    y \n  \nb: 1\n").unwrap()[0].value,
        json!({"a": "x\n\n  y \n", "b": 1})
    );
}

#[test]
fn the_general_parser_reads_the_rest() {
    for text in [
        "a: &x 1\nb: *x\n",
        "a: !!str 1\n",
        "? a\n: b\n",
        "a: >\n  x\n",
        "a: x\n  y\n",
        "a: \"x\n  y\"\n",
        "a: [1,\n  2]\n",
        "a: 1\na: 2\n",
        "{a: 1, a: 2}\n",
        "a: b: c\n",
        "a:\tb\n",
        "a: b\r\n",
        "on: 1\n",
        "1: 2\n",
        "~: 1\n",
        "<<: {a: 1}\n",
        "a : 1\n",
        "--- a\n",
        "a: 1\n...\n",
        "%YAML 1.2\n---\na: 1\n",
        "a: |2\n   x\n",
        "a: |\n  x",
        "a: |\n   \n  x\n",
        "a: |\n   \nb: 1\n",
        "a: |\n  x\n # c\n",
        "a: truE\n",
        "a: 1__0\n",
        "a: ,b\n",
        "a: [b, ]\n",
        "a: [b: c]\n",
        "a: {b}\n",
        "a: {\"b\":c}\n",
        "a: \"\\u0041\"\n",
        "- a\nb: 1\n",
        "a: 1\n- b\n",
        "a:\n    b: 1\n  c: 2\n",
        "a: 'b\n",
        "a: \"b\"c\n",
        "plain\n",
        "a: [b]c\n",
        "a: -\n",
        "a: --- b\n",
        "a: @b\n",
        "a: `b\n",
    ] {
        assert!(!agrees(text), "{text}");
    }
}

fn line() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "a.b/c-d",
        "yes",
        "no",
        "On",
        "null",
        "~",
        "0",
        "17",
        "010",
        "0x1f",
        "1_000",
        "1e3",
        "-1",
        "+1",
        ".5",
        ".inf",
        "-.inf",
        "1.5",
        "nan",
        "infinity",
        "0o7",
        "12:30",
        "1:2",
        "x y",
        "it's",
        "a#b",
        "a #b",
        "#c",
        "$(A)",
        "\u{e9}",
        "\u{a0}",
        "a,b",
        "[a]",
        "[a, b]",
        "[ ]",
        "[a,b]",
        "{a: b}",
        "{a: [b, {c: 1}]}",
        "{a: b, a: c}",
        "{ a: -f }",
        "[a, -, b]",
        "'a b'",
        "'a''b'",
        "\"a\\\"b\\n\"",
        "\"\"",
        "''",
        "|",
        "|-",
        "|+",
        ">",
        "&x 1",
        "*x",
        "!!str a",
        "?",
        "-",
        "--",
        "---",
        "...",
        "<<",
        "=",
        "99999999999999999999",
        "2024-01-01",
        "a: b",
        "a:b",
        "a:",
        ":a",
        "%a",
        "a%",
        "9223372036854775808",
        "1.",
        "0.0",
        "-0",
        "00",
        "e3",
        "o7",
        "\\n",
        "(a)",
        "a]",
        "a}",
        ",",
    ]);
    let keys = prop::sample::select(vec![
        "a: ",
        "b: ",
        "c:  ",
        "d:",
        "e.f/g-h: ",
        "\"k\": ",
        "'k': ",
        "- ",
        "- - ",
        "-   ",
        "- a: ",
        "- b: ",
        "-",
        "",
        "yes: ",
        "# ",
    ]);
    ((0..5_usize), keys, words, prop::sample::select(vec!["", "", "", " ", " # c", "#"]))
        .prop_map(|(indent, key, word, end)| format!("{}{key}{word}{end}", " ".repeat(indent)))
}

fn text() -> impl Strategy<Value = String> {
    let border = prop::sample::select(vec!["---", "", "  ", "# c", "  # c", "a:", "  b:", "- ", "    c: |"])
        .prop_map(str::to_owned);
    let end = prop::sample::select(vec!["", "\n", "\n\n"]);
    (prop::collection::vec(prop_oneof![4 => line(), 1 => border], 0..7), end)
        .prop_map(|(lines, end)| lines.join("\n") + end)
}

/// Texts of a few lines that are often read here, and often not: more with `PROPTEST_CASES`.
#[test]
fn both_parsers_agree() {
    let cases = ProptestConfig::default().cases * 20;
    let mut runner =
        TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..Default::default() });
    let read = Cell::new(0);
    let agreed = runner.run(&text(), |text| {
        read.set(read.get() + u32::from(agrees(&text)));
        Ok(())
    });
    agreed.unwrap();
    assert!((cases / 10..cases / 2).contains(&read.get()), "{} of {cases} are read here", read.get());
}
