//! The one way YAML is read and written: as kubectl reads it, with places, without surprises.
//!
//! `yes`, `on`, `0644` and `<<` mean what they mean to kubectl. Where kubectl is silent about a fault
//! (a duplicate key, a bidirectional character), this is not.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, Options, Spanned};

use crate::node::{Kind, KindVisitor, Located, Node, Spot};
use crate::{Diagnostic, stack};

#[cfg(test)]
mod agree;
mod quick;
mod refuse;
mod write;

use refuse::Whose;

pub use refuse::check_characters;

/// Nesting that is still read.
pub const MAX_DEPTH: usize = 64;
/// Values in one file that are still read.
pub const MAX_NODES: usize = 400_000;
/// Documents in one file that are still read.
pub const MAX_DOCUMENTS: usize = 20_000;

/// One document of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The first line of its content, counted from 1.
    pub line: usize,
    /// Its content.
    pub value: Value,
}

fn options() -> Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        strict_booleans: false,
        with_snippet: false,
        // Enough for `<<` in every component, too little for a bomb.
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 20_000 },
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: MAX_NODES * 4,
            max_documents: MAX_DOCUMENTS,
        },
    }
}

/// Reads one document as a tree with places. An empty file is `null`.
///
/// # Errors
/// A `YML` finding with the place.
pub fn parse(file: &str, text: &str) -> Result<Node, Box<Diagnostic>> {
    check_characters(file, text)?;
    refuse::events(file, text, Whose::Ours)?;
    with_room(text, || {
        let raw: Raw =
            serde_saphyr::from_str_with_options(text, options()).map_err(|e| fault(file, text, &e))?;
        let mut node = Node::from(raw);
        name_file(&mut node, &file.into());
        check_numbers(&node).map_err(|finding| Box::new(finding.with_source(text)))?;
        Ok(node)
    })
}

/// Reads a stream of documents as plain values; empty documents are left out.
///
/// # Errors
/// A `YML` finding with the place.
pub fn documents(file: &str, text: &str) -> Result<Vec<Document>, Box<Diagnostic>> {
    check_characters(file, text)?;
    let documents = match quick::documents(text) {
        Some(documents) => documents,
        None => general_documents(file, text)?,
    };
    if documents.iter().any(|document| has_wide_number(&document.value)) {
        // Read once more, for the place.
        document_nodes(file, text)?;
    }
    Ok(documents)
}

/// [`documents`] of any kind of YAML.
fn general_documents(file: &str, text: &str) -> Result<Vec<Document>, Box<Diagnostic>> {
    refuse::events(file, text, Whose::Kubectl)?;
    with_room(text, || {
        let documents: Vec<Spanned<Value>> =
            serde_saphyr::from_multiple_with_options(text, options()).map_err(|e| fault(file, text, &e))?;
        Ok(documents
            .into_iter()
            .filter(|document| !document.value.is_null())
            .map(|document| Document { line: document.referenced.line() as usize, value: document.value })
            .collect())
    })
}

/// A scalar on one line, as the general parser reads it; `None` where it refuses it.
fn quick_scalar(text: &str) -> Option<Value> {
    if refuse::is_ambiguous(text) {
        return None;
    }
    serde_saphyr::from_str_with_options(text, options()).ok()
}

fn has_wide_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => is_wide(number),
        Value::Array(items) => items.iter().any(has_wide_number),
        Value::Object(map) => map.values().any(has_wide_number),
        _ => false,
    }
}

/// An integer that does not fit 64 bits was read as a float.
fn is_wide(number: &Number) -> bool {
    // kubectl takes what is beyond a signed integer for a float.
    number.as_u64().is_some_and(|value| i64::try_from(value).is_err())
        || number.is_f64() && number.as_f64().is_some_and(|value| value.abs() >= 9.2e18)
}

