//! source: reads a git revision, never a work tree.
//!
//! Input: a path or URL and a revision as people name it. Output: a full commit id and a [`Tree`] whose
//! files never change. Blocking: callers move it off their async threads. Nothing is ever checked out.

mod error;
mod fetch;
mod identity;
mod listing;
mod open;
mod pinned;
mod pull;
mod remote;
mod resolve;
mod ssh;
mod tree;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

pub use error::Error;
pub use listing::{Listing, list};
pub use open::init;
pub use pinned::Network;
pub use pull::PULL_BASE;
pub use remote::Credentials;
pub use resolve::{RefKind, Resolved};
pub use tree::Tree;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// A git repository: one on this machine, or the cached copy of one elsewhere.
pub struct Repository {
    git: Arc<Mutex<git2::Repository>>,
    /// How messages name it: the path or the URL without credentials.
    label: String,
    /// The URL it was opened by, when it is a cached copy.
    url: Option<String>,
    /// Where the git folder is.
    folder: PathBuf,
}
