//! What the cluster answered when it did not do what was asked.

use spec::{Category, Diagnostic};

/// A failed request, or a cluster that could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No usable kubeconfig or in-cluster configuration.
    #[error("no cluster to talk to: {cause}")]
    Config {
        /// What is missing or wrong.
        cause: String,
    },
    /// The server did not answer.
    #[error("cannot reach the cluster at {server}: {cause}")]
    Unreachable {
        /// URL of the API server.
        server: String,
        /// What the transport said.
        cause: String,
    },
    /// The server answered with a failure.
    #[error("{verb} {subject}: {message}")]
    Api {
        /// `get`, `list`, `apply`, `create`, `delete`, `watch`.
        verb: &'static str,
        /// The object or kind, with its namespace.
        subject: String,
        /// HTTP status.
        code: u16,
        /// Reason of the Status, such as `Forbidden`.
        reason: String,
        /// Message of the Status.
        message: String,
        /// Offending fields, as `field: message`.
        causes: Vec<String>,
    },
    /// The server does not know the kind.
    #[error("the cluster does not know {kind} of {api_version}")]
    UnknownKind {
        /// Group and version.
        api_version: String,
        /// Kind.
        kind: String,
    },
    /// An answer that is not what the API promises.
    #[error("{subject}: unexpected answer: {cause}")]
    Answer {
        /// What was asked.
        subject: String,
        /// What is wrong with it.
        cause: String,
    },
    /// mimeo's own resources are not installed.
    #[error("mimeo is not installed in this cluster")]
    NotInstalled,
    /// Another run works on the environment.
    #[error("another run works on {environment}: {holder}")]
    Busy {
        /// Name of the environment.
        environment: String,
        /// Who, where, since when.
        holder: String,
    },
    /// Another run took the environment over; this one must not write any more.
    #[error("another run took {environment} over")]
    Fenced {
        /// Name of the environment.
        environment: String,
    },
    /// The record of the inventory is older than what was already seen.
    #[error("the inventory of {environment} is incomplete: {cause}")]
    Inventory {
        /// Name of the environment.
        environment: String,
        /// What is missing.
        cause: String,
    },
}

const NO_API: &str = "Check that the server of the kubeconfig context is a Kubernetes API, and what stands between this machine and it, such as a proxy or a login page";

impl Error {
    /// HTTP status, when the server gave one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// What a person needs: code, cause, what to do.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let (code, category, help) = self.advice();
        let mut diagnostic = Diagnostic::new(code, category, self.to_string()).help(help);
        if let Self::Api { subject, verb, message, causes, .. } = self {
            diagnostic.object = Some(subject.clone());
            diagnostic.cause = format!("{verb} failed: {message}");
            diagnostic.detail = causes.clone();
        }
        diagnostic
    }

    fn advice(&self) -> (&'static str, Category, &'static str) {
        match self {
            Self::Config { .. } => (
                "CLU001",
                Category::Cluster,
                "Set KUBECONFIG or pass --context; `kubectl config get-contexts` lists what there is",
            ),
            Self::Unreachable { .. } => (
                "CLU002",
                Category::Cluster,
                "Check that the cluster runs and that `kubectl version` answers with the same context",
            ),
            Self::Api { code: 401, .. } => (
                "CLU003",
                Category::Cluster,
                "The token or certificate is not accepted (expired?): log in again",
            ),
            Self::Api { code: 403, message, .. } if message.contains("exceeded quota") => (
                "CLU013",
                Category::Refused,
                "Give the namespace a larger quota (`policy.quota` where it is the environment's own), or let the components ask for less",
            ),
            Self::Api { code: 403, .. } => (
                "CLU004",
                Category::Cluster,
                "Ask an admin for this right; `mimeo install --grant user:NAME` gives everything mimeo needs",
            ),
            // An unknown field is how server-side apply answers with 500.
            Self::Api { code: 500, message, .. }
                if message.contains("failed to create typed patch object") =>
            {
                (
                    "CLU005",
                    Category::Component,
                    "Correct the manifest in the template that renders this object: it has a field the kind does not know",
                )
            }
            // No manifest of a template is in a deletion: something in the cluster does not want it.
            Self::Api { code: 422 | 400, verb: "delete", .. } => (
                "CLU006",
                Category::Cluster,
                "Whatever refuses the deletion is named above, such as an admission policy or webhook: have it allowed, and run the command again",
            ),
            Self::Api { code: 422 | 400, .. } => (
                "CLU005",
                Category::Component,
                "Correct the manifest in the template that renders this object",
            ),
            Self::Api { code: 409, .. } => (
                "OBJ017",
                Category::Refused,
                "Run the command again: the plan shows who has the field; the spec may declare to take it with `overrides`",
            ),
            Self::Api { .. } => (
                "CLU006",
                Category::Cluster,
                "Run the command again; what was done is recorded and is not repeated",
            ),
            Self::UnknownKind { .. } => (
                "OBJ002",
                Category::Usage,
                "Install the CustomResourceDefinition first, or correct apiVersion and kind",
            ),
            Self::Answer { .. } => ("CLU007", Category::Cluster, NO_API),
            Self::NotInstalled => {
                ("CLU008", Category::Cluster, "An admin runs `mimeo install` once per cluster")
            }
            Self::Busy { .. } => (
                "ENV011",
                Category::Refused,
                "Wait for the other run, or stop it; a dead one is taken over after 15 s",
            ),
            Self::Fenced { .. } => (
                "ENV012",
                Category::Refused,
                "Nothing to do if the newer run is the one you want; else run the command again",
            ),
            Self::Inventory { .. } => (
                "ENV013",
                Category::Refused,
                "Nothing was changed. Restore the Inventory objects beside the record from a backup, or remove what is left by hand",
            ),
        }
    }
}

/// Result of a request.
pub type Result<T> = std::result::Result<T, Error>;