/// Reads a stream of documents as trees with places; empty documents are left out.
///
/// # Errors
/// A `YML` finding with the place.
pub fn document_nodes(file: &str, text: &str) -> Result<Vec<Node>, Box<Diagnostic>> {
    check_characters(file, text)?;
    refuse::events(file, text, Whose::Kubectl)?;
    with_room(text, || {
        let raw: Vec<Raw> =
            serde_saphyr::from_multiple_with_options(text, options()).map_err(|e| fault(file, text, &e))?;
        let file = file.into();
        let mut nodes: Vec<Node> =
            raw.into_iter().map(Node::from).filter(|node| node.kind != Kind::Null).collect();
        nodes.iter_mut().for_each(|node| name_file(node, &file));
        nodes.iter().try_for_each(check_numbers)?;
        Ok(nodes)
    })
}

fn with_room<T: Send>(text: &str, read: impl FnOnce() -> T + Send) -> T {
    if stack::may_be_deep(text) { stack::roomy(read) } else { read() }
}

/// Reads one value, such as that of `--set name=value`; text that is not YAML is a string.
#[must_use]
pub fn scalar(text: &str) -> Value {
    if text.is_empty() || check_characters("", text).is_err() {
        return Value::String(text.to_owned());
    }
    with_room(text, || {
        serde_saphyr::from_str_with_options(text, options())
            .unwrap_or_else(|_| Value::String(text.to_owned()))
    })
}

/// Writes a manifest at the end of `out`, as [`to_yaml`] writes it.
///
/// # Errors
/// `YML008` when it holds what YAML has no words for.
pub fn write(manifest: &Value, out: &mut String) -> Result<(), Box<Diagnostic>> {
    let begin = out.len();
    if write::document(manifest, out).is_none() {
        out.truncate(begin);
        out.push_str(&to_yaml(manifest)?);
    }
    Ok(())
}

/// Writes a value so that kubectl and [`parse`] read the same value back.
///
/// # Errors
/// `YML008` when it holds what YAML has no words for.
pub fn to_yaml<T: Serialize>(value: &T) -> Result<String, Box<Diagnostic>> {
    let cannot =
        |error: String| Box::new(Diagnostic::error("YML008", format!("cannot be written as YAML: {error}")));
    let write = |prefer_block_scalars| {
        let options = serde_saphyr::ser_options! {
            compact_list_indent: true,
            prefer_block_scalars: prefer_block_scalars,
        };
        serde_saphyr::to_string_with_options(value, options).map_err(|error| cannot(error.to_string()))
    };
    let mut text = write(true)?;
    // A block that begins with an empty line: kubectl's parser cannot tell how far it is indented.
    if text.contains("\n\n") && ["|\n\n", "|-\n\n", "|+\n\n"].iter().any(|begin| text.contains(begin)) {
        text = write(false)?;
    }
    if check_characters("", &text).is_ok() {
        return Ok(text);
    }
    // An invisible character can only be written as an escape. JSON is YAML, and has escapes everywhere.
    let text = serde_json::to_string(value).map_err(|error| cannot(error.to_string()))?;
    Ok(text.chars().fold(String::new(), |mut out, character| {
        match refuse::invisible(character) {
            None => out.push(character),
            Some(_) => out.push_str(&format!("\\u{:04x}", u32::from(character))),
        }
        out
    }) + "\n")
}

struct Raw {
    line: usize,
    column: usize,
    kind: Kind,
}

struct RawKind(Kind);

impl<'de> Deserialize<'de> for RawKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor::<Raw, RawKey>(std::marker::PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<RawKind>::deserialize(deserializer)?;
        let (line, column) = position(&spanned.referenced);
        Ok(Self { line, column, kind: spanned.value.0 })
    }
}

struct RawKey(Located<String>);

impl<'de> Deserialize<'de> for RawKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        let (line, column) = position(&spanned.referenced);
        Ok(Self(Located { value: spanned.value, spot: Spot { line, column, ..Spot::default() } }))
    }
}

impl From<Raw> for Node {
    fn from(raw: Raw) -> Self {
        Self { spot: Spot { line: raw.line, column: raw.column, ..Spot::default() }, kind: raw.kind }
    }
}

impl From<RawKey> for Located<String> {
    fn from(raw: RawKey) -> Self {
        raw.0
    }
}

