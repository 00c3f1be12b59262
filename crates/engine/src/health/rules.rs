//! The health rules that templates give, by component and kind.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cluster::HealthMark;
use plan::{
    Desired, Key,
    health::{Rule, RuleText},
};
use render::Rendered;

/// Compiled rules.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Component, group and kind to the rule.
    rules: BTreeMap<(String, String, String), Arc<Rule>>,
}

impl Rules {
    /// The rules that a record keeps. One that this version cannot read is as good as none: what it is
    /// about shows as unverified.
    pub(crate) fn of(marks: &[HealthMark]) -> Self {
        let compiled = marks.iter().filter_map(|mark| {
            let text = RuleText {
                current: &mark.current,
                in_progress: mark.in_progress.as_deref(),
                failed: mark.failed.as_deref(),
                message: mark.message.as_deref(),
            };
            let place = (mark.component.clone(), mark.group.clone(), mark.kind.clone());
            match Rule::compile(text) {
                Ok(rule) => Some((place, Arc::new(rule))),
                Err((field, mistake)) => {
                    tracing::debug!(?place, field, cause = mistake.cause, "a health rule cannot be read");
                    None
                }
            }
        });
        Self { rules: compiled.collect() }
    }

    /// The rule for the objects of a kind of one component.
    pub(crate) fn get(&self, component: &str, key: &Key) -> Option<&Arc<Rule>> {
        self.rules.get(&(component.to_owned(), key.group.clone(), key.kind.clone()))
    }

    /// Every object that has a rule.
    pub(crate) fn by_key(&self, desired: &[Desired]) -> HashMap<Key, Arc<Rule>> {
        if self.rules.is_empty() {
            return HashMap::new();
        }
        let with_rule = |desired: &Desired| {
            let key = desired.object.key();
            let rule = Arc::clone(self.get(&desired.component, &key)?);
            Some((key, rule))
        };
        desired.iter().filter_map(with_rule).collect()
    }
}

/// The rules of a rendering, as its record keeps them: `status` works without the repository.
pub(crate) fn marks(rendered: &Rendered) -> Vec<HealthMark> {
    let of = |component: &render::Component| {
        let name = component.name.clone();
        component.health.clone().into_iter().map(move |rule| HealthMark {
            component: name.clone(),
            group: rule.group,
            kind: rule.kind,
            current: rule.current,
            in_progress: rule.in_progress,
            failed: rule.failed,
            message: rule.message,
        })
    };
    rendered.components.iter().flat_map(of).collect()
}
