//! What branches another host has, asked on a connection of its own.

use std::collections::BTreeMap;

use git2::Direction;

use crate::open::is_url;
use crate::remote::{callbacks, translate};
use crate::{Error, Result};

/// All branches of a repository elsewhere, as one complete answer gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The default branch, when the other side says which it is.
    pub default: Option<String>,
    /// Branch to commit id.
    pub branches: BTreeMap<String, String>,
}

/// Asks a repository by URL for its branches: always a new connection, nothing is cached. For SSH and git's
/// own protocol; over HTTP libgit2 would follow redirects to other repositories.
///
/// libgit2 takes an answer as complete only when the flush packet that ends it has come (git's
/// pack protocol, "Reference Discovery").
///
/// # Errors
/// When the URL is no URL; when the other side cannot be reached, refuses, or does not answer as git.
pub fn list(url: &str) -> Result<Listing> {
    if !is_url(url)? || url.to_ascii_lowercase().starts_with("http") {
        return Err(Error::UrlForm("neither SSH nor git's own protocol"));
    }
    let failed = |error| translate(url, error);
    let mut remote = git2::Remote::create_detached(url).map_err(failed)?;
    let connection = remote
        .connect_auth(Direction::Fetch, Some(callbacks()), None)
        .map_err(|error| translate(url, error))?;
    let heads = connection.list().map_err(|error| translate(url, error))?;
    let mut listing = Listing { default: None, branches: BTreeMap::new() };
    for head in heads {
        if let Some(branch) = head.name().strip_prefix("refs/heads/") {
            listing.branches.insert(branch.to_owned(), head.oid().to_string());
        }
    }
    listing.default = connection
        .default_branch()
        .ok()
        .and_then(|name| {
            name.as_str().ok().and_then(|name| name.strip_prefix("refs/heads/")).map(str::to_owned)
        })
        .filter(|name| listing.branches.contains_key(name));
    Ok(listing)
}
