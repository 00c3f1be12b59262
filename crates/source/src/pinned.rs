//! One commit of a repository that a spec names: from the cached copy, and from elsewhere only when it is not there.

use std::path::Path;

use git2::{Oid, Repository as Git};

use crate::open::{Depth, fetch, folder_of, is_url};
use crate::remote::Credentials;
use crate::{Error, Repository, Result};

/// Whether the other side may be asked for what is not on this machine.
#[derive(Debug, Clone, Copy)]
pub enum Network<'a> {
    /// It may not.
    Never,
    /// It may, with this token if it is for that host.
    With(Option<&'a Credentials>),
}

impl Repository {
    /// The repository at a URL or path, with one commit of it, given by its full id.
    ///
    /// A commit that the cached copy has is taken from there: nothing is asked and nothing written. Any other has to
    /// be reached from a branch or a tag.
    ///
    /// # Errors
    /// When the repository cannot be had, or does not have the commit: it was removed by a force push.
    pub fn pinned(url: &str, revision: &str, cache_dir: &Path, network: Network<'_>) -> Result<Self> {
        let vanished = || Error::Vanished { url: url.to_owned(), revision: revision.to_owned() };
        let not_here = || Error::NotHere { url: url.to_owned(), revision: revision.to_owned() };
        if !is_url(url)? {
            let repository = match (Self::open(Some(url), cache_dir), network) {
                (Err(Error::NoRepository(_)), Network::Never) => return Err(not_here()),
                (repository, _) => repository?,
            };
            return if has(&repository.git(), revision) { Ok(repository) } else { Err(vanished()) };
        }
        if let Ok(git) = Git::open_bare(folder_of(url, cache_dir))
            && has(&git, revision)
        {
            return Ok(Self::copy(git, url, folder_of(url, cache_dir)));
        }
        let Network::With(credentials) = network else { return Err(not_here()) };
        let repository = Self::cached(url, url, cache_dir, |git| {
            // The tips are enough for a pin that is fresh; an old one needs the history.
            for depth in [Depth::Tips, Depth::All] {
                if !has(git, revision) {
                    fetch(git, url, credentials, depth)?;
                }
            }
            Ok(())
        })?;
        let found = has(&repository.git(), revision);
        if found { Ok(repository) } else { Err(vanished()) }
    }
}

fn has(git: &Git, revision: &str) -> bool {
    Oid::from_str(revision).is_ok_and(|id| git.find_commit(id).and_then(|commit| commit.tree()).is_ok())
}
