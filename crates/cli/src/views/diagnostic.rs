//! One finding: code, place, cause, evidence, what to do.

use serde_json::json;
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
        lines.push(format!(" {DIM}{number} |{DIM:#} {}", plain(snippet).replace('\t', " ")));
        lines.push(format!(
            " {DIM}{indent} |{DIM:#} {}{BAD}^{BAD:#}",
            " ".repeat(place.column.saturating_sub(1))
        ));
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

/// For programs: one line.
pub fn json(diagnostic: &Diagnostic) -> String {
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
    .to_string()
}
