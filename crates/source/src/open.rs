//! Finding a repository on this machine, or keeping a copy of one elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use git2::{AutotagOption, FetchOptions};
use sha2::{Digest, Sha256};

use crate::fetch::{Fetch, is_ours};
use crate::remote::{Credentials, translate};
use crate::{Error, Repository, Result};

/// Makes a folder part of a git repository, if it is not part of one yet: a new one with the branch `main`.
///
/// Returns the path of the folder below the root of the repository, and whether the repository was made.
///
/// # Errors
/// When the repository around it has no work tree, or none can be made.
pub fn init(folder: &Path) -> Result<(String, bool)> {
    let failed = |source| Error::Git {
        doing: "making a repository",
        repository: folder.display().to_string(),
        source,
    };
    let (git, made) = match git2::Repository::discover(folder) {
        Ok(git) => (git, false),
        Err(_) => {
            let mut options = git2::RepositoryInitOptions::new();
            (git2::Repository::init_opts(folder, options.initial_head("main")).map_err(failed)?, true)
        }
    };
    let root = git.workdir().ok_or_else(|| Error::NoRepository(folder.display().to_string()))?;
    let (root, folder) = (root.canonicalize(), folder.canonicalize());
    let below = match (&root, &folder) {
        (Ok(root), Ok(folder)) => folder.strip_prefix(root).unwrap_or(Path::new("")),
        _ => Path::new(""),
    };
    Ok((below.display().to_string(), made))
}

impl Repository {
    /// Opens the repository at a path (found upwards, like git) or URL; without one, that around the
    /// current directory.
    ///
    /// A URL is fetched into a bare copy below `cache_dir`, one per URL; several processes may do so at the
    /// same time.
    ///
    /// # Errors
    /// When there is no repository, the URL is of a form that is not allowed, or it cannot be fetched.
    pub fn open(location: Option<&str>, cache_dir: &Path) -> Result<Self> {
        let location = location.unwrap_or(".");
        if is_url(location)? {
            return Self::fetched(location, cache_dir);
        }
        let git =
            git2::Repository::discover(location).map_err(|_| Error::NoRepository(location.to_owned()))?;
        let folder = git.path().to_path_buf();
        let label = git.workdir().unwrap_or(&folder).display().to_string();
        Ok(Self { git: Arc::new(Mutex::new(git)), label, url: None, folder })
    }

    /// The git folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the work tree, when that is at this commit: where a file made for the commit belongs.
    #[must_use]
    pub fn work_tree_at(&self, revision: &str) -> Option<PathBuf> {
        let git = self.git();
        let head = git.head().and_then(|head| head.peel_to_commit()).ok()?.id().to_string();
        git.workdir().filter(|_| head == revision).map(Path::to_path_buf)
    }

    /// How messages name the repository: its path, or its URL.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn git(&self) -> MutexGuard<'_, git2::Repository> {
        // A panic elsewhere leaves nothing half-written here: git2 only reads.
        self.git.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn failed(&self, doing: &'static str) -> impl Fn(git2::Error) -> Error + use<> {
        let repository = self.label.clone();
        move |source| Error::Git { doing, repository: repository.clone(), source }
    }

    fn fetched(url: &str, cache_dir: &Path) -> Result<Self> {
        Self::cached(url, url, cache_dir, |git| fetch(git, url, None, Depth::Tips))
    }

    /// The cached copy under `key`, after `fetch` has brought it up to date; one process at a time.
    pub(crate) fn cached(
        url: &str,
        key: &str,
        cache_dir: &Path,
        fetch: impl Fn(&git2::Repository) -> std::result::Result<(), git2::Error>,
    ) -> Result<Self> {
        let folder = folder_of(key, cache_dir);
        let parent = folder.parent().unwrap_or(cache_dir);
        let unusable = |source| Error::Cache { folder: parent.display().to_string(), source };
        fs::create_dir_all(parent).map_err(unusable)?;
        let lock = fs::File::create(folder.with_extension("lock")).map_err(unusable)?;
        // Held until this function ends; the kernel drops it with a killed process.
        lock.lock().map_err(unusable)?;
        let git = open_cache(&folder, url).map_err(|source| Error::Git {
            doing: "opening the cached copy",
            repository: url.to_owned(),
            source,
        })?;
        fetch(&git).map_err(|error| translate(url, error))?;
        Ok(Self::copy(git, url, folder))
    }

    /// A cached copy that was opened.
    pub(crate) fn copy(git: git2::Repository, url: &str, folder: PathBuf) -> Self {
        Self { git: Arc::new(Mutex::new(git)), label: url.to_owned(), url: Some(url.to_owned()), folder }
    }
}

/// Where the cached copy under `key` is kept.
pub(crate) fn folder_of(key: &str, cache_dir: &Path) -> PathBuf {
    cache_dir.join("git").join(hex::encode(&Sha256::digest(key.as_bytes())[..16]))
}

fn open_cache(folder: &PathBuf, url: &str) -> std::result::Result<git2::Repository, git2::Error> {
    if let Ok(git) = git2::Repository::open_bare(folder) {
        return Ok(git);
    }
    // What a killed process left half-made is of no use.
    let _ = fs::remove_dir_all(folder);
    let git = git2::Repository::init_bare(folder)?;
    git.remote_with_fetch("origin", url, "+refs/heads/*:refs/remotes/origin/*")?;
    Ok(git)
}

