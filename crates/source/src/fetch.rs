//! Fetching over HTTP, HTTPS and SSH, by gitoxide: with the TLS of the rest of the program, and with the program
//! `ssh`, as git does, so that its configuration, keys and known hosts are those of whoever runs it.
//!
//! libgit2 is built without either: with them, whatever command begins by loading OpenSSL and having it read the
//! certificate authorities of the machine, which costs more than rendering an environment from the commit that is there.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;

use git2::{CredentialHelper, Error, ErrorClass, ErrorCode, Repository as Git};
use gix::credentials::{helper, protocol};
use gix::protocol::fetch::Shallow;
use gix::protocol::handshake::Ref;
use gix::protocol::transport::client::{AuthenticationRequired, blocking_io::Transport};
use gix::remote::fetch::{RefMap, Tags, refmap::Mapping};
use gix::remote::{Connection, Direction, ref_map};
use reqwest::StatusCode;

use crate::open::Depth;
use crate::remote::Credentials;
use crate::ssh::{self, Pipes, Ssh, is_ssh};

/// What is fetched, and how.
pub(crate) struct Fetch<'a> {
    pub url: &'a str,
    pub credentials: Option<&'a Credentials>,
    /// As git writes them.
    pub refspecs: &'a [&'a str],
    pub depth: Depth,
    /// Refs that are gone there go here too, and the default branch is looked up.
    pub mirror: bool,
}

/// Whether a URL is fetched here: any but one of git's own protocol. `user@host:path` has no scheme.
pub(crate) fn is_ours(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), None | Some("http" | "https" | "ssh"))
}

/// Names and commit ids of the refs of a repository elsewhere.
pub(crate) struct Refs {
    /// The default branch, by its full name, when the server says which it is.
    pub head: Option<String>,
    /// Full name of each branch, and its commit.
    pub branches: Vec<(String, String)>,
}

/// Asks a repository for its branches, over a connection of its own. An answer that breaks off before the packet
/// that ends it (git's protocol v2, `ls-refs`: a flush) is an error.
pub(crate) fn branches(url: &str) -> Result<Refs, Error> {
    branches_by(url, &ssh::command())
}

fn branches_by(url: &str, command: &str) -> Result<Refs, Error> {
    let folder = tempfile::tempdir().map_err(|error| Error::from_str(&error.to_string()))?;
    let git = Git::init_bare(folder.path())?;
    let refspecs = ["+refs/heads/*:refs/heads/*"];
    let fetch = Fetch { url, credentials: None, refspecs: &refspecs, depth: Depth::Tips, mirror: true };
    fetch.over(&git, command, Wanted::Refs)
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// What there is.
    Refs,
    /// That, and what it reaches.
    All,
}

