//! [CEL](https://cel.dev) over one live object: what a template says about the health of a kind.
//!
//! Kubernetes uses the same language in its own policies, and Flux in its `healthCheckExprs`. An expression
//! sees `object`, and `metadata`, `spec` and `status` of it; no clock, no network, no other object. What it
//! can cost is bounded before it is evaluated, by its own size and by the longest list of the object.

mod cost;
mod names;
mod scope;

use cel::{ExecutionError, Program, Value};

pub use scope::Scope;

/// Longest expression, in bytes.
pub const LONGEST: usize = 2048;

/// Most opening brackets in an expression, and most other signs. The parser and the evaluation work by
/// recursion, which must end before the stack does.
const BRACKETS: usize = 64;
const SIGNS: usize = 400;

/// The stack for that recursion, in bytes: several times what the largest expression was seen to need.
const STACK: usize = 64 * 1024 * 1024;

/// Longest text an expression may answer with, in characters.
const LONGEST_TEXT: usize = 1024;

/// A checked expression.
#[derive(Debug)]
pub struct Expression {
    source: String,
    program: Program,
    cost: cost::Cost,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong.
    pub cause: String,
    /// What to do about it, where that is more than to read the cause.
    pub help: Option<String>,
}

/// Why an expression gave no answer about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// A field that it reads is not there, which is usual until a controller has looked at the object.
    Missing(String),
    /// It cannot be evaluated on this object: a value of another type, or too much work.
    Wrong(String),
}

impl Expression {
    /// Parses an expression and checks the names in it.
    ///
    /// # Errors
    /// What is wrong with it: its syntax, an unknown name, its length.
    pub fn compile(source: &str) -> Result<Self, Mistake> {
        let mistake = |cause: String| Mistake { cause, help: None };
        if source.len() > LONGEST {
            return Err(mistake(format!("it is longer than {LONGEST} bytes")));
        }
        let brackets = source.matches(['(', '[', '{']).count();
        let signs = source.matches(|c: char| c.is_ascii_punctuation()).count();
        if brackets > BRACKETS || signs > SIGNS {
            return Err(mistake(format!("it has more than {BRACKETS} brackets or {SIGNS} signs")));
        }
        stacker::grow(STACK, || Self::parse(source))
    }

    fn parse(source: &str) -> Result<Self, Mistake> {
        let mistake = |cause: String| Mistake { cause, help: None };
        let program = scope::environment().compile(source).map_err(|errors| {
            let first = errors.errors.first();
            mistake(first.map_or_else(
                || "it cannot be read".to_owned(),
                |error| format!("at character {}: {}", error.pos.1.max(1), plain(&error.msg)),
            ))
        })?;
        let cost = cost::Cost::of(program.expression());
        names::check(program.expression())?;
        Ok(Self { source: source.to_owned(), program, cost })
    }

    /// The text it was made from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it holds for an object.
    ///
    /// # Errors
    /// A field that is missing, or why it cannot be evaluated on this object.
    pub fn holds(&self, scope: &Scope) -> Result<bool, Unanswered> {
        match self.evaluate(scope)? {
            Value::Bool(answer) => Ok(answer),
            other => Err(Unanswered::Wrong(format!("it answers {}, not true or false", kind(&other)))),
        }
    }

    /// The text it answers, on one line and of bounded length.
    ///
    /// # Errors
    /// A field that is missing, or why it cannot be evaluated on this object.
    pub fn text(&self, scope: &Scope) -> Result<String, Unanswered> {
        match self.evaluate(scope)? {
            Value::String(text) => Ok(plain(&text)),
            other => Err(Unanswered::Wrong(format!("it answers {}, not a text", kind(&other)))),
        }
    }

    fn evaluate(&self, scope: &Scope) -> Result<Value, Unanswered> {
        if !self.cost.is_bearable(scope.size()) {
            return Err(Unanswered::Wrong("it would take too long on an object of this size".to_owned()));
        }
        stacker::grow(STACK, || self.program.execute(scope.context())).map_err(|error| unanswered(&error))
    }
}

/// The library's error without the values of the object, which may be secrets.
fn unanswered(error: &ExecutionError) -> Unanswered {
    let wrong = |text: &str| Unanswered::Wrong(text.to_owned());
    match error {
        ExecutionError::NoSuchKey(key) => Unanswered::Missing(plain(key)),
        // `status.conditions[0]` of a list that is empty so far.
        ExecutionError::IndexOutOfBounds(_) => Unanswered::Missing("an element of a list".to_owned()),
        ExecutionError::NoSuchOverload(overload) => Unanswered::Wrong(plain(&overload.to_string())),
        ExecutionError::UndeclaredReference(name) => {
            Unanswered::Wrong(format!("there is no `{}`", plain(name)))
        }
        ExecutionError::UnexpectedType { got, want } => {
            Unanswered::Wrong(format!("{} where {} is expected", plain(got), plain(want)))
        }
        ExecutionError::FunctionError { function, .. } => {
            Unanswered::Wrong(format!("{function}() cannot be applied"))
        }
        ExecutionError::ValuesNotComparable(..) => wrong("values of different types are compared"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => wrong("a division by zero"),
        ExecutionError::Overflow(..) => wrong("a number grows too large"),
        _ => wrong("it cannot be applied to the types of this object"),
    }
}

/// What a value is, for people.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "true or false",
        Value::String(_) => "a text",
        Value::Int(_) | Value::UInt(_) | Value::Float(_) => "a number",
        Value::List(_) => "a list",
        Value::Map(_) | Value::Struct(_) => "a mapping",
        Value::Null => "nothing",
        _ => "another type",
    }
}

/// Somebody else's text on one line, without control characters and of bounded length.
fn plain(text: &str) -> String {
    let text: String =
        text.chars().take(LONGEST_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
