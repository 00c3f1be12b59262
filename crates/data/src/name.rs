//! Names of tables and columns: read from a request, quoted for SQL, and the near ones for a message.

use std::fmt;

use crate::Error;

/// A table by schema and name, both as the catalogue has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TableName {
    pub schema: String,
    pub table: String,
}

impl TableName {
    /// Reads `table`, `schema.table` or either part in double quotes. Nothing is folded to lower case: what a
    /// spec says is what the catalogue must have, and a miss is answered with near names.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |cause: &str| Error::Request { cause: format!("table {text:?}: {cause}") };
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, tail) = split_part(rest).ok_or_else(|| refuse("a quote is not closed"))?;
            if part.is_empty() || part.contains('\0') {
                return Err(refuse("a name is empty or has a zero byte"));
            }
            parts.push(part);
            match tail.strip_prefix('.') {
                Some(next) => rest = next,
                None if tail.is_empty() => break,
                None => return Err(refuse("something follows a quoted name")),
            }
        }
        let table = parts.pop().unwrap_or_default();
        let schema = parts.pop().unwrap_or_else(|| "public".to_owned());
        if !parts.is_empty() {
            return Err(refuse("more than a schema and a table"));
        }
        if schema == "mimeo" || schema == "information_schema" || schema.starts_with("pg_") {
            return Err(refuse("this schema belongs to the server or to mimeo"));
        }
        Ok(Self { schema, table })
    }

    /// The name as SQL, quoted.
    pub fn sql(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.table))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema != "public" {
            write!(f, "{}.", self.schema)?;
        }
        f.write_str(&self.table)
    }
}

fn split_part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut part = String::new();
    let mut rest = quoted;
    loop {
        let at = rest.find('"')?;
        part.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                part.push('"');
                rest = next;
            }
            None => return Some((part, rest)),
        }
    }
}

/// An identifier in double quotes, whatever is in it.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Identifiers quoted and joined by commas.
pub(crate) fn quote_list<'a>(identifiers: impl IntoIterator<Item = &'a str>) -> String {
    identifiers.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// At most three of the names that look like the wanted one, nearest first.
pub(crate) fn near<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(score, _)| *score > 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, String) {
        let name = TableName::parse(text).unwrap();
        (name.schema, name.table)
    }

    #[test]
    fn names_are_taken_as_written() {
        assert_eq!(parsed("Flights"), ("public".into(), "Flights".into()));
        assert_eq!(parsed("raw.a b"), ("raw".into(), "a b".into()));
        assert_eq!(parsed(r#""a.b"."c""d""#), ("a.b".into(), "c\"d".into()));
    }

    #[test]
    fn wrong_names_are_refused() {
        for text in ["", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "mimeo.copies", "pg_catalog.pg_authid"] {
            assert_eq!(TableName::parse(text).unwrap_err().code(), "DAT005", "{text}");
        }
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quote(r#"a"b"#), r#""a""b""#);
        assert_eq!(quote_list(["a", "B c"]), r#""a", "B c""#);
    }

    #[test]
    fn near_names_come_nearest_first() {
        let names = ["carrier", "origin", "dest", "flight_id", "flight"];
        assert_eq!(near("fligth_id", names)[0], "flight_id");
        assert_eq!(near("ORIGIN", names), ["origin"]);
        assert!(near("zzz", names).is_empty());
    }
}
