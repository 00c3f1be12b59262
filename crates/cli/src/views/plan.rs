//! A plan: what would change, object by object, field by field.

use plan::{Action, Plan, Step};
use serde_json::Value;

use crate::{
    ui::{BAD, DIM, GOOD, WARN},
    views::{field, plain},
};

/// For programs: the plan, and the digest that approves it.
pub fn json(plan: &Plan) -> Value {
    let mut value = serde_json::to_value(plan).unwrap_or_default();
    value["digest"] = Value::from(plan.digest());
    value
}

/// For people.
pub fn text(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for step in plan.steps() {
        lines.extend(step_lines(step));
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
    lines.push(summary(plan));
    lines.join("\n")
}

/// What a plan would do: `2 to create, 1 to change`, or that nothing changes.
pub fn summary(plan: &Plan) -> String {
    counted(plan, ["to create", "to change", "to make again", "to delete"])
}

/// What a plan did.
pub fn done(plan: &Plan) -> String {
    counted(plan, ["created", "changed", "made again", "deleted"])
}

fn counted(plan: &Plan, words: [&str; 4]) -> String {
    let parts: Vec<String> = [Action::Create, Action::Update, Action::Recreate, Action::Delete]
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

fn step_lines(step: &Step) -> Vec<String> {
    let style = match step.action {
        Action::Create => GOOD,
        Action::Update | Action::Recreate => WARN,
        Action::Delete => BAD,
    };
    let mut lines = vec![format!(
        "{style}{}{style:#} {}: {}  {DIM}{}{DIM:#}",
        step.action.sign(),
        step.component,
        step.object.short(),
        plain(&step.reason)
    )];
    lines.extend(step.changes.iter().flat_map(field::lines));
    lines.extend(step.takes_back.iter().map(|field| format!("    takes back {}", plain(field))));
    lines
}
