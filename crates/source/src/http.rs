//! Fetching over HTTP and HTTPS, by gitoxide and with the TLS of the rest of the program.
//!
//! libgit2 is built without TLS: with it, whatever command begins by having OpenSSL read the certificate authorities
//! of the machine, which costs five times as much as rendering an environment from the commit that is there.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;

use git2::{CredentialHelper, Error, ErrorClass, ErrorCode, Repository as Git};
use gix::credentials::{helper, protocol};
use gix::protocol::fetch::Shallow;
use gix::protocol::handshake::Ref;
use gix::protocol::transport::client::AuthenticationRequired;
use gix::remote::fetch::{Tags, refmap::Mapping};
use gix::remote::{Direction, ref_map};
use reqwest::StatusCode;

use crate::open::Depth;
use crate::remote::Credentials;

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

/// Whether a URL is fetched here.
pub(crate) fn is_http(url: &str) -> bool {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

impl Fetch<'_> {
    /// Brings refs and what they reach; the full name of the default branch, when the server says it.
    pub(crate) fn run(&self, git: &Git) -> Result<Option<String>, Error> {
        let head = self.fetched(git);
        head.map_err(|error| match error.downcast_any_ref::<Refused>() {
            Some(Refused(error)) => Error::new(error.code(), error.class(), error.message()),
            None => translate(&error),
        })
    }

    fn fetched(&self, git: &Git) -> Result<Option<String>, gix::Error> {
        // Nothing of the user's own configuration: neither a rewritten URL nor a hook decides what is fetched.
        let mut options = vec![concat!("gitoxide.userAgent=git/mimeo-", env!("CARGO_PKG_VERSION"))];
        if self.credentials.is_some() {
            // A token goes nowhere else than to the server it is for.
            options.push("http.followRedirects=false");
        }
        let here = gix::open_opts(git.path(), gix::open::Options::isolated().config_overrides(options))?;
        let remote = here
            .remote_at_without_url_rewrite(self.url)?
            .with_refspecs(self.refspecs, Direction::Fetch)?
            .with_fetch_tags(Tags::None);
        let connection = remote.connect(Direction::Fetch)?.with_credentials(|action| self.known(action));
        let mut asked = ref_map::Options::default();
        if self.mirror {
            // Else the server is not asked for it.
            asked
                .extra_refspecs
                .push(gix::refspec::parse("HEAD".into(), gix::refspec::parse::Operation::Fetch)?.to_owned());
        }
        let mut prepared = connection.prepare_fetch(gix::progress::Discard, asked)?;
        let head = default_branch(&prepared.ref_map().remote_refs);
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
        Ok(head)
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
