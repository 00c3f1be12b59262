//! From a revision as people name it to one commit.

use git2::{ErrorCode, Oid, Repository as Git};
use spec::near;

use crate::identity::own_remote;
use crate::{Error, Repository, Result};

/// One commit, and the ref that gives the environment its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The full commit id.
    pub revision: String,
    /// `--name`, else the full branch or tag name without `refs/heads/`, `refs/tags/` or the remote.
    pub ref_name: String,
    /// What `ref_name` is the name of.
    pub ref_kind: RefKind,
    /// It was found by a branch: one of this clone, or of the remote that the repository takes its identity
    /// from. So it was put there by somebody who may write to the repository, which nothing says of a tag of
    /// unknown origin, of a bare commit or of a detached HEAD.
    pub of_branch: bool,
    /// The work tree differs from its HEAD; what differs is ignored.
    pub dirty: bool,
    /// Message of the commit, first line.
    pub summary: String,
}

/// What an environment takes its name from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefKind {
    /// A branch: it can be gone one day.
    Branch,
    /// A tag.
    Tag,
    /// What `--name` said.
    Name,
}

/// A commit and the ref it was found by; `None` for a bare id.
struct Found {
    commit: Oid,
    reference: Option<(String, RefKind)>,
    of_branch: bool,
}

impl Repository {
    /// Resolves a branch, tag, short or full commit id; without one, the current branch.
    ///
    /// Where a local branch and the remote's branch of the same name differ, the local one is meant, as
    /// with git. `name` (`--name`) replaces the ref in the environment's identity.
    ///
    /// # Errors
    /// When there is no such commit (near names are given), or nothing to name the environment by.
    pub fn resolve(&self, rev: Option<&str>, name: Option<&str>) -> Result<Resolved> {
        if let Some(name) = name {
            check_name(name)?;
        }
        let git = self.git();
        let found = match rev {
            None => self.current(&git)?,
            Some(rev) => self.find(&git, rev)?,
        };
        let of_branch = found.of_branch;
        let (ref_name, ref_kind) = match (name, found.reference) {
            (Some(name), _) => (name.to_owned(), RefKind::Name),
            (None, Some(reference)) => reference,
            (None, None) => {
                let what = match rev {
                    Some(rev) => format!("`{rev}` is a commit, not a branch or tag"),
                    None => "HEAD is detached".to_owned(),
                };
                return Err(Error::NoName { what });
            }
        };
        let commit = git.find_commit(found.commit).map_err(self.failed("reading a commit"))?;
        let summary = String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned();
        let revision = found.commit.to_string();
        Ok(Resolved { revision, ref_name, ref_kind, of_branch, dirty: is_dirty(&git), summary })
    }

    fn current(&self, git: &Git) -> Result<Found> {
        let head = match git.head() {
            Ok(head) => head,
            Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => {
                return Err(Error::NoCommits(self.label.clone()));
            }
            Err(error) => return Err(self.failed("reading HEAD")(error)),
        };
        let commit = head.peel_to_commit().map_err(self.failed("reading HEAD"))?.id();
        let detached = git.head_detached().map_err(self.failed("reading HEAD"))?;
        let reference = if detached {
            None
        } else {
            head.shorthand().ok().map(|name| (name.to_owned(), RefKind::Branch))
        };
        Ok(Found { commit, reference, of_branch: !detached })
    }

    fn find(&self, git: &Git, rev: &str) -> Result<Found> {
        // `is_empty` of libgit2 asks for the default name of the first branch as well.
        if git.references().is_ok_and(|mut all| all.next().is_none()) {
            return Err(Error::NoCommits(self.label.clone()));
        }
        if rev == "HEAD" {
            return self.current(git);
        }
        for (reference, ref_name) in candidates(git, rev) {
            let Ok(reference) = git.find_reference(&reference) else { continue };
            let commit = reference
                .peel_to_commit()
                .map_err(|_| Error::NoCommit { revision: rev.to_owned(), what: what_is_tagged(&reference) })?
                .id();
            let kind = if reference.is_tag() { RefKind::Tag } else { RefKind::Branch };
            let of_branch = reference.is_branch() || is_of_own_remote(git, &reference);
            return Ok(Found { commit, reference: Some((ref_name, kind)), of_branch });
        }
        // A commit counted from a ref, as `main~2`.
        if rev.contains(['~', '^']) && !rev.contains("..") {
            let commit = git.revparse_single(rev).and_then(|object| object.peel_to_commit());
            return match commit {
                Ok(commit) => Ok(Found { commit: commit.id(), reference: None, of_branch: false }),
                Err(_) => Err(self.unknown(git, rev)),
            };
        }
        self.find_id(git, rev)
    }

