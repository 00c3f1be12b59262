//! The tags of a Tera text and the tokens in them, with places: as much of the syntax as is needed to find
//! names before rendering and to tell which lines of text come from where.

/// A stretch of a template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part<'a> {
    /// Literal text (also the inside of `raw`).
    Text { at: usize, text: &'a str },
    /// `{{ … }}` or `{% … %}`.
    Tag(Tag<'a>),
    /// `{# … #}`.
    Comment,
}

/// A tag and its tokens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tag<'a> {
    /// Byte offset of its first brace.
    pub at: usize,
    /// Byte offset behind its last brace.
    pub end: usize,
    /// `{% … %}`.
    pub statement: bool,
    /// Opened with a hyphen, which eats the white space before it.
    pub trims_before: bool,
    pub tokens: Vec<Token<'a>>,
}

/// A token and its byte offset.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token<'a> {
    pub at: usize,
    pub kind: TokenKind<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum TokenKind<'a> {
    Ident(&'a str),
    Text(&'a str),
    Number,
    Punct(&'a str),
}

impl<'a> Token<'a> {
    pub(crate) fn ident(&self) -> Option<&'a str> {
        if let TokenKind::Ident(name) = self.kind { Some(name) } else { None }
    }

    pub(crate) fn is(&self, punct: &str) -> bool {
        self.kind == TokenKind::Punct(punct)
    }
}

impl Tag<'_> {
    /// The first word of a statement, such as `for`.
    pub(crate) fn keyword(&self) -> Option<&str> {
        if self.statement { self.tokens.first().and_then(Token::ident) } else { None }
    }
}

/// Splits a template. What is not closed runs to the end: Tera reports it better.
pub(crate) fn parts(source: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(offset) = next_open(&source[at..]) {
        if offset > 0 {
            parts.push(Part::Text { at, text: &source[at..at + offset] });
        }
        let open = at + offset;
        if source[open..].starts_with("{#") {
            at = source[open..].find("#}").map_or(source.len(), |end| open + end + 2);
            parts.push(Part::Comment);
            continue;
        }
        let (tag, end) = tag(source, open);
        let raw = tag.keyword() == Some("raw");
        parts.push(Part::Tag(tag));
        at = end;
        if raw {
            let (text_end, tag_end) = end_of_raw(source, at);
            if text_end > at {
                parts.push(Part::Text { at, text: &source[at..text_end] });
            }
            parts.push(Part::Comment);
            at = tag_end;
        }
    }
    if at < source.len() {
        parts.push(Part::Text { at, text: &source[at..] });
    }
    parts
}

fn next_open(text: &str) -> Option<usize> {
    text.as_bytes().windows(2).position(|pair| pair[0] == b'{' && matches!(pair[1], b'{' | b'%' | b'#'))
}

/// Where the text of a `raw` section ends, and where its `endraw` tag ends.
fn end_of_raw(source: &str, from: usize) -> (usize, usize) {
    let mut at = from;
    while let Some(offset) = source[at..].find("{%") {
        let open = at + offset;
        let (tag, end) = tag(source, open);
        if tag.keyword() == Some("endraw") {
            return (open, end);
        }
        at = open + 2;
    }
    (source.len(), source.len())
}

fn tag(source: &str, open: usize) -> (Tag<'_>, usize) {
    let statement = source[open..].starts_with("{%");
    let close = if statement { "%}" } else { "}}" };
    let mut at = open + 2;
    let trims_before = source[at..].starts_with('-');
    if trims_before {
        at += 1;
    }
    let mut tokens = Vec::new();
    let mut braces = 0_usize;
    let end = loop {
        let rest = &source[at..];
        let Some(first) = rest.chars().next() else { break source.len() };
        // `}}` also closes two maps; only outside of maps does it close the tag.
        if braces == 0 && rest.starts_with(close) {
            break at + 2;
        }
        if braces == 0 && rest.starts_with('-') && rest[1..].starts_with(close) {
            break at + 3;
        }
        let length = token_length(rest, first);
        if !first.is_whitespace() {
            match first {
                '{' => braces += 1,
                '}' => braces = braces.saturating_sub(1),
                _ => {}
            }
            tokens.push(Token { at, kind: kind(&rest[..length], first) });
        }
        at += length;
    };
    (Tag { at: open, end, statement, trims_before, tokens }, end)
}

