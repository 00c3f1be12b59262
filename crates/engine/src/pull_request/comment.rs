//! The words of comments and statuses. Pure: one text for each thing that can be said.

use forge::{Pull, StatusState};
use spec::Diagnostic;

use super::{approval, short};
use crate::up;

/// Forges refuse comments of more than 65,536 characters (GitHub); this leaves room for the rest.
const MAX_DETAIL: usize = 30_000;

/// What a comment and a status say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// One word for the record: `building`, `ready`, `failed`, `waiting`, `gone`.
    pub says: &'static str,
    /// State of the commit status.
    pub state: StatusState,
    /// Its description.
    pub summary: String,
    /// The comment below its marker.
    pub body: String,
}

fn message(says: &'static str, state: StatusState, summary: String, spec: &str, text: &str) -> Message {
    Message { says, state, summary, body: format!("### `{spec}` preview: {says}\n\n{text}\n") }
}

pub(super) fn building(spec: &str, environment: &str, pull: &Pull) -> Message {
    let text = format!("Bringing `{environment}` to {}.", short(&pull.head.commit));
    let summary = format!("building {}", short(&pull.head.commit));
    message("building", StatusState::Pending, summary, spec, &text)
}

pub(super) fn waiting(spec: &str, url: &str, pull: &Pull) -> Message {
    let commit = &pull.head.commit;
    let text = format!(
        "{} comes from a fork. It gets an environment after somebody who may write to {} approves it.\n\n{}.",
        short(commit),
        pull.base.repository,
        approval::command(url, commit)
    );
    message("waiting", StatusState::Pending, "a fork: waiting for an approval".to_owned(), spec, &text)
}

pub(super) fn ready(spec: &str, pull: &Pull, report: &up::Report, changes: Option<&[String]>) -> Message {
    let commit = short(&pull.head.commit);
    let mut text = format!("`{}` is at {commit}", report.name);
    text.push_str(match &report.expires_at {
        Some(_) => ". It goes when the pull request is closed or merged, or after ",
        None => ". It goes when the pull request is closed or merged",
    });
    text.push_str(report.expires_at.as_deref().unwrap_or_default());
    text.push_str(".\n\n| component | state | endpoints |\n|---|---|---|\n");
    for component in &report.components {
        let endpoints: Vec<String> =
            component.endpoints.iter().map(|endpoint| format!("`{endpoint}`")).collect();
        text.push_str(&format!("| {} | {} | {} |\n", component.name, component.state, endpoints.join(" ")));
    }
    for (gate, answer) in &report.gates {
        let value = answer.get("value").and_then(serde_json::Value::as_str).unwrap_or_default();
        text.push_str(&format!("\nGate `{gate}` passed: {}\n", code(value)));
    }
    text.push_str(&format!("\n**Against {}**:", code(&pull.base.branch)));
    match changes {
        None => text.push_str(" it does not have this spec\n"),
        Some([]) => text.push_str(" the environment is the same\n"),
        Some(lines) => {
            text.push('\n');
            lines.iter().for_each(|line| text.push_str(&format!("- {line}\n")));
        }
    }
    message("ready", StatusState::Success, format!("{} is at {commit}", report.name), spec, text.trim_end())
}

pub(super) fn failed(spec: &str, environment: &str, pull: &Pull, found: &[Diagnostic]) -> Message {
    let summary = found.first().map_or_else(String::new, |first| first.cause.clone());
    let mut detail = String::new();
    for finding in found {
        let object = finding.object.as_ref().map(|object| format!(" ({object})")).unwrap_or_default();
        detail.push_str(&format!("{}: {}{object}\n", finding.code, finding.cause));
        if let Some(place) = &finding.place {
            detail.push_str(&format!("  at {place}\n"));
        }
        finding.detail.iter().for_each(|line| detail.push_str(&format!("  {line}\n")));
        detail.extend(finding.help.iter().map(|help| format!("  {help}\n")));
    }
    let detail: String = detail.chars().take(MAX_DETAIL).collect();
    let fence = fence(&detail);
    let text = format!(
        "`{environment}` could not be brought to {}.\n\n{fence}text\n{}\n{fence}",
        short(&pull.head.commit),
        detail.trim_end()
    );
    // Somebody stopped it: that says nothing about the change.
    let stopped = found.first().is_some_and(|first| first.code == "RUN001");
    let state = if stopped { StatusState::Error } else { StatusState::Failure };
    message("failed", state, format!("failed: {summary}"), spec, &text)
}

pub(super) fn gone(spec: &str, environment: &str, why: &str) -> Message {
    let text = format!("`{environment}` was taken down, and nothing of it is left: {}.", words(why));
    message("gone", StatusState::Success, format!("taken down: {why}"), spec, &text)
}

pub(super) fn stays(spec: &str, environment: &str, why: &str) -> Message {
    let text = format!("`{environment}` is kept: {why}.");
    message("kept", StatusState::Success, format!("kept: {why}"), spec, &text)
}

/// Text that somebody else chose, as a code span: no markup, no mention and no HTML of it takes effect.
pub(super) fn code(text: &str) -> String {
    let text: String =
        text.chars().map(|c| if c.is_control() || c == '`' { ' ' } else { c }).take(200).collect();
    format!("`{}`", if text.trim().is_empty() { " " } else { text.trim() })
}

/// Text that may have been written by somebody else, without what Markdown or HTML would read in it.
fn words(text: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || " .,:;-_/'+".contains(c) { c } else { ' ' };
    text.chars().map(plain).take(300).collect()
}

/// Longer than every run of backticks inside (CommonMark, "Fenced code blocks").
fn fence(text: &str) -> String {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_span_stays_one() {
        for (text, shown) in
            [("main", "`main`"), ("a`@all`<b>", "`a @all <b>`"), ("a\nb", "`a b`"), ("", "` `")]
        {
            assert_eq!(code(text), shown);
        }
    }

    #[test]
    fn no_line_ends_its_code_block() {
        for (text, ticks) in [("a", 3), ("a ``` b", 4), ("`````", 6)] {
            assert_eq!(fence(text).len(), ticks, "{text}");
        }
    }
}
