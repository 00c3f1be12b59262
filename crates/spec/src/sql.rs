//! SQL of a spec: the `where` of a table, one boolean expression that cannot leave its parentheses; the query of a
//! gate, as much of it as can be told without its database.

/// Says why the `where` of a table is refused, or nothing when it may be wrapped in parentheses.
///
/// The server parses the condition, not we; this only proves that what is between our parentheses stays there: no
/// statement ends in it, no parenthesis is closed that it did not open, and no comment or open quote swallows
/// what follows. `standard_conforming_strings` is on in our session, so a backslash escapes in `E'…'` only.
#[must_use]
pub fn refused_condition(text: &str) -> Option<&'static str> {
    scan(text, Form::Condition)
}

/// Says why the query of a gate is refused: the server takes one statement without parameters, which is asked as
/// `SELECT … FROM (query)`, so that it has to be one that gives rows.
#[must_use]
pub fn refused_query(text: &str) -> Option<&'static str> {
    let text = text.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    scan(text, Form::Query).or_else(|| {
        let mut scanner = Scanner { text, at: 0 };
        while scanner.peek().is_some_and(|c| c.is_whitespace() || c == '(') || scanner.at_comment() {
            if !scanner.at_comment() {
                scanner.at += scanner.peek().map_or(0, char::len_utf8);
            } else if !scanner.skip_comment() {
                break;
            }
        }
        let rest = scanner.rest();
        let word = &rest[..rest.find(|c| !in_word(c)).unwrap_or(rest.len())];
        let gives_rows = ["select", "with", "values", "table"].iter().any(|it| word.eq_ignore_ascii_case(it));
        (!gives_rows).then_some("it is no SELECT")
    })
}

/// What a text has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// An expression between parentheses of ours.
    Condition,
    /// A statement by itself.
    Query,
}

fn scan(text: &str, form: Form) -> Option<&'static str> {
    if text.trim().is_empty() {
        return Some("it is empty");
    }
    let mut scanner = Scanner { text, at: 0 };
    let mut depth = 0_u32;
    while let Some(c) = scanner.peek() {
        match c {
            '\0' => return Some("it has a zero byte"),
            ';' if form == Form::Query => return Some("it is more than one statement"),
            ';' => return Some("it has a `;` outside quotes"),
            '(' => depth += 1,
            ')' if depth == 0 => return Some("it closes a parenthesis that it did not open"),
            ')' => depth -= 1,
            '-' | '/' if scanner.at_comment() => {
                if form == Form::Condition {
                    return Some("it has a comment");
                }
                if !scanner.skip_comment() {
                    return Some("a comment is not closed");
                }
                continue;
            }
            '\'' | '"' => {
                if !scanner.skip_quoted(c) {
                    return Some("a quote is not closed");
                }
                continue;
            }
            '$' => match scanner.skip_dollar_quoted() {
                Some(true) => continue,
                Some(false) => return Some("a quote is not closed"),
                None if form == Form::Query && scanner.at_parameter() => return Some("it has a parameter"),
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

    fn at_comment(&self) -> bool {
        self.looking_at("--") || self.looking_at("/*")
    }

    /// Skips a comment that starts here, with those in it; false when it never ends.
    fn skip_comment(&mut self) -> bool {
        if self.looking_at("--") {
            self.at = self.rest().find('\n').map_or(self.text.len(), |end| self.at + end + 1);
            return true;
        }
        let mut depth = 0_u32;
        while let Some(c) = self.peek() {
            if self.looking_at("/*") {
                depth += 1;
                self.at += 2;
            } else if self.looking_at("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return true;
                }
            } else {
                self.at += c.len_utf8();
            }
        }
        false
    }

    /// Whether `$1` stands here, and is no part of a name.
    fn at_parameter(&self) -> bool {
        let digit = self.rest()[1..].starts_with(|c: char| c.is_ascii_digit());
        digit && !self.text[..self.at].chars().next_back().is_some_and(in_word)
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
    use super::{refused_condition as refusal, refused_query};

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

    #[test]
    fn one_query_without_parameters() {
        for query in [
            "select count(*) from t",
            " -- how many; really\n/* (a /* nested */ one */ SELECT 1;\n ; ",
            "with a as (select ';$1' as x) select $$)$1;$$ || x from a",
            "(select 1) union (select 2)",
            "values (1)",
            "select a$1 from t",
        ] {
            assert_eq!(refused_query(query), None, "{query}");
        }
        for (query, why) in [
            ("select 1; drop table t", "it is more than one statement"),
            ("select 1) as x; --", "it closes a parenthesis that it did not open"),
            ("select 'a", "a quote is not closed"),
            ("select 1 /* a", "a comment is not closed"),
            ("select $1", "it has a parameter"),
            ("delete from t returning 1", "it is no SELECT"),
            ("-- nothing", "it is no SELECT"),
            (" ; ", "it is empty"),
        ] {
            assert_eq!(refused_query(query), Some(why), "{query}");
        }
    }
}
