//! Which repository this is, for every clone of it alike.

use git2::Sort;

use crate::resolve::remotes;
use crate::{Error, Repository, Result};

impl Repository {
    /// The identity: what `--repository` says, else the remote's network URL as `host/path`, else
    /// `root:<root commit id>`.
    ///
    /// # Errors
    /// When neither is known, as in a shallow clone without a network remote.
    pub fn identity(&self, given: Option<&str>) -> Result<String> {
        if let Some(given) = given {
            return Ok(given.to_owned());
        }
        if let Some(identity) = self.url.as_deref().and_then(network_identity) {
            return Ok(identity);
        }
        let git = self.git();
        for remote in remotes(&git) {
            let Ok(remote) = git.find_remote(&remote) else { continue };
            if let Some(identity) = remote.url().ok().and_then(network_identity) {
                return Ok(identity);
            }
        }
        if git.is_shallow() {
            return Err(Error::ShallowIdentity(self.label.clone()));
        }
        root_commit(&git)
            .map_err(self.failed("looking for the root commit"))?
            .map(|id| format!("root:{id}"))
            .ok_or_else(|| Error::NoCommits(self.label.clone()))
    }
}

impl Repository {
    /// The network URL that the repository was opened by, or of its first remote that has one, without
    /// credentials: where its branches can be asked for from elsewhere.
    #[must_use]
    pub fn remote_url(&self) -> Option<String> {
        if let Some(url) = &self.url {
            return Some(url.clone());
        }
        let git = self.git();
        remotes(&git).iter().find_map(|remote| {
            let remote = git.find_remote(remote).ok()?;
            let url = remote.url().ok()?;
            network_identity(url)?;
            Some(without_credentials(url))
        })
    }
}

/// The remote that the repository takes its identity from; where none has a network address, the first.
pub(crate) fn own_remote(git: &git2::Repository) -> Option<String> {
    let is_own = |remote: &String| {
        git.find_remote(remote).is_ok_and(|remote| remote.url().ok().and_then(network_identity).is_some())
    };
    let remotes = remotes(git);
    remotes.iter().find(|remote| is_own(remote)).or(remotes.first()).cloned()
}

/// An `https://user:token@host/…` loses its user; an SSH user is part of the address.
fn without_credentials(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) if scheme.to_ascii_lowercase().starts_with("http") => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or(authority);
            format!("{scheme}://{host}/{path}")
        }
        _ => url.to_owned(),
    }
}

/// The root commit that is reached from HEAD (or any ref, when HEAD leads nowhere). A history with several
/// roots is named by the smallest id, which does not depend on dates or order.
fn root_commit(git: &git2::Repository) -> std::result::Result<Option<git2::Oid>, git2::Error> {
    let mut walk = git.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL)?;
    if walk.push_head().is_err() {
        walk.push_glob("refs/*")?;
    }
    let mut root = None;
    for id in walk {
        let id = id?;
        if git.find_commit(id)?.parent_count() == 0 {
            root = Some(root.map_or(id, |known: git2::Oid| known.min(id)));
        }
    }
    Ok(root)
}

/// `host/path` of a network URL, without scheme, user, default port and `.git`; `None` for local ones.
#[must_use]
pub(crate) fn network_identity(url: &str) -> Option<String> {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => {
            // user@host:path, unless it is a local path.
            let (host, path) = url.split_once(':')?;
            if host.contains('/') || host.len() < 2 || path.starts_with('\\') {
                return None;
            }
            return join(host.rsplit('@').next()?, path);
        }
    };
    let default_port = match scheme.as_str() {
        "https" => "443",
        "http" => "80",
        "ssh" | "git+ssh" | "ssh+git" => "22",
        "git" => "9418",
        _ => return None,
    };
    let (authority, path) = rest.split_once('/')?;
    let host = authority.rsplit('@').next()?;
    let host = host.strip_suffix(&format!(":{default_port}")).unwrap_or(host);
    join(host, path)
}

fn join(host: &str, path: &str) -> Option<String> {
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
    let path = path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    (!host.is_empty() && !path.is_empty()).then(|| format!("{}/{path}", host.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::network_identity;

    #[test]
    fn all_spellings_of_one_repository_are_one() {
        for url in [
            "https://git.example.com/team/flights",
            "https://git.example.com/team/flights.git",
            "https://user:word@git.example.com:443/team/flights.git/",
            "HTTP://Git.Example.com:80/team//flights",
            "ssh://git@git.example.com:22/team/flights.git",
            "git@git.example.com:team/flights.git",
            "git://git.example.com/team/flights",
        ] {
            assert_eq!(network_identity(url).as_deref(), Some("git.example.com/team/flights"), "{url}");
        }
        assert_eq!(network_identity("https://h:8443/p").as_deref(), Some("h:8443/p"));
        for local in ["/srv/git/x.git", "../x", "file:///srv/x", "C:\\x", "./a:b"] {
            assert_eq!(network_identity(local), None, "{local}");
        }
    }
}
