//! The `where` of a table: one boolean expression that cannot leave its parentheses.

/// Says why a filter is refused, or nothing when it may be wrapped in parentheses.
///
/// The server parses the filter, not we; this only proves that what is between our parentheses stays there: no
/// statement ends in it, no parenthesis is closed that it did not open, and no comment or open quote swallows
/// what follows. `standard_conforming_strings` is on in our session, so a backslash escapes in `E'…'` only.
pub(crate) fn refusal(filter: &str) -> Option<&'static str> {
    if filter.trim().is_empty() {
        return Some("it is empty");
    }
    let mut scanner = Scanner { text: filter, at: 0 };
    let mut depth = 0_u32;
    while let Some(c) = scanner.peek() {
        match c {
            '\0' => return Some("it has a zero byte"),
            ';' => return Some("it has a `;` outside quotes"),
            '(' => depth += 1,
            ')' if depth == 0 => return Some("it closes a parenthesis that it did not open"),
            ')' => depth -= 1,
            '-' if scanner.looking_at("--") => return Some("it has a comment"),
            '/' if scanner.looking_at("/*") => return Some("it has a comment"),
            '\'' | '"' => {
                if !scanner.skip_quoted(c) {
                    return Some("a quote is not closed");
                }
                continue;
            }
            '$' => match scanner.skip_dollar_quoted() {
                Some(true) => continue,
                Some(false) => return Some("a quote is not closed"),
                None => {}
            },
            _ => {}
        }
        scanner.at += c.len_utf8();
    }
    (depth > 0).then_some("a parenthesis is not closed")
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn looking_at(&self, text: &str) -> bool {
        self.rest().starts_with(text)
    }

    /// Skips a quoted run that starts here; false when it never ends.
    fn skip_quoted(&mut self, quote: char) -> bool {
        let escapes = quote == '\'' && self.after_escape_prefix();
        self.at += 1;
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            if c == '\\' && escapes {
                self.at += self.peek().map_or(0, char::len_utf8);
            } else if c == quote {
                if self.peek() != Some(quote) {
                    return true;
                }
                self.at += 1;
            }
        }
        false
    }

    /// Whether the quote here belongs to `E'…'`; in `date'…'` the E is the end of a word.
    fn after_escape_prefix(&self) -> bool {
        let mut before = self.text[..self.at].chars().rev();
        matches!(before.next(), Some('e' | 'E')) && !before.next().is_some_and(in_word)
    }

    /// Skips `$tag$…$tag$`: `None` when no such quote starts here, false when it never ends.
    fn skip_dollar_quoted(&mut self) -> Option<bool> {
        if self.text[..self.at].chars().next_back().is_some_and(in_word) {
            return None;
        }
        let tag_end = self.rest()[1..].find(|c| !(in_word(c) && c != '$'))? + 1;
        let tag = self.rest().get(..=tag_end).filter(|tag| tag.ends_with('$'))?;
        if tag[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let body = self.at + tag.len();
        let found = self.text[body..].find(tag);
        self.at = found.map_or(self.text.len(), |end| body + end + tag.len());
        Some(found.is_some())
    }
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn expressions_pass() {
        for filter in [
            "month <= 3",
            "(a or b) and c in (select x from y)",
            "name = 'a;b)'",
            "name = 'it''s; --'",
            r"name = E'\'; --'",
            "\"odd;name)\" > 1",
            "body = $$;--)$$ or body = $t$;$$)$t$",
            "at > date'2013-01-01'",
            "at > now() - interval '90 days' and a - -1 > 0",
            "n = 'ü;' and größe > 1",
            "a / b > 2",
        ] {
            assert_eq!(refusal(filter), None, "{filter}");
        }
    }

    #[test]
    fn what_could_leave_the_parentheses_is_refused() {
        for filter in [
            " ",
            "true; drop table x",
            "true) union select secret from t where (true",
            "(true",
            "true -- ",
            "true /* x */",
            "a = 'x",
            "a = \"x",
            r"a = '\'; drop table x; --'",
            r"a = date'\'; drop table x",
            "a = $$x",
            "a = $t$x$$",
            "a = x$$;$$",
            "a\0",
        ] {
            assert!(refusal(filter).is_some(), "{filter}");
        }
    }
}