impl Fetch<'_> {
    /// Brings refs and what they reach; the full name of the default branch, when the server says it.
    pub(crate) fn run(&self, git: &Git) -> Result<Option<String>, Error> {
        self.over(git, &ssh::command(), Wanted::All).map(|refs| refs.head)
    }

    fn over(&self, git: &Git, ssh: &str, wanted: Wanted) -> Result<Refs, Error> {
        let own = |error: gix::Error| match error.downcast_any_ref::<Refused>() {
            Some(Refused(error)) => Error::new(error.code(), error.class(), error.message()),
            None => translate(&error),
        };
        if !is_ssh(self.url) {
            return self.over_http(git, wanted).map_err(own);
        }
        let (ssh, pipes) = Ssh::start(self.url, ssh)?;
        // gitoxide 0.90 takes some answers that no git gives for impossible.
        let talked = catch_unwind(AssertUnwindSafe(|| self.over_pipes(git, pipes, wanted)));
        let strange =
            |_| Error::new(ErrorCode::GenericError, ErrorClass::Net, "the answer is not one of git's");
        match talked.map_err(strange)? {
            Err(error) if error.downcast_any_ref::<Refused>().is_none() => {
                Err(ssh.why(&error.probable_cause().to_string()))
            }
            other => other.map_err(own),
        }
    }

    fn over_http(&self, git: &Git, wanted: Wanted) -> Result<Refs, gix::Error> {
        let here = self.isolated(git)?;
        let (remote, asked) = self.remote(&here)?;
        let connection = remote.connect(Direction::Fetch)?.with_credentials(|action| self.known(action));
        self.talk(git, &here, connection, asked, wanted)
    }

    fn over_pipes(&self, git: &Git, pipes: Pipes, wanted: Wanted) -> Result<Refs, gix::Error> {
        let here = self.isolated(git)?;
        let (remote, asked) = self.remote(&here)?;
        self.talk(git, &here, remote.to_connection_with_transport(pipes), asked, wanted)
    }

    /// A repository that knows nothing of the user's own configuration: neither a rewritten URL nor a hook decides
    /// what is fetched.
    fn isolated(&self, git: &Git) -> Result<gix::Repository, gix::Error> {
        let mut options = vec![concat!("gitoxide.userAgent=git/mimeo-", env!("CARGO_PKG_VERSION"))];
        if self.credentials.is_some() {
            // A token goes nowhere else than to the server it is for.
            options.push("http.followRedirects=false");
        }
        gix::open_opts(git.path(), gix::open::Options::isolated().config_overrides(options))
    }

    /// The other side, and what it is asked for.
    fn remote<'r>(
        &self,
        here: &'r gix::Repository,
    ) -> Result<(gix::Remote<'r>, ref_map::Options), gix::Error> {
        let remote = here
            .remote_at_without_url_rewrite(self.url)?
            .with_refspecs(self.refspecs, Direction::Fetch)?
            .with_fetch_tags(Tags::None);
        let mut asked = ref_map::Options::default();
        if self.mirror {
            // Else the server is not asked for it.
            asked
                .extra_refspecs
                .push(gix::refspec::parse("HEAD".into(), gix::refspec::parse::Operation::Fetch)?.to_owned());
        }
        Ok((remote, asked))
    }

    fn talk<T: Transport>(
        &self,
        git: &Git,
        here: &gix::Repository,
        connection: Connection<'_, '_, '_, T>,
        asked: ref_map::Options,
        wanted: Wanted,
    ) -> Result<Refs, gix::Error> {
        if wanted == Wanted::Refs {
            let (map, _) = connection.ref_map(gix::progress::Discard, asked)?;
            return Ok(refs(&map));
        }
        let mut prepared = connection.prepare_fetch(gix::progress::Discard, asked)?;
        let found = refs(prepared.ref_map());
        if self.mirror {
            // Before anything comes: `a` makes room for `a/b`.
            let there = prepared.ref_map().mappings.iter().filter_map(|mapping| mapping.local.as_deref());
            self.prune(git, &there.map(|name| name.to_vec()).collect())?;
        }
        let is_here = |mapping: &Mapping| mapping.remote.as_id().is_none_or(|id| here.has_object(id));
        let nothing_new = prepared.ref_map().mappings.iter().all(is_here);
        prepared = prepared.with_shallow(match self.depth {
            Depth::Tips if nothing_new => Shallow::NoChange,
            Depth::Tips => Shallow::DepthAtRemote(NonZeroU32::MIN),
            Depth::All if git.is_shallow() => Shallow::undo(),
            Depth::All => Shallow::NoChange,
        });
        prepared.receive(gix::progress::Discard, &AtomicBool::new(false))?;
        Ok(found)
    }

    /// Drops the refs here that none of `kept` is.
    fn prune(&self, git: &Git, kept: &HashSet<Vec<u8>>) -> Result<(), gix::Error> {
        let gone = || -> Result<(), Error> {
            for refspec in self.refspecs {
                let here = refspec.split_once(':').map_or(*refspec, |(_, here)| here);
                for reference in git.references_glob(here)? {
                    let mut reference = reference?;
                    if !kept.contains(reference.name_bytes()) {
                        reference.delete()?;
                    }
                }
            }
            Ok(())
        };
        gone().map_err(|error| gix::Error::from_error(Refused(error)))
    }

    /// The token if it is for this very server, else what git's credential helpers know. Nobody is asked, and
    /// nothing is stored.
    fn known(&self, action: helper::Action) -> Result<Option<protocol::Outcome>, gix::Error> {
        let helper::Action::Get(context) = action else { return Ok(None) };
        let url = context.url.as_ref().map_or(self.url.to_owned(), ToString::to_string);
        let found = match self.credentials.and_then(|known| known.token_for(&url)) {
            Some(token) => Some(("x-access-token".to_owned(), token.to_owned())),
            None => git2::Config::open_default()
                .ok()
                .and_then(|config| CredentialHelper::new(&url).config(&config).execute()),
        };
        let (username, password) = found.ok_or_else(|| {
            let text = "the server asks for a user and a password, and none is known";
            gix::Error::from_error(Refused(Error::new(ErrorCode::Auth, ErrorClass::Http, text)))
        })?;
        let identity = gix::sec::identity::Account { username, password, oauth_refresh_token: None };
        Ok(Some(protocol::Outcome { identity, next: context.into() }))
    }
}

