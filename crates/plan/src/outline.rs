//! A plan as one list, in the order in which it runs: what is done, and what is waited for in between.

use serde::Serialize;

use crate::{Action, FieldChange, ObjectRef, Plan, Stage, Step};

/// What a line of a plan is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// An object is made.
    Create,
    /// An object that was there becomes the environment's.
    Adopt,
    /// Fields of an object change in place.
    Update,
    /// An object is deleted and made again.
    Recreate,
    /// An object is deleted.
    Delete,
    /// A Job of a template runs before or after its component.
    Hook,
    /// Data is copied, or a gate asks for it.
    Data,
    /// Objects have to be healthy, or kinds served, before anything else is done.
    Wait,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line<'a> {
    /// What it is about.
    pub kind: StepKind,
    /// What is done to the object; a hook or a copy that runs again is a `recreate`. Nothing for a wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The objects: one of a step, all that a wait is for.
    pub objects: Vec<&'a ObjectRef>,
    /// The component; nothing for a wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
    /// Field by field.
    #[serde(skip_serializing_if = "<[FieldChange]>::is_empty")]
    pub changes: &'a [FieldChange],
}

impl Step {
    /// What the step is about, for people: what runs is told from what only is there.
    #[must_use]
    pub fn kind(&self) -> StepKind {
        match (self.action, self.order.stage) {
            (Action::Create | Action::Recreate, Stage::Before | Stage::After) => StepKind::Hook,
            (Action::Create | Action::Recreate, Stage::Data | Stage::Gate) => StepKind::Data,
            (Action::Create, _) => StepKind::Create,
            (Action::Adopt, _) => StepKind::Adopt,
            (Action::Update, _) => StepKind::Update,
            (Action::Recreate, _) => StepKind::Recreate,
            (Action::Delete, _) => StepKind::Delete,
        }
    }
}

impl Plan {
    /// Every step and every wait. Nothing is waited for before the first change.
    #[must_use]
    pub fn outline(&self) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        for wave in &self.waves {
            lines.extend(wave.steps.iter().map(line));
            let mut waited: Vec<&ObjectRef> = wave.wait_for.iter().collect();
            let reason = match wave.order.stage {
                // Whoever applies definitions waits for their kinds.
                Stage::Definitions => {
                    waited = wave.steps.iter().map(|step| &step.object).collect();
                    "their kinds have to be served"
                }
                // Made in a moment; what needs them is tried again until then.
                Stage::Namespace | Stage::Access => continue,
                Stage::Before | Stage::After | Stage::Data | Stage::Gate => "they have to end well",
                _ => "they have to be healthy",
            };
            if !lines.is_empty() && !waited.is_empty() {
                let kind = StepKind::Wait;
                lines.push(Line {
                    kind,
                    action: None,
                    objects: waited,
                    component: None,
                    reason,
                    changes: &[],
                });
            }
        }
        lines.extend(self.prune.iter().map(line));
        lines
    }
}

fn line(step: &Step) -> Line<'_> {
    Line {
        kind: step.kind(),
        action: Some(step.action),
        objects: vec![&step.object],
        component: Some(&step.component),
        reason: &step.reason,
        changes: &step.changes,
    }
}
