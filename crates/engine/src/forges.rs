//! The forges that records name. A token goes only to the server that it was given for: a record can be
//! written by every mimeo user, and must not lead a token anywhere.

use cluster::{EnvironmentRecord, ForgeMark, RefKind};
use forge::{Forge, Kind, Place, Token};
use spec::{Category, Diagnostic};
use url::Url;

use crate::{Error, Result};

/// What the caller knows of forges.
#[derive(Debug, Clone, Default)]
pub struct Forges {
    /// The server that the token is for.
    pub server: Option<Url>,
    /// Its API, where that cannot be told from the server.
    pub api: Option<Url>,
    /// The token.
    pub token: Option<Token>,
    /// What kind of forge the server is, if somebody says.
    pub kind: Option<Kind>,
}

impl Forges {
    /// A repository on a forge.
    ///
    /// # Errors
    /// When nobody knows what kind of forge it is; when it cannot be asked.
    pub async fn connect(&self, server: &Url, owner: &str, name: &str) -> Result<Box<dyn Forge>> {
        let ours = self.is_ours(server);
        let kind = forge::detect(server, self.kind.filter(|_| ours)).await?;
        self.open(kind, server, owner, name)
    }

    fn open(&self, kind: Kind, server: &Url, owner: &str, name: &str) -> Result<Box<dyn Forge>> {
        let ours = self.is_ours(server);
        let place = Place { kind, server: server.clone(), owner: owner.to_owned(), name: name.to_owned() };
        let token = self.token.clone().filter(|_| ours);
        Ok(match self.api.clone().filter(|_| ours) {
            Some(api) => forge::connect_at(place, api, token)?,
            None => forge::connect(place, token)?,
        })
    }

    /// The repository of an environment on its forge; `None` where no forge is known for it.
    ///
    /// # Errors
    /// When the record contradicts itself; as [`Self::connect`].
    pub async fn of(&self, record: &EnvironmentRecord) -> Result<Option<Box<dyn Forge>>> {
        if let Some(mark) = &record.spec.forge {
            return self.marked(mark, &record.spec.repository).map(Some);
        }
        // A branch on the forge that the caller knows.
        let Some(server) = &self.server else { return Ok(None) };
        let Some((owner, name)) = inside(server, &record.spec.repository) else { return Ok(None) };
        self.connect(server, &owner, &name).await.map(Some)
    }

    /// The repository with this identity on a forge that a record names.
    ///
    /// # Errors
    /// When the forge is not where the repository is.
    pub fn marked(&self, mark: &ForgeMark, repository: &str) -> Result<Box<dyn Forge>> {
        let wrong = |cause: String| {
            Error::from(
                Diagnostic::new("ENV019", Category::Cluster, cause)
                    .on(repository.to_owned())
                    .help("Bring the environment up again: that writes the record anew"),
            )
        };
        let kind: Kind =
            mark.kind.parse().map_err(|_| wrong(format!("the record names no forge: {}", mark.kind)))?;
        let server: Url =
            mark.server.parse().map_err(|_| wrong(format!("the record names no server: {}", mark.server)))?;
        let (owner, name) = inside(&server, repository)
            .ok_or_else(|| wrong(format!("the record's repository is not on its forge {server}")))?;
        self.open(kind, &server, &owner, &name)
    }

    /// URL by which the branches of an environment's repository can be listed: over HTTP where the forge is
    /// known, since only there the token helps.
    #[must_use]
    pub fn remote_of(&self, record: &EnvironmentRecord) -> Option<String> {
        let remote = record.spec.remote.clone()?;
        if record.spec.ref_kind != Some(RefKind::Branch) || remote.starts_with("http") {
            return Some(remote);
        }
        match self.server.as_ref().and_then(|server| Some((server, inside(server, &record.spec.repository)?)))
        {
            Some((server, (owner, name))) => {
                Some(format!("{}/{owner}/{name}.git", server.as_str().trim_end_matches('/')))
            }
            None => Some(remote),
        }
    }

    /// The token, where an address is below the server that it is for.
    #[must_use]
    pub fn token_for(&self, url: &str) -> Option<&Token> {
        let (server, url) = (self.server.as_ref()?, url.parse::<Url>().ok()?);
        let below = format!("{}/", server.path().trim_end_matches('/'));
        let ours = url.origin() == server.origin()
            && url.path().starts_with(&below)
            && url.username().is_empty()
            && url.password().is_none();
        self.token.as_ref().filter(|_| ours)
    }

    /// The token, for git.
    #[must_use]
    pub fn credentials(&self) -> Option<source::Credentials> {
        source::Credentials::new(self.server.as_ref()?.as_str(), self.token.as_ref()?.expose())
    }

    fn is_ours(&self, server: &Url) -> bool {
        self.server.as_ref().is_some_and(|ours| {
            ours.origin() == server.origin()
                && ours.path().trim_end_matches('/') == server.path().trim_end_matches('/')
        })
    }
}

/// Owner and name of a repository, given by its identity, if it is on this server.
fn inside(server: &Url, repository: &str) -> Option<(String, String)> {
    let port = server.port().map(|port| format!(":{port}")).unwrap_or_default();
    let prefix = format!("{}{port}{}/", server.host_str()?, server.path().trim_end_matches('/'));
    let (owner, name) = repository.strip_prefix(&prefix)?.split_once('/')?;
    (!owner.is_empty() && !name.is_empty() && !name.contains('/'))
        .then(|| (owner.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_on_the_server_its_identity_begins_with() {
        let at = |server: &str, repository: &str| inside(&server.parse().unwrap(), repository);
        let flights = Some(("team".to_owned(), "flights".to_owned()));
        assert_eq!(at("https://github.com/", "github.com/team/flights"), flights);
        assert_eq!(at("http://10.0.0.1:3000", "10.0.0.1:3000/team/flights"), flights);
        assert_eq!(at("https://example.com/git", "example.com/git/team/flights"), flights);
        for (server, repository) in [
            ("https://github.com", "gitlab.com/team/flights"),
            ("https://github.com", "github.com.evil/team/flights"),
            ("https://github.com", "github.com/team"),
            ("https://github.com", "github.com/group/team/flights"),
            ("https://example.com/git", "example.com/team/flights"),
        ] {
            assert_eq!(at(server, repository), None, "{server} {repository}");
        }
    }

    #[test]
    fn the_token_stays_with_its_server() {
        let forges = Forges { server: Some("https://git.example.com".parse().unwrap()), ..Forges::default() };
        assert!(forges.is_ours(&"https://git.example.com/".parse().unwrap()));
        for other in ["http://git.example.com", "https://git.example.com:444", "https://example.com"] {
            assert!(!forges.is_ours(&other.parse().unwrap()), "{other}");
        }
        let forges = Forges { token: Some(Token::new("secret".into())), ..forges };
        assert!(forges.token_for("https://git.example.com/a/b.git").is_some());
        assert!(forges.token_for("https://GIT.example.com:443/a/b.git").is_some());
        for other in [
            "http://git.example.com/a/b.git",
            "https://git.example.com:8443/a/b.git",
            "https://git.example.com.evil.example/a",
            "https://git.example.com@evil.example/a",
            "https://evil.example/git.example.com/a",
            "https://me@git.example.com/a/b.git",
            "ssh://git.example.com/a",
            "git.example.com:a/b",
        ] {
            assert!(forges.token_for(other).is_none(), "{other}");
        }
    }
}