/// An error of this crate's on its way through gitoxide.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Refused(Error);

fn refs(map: &RefMap) -> Refs {
    let branch = |mapping: &Mapping| {
        let name = mapping.remote.as_name()?.to_string();
        name.starts_with("refs/heads/").then_some((name, mapping.remote.as_id()?.to_string()))
    };
    Refs {
        head: default_branch(&map.remote_refs),
        branches: map.mappings.iter().filter_map(branch).collect(),
    }
}

/// The branch that HEAD stands for, by its full name.
fn default_branch(refs: &[Ref]) -> Option<String> {
    refs.iter().find_map(|reference| match reference {
        Ref::Symbolic { full_ref_name, target, .. } if full_ref_name == "HEAD" => Some(target.to_string()),
        _ => None,
    })
}

/// What a failure means: a certificate that is not accepted, a refusal, or that there is no answer of git's.
fn translate(error: &gix::Error) -> Error {
    let cause = error.probable_cause().to_string();
    if error.iter_errors().any(is_certificate) {
        return Error::new(ErrorCode::Certificate, ErrorClass::Net, cause);
    }
    let status = error.iter_errors().find_map(|error| error.downcast_ref::<reqwest::Error>()?.status());
    let code = match status {
        _ if error.downcast_any_ref::<AuthenticationRequired>().is_some() => ErrorCode::Auth,
        Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => ErrorCode::Auth,
        Some(StatusCode::NOT_FOUND | StatusCode::GONE) => ErrorCode::NotFound,
        _ => ErrorCode::GenericError,
    };
    match status {
        Some(status) => Error::new(code, ErrorClass::Net, format!("the server answers {status}")),
        None => Error::new(code, ErrorClass::Net, cause),
    }
}

/// An error of I/O holds what it is about, and names only the cause of that as its source.
fn is_certificate(error: &(dyn StdError + 'static)) -> bool {
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
        || held.is_some_and(|held| is_certificate(held))
        || error.source().is_some_and(is_certificate)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// In place of `ssh`: git's own answer, up to so many bytes.
    fn cut(folder: &std::path::Path, bytes: usize) -> String {
        let program = folder.join("cut");
        // Byte for byte, for `head` keeps them back; with it ends all that holds the pipe.
        let text = format!(
            "#!/bin/bash\nlast=${{@: -1}}\nexec 4<&0\nexec dd bs=1 count={bytes} status=none < <(eval \"git ${{last#git-}}\" <&4)\n"
        );
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        program.display().to_string()
    }

    #[test]
    fn an_answer_that_breaks_off_is_no_answer() {
        let repo = testkit::GitRepo::new().unwrap();
        repo.write("a", "1").unwrap().commit("First").unwrap();
        for branch in ["one", "two", "three"] {
            repo.git(&["branch", branch]).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let url = format!("git@example.com:{}", repo.path().display());
        let all = branches_by(&url, &cut(folder.path(), 100_000)).unwrap();
        let names: Vec<&str> = all.branches.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["refs/heads/main", "refs/heads/one", "refs/heads/three", "refs/heads/two"]);
        assert_eq!(all.head.as_deref(), Some("refs/heads/main"));
        let whole = (1..2000).step_by(3).find(|bytes| branches_by(&url, &cut(folder.path(), *bytes)).is_ok());
        let whole = whole.unwrap();
        let refs = branches_by(&url, &cut(folder.path(), whole)).unwrap();
        assert_eq!(refs.branches, all.branches, "{whole} bytes are enough");
        assert!(whole > 400, "{whole} bytes are enough");
    }

    #[test]
    fn a_path_may_be_one_word_below_the_home() {
        let repo = testkit::GitRepo::new().unwrap();
        repo.write("a", "1").unwrap().commit("First").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let home = repo.path().parent().unwrap().display();
        let ssh = format!(
            "echo \"$*\" >{}/asked; cd {home} && eval \"git ${{4#git-}}\"; :",
            folder.path().display()
        );
        let url = format!("git@MyForge:{}", repo.path().file_name().unwrap().display());
        assert_eq!(branches_by(&url, &ssh).unwrap().branches.len(), 1);
        let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
        assert!(asked.contains(" git@MyForge git-upload-pack "), "{asked}");
    }
}
