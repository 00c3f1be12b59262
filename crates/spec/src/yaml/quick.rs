//! The YAML that nearly every manifest is written in, read in one pass: block mappings and lists, flow
//! collections on one line, plain and quoted scalars on one line, literal blocks.
//!
//! Whatever is not plainly that (an anchor, a tag, a folded block, a scalar over two lines, a key given twice,
//! anything that may be a fault) yields `None`, and the general parser reads the file: it alone decides what is
//! wrong. What is read here, it reads as the same values on the same lines; the fuzz target `yaml` compares.

use serde_json::{Map, Value};

use super::{Document, quick_scalar as scalar};

/// Nesting that is read here; the general parser takes more.
const DEPTH: usize = 16;
/// Values of one file that are read here.
const VALUES: usize = 50_000;
/// Bytes of a key that are read here: YAML allows 1,024 characters.
const KEY: usize = 256;

/// Reads a stream of documents; empty ones are left out. `None` says that the general parser has to.
pub(super) fn documents(text: &str) -> Option<Vec<Document>> {
    if text.contains(['\t', '\r']) {
        return None;
    }
    let ended = text.ends_with('\n');
    let mut reader = Reader { lines: text.lines().collect(), at: 0, inset: 0, ended, values: 0 };
    let mut documents = Vec::new();
    loop {
        match reader.peek()? {
            Next::End => return Some(documents),
            Next::Border => reader.at += 1,
            Next::Line { indent, .. } => {
                let line = reader.at + 1;
                let value = reader.block(indent, 0)?;
                if let Next::Line { .. } = reader.peek()? {
                    return None;
                }
                documents.push(Document { line, value });
            }
        }
    }
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
    /// Where the rest of the current line begins, when a part of it (`- `) has been read.
    inset: usize,
    /// The text ends with a line break.
    ended: bool,
    values: usize,
}

