//! The test harness. Everything here is real: a real API server, real pods, a real `kill -9`.
//!
//! - [`Cluster`]: the lab, or the throw-away control plane that a test runs in ([`in_plane`]).
//! - [`Case`]: one test's corner of a cluster: random names, an account of its own, a cleanup, and on
//!   failure the objects, events and logs.
//! - [`CaseFile`]: one file, one case.
//! - [`Mimeo`]: runs the program, with the time of every line of its output.
//! - [`GitRepo`]: a repository built from a fixture, commit by commit.
//! - [`GitDaemon`]: a server of git's own protocol, that counts who asks.
//! - [`GitServer`]: serves a repository over HTTP or HTTPS.
//! - [`Gitea`]: a forge: the lab's, or one of a test's own.
//! - [`Relay`]: stands between `mimeo` and the API server, counts writes, and kills at the n-th.
//! - [`Wire`]: hands bytes on to an API server and counts the connections.
//! - [`ForgeRelay`]: stands between `mimeo` and a forge, and answers as forges do on bad days.
//! - [`AuditLog`]: what the API server saw, whoever asked.
//! - [`pool`]: many cases side by side, and how many of them a run tries.
//! - [`witness_deletes`]: makes that log say which uid each DELETE asked for.
//! - [`Etcd`]: the raw keys of a plane, whatever its API server says.
//! - [`state`]: what is there, in a form that two runs can be compared in.
//!
//! The product knows nothing of this crate: no hook, no switch, no fake.

mod account;
mod api;
mod audit;
mod case;
mod case_file;
mod cluster;
mod dump;
mod etcd;
mod fault;
mod forge_relay;
mod git;
mod git_daemon;
mod git_server;
mod gitea;
mod http;
mod kubeconfig;
mod mimeo;
mod plane;
pub mod pool;
mod program;
mod relay;
pub mod state;
mod upstream;
mod wire;
mod witness;

pub use account::Account;
pub use api::{Answer, Api, Kind};
pub use audit::{AuditLog, AuditMark, Call, tally};
pub use case::{Case, Environment};
pub use case_file::CaseFile;
pub use cluster::{Cluster, checkout};
pub use etcd::Etcd;
pub use fault::Fault;
pub use forge_relay::{ForgeRelay, Harm, Traffic, Trouble};
pub use git::GitRepo;
pub use git_daemon::GitDaemon;
pub use git_server::GitServer;
pub use gitea::{Comment, Gitea, GiteaRepo};
pub use kubeconfig::Kubeconfig;
pub use mimeo::{Mimeo, Outcome, Running};
pub use plane::{in_plane, in_plane_over_http1, inside_plane};
pub use program::hold;
pub use relay::{Cut, Exchange, Relay};
pub use wire::Wire;
pub use witness::{witness_deletes, witnessed};

/// Six random characters that make a name this run's own. It starts with a letter.
#[must_use]
pub fn random_name() -> String {
    use rand::RngExt as _;
    const LETTERS: &[u8] = b"bcdfghjkmnpqrstvwxz";
    let mut random = rand::rng();
    (0..6).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}
