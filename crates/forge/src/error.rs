//! What can go wrong between a forge and us.

use spec::{Category, Diagnostic};

/// Why a forge could not be asked, or why its answer is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token is given twice, or there is none where one is said to be.
    #[error("the forge's token cannot be used: {why}")]
    Token {
        /// Without the token.
        why: String,
    },
    /// A request that no forge answers without a token.
    #[error("{doing} needs a token")]
    TokenMissing {
        /// What was to be done.
        doing: String,
    },
    /// The URL is not one of a pull request.
    #[error("not the URL of a pull request: {0}")]
    NotAPull(&'static str),
    /// The word is no kind of forge.
    #[error("unknown kind of forge `{given}`")]
    UnknownKind {
        /// As it was given.
        given: String,
    },
    /// The server is neither kind.
    #[error("{server} answers as none of the known kinds of forge")]
    Undetected {
        /// Without path and credentials.
        server: String,
    },
    /// A name that cannot stand in a path of the API.
    #[error("{what} `{name}` cannot be one: {why}")]
    BadName {
        /// Such as `branch`.
        what: &'static str,
        /// As it was given.
        name: String,
        /// The rule broken.
        why: &'static str,
    },
    /// 401: the token is wrong or has run out, or none was sent.
    #[error("{server} does not accept the token for {what}: {message}")]
    Unauthorized {
        /// Host and port.
        server: String,
        /// What was asked for.
        what: String,
        /// What the forge said.
        message: String,
    },
    /// 403: the token is good, and not for this.
    #[error("{server} refuses {what}: {message}")]
    Forbidden {
        /// Host and port.
        server: String,
        /// What was asked for.
        what: String,
        /// What the forge said.
        message: String,
        /// The permission or scope that it takes.
        needed: &'static str,
    },
    /// The API's own 404.
    #[error("{server} finds no {what}")]
    NotFound {
        /// Host and port.
        server: String,
        /// What was asked for.
        what: String,
        /// The permission or scope that it takes to see it.
        needed: &'static str,
    },
    /// Too many requests.
    #[error("{server} limits the rate of requests{}", until.as_ref().map(|at| format!(" until {at}")).unwrap_or_default())]
    RateLimited {
        /// Host and port.
        server: String,
        /// When it answers again, RFC 3339, where it says so.
        until: Option<String>,
    },
    /// 5xx, after repeated attempts where that is safe.
    #[error("{server} failed with {status} at {what}: {message}")]
    Server {
        /// Host and port.
        server: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the forge said.
        message: String,
    },
    /// A page for people, or of something between the forge and us.
    #[error("the answer of {server} about {what} ({status}) is not JSON but {found}")]
    NotJson {
        /// Host and port.
        server: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The content type, or what is broken.
        found: String,
    },
    /// No answer: name, connection, certificate, time.
    #[error("{server} cannot be reached: {cause}")]
    Unreachable {
        /// Host and port.
        server: String,
        /// What failed, without the URL.
        cause: String,
    },
    /// A list that is not known to be whole.
    #[error("the list of {what} is not complete: {why}")]
    Incomplete {
        /// What was listed.
        what: String,
        /// What does not agree.
        why: String,
    },
    /// 3xx; it is not followed.
    #[error("{server} answers {status} about {what}: the repository was renamed or moved")]
    Moved {
        /// Host and port.
        server: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
    },
    /// An answer that does not say what it has to.
    #[error("the answer about {what} is not as the API describes it: {why}")]
    Unexpected {
        /// What was asked for.
        what: String,
        /// The field or the difference.
        why: String,
    },
    /// Any other 4xx: the forge understood and does not want to.
    #[error("{server} rejects {what} ({status}): {message}")]
    Refused {
        /// Host and port.
        server: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the forge said.
        message: String,
    },
}

impl Error {
    /// The finding: code, cause, what to do.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let usage = |code, help: &str| Diagnostic::error(code, self.to_string()).help(help);
        let outside =
            |code, help: &str| Diagnostic::new(code, Category::Cluster, self.to_string()).help(help);
        match self {
            Self::Token { .. } => {
                usage("FRG001", "set one of MIMEO_FORGE_TOKEN and MIMEO_FORGE_TOKEN_FILE to one token")
            }
            Self::TokenMissing { .. } => {
                usage("FRG002", "set MIMEO_FORGE_TOKEN, or MIMEO_FORGE_TOKEN_FILE to a file with it")
            }
            Self::NotAPull(_) => usage("FRG003", "give it as https://HOST/OWNER/NAME/pull/NUMBER"),
            Self::UnknownKind { .. } => usage("FRG004", "Use `gitea` (also for Forgejo) or `github`"),
            Self::Undetected { .. } => {
                usage("FRG005", "check the URL, or say what it is: `gitea` (also for Forgejo) or `github`")
            }
            Self::BadName { .. } => usage("FRG006", "give it as the forge shows it"),
            Self::Unauthorized { .. } => {
                outside("FRG007", "check that the token is of this forge, complete, and has not run out")
            }
            Self::Forbidden { needed, .. } => outside("FRG008", &format!("give the token {needed}")),
            Self::NotFound { needed, .. } => outside(
                "FRG009",
                &format!(
                    "check the name; a forge says so too where the token may not look: it takes {needed}"
                ),
            ),
            Self::RateLimited { .. } => outside("FRG010", "run it again later, or use a token of its own"),
            Self::Server { .. } => outside("FRG011", "run it again; look at the state of the forge"),
            Self::NotJson { .. } => outside(
                "FRG012",
                "check the URL, and what stands between here and the forge: proxy, login page",
            ),
            Self::Unreachable { .. } => {
                outside("FRG013", "check the URL, name resolution, proxy, port and certificate")
            }
            Self::Incomplete { .. } => {
                outside("FRG014", "run it again: it may have changed while it was read")
            }
            Self::Moved { .. } => outside("FRG015", "give the new address; a redirect is not followed"),
            Self::Unexpected { .. } => outside(
                "FRG016",
                "check the URL and the version of the forge; a renamed repository needs its new name",
            ),
            Self::Refused { .. } => outside("FRG017", "see what the forge says; nothing was changed"),
        }
    }
}

/// Characters of a forge's own message that are shown.
const MESSAGE_LIMIT: usize = 200;

/// Text of a forge, fit to be shown: one line, short, without the token even if the forge repeats it.
pub(crate) fn clean(text: &str, token: Option<&str>) -> String {
    let hidden = match token {
        Some(token) if !token.is_empty() => text.replace(token, "***"),
        _ => text.to_owned(),
    };
    let line: String = hidden.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().chars().take(MESSAGE_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_short_line_without_the_token() {
        assert_eq!(clean(" a\r\n\u{1b}[31mb s3cret\n", Some("s3cret")), "a   [31mb ***");
        assert_eq!(clean(&"ü".repeat(500), None).chars().count(), MESSAGE_LIMIT);
    }
}
