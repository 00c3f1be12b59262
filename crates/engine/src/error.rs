//! Why a command stopped.

use spec::{Category, Diagnostic};

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster did not do what was asked.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// Findings, each with code, place, cause and help.
    #[error("{} findings", .0.len())]
    Found(Vec<Diagnostic>),
}

impl Error {
    /// Every finding.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        match self {
            Self::Cluster(error) => vec![error.diagnostic()],
            Self::Found(found) => found.clone(),
        }
    }

    /// What the command's exit code is made from: the first finding decides.
    #[must_use]
    pub fn category(&self) -> Category {
        self.diagnostics().first().map_or(Category::Cluster, |first| first.category)
    }
}

impl From<Diagnostic> for Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Found(vec![diagnostic])
    }
}

/// Result of a command.
pub type Result<T> = std::result::Result<T, Error>;