/// What comes next: comments and empty lines are passed over.
enum Next<'a> {
    End,
    /// `---`
    Border,
    Line {
        indent: usize,
        text: &'a str,
    },
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<Next<'a>> {
        while let Some(line) = self.lines.get(self.at) {
            let indent = self.inset + spaces(&line[self.inset..]);
            let text = line[indent..].trim_end_matches(' ');
            if text.is_empty() || text.starts_with('#') {
                self.advance();
                continue;
            }
            if indent == 0 && text.starts_with(['-', '.', '%']) {
                match text {
                    "---" => return Some(Next::Border),
                    _ if is_item(text) => {}
                    _ => return None,
                }
            }
            return Some(Next::Line { indent, text });
        }
        Some(Next::End)
    }

    fn advance(&mut self) {
        self.at += 1;
        self.inset = 0;
    }

    fn count(&mut self) -> Option<()> {
        self.values += 1;
        (self.values <= VALUES).then_some(())
    }

    /// The mapping or list that begins on this line.
    fn block(&mut self, indent: usize, depth: usize) -> Option<Value> {
        if depth > DEPTH {
            return None;
        }
        match self.peek()? {
            Next::Line { text, .. } if is_item(text) => self.list(indent, depth),
            _ => self.mapping(indent, depth),
        }
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut entries = Vec::new();
        while let Next::Line { indent: at, text } = self.peek()? {
            if at < indent {
                break;
            }
            let (key, rest) = key(text).filter(|_| at == indent)?;
            self.count()?;
            let value = match rest.trim_start_matches(' ') {
                "" => self.below(indent, true, depth)?,
                rest if rest.starts_with('#') => self.below(indent, true, depth)?,
                rest => self.here(rest, indent, depth)?,
            };
            entries.push((key, value));
        }
        object(entries)
    }

    fn list(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        while let Next::Line { indent: at, text } = self.peek()? {
            if at < indent || (at == indent && !is_item(text)) {
                break;
            }
            if at > indent {
                return None;
            }
            self.count()?;
            let rest = text[1..].trim_start_matches(' ');
            items.push(if rest.is_empty() || rest.starts_with('#') {
                self.below(indent, false, depth)?
            } else if is_item(rest) || key(rest).is_some() {
                self.inset = at + text.len() - rest.len();
                self.block(self.inset, depth + 1)?
            } else {
                self.here(rest, indent, depth)?
            });
        }
        Some(Value::Array(items))
    }

    /// A value on the lines below its key or hyphen. The items of a list may stand below the key itself.
    fn below(&mut self, indent: usize, of_key: bool, depth: usize) -> Option<Value> {
        self.advance();
        match self.peek()? {
            Next::Line { indent: at, .. } if at > indent => self.block(at, depth + 1),
            Next::Line { indent: at, text } if of_key && at == indent && is_item(text) => {
                self.list(at, depth + 1)
            }
            _ => Some(Value::Null),
        }
    }

    /// A value on the line of its key or hyphen.
    fn here(&mut self, text: &'a str, indent: usize, depth: usize) -> Option<Value> {
        if text.starts_with('|') {
            return self.literal(text, indent);
        }
        let value = if text.starts_with(['"', '\'', '[', '{']) {
            let (value, rest) = self.flow(text, depth)?;
            let comment = rest.trim_start_matches(' ');
            if !comment.is_empty() && (comment.len() == rest.len() || !comment.starts_with('#')) {
                return None;
            }
            value
        } else {
            plain(pair(text, b" #").map_or(text, |at| text[..at].trim_end_matches(' ')))?
        };
        // What follows further in goes on with the scalar, or is a fault: the block around it does not take it.
        self.advance();
        Some(value)
    }

    fn literal(&mut self, header: &str, parent: usize) -> Option<Value> {
        let chomping = header.strip_prefix('|').filter(|mark| matches!(*mark, "" | "-" | "+"))?;
        self.advance();
        let first = self.lines[self.at..].iter().find(|line| !line.is_empty())?;
        let indent = spaces(first);
        if indent <= parent || indent == first.len() {
            return None;
        }
        let mut text = String::new();
        while let Some(line) = self.lines.get(self.at) {
            let own = spaces(line);
            if own < indent && own < line.len() {
                // A comment, or what stands between two levels.
                if own > parent || line[own..].starts_with('#') {
                    return None;
                }
                break;
            }
            text.push_str(line.get(indent..).unwrap_or_default());
            text.push('\n');
            self.at += 1;
        }
        if self.at == self.lines.len() && !self.ended {
            return None;
        }
        let kept = text.trim_end_matches('\n').len();
        match chomping {
            "" => text.truncate(kept + 1),
            "-" => text.truncate(kept),
            _ => {}
        }
        Some(Value::String(text))
    }

    /// A quoted scalar or a flow collection, and what follows it.
    fn flow<'t>(&mut self, text: &'t str, depth: usize) -> Option<(Value, &'t str)> {
        self.count()?;
        match text.as_bytes().first()? {
            _ if depth > DEPTH => None,
            b'"' | b'\'' => quoted(text).map(|(text, rest)| (Value::String(text), rest)),
            b'[' => self.flow_list(&text[1..], depth + 1),
            b'{' => self.flow_mapping(&text[1..], depth + 1),
            _ => {
                let (word, rest) = flow_plain(text);
                Some((plain(word)?, rest))
            }
        }
    }

    fn flow_list<'t>(&mut self, text: &'t str, depth: usize) -> Option<(Value, &'t str)> {
        let mut items = Vec::new();
        let mut rest = text.trim_start_matches(' ');
        if let Some(rest) = rest.strip_prefix(']') {
            return Some((Value::Array(items), rest));
        }
        loop {
            let (value, after) = self.flow(rest, depth)?;
            items.push(value);
            match next_of(after, ']')? {
                (true, after) => rest = after,
                (false, after) => return Some((Value::Array(items), after)),
            }
        }
    }

    fn flow_mapping<'t>(&mut self, text: &'t str, depth: usize) -> Option<(Value, &'t str)> {
        let mut entries = Vec::new();
        let mut rest = text.trim_start_matches(' ');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((Value::Object(Map::new()), rest));
        }
        loop {
            let (key, after) = key(rest)?;
            self.count()?;
            let (value, after) = self.flow(after.strip_prefix(' ')?.trim_start_matches(' '), depth)?;
            entries.push((key, value));
            match next_of(after, '}')? {
                (true, after) => rest = after,
                (false, after) => return Some((object(entries)?, after)),
            }
        }
    }
}

/// A mapping that takes no more room than it needs; `None` when a key is given twice.
fn object(entries: Vec<(String, Value)>) -> Option<Value> {
    let mut map = Map::with_capacity(entries.len());
    for (key, value) in entries {
        if map.insert(key, value).is_some() {
            return None;
        }
    }
    Some(Value::Object(map))
}

/// Where two bytes stand next to each other.
fn pair(text: &str, two: &[u8; 2]) -> Option<usize> {
    text.as_bytes().windows(2).position(|bytes| bytes == two)
}