/// How much of the history a fetch brings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// None, where the other side and the transport allow it.
    Tips,
    /// All of it.
    All,
}

/// libgit2's word for the whole history (`GIT_FETCH_DEPTH_UNSHALLOW`).
const UNSHALLOW: i32 = i32::MAX;

const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];

/// Brings all branches and tags.
pub(crate) fn fetch(
    git: &git2::Repository,
    url: &str,
    credentials: Option<&Credentials>,
    depth: Depth,
) -> std::result::Result<(), git2::Error> {
    let head = match is_ours(url) {
        true => Fetch { url, credentials, refspecs: &REFSPECS, depth, mirror: true }.run(git)?,
        false => fetch_with_libgit2(git, url, depth)?,
    };
    if let Some(branch) = head.as_deref().and_then(|head| head.strip_prefix("refs/heads/")) {
        // The current branch of a copy is the default branch of its origin.
        if let Ok(reference) = git.find_reference(&format!("refs/remotes/origin/{branch}"))
            && let Some(id) = reference.target()
        {
            git.reference(&format!("refs/heads/{branch}"), id, true, "mimeo: default branch")?;
            git.set_head(&format!("refs/heads/{branch}"))?;
        }
    }
    Ok(())
}

/// The same over git's own protocol; the full name of the default branch.
fn fetch_with_libgit2(
    git: &git2::Repository,
    url: &str,
    depth: Depth,
) -> std::result::Result<Option<String>, git2::Error> {
    let attempt = |depth: Option<i32>| {
        let mut remote = git.remote_anonymous(url)?;
        let mut options = FetchOptions::new();
        options.download_tags(AutotagOption::None).prune(git2::FetchPrune::On);
        if let Some(depth) = depth {
            options.depth(depth);
        }
        remote.fetch(&REFSPECS, Some(&mut options), None)?;
        let head = remote.default_branch().ok().and_then(|name| name.as_str().ok().map(str::to_owned));
        Ok::<_, git2::Error>(head)
    };
    let wanted = match depth {
        Depth::Tips => Some(1),
        Depth::All => git.is_shallow().then_some(UNSHALLOW),
    };
    match attempt(wanted) {
        Err(error) if error.message().contains("shallow") => attempt(None),
        other => other,
    }
}

/// Whether a location is a URL of an allowed form; a path is not one.
pub(crate) fn is_url(location: &str) -> Result<bool> {
    if location.starts_with('-') {
        return Err(Error::UrlForm("it begins with a hyphen"));
    }
    if location.contains(['\n', '\r', '\0']) {
        return Err(Error::UrlForm("it holds a line break"));
    }
    if let Some((scheme, rest)) = location.split_once("://") {
        return match scheme.to_ascii_lowercase().as_str() {
            "https" | "http" | "ssh" | "git" => {
                let authority = rest.split('/').next().unwrap_or_default();
                let user = authority.rsplit_once('@').map(|(user, _)| user).unwrap_or_default();
                let token = !scheme.eq_ignore_ascii_case("ssh") && !user.is_empty();
                if user.contains(':') || token { Err(Error::UrlCredentials) } else { Ok(true) }
            }
            "file" => Err(Error::UrlForm("file://, give the path instead")),
            _ => Err(Error::UrlForm("unknown scheme")),
        };
    }
    if location.contains("::") {
        return Err(Error::UrlForm("a transport helper"));
    }
    let scp = location
        .split_once(':')
        .is_some_and(|(host, _)| !host.contains('/') && host.contains('@') && !Path::new(location).exists());
    Ok(scp)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a spec may say can be opened, and what cannot be opened no spec may say.
    #[test]
    fn sources_of_specs_are_of_these_forms() {
        for url in ["https://h/p", "http://h:8080/p", "ssh://git@h/p", "git@h:p/q.git", "git://h/p", "/a/b"] {
            assert_eq!(spec::sources::wrong_url(url), None, "{url}");
            assert!(is_url(url).is_ok(), "{url}");
        }
        for bad in [
            "-x",
            "ext::sh -c id",
            "file:///etc",
            "https://h/p\n",
            "ftp://h/p",
            "https://u:p@h/p",
            "https://t@h/p",
        ] {
            assert!(is_url(bad).is_err() && spec::sources::wrong_url(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn forms() {
        for url in ["https://h/p", "ssh://git@h/p", "git@h:p/q.git", "git://h/p"] {
            assert!(is_url(url).unwrap(), "{url}");
        }
        for path in [".", "/a/b", "../x", "a b"] {
            assert!(!is_url(path).unwrap(), "{path}");
        }
        for (bad, code) in [
            ("-x", "GIT004"),
            ("ext::sh -c id", "GIT004"),
            ("file:///etc", "GIT004"),
            ("https://h/p\n", "GIT004"),
            ("ftp://h/p", "GIT004"),
            ("https://u:p@h/p", "GIT005"),
            ("https://token@h/p", "GIT005"),
        ] {
            let error = is_url(bad).unwrap_err();
            assert_eq!(error.diagnostic().code, code, "{bad}");
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
    }
}
