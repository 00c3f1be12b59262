//! Remembers which line of a template each line of its output comes from.
//!
//! Before the first visible character of every line of literal text a mark is put that carries the line's
//! number; rendering copies it, and afterwards it is taken out again. Marks stand only where they cannot
//! change the output: not inside sections whose text a filter or `set` takes up, and not between white
//! space and a tag that eats it.

use crate::scan::{self, Part, Tag};

// Noncharacters: valid in a Rust string, refused in every file that is read as YAML.
const OPEN: char = '\u{fdd0}';
const CLOSE: char = '\u{fdd1}';

/// A rendered text and the template line of each of its lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mapped {
    pub text: String,
    pub(crate) lines: Vec<usize>,
}

impl Mapped {
    /// The template line of a rendered line, both from 1.
    pub(crate) fn line(&self, rendered: usize) -> usize {
        self.lines.get(rendered.saturating_sub(1)).or(self.lines.last()).copied().unwrap_or(1)
    }
}

impl Mapped {
    /// The template line of the last rendered line.
    pub(crate) fn last(&self) -> usize {
        self.lines.last().copied().unwrap_or(1)
    }
}

/// Whether a text holds the characters marks are made of.
pub(crate) fn has_marks(text: &str) -> bool {
    text.contains([OPEN, CLOSE])
}

/// Puts the marks into a template.
pub(crate) fn mark(source: &str) -> String {
    let mut marker = Marker { source, out: String::with_capacity(source.len() * 9 / 8), copied: 0, line: 1 };
    let mut captured = 0_usize;
    let mut line_open = true;
    for part in &scan::parts(source) {
        match part {
            Part::Text { at, text } => {
                for (offset, character) in text.char_indices() {
                    if character == '\n' {
                        line_open = true;
                    } else if !character.is_whitespace() && line_open {
                        line_open = false;
                        if captured == 0 {
                            marker.put(at + offset);
                        }
                    }
                }
            }
            Part::Tag(tag) => {
                match captures(tag) {
                    Some(true) => captured += 1,
                    Some(false) => captured = captured.saturating_sub(1),
                    None => {}
                }
                // What an include writes comes from the line of the include.
                let writes = !tag.statement || tag.keyword() == Some("include");
                if line_open && writes && !tag.trims_before && captured == 0 {
                    line_open = false;
                    marker.put(tag.at);
                }
            }
            Part::Comment => {}
        }
    }
    marker.out.push_str(&source[marker.copied..]);
    marker.out
}

struct Marker<'a> {
    source: &'a str,
    out: String,
    copied: usize,
    line: usize,
}

impl Marker<'_> {
    fn put(&mut self, at: usize) {
        let before = &self.source[self.copied..at];
        self.line += before.bytes().filter(|byte| *byte == b'\n').count();
        self.copied = at;
        self.out.push_str(before);
        self.out.push_str(&format!("{OPEN}{}{CLOSE}", self.line));
    }
}

/// Whether a tag begins (`true`) or ends a section whose text is taken up instead of written.
fn captures(tag: &Tag<'_>) -> Option<bool> {
    let is = |index: usize, punct: &str| tag.tokens.get(index).is_some_and(|token| token.is(punct));
    match tag.keyword() {
        Some("filter" | "component") => Some(true),
        // `{% set x %}…{% endset %}`; with `=` it takes up no text.
        Some("set" | "set_global") => (!tag.tokens.iter().any(|token| token.is("="))).then_some(true),
        Some("endfilter" | "endcomponent" | "endset" | "endset_global") => Some(false),
        // `{% <Card> %}…{% </Card> %}`, unless it ends in itself.
        None if tag.statement && is(0, "<") && is(1, "/") => Some(false),
        None if tag.statement && is(0, "<") => (!is(tag.tokens.len().wrapping_sub(2), "/")).then_some(true),
        _ => None,
    }
}

/// Takes the marks out of a rendered text.
pub(crate) fn unmark(rendered: &str) -> Mapped {
    let mut text = String::with_capacity(rendered.len());
    let mut lines = Vec::new();
    let mut current = 1;
    for line in rendered.split_inclusive('\n') {
        let mut first = None;
        let mut rest = line;
        while let Some((before, marked)) = split_at_mark(rest) {
            text.push_str(before);
            let Some((number, after)) = marked.split_once(CLOSE) else { break };
            if let Ok(number) = number.parse() {
                current = number;
                first = first.or(Some(number));
            }
            rest = after;
        }
        text.push_str(rest);
        lines.push(first.unwrap_or(current));
    }
    Mapped { text, lines }
}

