//! Which kind of forge a server is, asked without a token.

use serde_json::Value;
use url::Url;

use crate::{
    Error, Kind, Result, Timing,
    dialect::Access,
    http::{Answer, Api, Call},
    place::authority,
};

/// The kind of forge at a server: what is given, else what github.com and GHE.com are known to be, else what
/// answers at `/api/v1/version` (Gitea, Forgejo) or `/api/v3/meta` (GitHub Enterprise Server).
///
/// # Errors
/// [`Error::Undetected`] when it is neither, [`Error::Unreachable`] and the like when it does not answer.
pub async fn detect(server: &Url, given: Option<Kind>) -> Result<Kind> {
    if let Some(kind) = given {
        return Ok(kind);
    }
    let host = authority(server);
    if host == "github.com" || host.ends_with(".ghe.com") {
        return Ok(Kind::GitHub);
    }
    if is_gitea(server).await? {
        return Ok(Kind::Gitea);
    }
    if is_github(server).await? {
        return Ok(Kind::GitHub);
    }
    Err(Error::Undetected { server: host })
}

async fn is_gitea(server: &Url) -> Result<bool> {
    Ok(match probe(server, Kind::Gitea, "/api/v1", "/version").await? {
        Seen::Answer(body) => body.get("version").is_some_and(Value::is_string),
        // `routers/api/v1/api.go`, of a server that shows nothing to strangers.
        Seen::Refusal(message) => message == "Only signed in user is allowed to call APIs.",
        Seen::Nothing => false,
    })
}

async fn is_github(server: &Url) -> Result<bool> {
    Ok(match probe(server, Kind::GitHub, "/api/v3", "/meta").await? {
        Seen::Answer(body) => body.get("verifiable_password_authentication").is_some_and(Value::is_boolean),
        // Enterprise Server in private mode.
        Seen::Refusal(message) => message == "Must authenticate to access this API.",
        Seen::Nothing => false,
    })
}

/// What a server answers at a path.
enum Seen {
    Answer(Value),
    Refusal(String),
    Nothing,
}

async fn probe(server: &Url, kind: Kind, base: &str, path: &str) -> Result<Seen> {
    let base = format!("{}{base}", server.as_str().trim_end_matches('/'));
    let base = Url::parse(&base)
        .map_err(|error| Error::Unreachable { server: authority(server), cause: error.to_string() })?;
    let api = Api::new(kind, &base, None, Timing::default())?;
    let what = format!("the kind of forge at {}", api.server());
    match api.call(&Call::get(path.to_owned(), what, Access::Repository)).await {
        Ok(Answer::Found { body, .. }) => Ok(Seen::Answer(body)),
        Err(Error::Unauthorized { message, .. } | Error::Forbidden { message, .. }) => {
            Ok(Seen::Refusal(message))
        }
        Ok(Answer::Absent)
        | Err(
            Error::NotJson { .. } | Error::Moved { .. } | Error::Unexpected { .. } | Error::Refused { .. },
        ) => Ok(Seen::Nothing),
        Err(error) => Err(error),
    }
}
