//! What is refused although a YAML parser reads it: invisible characters, tags, and keys that kubectl reads as
//! something else.

use serde_json::Value;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::Diagnostic;

/// Refuses characters that a reviewer cannot see.
///
/// # Errors
/// `YML009` with the place of the first one.
pub fn check_characters(file: &str, text: &str) -> Result<(), Box<Diagnostic>> {
    // Without a way out in the middle, which would keep it from being done for many bytes at once.
    let is_plain = |byte: u8| matches!(byte, 9 | 10 | 32..127);
    let all_plain = |bytes: &[u8]| bytes.iter().fold(true, |all, byte| all & is_plain(*byte));
    if text.as_bytes().chunks(256).all(all_plain) {
        return Ok(());
    }
    let (mut line, mut column) = (1, 0);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        column += 1;
        if character == '\n' {
            (line, column) = (line + 1, 0);
        }
        let what = match invisible(character) {
            // It ends a line for a parser, and for nobody who counts lines.
            None if character == '\r' && characters.peek() != Some(&'\n') => "carriage return alone",
            Some(what) => what,
            None => continue,
        };
        let cause = format!("{what} U+{:04X}", u32::from(character));
        return Err(Box::new(
            Diagnostic::error("YML009", cause)
                .at(file, line, column)
                .help("remove it, or write it as an escape in quotes"),
        ));
    }
    Ok(())
}

/// What is wrong with a character that a reviewer cannot see.
pub(super) fn invisible(character: char) -> Option<&'static str> {
    match character {
        '\t' | '\r' | '\n' => None,
        '\u{feff}' => Some("byte order mark"),
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' => {
            Some("bidirectional control character")
        }
        // kubectl takes them for line breaks, and a line break in quotes for a space.
        '\u{2028}' | '\u{2029}' => Some("line separator"),
        '\u{fffe}' | '\u{ffff}' => Some("character that is none"),
        other => other.is_control().then_some("control character"),
    }
}

/// For whom a file is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Specs, templates and values.
    Ours,
    /// Manifests: kubectl would read the same file.
    Kubectl,
}

/// Refuses tags other than YAML's own: what they ask for, nobody here does. Refuses what kubectl reads as
/// something else: keys without quotes, such as `on`, which is "true" to it, and a few scalars.
///
/// In files of our own a key means what is written: `on` is a field of a gate.
pub(super) fn events(file: &str, text: &str, whose: Whose) -> Result<(), Box<Diagnostic>> {
    // Most files have none of them, and reading the events takes as long as reading the values.
    if !text.contains(['!', '?']) && !has_odd_word(text, whose) {
        return Ok(());
    }
    let mut keys = Keys::default();
    for event in Parser::new_from_str(text) {
        // A fault in the syntax is told by whoever reads the values.
        let Ok((event, span)) = event else { return Ok(()) };
        check_tag(file, text, &event, &span)?;
        let is_key = keys.next(&event);
        let Event::Scalar(word, ScalarStyle::Plain, _, None) = &event else { continue };
        let (cause, help) = match (is_key && whose == Whose::Kubectl).then(|| other_key(word)).flatten() {
            Some(other) => (format!("key `{word}` is `{other}` to kubectl"), "put the key in quotes"),
            None if is_ambiguous(word) => (
                format!("`{word}` is not the same to every program that reads YAML"),
                "put it in quotes, or write it in the usual way",
            ),
            None => continue,
        };
        let (finding, at) = (Diagnostic::error("YML005", cause).help(help), span.start);
        return Err(Box::new(finding.at(file, at.line(), at.col() + 1).with_source(text)));
    }
    Ok(())
}

fn check_tag(file: &str, text: &str, event: &Event<'_>, span: &Span) -> Result<(), Box<Diagnostic>> {
    let (Event::Scalar(_, _, _, tag) | Event::SequenceStart(_, _, tag) | Event::MappingStart(_, _, tag)) =
        event
    else {
        return Ok(());
    };
    let Some(tag) = tag else { return Ok(()) };
    if CORE_TAGS.iter().any(|name| tag.is_yaml_core_schema_tag(name)) {
        return Ok(());
    }
    let at = span.tag_start.unwrap_or(span.start);
    let tag = tag.to_string().replacen("tag:yaml.org,2002:", "!!", 1);
    let finding = Diagnostic::error("YML007", format!("tag `{tag}` is not allowed")).help("remove the tag");
    Err(Box::new(finding.at(file, at.line(), at.col() + 1).with_source(text)))
}

const CORE_TAGS: [&str; 7] = ["str", "int", "float", "bool", "null", "map", "seq"];

/// Which of the nodes are keys.
#[derive(Default)]
struct Keys {
    /// The open collections: whether the next node in it is a key; `None` in a list.
    open: Vec<Option<bool>>,
}

impl Keys {
    /// Takes the next event; true when it begins a key.
    fn next(&mut self, event: &Event<'_>) -> bool {
        if matches!(event, Event::SequenceEnd | Event::MappingEnd) {
            self.open.pop();
            return false;
        }
        let begins = match event {
            Event::Scalar(..) | Event::Alias(_) => None,
            Event::SequenceStart(..) => Some(None),
            Event::MappingStart(..) => Some(Some(true)),
            _ => return false,
        };
        let is_key = match self.open.last_mut() {
            Some(Some(next)) => std::mem::replace(next, !*next),
            _ => false,
        };
        self.open.extend(begins);
        is_key
    }
}

/// What kubectl makes of a key without quotes, when that is another text.
fn other_key(key: &str) -> Option<String> {
    if !is_odd(key) {
        return None;
    }
    let read = match super::scalar(key) {
        Value::Bool(value) => value.to_string(),
        Value::Number(number) if super::is_wide(&number) => "too large a number".to_owned(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => float.to_string(),
            None => number.to_string(),
        },
        // A key that is null is told by whoever reads the values.
        _ => return None,
    };
    (read != key).then_some(read)
}

/// Words that are booleans.
const WORDS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];

/// Whether a key may be a boolean or a number.
fn is_odd(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '.' | '+' | '-'))
        || WORDS.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// `truE`, which is a boolean here and a text to kubectl; `1__0` and `1_.5`, which are numbers only to kubectl.
pub(super) fn is_ambiguous(word: &str) -> bool {
    let capital = |c: u8| c.is_ascii_uppercase();
    let rest = word.as_bytes().get(1..).unwrap_or_default();
    let usual = !rest.iter().any(|c| capital(*c)) || word.bytes().all(capital);
    let mixed = word.len() <= 5 && !usual && WORDS.iter().any(|known| known.eq_ignore_ascii_case(word));
    let digits = word.trim_start_matches(['+', '-']);
    let apart =
        digits.contains("__") || digits.ends_with('_') || (digits.contains('_') && digits.contains('.'));
    let number = |c: u8| c.is_ascii_digit() || matches!(c, b'_' | b'.' | b'e' | b'E' | b'+' | b'-');
    mixed || (apart && !digits.starts_with(['_', 'e', 'E']) && digits.bytes().all(number))
}

/// Whether a word stands in the text that may have to be refused.
fn has_odd_word(text: &str, whose: Whose) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    let odd_key = |(colon, _)| {
        let before = text[..colon].trim_end_matches(' ');
        is_odd(&before[before.trim_end_matches(part).len()..])
    };
    text.split(|c| !part(c)).any(is_ambiguous)
        || (whose == Whose::Kubectl && text.match_indices(':').any(odd_key))
}
