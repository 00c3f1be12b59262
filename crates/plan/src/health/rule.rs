//! What a template says about the health of a kind that mimeo does not know.
//!
//! The fields are those of Flux's `healthCheckExprs`, and they are asked in its order: `inProgress`,
//! `failed`, `current`. Where none of them holds, the object is on its way.

use expression::{Expression, Mistake, Scope, Unanswered};
use serde_json::Value;

use super::{Finding, Health, Trouble};

/// The texts of a rule.
#[derive(Debug, Clone, Copy, Default)]
pub struct RuleText<'a> {
    /// Holds when the object is what was asked for.
    pub current: &'a str,
    /// Holds while it is on its way, whatever else holds.
    pub in_progress: Option<&'a str>,
    /// Holds when it will not become healthy by waiting.
    pub failed: Option<&'a str>,
    /// A text that says why it is not healthy.
    pub message: Option<&'a str>,
}

/// A rule, ready to be applied.
#[derive(Debug)]
pub struct Rule {
    current: Expression,
    in_progress: Option<Expression>,
    failed: Option<Expression>,
    message: Option<Expression>,
}

impl Rule {
    /// Compiles a rule.
    ///
    /// # Errors
    /// The field whose expression is wrong, and what is wrong with it.
    pub fn compile(text: RuleText<'_>) -> Result<Self, (&'static str, Mistake)> {
        let compile = |field: &'static str, source: &str| {
            Expression::compile(source).map_err(|mistake| (field, mistake))
        };
        let optional = |field, source: Option<&str>| source.map(|source| compile(field, source)).transpose();
        Ok(Self {
            current: compile("current", text.current)?,
            in_progress: optional("inProgress", text.in_progress)?,
            failed: optional("failed", text.failed)?,
            message: optional("message", text.message)?,
        })
    }

    /// Judges an object. A field that is missing makes an expression not hold: controllers fill in their
    /// status bit by bit. An expression that cannot be evaluated never makes an object healthy or failed.
    pub(super) fn assess(&self, object: &Value) -> Health {
        let scope = Scope::of(object);
        let holds = |expression: Option<&Expression>| match expression.map(|e| e.holds(&scope)) {
            None | Some(Err(Unanswered::Missing(_))) => Ok(false),
            Some(Ok(answer)) => Ok(answer),
            Some(Err(Unanswered::Wrong(cause))) => Err(cause),
        };
        let broken = |field: &str, cause: &str| {
            Health::progressing(format!("`{field}` of its health rule cannot be asked: {cause}"))
        };
        match holds(self.in_progress.as_ref()) {
            Ok(false) => {}
            Ok(true) => {
                return Health::progressing(self.why(&scope, "its health rule says it is in progress"));
            }
            Err(cause) => return broken("inProgress", &cause),
        }
        match holds(self.failed.as_ref()) {
            Ok(false) => {}
            Ok(true) => {
                let cause = self.why(&scope, "its health rule says it has failed");
                return Health::Failed(Finding::new(Trouble::Rule, cause));
            }
            Err(cause) => return broken("failed", &cause),
        }
        match self.current.holds(&scope) {
            Ok(true) => Health::healthy(),
            Ok(false) => Health::progressing(self.why(&scope, "its health rule does not hold yet")),
            Err(Unanswered::Missing(field)) => {
                Health::progressing(format!("its health rule waits for {field}, which is not there yet"))
            }
            Err(Unanswered::Wrong(cause)) => broken("current", &cause),
        }
    }

    /// The text of the rule's `message`, or `otherwise`.
    fn why(&self, scope: &Scope, otherwise: &str) -> String {
        let told = self.message.as_ref().and_then(|message| message.text(scope).ok());
        told.filter(|text| !text.is_empty()).map_or(otherwise.to_owned(), |text| super::read::clean(&text))
    }
}
