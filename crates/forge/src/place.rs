//! Where a repository is: on which forge, whose, and how its URLs read.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Error, Result};

/// A kind of forge, by its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Gitea, and Forgejo, whose API is the same here.
    Gitea,
    /// GitHub: github.com, GHE.com and Enterprise Server.
    GitHub,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gitea => "gitea",
            Self::GitHub => "github",
        })
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word.to_ascii_lowercase().as_str() {
            "gitea" | "forgejo" => Ok(Self::Gitea),
            "github" => Ok(Self::GitHub),
            _ => Err(Error::UnknownKind { given: crate::error::clean(word, None) }),
        }
    }
}

/// The URL of a pull request, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullUrl {
    /// The forge: scheme, host, port and a path prefix, without query. A [`Url`] without a prefix prints a slash
    /// at the end, one with a prefix none.
    pub server: Url,
    /// Whose repository it is.
    pub owner: String,
    /// The name of the repository.
    pub name: String,
    /// The number of the pull request, from 1.
    pub number: u64,
}

impl FromStr for PullUrl {
    type Err = Error;

    /// Reads `https://host[:port][/prefix]/owner/name/pull/N`, with `pulls` for `pull`, and anything behind N:
    /// as the address bar shows it on either forge.
    ///
    /// # Errors
    /// [`Error::NotAPull`], which does not repeat the URL.
    fn from_str(text: &str) -> Result<Self> {
        let refused = |why| Err(Error::NotAPull(why));
        let Ok(mut server) = Url::parse(text.trim()) else { return refused("it is no URL") };
        if !matches!(server.scheme(), "https" | "http") {
            return refused("the scheme is not https or http");
        }
        if !server.username().is_empty() || server.password().is_some() {
            return refused("it carries credentials; use MIMEO_FORGE_TOKEN");
        }
        let path = server.path().to_owned();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let marker = (2..parts.len().saturating_sub(1)).find(|&at| {
            matches!(parts[at], "pull" | "pulls") && parts[at + 1].bytes().all(|byte| byte.is_ascii_digit())
        });
        let Some(marker) = marker else { return refused("the path is not OWNER/NAME/pull/NUMBER") };
        let number = match parts[marker + 1].parse() {
            Ok(number) if number > 0 => number,
            _ => return refused("the number is not one of a pull request"),
        };
        let (owner, name) = (parts[marker - 2], parts[marker - 1]);
        if !is_name(owner) || !is_name(name) {
            return refused("owner or name has characters that no forge allows");
        }
        let prefix = parts[..marker - 2].join("/");
        server.set_path(&prefix);
        server.set_query(None);
        server.set_fragment(None);
        Ok(Self { server, owner: owner.to_owned(), name: name.to_owned(), number })
    }
}

/// A repository on a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which API it speaks.
    pub kind: Kind,
    /// The forge, as in [`PullUrl`].
    pub server: Url,
    /// Whose repository it is.
    pub owner: String,
    /// The name of the repository.
    pub name: String,
}

impl Place {
    /// `host[:port]/[prefix/]owner/name`: the identity that a clone of [`Place::clone_url`] has, where the port is
    /// left out when it is the scheme's own.
    #[must_use]
    pub fn identity(&self) -> String {
        let name = self.name.strip_suffix(".git").unwrap_or(&self.name);
        let prefix = self.server.path().split('/').filter(|part| !part.is_empty());
        let path: Vec<&str> = prefix.chain([self.owner.as_str(), name]).collect();
        format!("{}/{}", authority(&self.server), path.join("/"))
    }

    /// Where git clones it from, over HTTP.
    #[must_use]
    pub fn clone_url(&self) -> String {
        format!("{}.git", self.page())
    }

    /// The page of a pull request.
    #[must_use]
    pub fn pull_url(&self, number: u64) -> String {
        let word = match self.kind {
            Kind::Gitea => "pulls",
            Kind::GitHub => "pull",
        };
        format!("{}/{word}/{number}", self.page())
    }

    /// `owner/name`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    fn page(&self) -> String {
        format!("{}/{}/{}", self.server.as_str().trim_end_matches('/'), self.owner, self.name)
    }
}