fn token_length(rest: &str, first: char) -> usize {
    let while_true = |test: fn(char) -> bool| rest.find(|c: char| !test(c)).unwrap_or(rest.len());
    match first {
        '"' | '\'' | '`' => {
            let mut escaped = false;
            for (offset, character) in rest.char_indices().skip(1) {
                if character == first && !escaped {
                    return offset + 1;
                }
                escaped = character == '\\' && !escaped;
            }
            rest.len()
        }
        'a'..='z' | 'A'..='Z' | '_' => while_true(|c| c.is_ascii_alphanumeric() || c == '_'),
        '0'..='9' => while_true(|c| c.is_ascii_alphanumeric() || c == '_'),
        _ if ["==", "!=", "<=", ">=", "//", "**", "?."].iter().any(|pair| rest.starts_with(pair)) => 2,
        _ => first.len_utf8(),
    }
}

fn kind(text: &str, first: char) -> TokenKind<'_> {
    match first {
        '"' | '\'' | '`' => TokenKind::Text(text.get(1..text.len().saturating_sub(1)).unwrap_or_default()),
        'a'..='z' | 'A'..='Z' | '_' => TokenKind::Ident(text),
        '0'..='9' => TokenKind::Number,
        _ => TokenKind::Punct(text),
    }
}

/// Line and column, both from 1, of a byte offset.
pub(crate) fn position(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..at.min(source.len())];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.bytes().filter(|byte| *byte == b'\n').count() + 1, before[start..].chars().count() + 1)
}

/// Whether a text holds anything for Tera to do.
pub(crate) fn is_template(text: &str) -> bool {
    next_open(text).is_some()
}

/// The expression of a text that is exactly one `{{ … }}`.
pub(crate) fn single_expression(text: &str) -> Option<&str> {
    let text = text.trim();
    match parts(text)[..] {
        [Part::Tag(Tag { statement: false, .. })] if text.ends_with("}}") => {
            Some(text[2..text.len() - 2].trim_start_matches('-').trim_end_matches('-').trim())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits() {
        let source = "a {{ x | f(k='}}') -}}\n{% raw %}{{ no }}{% endraw %}{# c #}{%- if {'a': {'b': 1}} %}z";
        let parts = parts(source);
        let tags: Vec<&Tag<'_>> = parts
            .iter()
            .filter_map(|part| if let Part::Tag(tag) = part { Some(tag) } else { None })
            .collect();
        assert_eq!(tags.len(), 3);
        assert_eq!(tags[0].tokens.len(), 8);
        assert_eq!(tags[1].keyword(), Some("raw"));
        assert!(tags[2].trims_before);
        assert_eq!(parts.last(), Some(&Part::Text { at: source.len() - 1, text: "z" }));
        assert!(parts.contains(&Part::Text { at: 32, text: "{{ no }}" }), "{parts:?}");
    }

    #[test]
    fn single() {
        assert_eq!(single_expression("{{ params.days }}"), Some("params.days"));
        assert_eq!(single_expression(" {{ '}}' }} "), Some("'}}'"));
        assert_eq!(single_expression("{{ a }}{{ b }}"), None);
        assert_eq!(single_expression("{{ a }} days"), None);
        assert_eq!(single_expression("plain"), None);
    }

    #[test]
    fn never_panics_on_broken_text() {
        for text in ["{{", "{%", "{#", "{{ 'a", "{% raw %}", "{{ä}}", "{{-", "{{ }", "{", "{{ a.`b` ü"] {
            let _ = parts(text);
            let _ = single_expression(text);
        }
    }
}
