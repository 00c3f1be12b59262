//! A plan: what would change, object by object, field by field.

use engine::preview::Preview;
use plan::{Action, Line, Plan, Step, StepKind};
use serde_json::Value;

use crate::{
    ui::{BAD, DIM, GOOD, WARN},
    views::{diagnostic, field, plain},
};

/// For programs: the plan, the digest that approves it, all of it as one list with the waits, and what is refused.
pub fn json(Preview { plan, refused, .. }: &Preview) -> Value {
    let mut value = serde_json::to_value(plan).unwrap_or_default();
    value["digest"] = Value::from(plan.digest());
    value["steps"] = serde_json::to_value(plan.outline()).unwrap_or_default();
    if !refused.is_empty() {
        value["refused"] = refused.iter().map(diagnostic::value).collect();
    }
    value
}

/// For people: what is done and what is waited for in between.
pub fn text(preview: &Preview) -> String {
    let plan = &preview.plan;
    let mut lines = Vec::new();
    let mut steps = plan.steps();
    for line in plan.outline() {
        if line.kind == StepKind::Wait {
            lines.push(wait_line(&line));
        } else {
            lines.extend(steps.next().map(step_lines).into_iter().flatten());
        }
    }
    ending(preview, lines)
}

/// For people who ask what differs: no word of what stays as it is.
pub fn differences(preview: &Preview) -> String {
    ending(preview, preview.plan.steps().flat_map(step_lines).collect())
}

fn ending(Preview { plan, refused, .. }: &Preview, mut lines: Vec<String>) -> String {
    for refusal in refused {
        let object = plain(refusal.object.as_deref().unwrap_or(&plan.environment));
        lines.push(format!("{BAD}✗{BAD:#} {object}: refused: {}", plain(&refusal.cause)));
    }
    for setting in &plan.settings {
        lines.push(format!("{WARN}~{WARN:#} environment: {}", plain(setting)));
    }
    for note in &plan.notes {
        lines.push(format!("{WARN}!{WARN:#} {}: {}", note.object, plain(&note.text)));
    }
    if !plan.at_stake.is_empty() {
        lines.push(format!(
            "{BAD}this cannot be brought back{BAD:#} (approve with --approve {}):",
            plan.digest()
        ));
        lines.extend(plan.at_stake.iter().map(|line| format!("    {}", plain(line))));
    }
    lines.push(match refused.len() {
        0 => summary(plan),
        many => format!("{}; {many} refused, so nothing is done", summary(plan)),
    });
    lines.join("\n")
}

/// What a plan would do: `2 to create, 1 to change`, or that nothing changes.
pub fn summary(plan: &Plan) -> String {
    counted(plan, ["to create", "to adopt", "to change", "to make again", "to delete"])
}

/// What a plan did.
pub fn done(plan: &Plan) -> String {
    counted(plan, ["created", "adopted", "changed", "made again", "deleted"])
}

fn counted(plan: &Plan, words: [&str; 5]) -> String {
    let parts: Vec<String> =
        [Action::Create, Action::Adopt, Action::Update, Action::Recreate, Action::Delete]
            .into_iter()
            .zip(words)
            .map(|(action, word)| (plan.steps().filter(|step| step.action == action).count(), word))
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .chain((!plan.settings.is_empty()).then(|| format!("{} of its settings", plan.settings.len())))
            .collect();
    let place = format!("{} at {}", plan.environment, plan.revision.get(..12).unwrap_or(&plan.revision));
    if parts.is_empty() {
        format!("{place}: nothing changes")
    } else {
        format!("{place}: {}", parts.join(", "))
    }
}

/// How many objects of a wait are named.
const NAMED: usize = 3;

fn wait_line(line: &Line<'_>) -> String {
    let names: Vec<String> = line.objects.iter().take(NAMED).map(|object| object.short()).collect();
    let more = match line.objects.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{DIM}… wait: {}{more}, {}{DIM:#}", names.join(", "), line.reason)
}

fn step_lines(step: &Step) -> Vec<String> {
    let style = match step.action {
        Action::Create => GOOD,
        Action::Adopt | Action::Update | Action::Recreate => WARN,
        Action::Delete => BAD,
    };
    let what = match step.kind() {
        StepKind::Hook => "hook ",
        StepKind::Data => "data ",
        StepKind::Adopt => "adopt ",
        _ => "",
    };
    let mut lines = vec![format!(
        "{style}{}{style:#} {}: {what}{}  {DIM}{}{DIM:#}",
        step.action.sign(),
        step.component,
        step.object.short(),
        plain(&step.reason)
    )];
    lines.extend(step.changes.iter().flat_map(field::lines));
    lines.extend(step.takes.iter().map(|field| format!("    takes {}", plain(field))));
    lines.extend(step.takes_back.iter().map(|field| format!("    takes back {}", plain(field))));
    lines
}
