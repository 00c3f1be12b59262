//! What branches another host has, asked on a connection of its own.

use std::collections::BTreeMap;

use git2::Direction;

use crate::fetch::{Refs, branches, is_ours};
use crate::open::is_url;
use crate::remote::translate;
use crate::{Error, Result};

/// All branches of a repository elsewhere, as one complete answer gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The default branch, when the other side says which it is.
    pub default: Option<String>,
    /// Branch to commit id.
    pub branches: BTreeMap<String, String>,
}

/// Asks a repository by URL for its branches: always a new connection, nothing is cached. For SSH and git's own
/// protocol; over HTTP redirects to other repositories would be followed.
///
/// An answer is complete only when the flush packet that ends it has come (git's pack protocol, "Reference
/// Discovery", and protocol v2, `ls-refs`): both libgit2 and gitoxide refuse one that breaks off.
///
/// # Errors
/// When the URL is no URL; when the other side cannot be reached, refuses, or does not answer as git.
pub fn list(url: &str) -> Result<Listing> {
    if !is_url(url)? || url.to_ascii_lowercase().starts_with("http") {
        return Err(Error::UrlForm("neither SSH nor git's own protocol"));
    }
    let refs = if is_ours(url) { branches(url) } else { branches_by_libgit2(url) };
    let Refs { head, branches } = refs.map_err(|error| translate(url, error))?;
    let name = |full: &str| full.strip_prefix("refs/heads/").map(str::to_owned);
    let branches: BTreeMap<String, String> =
        branches.into_iter().filter_map(|(full, id)| Some((name(&full)?, id))).collect();
    let default = head.as_deref().and_then(name).filter(|name| branches.contains_key(name));
    Ok(Listing { default, branches })
}

fn branches_by_libgit2(url: &str) -> std::result::Result<Refs, git2::Error> {
    let mut remote = git2::Remote::create_detached(url)?;
    let connection = remote.connect_auth(Direction::Fetch, None, None)?;
    let branches =
        connection.list()?.iter().map(|head| (head.name().to_owned(), head.oid().to_string())).collect();
    let head = connection.default_branch().ok().and_then(|name| name.as_str().ok().map(str::to_owned));
    Ok(Refs { head, branches })
}
