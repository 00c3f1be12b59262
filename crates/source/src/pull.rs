//! The commits of a pull request: its head, and the branch it is to be merged into.

use std::path::Path;

use git2::{AutotagOption, FetchOptions, Oid};

use crate::fetch::{Fetch, is_ours};
use crate::open::Depth;
use crate::remote::Credentials;
use crate::{Error, Repository, Result};

/// Where [`Repository::pull`] keeps the tip of the base branch.
pub const PULL_BASE: &str = "refs/mimeo/base";

impl Repository {
    /// A copy of what a pull request consists of, with the history of both sides. GitHub and Gitea offer
    /// the head as `refs/pull/<number>/head` of the base repository, a fork's too.
    ///
    /// # Errors
    /// When the repository or the pull request cannot be fetched.
    pub fn pull(
        url: &str,
        number: u64,
        base: &str,
        cache_dir: &Path,
        credentials: Option<&Credentials>,
    ) -> Result<Self> {
        let key = format!("{url} pull {number}");
        Self::cached(url, &key, cache_dir, |git| {
            let head = format!("+refs/pull/{number}/head:refs/mimeo/head");
            let base = format!("+refs/heads/{base}:{PULL_BASE}");
            let refspecs = [head.as_str(), base.as_str()];
            if is_ours(url) {
                let fetch = Fetch { url, credentials, refspecs: &refspecs, depth: Depth::All, mirror: false };
                return fetch.run(git).map(drop);
            }
            let mut options = FetchOptions::new();
            options.download_tags(AutotagOption::None);
            git.remote_anonymous(url)?.fetch(&refspecs, Some(&mut options), None)
        })
    }

    /// The commit where two histories part; `None` when they have nothing in common.
    ///
    /// # Errors
    /// When one of the commits is not there.
    pub fn merge_base(&self, one: &str, other: &str) -> Result<Option<String>> {
        let unknown = |revision: &str| Error::UnknownRevision {
            revision: revision.to_owned(),
            repository: self.label().to_owned(),
            help: "a newer push may have replaced it: run the command again".to_owned(),
        };
        let git = self.git();
        let id = |revision: &str| {
            let id = Oid::from_str(revision).map_err(|_| unknown(revision))?;
            git.find_commit(id).map(|commit| commit.id()).map_err(|_| unknown(revision))
        };
        let (one, other) = (id(one)?, id(other)?);
        Ok(git.merge_base(one, other).ok().map(|id| id.to_string()))
    }

    /// The commit a fetched ref stands at: such as [`PULL_BASE`].
    ///
    /// # Errors
    /// When the ref is not there.
    pub fn at(&self, reference: &str) -> Result<String> {
        let git = self.git();
        let commit = git.find_reference(reference).and_then(|reference| reference.peel_to_commit());
        commit.map(|commit| commit.id().to_string()).map_err(self.failed("reading a fetched ref"))
    }
}
