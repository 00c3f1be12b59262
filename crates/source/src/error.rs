//! What can go wrong on the way to a commit.

use spec::{Category, Diagnostic};

/// Why a revision or a file of it could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The commit, branch or tag is not there.
    #[error("revision `{revision}` not found in {repository}")]
    UnknownRevision {
        /// As it was given.
        revision: String,
        /// Path or URL.
        repository: String,
        /// What to do.
        help: String,
    },
    /// A tag of something else than a commit.
    #[error("`{revision}` names {what}, not a commit")]
    NoCommit {
        /// As it was given.
        revision: String,
        /// What it names.
        what: &'static str,
    },
    /// A short id that begins several commits.
    #[error("`{revision}` begins more than one commit id")]
    Ambiguous {
        /// As it was given.
        revision: String,
    },
    /// No ref to derive the environment's identity from.
    #[error("{what}, so the environment has no name")]
    NoName {
        /// `commit abc… is given without a branch`, or `HEAD is detached`.
        what: String,
    },
    /// The name given with `--name` cannot be one.
    #[error("`{name}` is not usable as a name: {why}")]
    BadName {
        /// As it was given.
        name: String,
        /// The rule broken.
        why: &'static str,
    },
    /// The URL is of a form that is not allowed.
    #[error("URL form not allowed: {0}")]
    UrlForm(&'static str),
    /// The URL carries a password.
    #[error("the URL carries credentials")]
    UrlCredentials,
    /// There is no repository at the place.
    #[error("no git repository at {0}")]
    NoRepository(String),
    /// The repository has no commit yet.
    #[error("{0} has no commits")]
    NoCommits(String),
    /// The root commit is beyond the border of a shallow clone.
    #[error("{0} is a shallow clone without a network remote, so its identity is unknown")]
    ShallowIdentity(String),
    /// The other side refused, or the repository does not exist: it does not say which.
    #[error("{url} cannot be read: access denied, or no such repository")]
    Access {
        /// Without credentials.
        url: String,
        /// What git said.
        #[source]
        source: git2::Error,
    },
    /// The other side is not who it was, or cannot prove it.
    #[error("the identity of {url} cannot be verified")]
    Certificate {
        /// Without credentials.
        url: String,
        /// What git said.
        #[source]
        source: git2::Error,
    },
    /// The other side does not answer.
    #[error("{url} cannot be reached")]
    Unreachable {
        /// Without credentials.
        url: String,
        /// What git said.
        #[source]
        source: git2::Error,
    },
    /// What answers is no git server that can be asked.
    #[error("{url} does not answer as a git server")]
    NoGit {
        /// Without credentials.
        url: String,
        /// What git said.
        #[source]
        source: git2::Error,
    },
    /// A commit that was pinned is reached from no branch and no tag.
    #[error("commit {revision} is no longer in {url}")]
    Vanished {
        /// URL or path.
        url: String,
        /// The full commit id.
        revision: String,
    },
    /// A commit that was pinned is not on this machine, and nobody may be asked.
    #[error("commit {revision} of {url} is not on this machine")]
    NotHere {
        /// Without credentials.
        url: String,
        /// The full commit id.
        revision: String,
    },
    /// A file of the commit that cannot be used; it carries its own finding.
    #[error("{0}")]
    File(Box<Diagnostic>),
    /// The cache folder cannot be used.
    #[error("the cache folder {folder} cannot be used")]
    Cache {
        /// The folder.
        folder: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Anything else git could not do.
    #[error("{doing} failed in {repository}")]
    Git {
        /// What was tried.
        doing: &'static str,
        /// Path or URL.
        repository: String,
        /// What git said.
        #[source]
        source: git2::Error,
    },
}

impl Error {
    /// The finding: code, cause, what to do.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let usage = |code, help: &str| Diagnostic::error(code, self.to_string()).help(help);
        let outside = |code, source: &git2::Error, help: &str| {
            let mut finding = Diagnostic::new(code, Category::Cluster, self.to_string()).help(help);
            finding.detail.push(source.message().to_owned());
            finding
        };
        match self {
            Self::UnknownRevision { help, .. } => usage("GIT001", help),
            Self::NoCommit { .. } => usage("GIT001", "give a branch, or the tag of a commit"),
            Self::Ambiguous { .. } => usage("GIT002", "give all 40 digits of the commit id"),
            Self::NoName { .. } => usage("GIT003", "add `--name NAME`, or give a branch or tag with `--rev`"),
            Self::UrlForm(_) => usage("GIT004", "use https://, ssh://, git:// or user@host:path"),
            Self::UrlCredentials => {
                usage("GIT005", "remove them from the URL and use a credential helper or an SSH key")
            }
            Self::Certificate { source, .. } => {
                outside("GIT013", source, "check the host key or certificate")
            }
            Self::Access { source, .. } => outside("GIT014", source, "check the URL and the credentials"),
            Self::NoRepository(_) => usage("GIT016", "give one with `--repo PATH|URL`"),
            Self::NoCommits(_) => usage("GIT017", "commit something first"),
            Self::ShallowIdentity(_) => {
                usage("GIT018", "give it with `--repository HOST/PATH`, or fetch with `--unshallow`")
            }
            Self::Unreachable { source, .. } => outside("GIT019", source, "check the network and the URL"),
            Self::NoGit { source, .. } => outside(
                "GIT022",
                source,
                "give the URL that `git clone` takes; a server that only has the files (\"dumb\" HTTP) cannot be asked",
            ),
            Self::BadName { .. } => usage("GIT020", "use a name as for a git branch"),
            Self::Cache { source, .. } => usage("GIT021", &format!("make it writable: {source}")),
            Self::Vanished { .. } => usage(
                "LCK006",
                "it was removed by a force push, or its branch is gone: pin another one with `mimeo lock`",
            ),
            Self::NotHere { .. } => {
                usage("LCK005", "run `mimeo render` once where the network is, which fetches it")
            }
            Self::File(finding) => (**finding).clone(),
            Self::Git { source, .. } => {
                outside("GIT012", source, "run `git fsck`, or remove the cached copy")
            }
        }
    }
}

impl From<Box<Diagnostic>> for Error {
    fn from(finding: Box<Diagnostic>) -> Self {
        Self::File(finding)
    }
}
