//! One finding a person can act on: code, place, cause, what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where in the repository a finding points, at the commit that was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Path from the root of the repository.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How much a finding weighs: errors stop `up` and make `check` exit 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The rendering is invalid, or unsafe for others.
    Error,
    /// Worth a look; nothing stops.
    Warning,
    /// Said so that nobody is surprised; nothing is wrong.
    Note,
}

/// What a failure means to whoever called; it decides the exit code of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Wrong usage, or a spec, template or revision that is wrong: exit 2.
    Usage,
    /// A guard refused, or somebody has to approve: exit 3.
    Refused,
    /// The cluster or the forge did not do what was asked: exit 4.
    Cluster,
    /// A data step failed: exit 5.
    Data,
    /// Time ran out; the state is kept: exit 6.
    Timeout,
    /// A component failed: exit 7.
    Component,
    /// A gate did not pass: exit 1.
    Gate,
}

impl Category {
    /// The exit code of a command that ends with this category.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Gate => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Cluster => 4,
            Self::Data => 5,
            Self::Timeout => 6,
            Self::Component => 7,
        }
    }
}

/// A finding, or the reason why a command stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Stable code, two to four capitals and three digits, such as `TPL001`.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// What kind of failure it is.
    pub category: Category,
    /// Where it is, when it has a place in a file.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The Kubernetes object or the field concerned, such as `Deployment/web` or `spec.components.web`.
    pub object: Option<String>,
    /// What is wrong, in one sentence without a final period.
    pub cause: String,
    /// What to do about it, starting with a verb.
    pub help: Option<String>,
    /// The offending line of the file, for people.
    #[serde(skip)]
    pub snippet: Option<String>,
    /// Log lines or other evidence that belongs to the cause.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<String>,
}

/// Stands for a line that may hold a secret.
pub const HIDDEN: &str = "(not shown: it may hold a secret)";

impl Diagnostic {
    /// An error of the category [`Category::Usage`].
    #[must_use]
    pub fn error(code: &'static str, cause: impl Into<String>) -> Self {
        Self::new(code, Category::Usage, cause)
    }

    /// An error of any category.
    #[must_use]
    pub fn new(code: &'static str, category: Category, cause: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            category,
            place: None,
            object: None,
            cause: cause.into(),
            help: None,
            snippet: None,
            detail: Vec::new(),
        }
    }

    /// The same finding as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same finding as a note.
    #[must_use]
    pub fn note(mut self) -> Self {
        self.severity = Severity::Note;
        self
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, file: impl Into<String>, line: usize, column: usize) -> Self {
        self.place = Some(Place { file: file.into(), line, column });
        self
    }

    /// Adds the object or field.
    #[must_use]
    pub fn on(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Takes the offending line out of the file's text; needs a place. What is hidden stays so.
    #[must_use]
    pub fn with_source(mut self, text: &str) -> Self {
        if let Some(place) = self.place.as_ref().filter(|_| self.snippet.as_deref() != Some(HIDDEN)) {
            self.snippet = text.lines().nth(place.line.saturating_sub(1)).map(str::to_owned);
        }
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code)?;
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Diagnostic {}