/// Host, lower-case, and port where it is not the scheme's own.
pub(crate) fn authority(server: &Url) -> String {
    let host = server.host_str().unwrap_or_default().to_ascii_lowercase();
    server.port().map_or(host.clone(), |port| format!("{host}:{port}"))
}

/// Whether both forges would take it as the name of an owner or a repository.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !matches!(name, "" | "." | "..") && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_pull_request_is_taken_apart() {
        for (text, server, owner, name, number) in [
            ("https://github.com/acme/flights/pull/7", "https://github.com/", "acme", "flights", 7),
            (
                "https://github.com/acme/flights/pull/7/files#diff-1",
                "https://github.com/",
                "acme",
                "flights",
                7,
            ),
            ("https://github.com/acme/flights/pull/7?a=b", "https://github.com/", "acme", "flights", 7),
            (" HTTPS://Git.Example.com:443/a/b.c/pulls/12/ \n", "https://git.example.com/", "a", "b.c", 12),
            ("http://git.example.com:3000/a/b/pulls/1", "http://git.example.com:3000/", "a", "b", 1),
            ("https://h/git/forge/a/b/pulls/3/commits", "https://h/git/forge", "a", "b", 3),
            ("https://h/pulls/pull/pull/3", "https://h/", "pulls", "pull", 3),
        ] {
            let expected =
                PullUrl { server: server.parse().unwrap(), owner: owner.into(), name: name.into(), number };
            assert_eq!(text.parse::<PullUrl>().unwrap(), expected, "{text}");
            assert_eq!(expected.server.as_str(), server);
        }
    }

    #[test]
    fn other_urls_are_none_of_a_pull_request() {
        for text in [
            "",
            "acme/flights#7",
            "github.com/acme/flights/pull/7",
            "ssh://git@github.com/acme/flights/pull/7",
            "file:///acme/flights/pull/7",
            "https://s3cret@github.com/acme/flights/pull/7",
            "https://me:s3cret@github.com/acme/flights/pull/7",
            "https://github.com/acme/flights/pull/0",
            "https://github.com/acme/flights/pull/-1",
            "https://github.com/acme/flights/pull/+1",
            "https://github.com/acme/flights/pull/7a",
            "https://github.com/acme/flights/pull/99999999999999999999",
            "https://github.com/acme/flights/pull",
            "https://github.com/acme/flights/issues/7",
            "https://github.com/flights/pull/7",
            "https://github.com/ac%2Fme/flights/pull/7",
            "https://gitlab.com/acme/flights/-/merge_requests/7",
        ] {
            let error = text.parse::<PullUrl>().unwrap_err();
            assert_eq!(error.diagnostic().code, "FRG003", "{text}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_place_has_the_urls_and_the_identity_of_its_clones() {
        let place = |kind, server: &str| Place {
            kind,
            server: server.parse().unwrap(),
            owner: "Acme".into(),
            name: "flights".into(),
        };
        let github = place(Kind::GitHub, "https://GitHub.com/");
        assert_eq!(github.identity(), "github.com/Acme/flights");
        assert_eq!(github.clone_url(), "https://github.com/Acme/flights.git");
        assert_eq!(github.pull_url(7), "https://github.com/Acme/flights/pull/7");
        let gitea = place(Kind::Gitea, "http://h:3000/git");
        assert_eq!(gitea.identity(), "h:3000/git/Acme/flights");
        assert_eq!(gitea.clone_url(), "http://h:3000/git/Acme/flights.git");
        assert_eq!(gitea.pull_url(7), "http://h:3000/git/Acme/flights/pulls/7");
        assert_eq!(gitea.pull_url(7).parse::<PullUrl>().unwrap().server, gitea.server);
        assert_eq!(place(Kind::Gitea, "https://h:443/").identity(), "h/Acme/flights");
    }

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in [Kind::Gitea, Kind::GitHub] {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.to_string());
        }
        assert_eq!("forgejo".parse::<Kind>().unwrap(), Kind::Gitea);
        assert_eq!("GitHub".parse::<Kind>().unwrap(), Kind::GitHub);
        let finding = "gitlab".parse::<Kind>().unwrap_err().diagnostic();
        assert_eq!(finding.code, "FRG004");
        assert!(finding.help.unwrap().contains("`gitea` (also for Forgejo) or `github`"));
    }
}
