//! Tests on a real API server with real pods, run as a mimeo user: never as the cluster's administrator.
//!
//! `make test` brings the lab up and runs them; `cargo test -p cli --test cluster NAME` runs one on a
//! lab that is up. `KEEP=1` leaves what a failed test made.

mod admission;
mod adopt;
mod catalogue;
mod crash;
mod definitions;
mod diffs;
mod drift;
mod errors;
mod faults;
mod foreign;
mod health;
mod histories;
mod hooks;
mod http1;
mod init;
mod late;
mod moved;
mod names;
mod outages;
mod pinned;
mod planned;
mod policies;
mod preview;
mod reads;
mod remade;
mod rights;
mod secrets;
mod sources;
mod stale;
mod teardown;
mod together;
mod trouble;
mod untouched;
mod up_diff_down;
mod yaml;

use std::{
    path::{Path, PathBuf},
    sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use anyhow::Result;
use testkit::{Case, Cluster};

/// The program under test.
fn program() -> &'static Path {
    static HELD: OnceLock<PathBuf> = OnceLock::new();
    HELD.get_or_init(|| {
        testkit::hold(env!("CARGO_BIN_EXE_mimeo").as_ref(), env!("CARGO_TARGET_TMPDIR").as_ref())
    })
}

/// Runs a test on the lab.
fn on_lab(body: impl FnOnce(&Case<'_>) -> Result<()>) -> Result<()> {
    Case::run(Cluster::lab(program())?, body)
}

/// `mimeo gc` finishes every teardown that it finds begun, whosever it is: on the lab, no test that leaves
/// one half done runs beside it.
struct Quiet;

static COLLECTING: RwLock<()> = RwLock::new(());

impl Quiet {
    /// No `gc` as long as this is held.
    fn without_gc() -> RwLockReadGuard<'static, ()> {
        COLLECTING.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a `gc` on the lab.
    fn gc() -> RwLockWriteGuard<'static, ()> {
        COLLECTING.write().unwrap_or_else(PoisonError::into_inner)
    }
}
