//! Tests on a real API server with real pods, run as a mimeo user: never as the cluster's administrator.
//!
//! `make test` brings the lab up and runs them; `cargo test -p cli --test cluster NAME` runs one on a
//! lab that is up. `KEEP=1` leaves what a failed test made.

mod crash;
mod errors;
mod faults;
mod foreign;
mod names;
mod pinned;
mod rights;
mod together;
mod trouble;
mod untouched;
mod up_diff_down;

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
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