fn position(location: &serde_saphyr::Location) -> (usize, usize) {
    (location.line() as usize, location.column() as usize)
}

fn name_file(node: &mut Node, file: &std::sync::Arc<str>) {
    node.spot.file = file.clone();
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|item| name_file(item, file)),
        Kind::Map(entries) => {
            for entry in entries {
                entry.key.spot.file = file.clone();
                name_file(&mut entry.value, file);
            }
        }
        _ => {}
    }
}

/// An integer that does not fit 64 bits was read as a float, and would change silently.
fn check_numbers(node: &Node) -> Result<(), Box<Diagnostic>> {
    match &node.kind {
        Kind::Number(number) if is_wide(number) => {
            let finding =
                Diagnostic::error("YML008", "number is beyond 64 bits").help("put the value in quotes");
            Err(Box::new(node.spot.mark(finding)))
        }
        Kind::List(items) => items.iter().try_for_each(check_numbers),
        Kind::Map(entries) => entries.iter().try_for_each(|entry| check_numbers(&entry.value)),
        _ => Ok(()),
    }
}

fn fault(file: &str, text: &str, error: &Error) -> Box<Diagnostic> {
    let error = error.without_snippet();
    let message = plain_message(error);
    let location = error.location();
    let line = location.as_ref().map_or(1, |at| at.line().max(1) as usize);
    let column = location.as_ref().map_or(1, |at| at.column().max(1) as usize);
    let source_line = text.lines().nth(line - 1).unwrap_or_default();
    let finding = match error {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("?");
            let first = first_use(text, line, column, key);
            let cause = match first {
                Some(first) => format!("key `{key}` is already given on line {first}"),
                None => format!("key `{key}` is given twice"),
            };
            Diagnostic::error("YML003", cause).help("remove one of the two")
        }
        Error::Budget { breach, .. } => budget(breach),
        Error::AliasReplayLimitExceeded { max_total_replayed_events, .. } => {
            let cause = format!("aliases expand to more than {max_total_replayed_events} values");
            Diagnostic::error("YML001", cause).help("write the values out")
        }
        Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::UnknownAnchor { .. } => Diagnostic::error("YML001", message).help("write the value out"),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            Diagnostic::error("YML001", "an alias inside of what it stands for").help("write the value out")
        }
        Error::MultipleDocuments { .. } => {
            Diagnostic::error("YML004", "a second document begins here").help("put it into a file of its own")
        }
        Error::NullIntoString { .. } => {
            Diagnostic::error("YML005", "null where a key is expected").help("put the key in quotes")
        }
        Error::NonFiniteFloat { .. } => {
            Diagnostic::error("YML008", "number is not finite").help("put the value in quotes")
        }
        Error::AliasError { error, .. } => return fault(file, text, error),
        _ if source_line[..source_line.len() - source_line.trim_start().len()].contains('\t') => {
            Diagnostic::error("YML004", "a tab indents this line").help("indent with spaces")
        }
        _ if opens_template(source_line) => {
            Diagnostic::error("YML004", "`{{` without quotes begins a mapping in YAML")
                .help("put the whole value in quotes: \"{{ … }}\"")
        }
        _ => Diagnostic::error("YML004", message)
            .help("compare indentation, quotes and brackets with the lines above"),
    };
    Box::new(finding.at(file, line, column).with_source(text))
}

/// Whether a line has a `{{` that no quote stands before.
fn opens_template(line: &str) -> bool {
    line.split_once("{{").is_some_and(|(before, _)| !before.contains(['"', '\'', '#']))
}

fn budget(breach: &BudgetBreach) -> Diagnostic {
    let text = format!("{breach:?}");
    let words: String = text.chars().take_while(|c| c.is_alphabetic()).collect();
    if words.contains("Alias") || words.contains("Anchor") || words.contains("MergeKeys") {
        return Diagnostic::error("YML001", "too many aliases").help("write the values out");
    }
    let cause = match words.as_str() {
        "Depth" | "FlowNesting" => format!("nested deeper than {MAX_DEPTH} levels"),
        _ => "more values than are read from one file".to_owned(),
    };
    Diagnostic::error("YML002", cause).help("split the file")
}