    fn find_id(&self, git: &Git, rev: &str) -> Result<Found> {
        let is_id = (4..=40).contains(&rev.len()) && rev.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            return Err(self.unknown(git, rev));
        }
        match git.find_commit_by_prefix(rev) {
            Ok(commit) => Ok(Found { commit: commit.id(), reference: None, of_branch: false }),
            Err(error) if error.code() == ErrorCode::Ambiguous => {
                Err(Error::Ambiguous { revision: rev.to_owned() })
            }
            Err(_) => Err(self.unknown(git, rev)),
        }
    }

    fn unknown(&self, git: &Git, rev: &str) -> Error {
        let mut names: Vec<String> = Vec::new();
        if let Ok(references) = git.references() {
            for reference in references.flatten() {
                if let Ok(full) = reference.name() {
                    names.extend(short_name(git, full));
                }
            }
        }
        names.sort();
        names.dedup();
        let near = near::near(rev, names.iter().map(String::as_str));
        let help = if !near.is_empty() {
            format!("did you mean `{}`?", near.join("`, `"))
        } else if git.is_shallow() {
            "this is a shallow clone: fetch the commit, or use `git fetch --unshallow`".to_owned()
        } else {
            "fetch it first; it may have been removed by a force push".to_owned()
        };
        Error::UnknownRevision { revision: rev.to_owned(), repository: self.label.clone(), help }
    }
}

/// The refs a name may stand for, in git's order, each with the name it gives the environment.
fn candidates(git: &Git, rev: &str) -> Vec<(String, String)> {
    if rev.starts_with("refs/") {
        return short_name(git, rev).map(|name| (rev.to_owned(), name)).into_iter().collect();
    }
    let mut list =
        vec![(format!("refs/heads/{rev}"), rev.to_owned()), (format!("refs/tags/{rev}"), rev.to_owned())];
    for prefix in ["heads/", "tags/"] {
        if let Some(name) = rev.strip_prefix(prefix) {
            list.push((format!("refs/{rev}"), name.to_owned()));
        }
    }
    for remote in remotes(git) {
        if let Some(name) = rev.strip_prefix(&format!("{remote}/")) {
            list.push((format!("refs/remotes/{rev}"), name.to_owned()));
        }
        list.push((format!("refs/remotes/{remote}/{rev}"), rev.to_owned()));
    }
    list
}

/// The branch or tag name of a full ref; `None` for refs that are neither.
fn short_name(git: &Git, full: &str) -> Option<String> {
    if let Some(name) = full.strip_prefix("refs/heads/").or_else(|| full.strip_prefix("refs/tags/")) {
        return Some(name.to_owned());
    }
    let remote_name = full.strip_prefix("refs/remotes/")?;
    let name = remotes(git)
        .iter()
        .find_map(|remote| Some(remote_name.strip_prefix(remote.as_str())?.strip_prefix('/')?.to_owned()))?;
    (name != "HEAD").then_some(name)
}

/// Whether a ref follows a branch of the remote that the repository takes its identity from.
fn is_of_own_remote(git: &Git, reference: &git2::Reference<'_>) -> bool {
    let own = own_remote(git).map(|remote| format!("refs/remotes/{remote}/"));
    own.is_some_and(|own| reference.name().is_ok_and(|name| name.starts_with(&own)))
}

/// Names of the remotes, `origin` first.
pub(crate) fn remotes(git: &Git) -> Vec<String> {
    let mut names: Vec<String> = match git.remotes() {
        Ok(names) => names.iter().filter_map(|name| name.ok().flatten().map(str::to_owned)).collect(),
        Err(_) => Vec::new(),
    };
    names.sort_by_key(|name| (name != "origin", name.clone()));
    names
}

/// What a ref stands for instead of a commit.
fn what_is_tagged(reference: &git2::Reference<'_>) -> &'static str {
    match reference.peel(git2::ObjectType::Any).ok().and_then(|object| object.kind()) {
        Some(git2::ObjectType::Blob) => "a file",
        Some(git2::ObjectType::Tree) => "a folder",
        _ => "an object that is missing or damaged",
    }
}

fn is_dirty(git: &Git) -> bool {
    if git.is_bare() {
        return false;
    }
    let mut options = git2::StatusOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(false)
        .exclude_submodules(true)
        .update_index(false);
    git.statuses(Some(&mut options)).is_ok_and(|statuses| !statuses.is_empty())
}

fn check_name(name: &str) -> Result<()> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > 250 {
        "it is longer than 250 bytes"
    } else if !git2::Reference::is_valid_name(&format!("refs/heads/{name}")) {
        "it has characters that git does not allow in a branch"
    } else {
        return Ok(());
    };
    Err(Error::BadName { name: name.chars().take(60).collect(), why })
}
