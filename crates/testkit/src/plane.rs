//! Throw-away control planes: for what breaks or overloads one, and for what needs a cluster untouched.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{Cluster, checkout};

/// The plane this process runs in, if it does: `lab plane` sets it.
const DIRECTORY: &str = "MIMEO_PLANE_DIR";

/// Whether this process runs in a throw-away control plane.
#[must_use]
pub fn inside_plane() -> bool {
    std::env::var_os(DIRECTORY).is_some()
}

/// Runs a test in a throw-away control plane of its own, with nodes and pods played by kwok: this
/// test program is started again inside, for the test of that name only. Several may run at once.
/// `KEEP=1` keeps the plane's directory under `target/planes`.
///
/// # Errors
/// When the plane cannot be had, or the test fails inside.
pub fn in_plane(test: &str, program: &Path, body: impl FnOnce(&Cluster) -> Result<()>) -> Result<()> {
    if let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) {
        let cluster =
            Cluster::new(program, &directory.join("admin.kubeconfig"), &directory.join("audit.log"))?;
        return body(&cluster);
    }
    let itself = std::env::current_exe().context("where is this test program?")?;
    let mut plane = Command::new(checkout().join("tests/lab/lab"));
    plane.arg("plane");
    // Logs, request log and etcd of the plane, to be looked at afterwards.
    if std::env::var_os("KEEP").is_some() {
        plane.arg("--keep").arg(checkout().join("target/planes").join(test.replace("::", "-")));
    }
    let output = plane
        .arg("--")
        .arg(itself)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null())
        .output()
        .context("cannot start a control plane")?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A wrong name would run nothing, and nothing fails.
    if !said.contains("1 passed") && !said.contains("1 failed") {
        bail!("the test {test} did not run in its control plane:\n{said}");
    }
    if !output.status.success() {
        bail!("in a control plane of its own:\n{said}");
    }
    Ok(())
}
