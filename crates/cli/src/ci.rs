//! What a CI job knows of its pull request and its forge, and what the environment says of tokens. GitHub,
//! Gitea and Forgejo set the same variables (GitHub: "Variables reference", "Default environment variables").

use std::path::Path;

use clap::Args;
use engine::{Error, Forges};
use forge::{Forge, Kind, PullUrl, Token};
use serde_json::Value;
use spec::Diagnostic;
use url::Url;

use crate::file;

/// Which forge.
#[derive(Debug, Clone, Args)]
pub struct ForgeArgs {
    /// Kind of the forge (default: found out by asking it)
    #[arg(long, value_name = "gitea|github")]
    forge: Option<String>,
    /// Server that MIMEO_FORGE_TOKEN is for; it is sent to no other (default: the CI job's)
    #[arg(long, value_name = "URL", env = "MIMEO_FORGE_URL")]
    forge_url: Option<String>,
}

impl ForgeArgs {
    /// The forge and the token of this call. `named` is a server that the call itself names: the token is
    /// for it where nothing else is said.
    pub fn forges(&self, named: Option<&Url>) -> Result<Forges, Error> {
        let token = Token::from_environment()?;
        let ci = variable("GITHUB_SERVER_URL").and_then(|url| url.parse::<Url>().ok());
        // An empty variable is one that nobody set.
        let given = match self.forge_url.as_deref().map(str::trim).filter(|url| !url.is_empty()) {
            Some(url) => Some(url.parse::<Url>().map_err(|error| {
                Diagnostic::error("ARG008", format!("it is no URL: {error}"))
                    .on("--forge-url, MIMEO_FORGE_URL")
                    .help("Write https://HOST")
            })?),
            None => None,
        };
        if let (Some(given), Some(named), Some(_)) = (&given, named, &token)
            && given.origin() != named.origin()
        {
            let cause = format!("the token is for {given}, the pull request is on {named}");
            return Err(Diagnostic::error("ARG009", cause)
                .on("--forge-url, MIMEO_FORGE_URL")
                .help("Name the pull request's server, or leave it out")
                .into());
        }
        let server = given.or_else(|| named.cloned()).or_else(|| ci.clone());
        let own = server.is_some() && server == ci;
        let kind = match &self.forge {
            Some(word) => Some(word.parse()?),
            None => kind_of_job().filter(|_| own),
        };
        let api = variable("GITHUB_API_URL").and_then(|url| url.parse().ok()).filter(|_| own);
        Ok(Forges { server, api, token, kind })
    }
}

/// The repository of a pull request, named as the forge names it: however somebody spells the URL, it is one
/// pull request with one environment.
pub async fn connect(forges: &Forges, url: &PullUrl) -> Result<Box<dyn Forge>, Error> {
    let forge = forges.connect(&url.server, &url.owner, &url.name).await?;
    let repository = forge.pull(url.number).await?.base.repository;
    match repository.split_once('/') {
        Some((owner, name)) if (owner, name) != (url.owner.as_str(), url.name.as_str()) => {
            forges.connect(&url.server, owner, name).await
        }
        _ => Ok(forge),
    }
}

/// The pull request a CI job runs for.
pub fn pull() -> Result<PullUrl, Error> {
    let unknown = |cause: &str| {
        Error::from(
            Diagnostic::error("ARG005", cause.to_owned())
                .help("Name the pull request: mimeo preview --spec NAME --pr URL"),
        )
    };
    let server = variable("GITHUB_SERVER_URL").and_then(|url| url.parse().ok());
    let repository = variable("GITHUB_REPOSITORY");
    let (Some(server), Some((owner, name))) =
        (server, repository.as_ref().and_then(|repository| repository.split_once('/')))
    else {
        return Err(unknown("this is no CI job of a pull request"));
    };
    let number =
        event_number().or_else(ref_number).ok_or_else(|| unknown("the CI job is of no pull request"))?;
    Ok(PullUrl { server, owner: owner.to_owned(), name: name.to_owned(), number })
}

fn event_number() -> Option<u64> {
    let text = file::read(Path::new(&variable("GITHUB_EVENT_PATH")?), file::LARGE).ok()?;
    let event: Value = serde_json::from_str(&text).ok()?;
    event.pointer("/pull_request/number")?.as_u64()
}

/// `refs/pull/7/merge`.
fn ref_number() -> Option<u64> {
    variable("GITHUB_REF")?.strip_prefix("refs/pull/")?.split('/').next()?.parse().ok()
}

fn kind_of_job() -> Option<Kind> {
    let set = |name| variable(name).is_some_and(|value| value == "true");
    if set("GITEA_ACTIONS") || set("FORGEJO_ACTIONS") {
        Some(Kind::Gitea)
    } else {
        set("GITHUB_ACTIONS").then_some(Kind::GitHub)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
