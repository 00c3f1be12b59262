//! Talking to another host: credentials, and what its refusals mean.

use std::fmt;

use git2::{ErrorClass, ErrorCode};

use crate::Error;

/// A forge's token, and the only host it is ever sent to.
#[derive(Clone)]
pub struct Credentials {
    host: String,
    token: String,
}

impl Credentials {
    /// A token for the host of a server's URL; `None` when that has none.
    #[must_use]
    pub fn new(server: &str, token: &str) -> Option<Self> {
        Some(Self { host: authority(server)?, token: token.to_owned() })
    }

    /// The token, for a URL of the server it is for.
    pub(crate) fn token_for(&self, url: &str) -> Option<&str> {
        self.fits(url).then_some(self.token.as_str())
    }

    /// A token goes to the very host and port it is for, over HTTP or HTTPS.
    fn fits(&self, url: &str) -> bool {
        authority(url).as_ref() == Some(&self.host)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, ***)", self.host)
    }
}

/// `https://host:port` of a URL; scheme and port count, so that a token for TLS never goes without.
fn authority(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let host = rest.split(['/', '?', '#']).next()?.to_ascii_lowercase();
    let host = host.strip_suffix(port).unwrap_or(&host);
    (!host.is_empty() && !host.contains('@')).then(|| format!("{scheme}://{host}"))
}

pub(crate) fn translate(url: &str, source: git2::Error) -> Error {
    let url = url.to_owned();
    match (source.code(), source.class()) {
        (ErrorCode::Invalid, ErrorClass::Ssh) => Error::UrlForm("no host and path that ssh would take"),
        (ErrorCode::Certificate, _) => Error::Certificate { url, source },
        (ErrorCode::Auth | ErrorCode::NotFound, _) => Error::Access { url, source },
        // Of this machine: what it says is not found is a program or a host.
        (_, ErrorClass::Os) => Error::Unreachable { url, source },
        _ if ["access denied", "not exported", "does not exist", "not found"]
            .iter()
            .any(|words| source.message().to_ascii_lowercase().contains(words)) =>
        {
            Error::Access { url, source }
        }
        (_, ErrorClass::Http) if source.message().contains("40") => Error::Access { url, source },
        _ if source.message().contains("'smart' protocol") => Error::NoGit { url, source },
        (_, ErrorClass::Ssl) => Error::Certificate { url, source },
        (_, ErrorClass::Net | ErrorClass::Http) => Error::Unreachable { url, source },
        _ => Error::Git { doing: "fetching", repository: url, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_its_own_host_only() {
        let known = Credentials::new("https://git.example.com/", "secret").unwrap();
        assert!(known.fits("https://git.example.com/a/b.git") && known.fits("https://Git.example.com:443/a"));
        for other in [
            "http://git.example.com/a/b.git",
            "https://git.example.com:8443/a/b.git",
            "https://git.example.com.evil.example/a",
            "https://git.example.com@evil.example/a",
            "ssh://git.example.com/a",
            "git.example.com:a/b",
        ] {
            assert!(!known.fits(other), "{other}");
        }
        assert!(!format!("{known:?}").contains("secret"));
    }
}
