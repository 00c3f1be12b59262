//! Why a command stopped.

use spec::{Category, Diagnostic};

/// Code of [`cluster::Error::Fenced`].
const FENCED: &str = "ENV012";

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster did not do what was asked.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// The forge did not do what was asked.
    #[error(transparent)]
    Forge(#[from] forge::Error),
    /// The namespace of the environment is of an earlier life, and on its way out.
    #[error("namespace {namespace} is being deleted")]
    Terminating {
        /// Its name.
        namespace: String,
        /// Its uid.
        uid: String,
    },
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
            Self::Forge(error) => vec![error.diagnostic()],
            Self::Terminating { namespace, .. } => vec![
                Diagnostic::new("OBJ024", Category::Refused, "it is being deleted")
                    .on(format!("Namespace/{namespace}"))
                    .help("Run `mimeo up`: it waits until the namespace is gone, and makes a new one"),
            ],
            Self::Found(found) => found.clone(),
        }
    }

    /// Whether another run has taken the environment over: then this one writes nothing any more, not
    /// even that it failed.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.diagnostics().iter().any(|diagnostic| diagnostic.code == FENCED)
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