/// The parser's words without the position, which is told on its own.
fn plain_message(error: &Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let text = text.split(" (line ").next().unwrap_or_default();
    text.lines().next().unwrap_or_default().trim_end_matches(['.', ':', ',']).to_owned()
}

/// The nearest line above with the same key at the same column.
fn first_use(text: &str, line: usize, column: usize, key: &str) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let above = lines.get(..line.saturating_sub(1))?;
    above
        .iter()
        .rposition(|candidate| {
            candidate.chars().take(column - 1).all(|c| c == ' ' || c == '-')
                && candidate
                    .chars()
                    .skip(column - 1)
                    .collect::<String>()
                    .trim_matches(['"', '\''])
                    .starts_with(key)
        })
        .map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_as_kubectl_does() {
        let text = "a: yes\nb: off\nc: 0644\nd: 1_000\ne: 12:30:45\nf: 1e3\ng: ~\nh: 2024-01-01\n";
        let value = documents("t", text).unwrap().remove(0).value;
        assert_eq!(
            value,
            json!({"a": true, "b": false, "c": 420, "d": 1000, "e": "12:30:45", "f": 1000.0, "g": null, "h": "2024-01-01"})
        );
    }

    #[test]
    fn documents_know_their_line() {
        let documents = documents("t", "# c\n---\na: 1\n---\n# only a comment\n---\n\nb: 2\n").unwrap();
        assert_eq!(documents.iter().map(|document| document.line).collect::<Vec<_>>(), [3, 8]);
    }

    #[test]
    fn places() {
        let node = parse("f", "a:\n  - x\n  - k: v\n").unwrap();
        assert_eq!(node.locate(["a", "1", "k"]).to_string(), "f:3:8");
        assert_eq!(node.entry("a").unwrap().key.spot.to_string(), "f:1:1");
        assert_eq!(node.locate_key(["a", "1", "k"]).to_string(), "f:3:5");
        assert_eq!(node.locate_key(["a", "0", "gone"]).to_string(), "f:2:5");
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            ".{0,8}",
            "[a\u{0}\u{7}\u{85}\u{200e}\u{2028}\u{202e}\u{2066}\u{feff}\u{fffe}\\\\\"']{0,6}",
            "[ -~]{0,12}",
            "[a-z: #\\-\n\t'\"|>%&*!\\[\\]{}?,@`0-9~]{0,24}",
            "[ \n]{0,3}[a-zäöü]{0,3}\n{1,3}[ a-z]{0,5}\n?",
            prop::sample::select(vec![
                "yes",
                "no",
                "on",
                "off",
                "y",
                "n",
                "null",
                "~",
                "0644",
                "0o17",
                "0x1F",
                "1e3",
                "1_000",
                ".inf",
                ".nan",
                "12:30:45",
                "2024-01-01",
                "<<",
                "=",
                "-",
                "---",
                "...",
                "true",
                "+1",
                "1.",
                ".5",
                "08",
                "-0",
                "!!str x",
                "&a",
                "*a",
                "a\nb\n",
                "\n",
                " ",
            ])
            .prop_map(str::to_owned),
        ]
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<u32>().prop_map(Value::from),
            (-1e15..1e15_f64).prop_map(|float| Number::from_f64(float).map_or(Value::Null, Value::Number)),
            text().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map(text(), inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn what_is_written_is_read_back(value in any_value()) {
            let written = to_yaml(&json!({"k": value})).unwrap();
            let mut quick = String::new();
            write(&json!({"k": value}), &mut quick).unwrap();
            prop_assert_eq!(&quick, &written);
            let node = parse("t", &written).map_err(|finding| TestCaseError::fail(format!("{finding}\n{written}")))?;
            prop_assert_eq!(&node.to_value()["k"], &value, "{}", written);
            let documents = documents("t", &written).unwrap();
            prop_assert_eq!(&documents[0].value["k"], &value);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[ -~\n\t]{0,80}") {
            let _ = parse("t", &text);
            let _ = documents("t", &text);
            let _ = scalar(&text);
        }
    }
}
