//! One finding: code, place, cause, evidence, what to do.

use serde_json::{Value, json};
use spec::{Diagnostic, Severity};

use crate::{
    ui::{BAD, DIM, GOOD, WARN},
    views::plain,
};

/// For people.
pub fn text(diagnostic: &Diagnostic) -> String {
    let (style, word) = match diagnostic.severity {
        Severity::Error => (BAD, "error"),
        Severity::Warning => (WARN, "warning"),
        Severity::Note => (DIM, "note"),
    };
    let mut lines =
        vec![format!("{style}{word}[{}]{style:#}: {}", diagnostic.code, plain(&diagnostic.cause))];
    if let Some(place) = &diagnostic.place {
        lines.push(format!("  {DIM}-->{DIM:#} {place}"));
    }
    if let (Some(place), Some(snippet)) = (&diagnostic.place, &diagnostic.snippet) {
        let number = place.line.to_string();
        let indent = " ".repeat(number.len());
        lines.push(format!(" {DIM}{indent} |{DIM:#}"));
        let (shown, column) = excerpt(&plain(snippet).replace('\t', " "), place.column.saturating_sub(1));
        lines.push(format!(" {DIM}{number} |{DIM:#} {shown}"));
        lines.push(format!(" {DIM}{indent} |{DIM:#} {}{BAD}^{BAD:#}", " ".repeat(column)));
    }
    if let Some(object) = &diagnostic.object {
        lines.push(format!("  {DIM}in{DIM:#}  {}", plain(object)));
    }
    lines.extend(diagnostic.detail.iter().map(|line| format!("  {DIM}|{DIM:#} {}", plain(line))));
    if let Some(help) = &diagnostic.help {
        lines.push(format!("  {GOOD}help{GOOD:#}: {}", plain(help)));
    }
    lines.join("\n")
}

/// At most 120 characters of a line, around a column (counted from 0), and where the column is in them.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 120;
    let length = line.chars().count();
    if length <= WIDTH {
        return (line.to_owned(), column);
    }
    let start = column.saturating_sub(WIDTH / 2).min(length - WIDTH);
    (line.chars().skip(start).take(WIDTH).collect(), column - start)
}

/// For programs: one line.
pub fn json(diagnostic: &Diagnostic) -> String {
    value(diagnostic).to_string()
}

/// For programs, as a part of something.
pub fn value(diagnostic: &Diagnostic) -> Value {
    let place = diagnostic.place.as_ref();
    json!({
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "file": place.map(|place| &place.file),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "object": diagnostic.object,
        "cause": diagnostic.cause,
        "detail": diagnostic.detail,
        "help": diagnostic.help,
    })
}