/// What stands before and after the first [`OPEN`]. Lines are short: looking at each byte is quicker than a search.
fn split_at_mark(text: &str) -> Option<(&str, &str)> {
    const BYTES: [u8; 3] = [0xef, 0xb7, 0x90];
    let at = text.as_bytes().windows(3).position(|bytes| bytes == BYTES)?;
    Some((&text[..at], &text[at + 3..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::sync::Arc;

    use spec::{Files, files::MemoryFiles};
    use tera::{Context, Tera};

    use super::*;
    use crate::filters::Findings;
    use crate::steps::Steps;

    fn render(source: &str) -> Option<String> {
        rendered(source, &Steps::default())
    }

    fn rendered(source: &str, steps: &Steps) -> Option<String> {
        let mut context = Context::new();
        context.insert("x", &"1\n2");
        context.insert("l", &[1, 2]);
        let mut tera = Tera::default();
        let commit: Arc<dyn Files> = Arc::new(MemoryFiles::default());
        steps.register(&mut tera, &commit, &Findings::default());
        tera.add_raw_template("part", " p: 1\n  q: 2\n").ok()?;
        tera.render_str(source, &context, false).ok()
    }

    #[test]
    fn an_include_is_where_it_stands() {
        let mapped = unmark(&render(&mark("a: 1\nb:\n{% include \"part\" %}\nc: 3\n")).unwrap());
        let lines: Vec<usize> = (1..=6).map(|line| mapped.line(line)).collect();
        assert_eq!(lines, [1, 2, 3, 3, 3, 4], "{}", mapped.text);
    }

    #[test]
    fn a_mark_is_three_bytes() {
        assert_eq!(split_at_mark(&format!("é{OPEN}ü")), Some(("é", "ü")));
        assert_eq!(split_at_mark("\u{fdd1} \u{ff90}"), None);
    }

    #[test]
    fn lines() {
        let source = "a: 1\n{% for i in l %}\n- {{ i }}\n  b: {{ x }}\n{% endfor %}\nc: 3\n";
        let mapped = unmark(&render(&mark(source)).unwrap());
        assert_eq!(mapped.text, render(source).unwrap());
        let lines: Vec<usize> = (1..=mapped.text.lines().count()).map(|line| mapped.line(line)).collect();
        let of = |text: &str| {
            mapped.text.lines().zip(&lines).find(|(line, _)| line.contains(text)).map(|(_, line)| *line)
        };
        assert_eq!((of("a: 1"), of("- 2"), of("b: 1"), of("c: 3")), (Some(1), Some(3), Some(4), Some(6)));
    }

    proptest! {
        #[test]
        fn marks_never_change_the_output(pieces in prop::collection::vec(prop_oneof![
            Just("a"), Just(" "), Just("\n"), Just("\n  "), Just("{{ x }}"), Just("{{- x }}"), Just("{{ x -}}"), Just("{{- x -}}"),
            Just("{% if x %}"), Just("{%- if x -%}"), Just("{% endif %}"), Just("{%- endif -%}"), Just("{# c #}"), Just("{#- c -#}"),
            Just("{% set y %}"), Just("{% endset %}"), Just("{% filter upper %}"), Just("{% endfilter %}"), Just("{% set z = 1 %}"),
            Just("{% raw %}"), Just("{% endraw %}"), Just("{%- raw -%}"), Just("{%- endraw -%}"), Just("{% for i in l -%}"), Just("{% endfor %}"), Just("ü: "),
            Just("{% include \"part\" %}"), Just("{%- include \"part\" -%}"), Just("{%- for i in l %}"), Just("{%- set z = 1 -%}"),
            Just("{% for i in l -%} \n {{ i }} {%- endfor %}"), Just("{%- for i in l %} \n {{ i }} {% endfor -%}"),
            Just("a \n {%- set z = 1 %} \n "), Just("a \n {%- include \"part\" %} \n "),
            Just("{{ [i for i in l] }}"), Just("{{ [[j for j in l if j > 1] for i in l if i < 2 or i > 3] | length }}"),
        ], 0..14)) {
            let source = pieces.concat();
            if let Some(plain) = render(&source) {
                let steps = Steps::default();
                let stepped = steps.put("f", &mark(&source)).into_owned();
                prop_assert_eq!(rendered(&stepped, &steps).map(|text| unmark(&text).text), Some(plain.clone()), "{}", stepped);
                prop_assert_eq!(render(&mark(&source)).map(|text| unmark(&text).text), Some(plain), "{}", mark(&source));
            }
        }
    }
}