/// After an entry of a flow collection: whether another one follows, and the rest.
fn next_of(text: &str, close: char) -> Option<(bool, &str)> {
    let text = text.trim_start_matches(' ');
    match text.strip_prefix(',') {
        Some(rest) => Some((true, rest.trim_start_matches(' '))),
        None => text.strip_prefix(close).map(|rest| (false, rest)),
    }
}

fn spaces(line: &str) -> usize {
    line.bytes().take_while(|byte| *byte == b' ').count()
}

fn is_item(text: &str) -> bool {
    text == "-" || text.starts_with("- ")
}

/// A key and what follows its colon: nothing, or a space.
fn key(text: &str) -> Option<(String, &str)> {
    let (key, rest) = match text.as_bytes().first()? {
        b'"' | b'\'' => quoted(text)?,
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
            let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-');
            let (key, rest) = text.split_at(text.bytes().take_while(part).count());
            (key.to_owned(), rest)
        }
        _ => return None,
    };
    let after = rest.strip_prefix(':').filter(|after| after.is_empty() || after.starts_with(' '))?;
    // Words have meanings; `<<` in quotes may have one.
    let usual = key.len() <= KEY && key != "<<" && (!is_word(&key) || rest.len() + key.len() < text.len());
    usual.then_some((key, after))
}

/// A scalar in quotes, on one line and with the usual escapes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = *text.as_bytes().first()?;
    let mut out = String::new();
    let mut from = 1;
    loop {
        let stop = |byte: u8| byte == quote || (quote == b'"' && byte == b'\\');
        let at = from + text.as_bytes()[from..].iter().position(|byte| stop(*byte))?;
        out.push_str(&text[from..at]);
        let next = text.as_bytes().get(at + 1);
        let escaped = match (text.as_bytes()[at], next) {
            (b'\'', Some(b'\'')) => '\'',
            (b'\\', Some(b'"')) => '"',
            (b'\\', Some(b'\\')) => '\\',
            (b'\\', Some(b'n')) => '\n',
            (b'\\', Some(b't')) => '\t',
            (b'\\', _) => return None,
            _ => return Some((out, &text[at + 1..])),
        };
        out.push(escaped);
        from = at + 2;
    }
}

/// A plain scalar in a flow collection, and what follows it.
fn flow_plain(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80);
    let part = |at: usize| match bytes[at] {
        b'_' | b'.' | b'/' | b'$' | b'(' | b')' | b'+' | b'-' | b'=' | b'@' | b'%' | b';' => true,
        b' ' | b':' => word(bytes.get(at + 1)) || (bytes[at] == b':' && bytes.get(at + 1) == Some(&b'/')),
        _ => word(bytes.get(at)),
    };
    text.split_at((0..bytes.len()).find(|at| !part(*at)).unwrap_or(bytes.len()))
}

/// The value of a plain scalar that stands on one line, without the comment behind it.
fn plain(text: &str) -> Option<Value> {
    let begins = match text.as_bytes() {
        [b'-', b' ' | b'-', ..] | [b'-'] | [b'.', b'.', ..] | [] => false,
        [first, ..] => {
            first.is_ascii_alphanumeric()
                || matches!(first, b'/' | b'.' | b'_' | b'$' | b'(' | b'+' | b'-' | b'\\' | b';' | 0x80..)
        }
    };
    if !begins || text.ends_with(':') || pair(text, b": ").is_some() || pair(text, b" #").is_some() {
        return None;
    }
    match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ if text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '.' | '+' | '-')) => {
            number(text)
        }
        _ if is_word(text) => scalar(text),
        _ => Some(Value::String(text.to_owned())),
    }
}

/// What may be a number is left to the rules of the general parser, unless it is a usual integer.
fn number(text: &str) -> Option<Value> {
    let usual = text.len() <= 18
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if usual {
        return text.parse::<i64>().ok().map(Value::from);
    }
    // `64Mi`: no number of YAML's, old or new, nor a date holds such a letter. Those that do are words.
    let text_only = |byte: u8| byte.is_ascii_alphabetic() && !b"abcdefoxABCDEFOXTZtz".contains(&byte);
    let is_text = text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().any(text_only);
    if is_text { Some(Value::String(text.to_owned())) } else { scalar(text) }
}

/// Words that are, or may be taken for, something else than text, in any case.
fn is_word(text: &str) -> bool {
    const WORDS: [&str; 12] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"];
    text.len() <= 8 && WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}
