//! Throw-away control planes: for what breaks or overloads one, and for what needs a cluster untouched.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail};

use crate::{Cluster, checkout, program::HELD};

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
    run(test, program, is_http1_only(), body)
}

/// The same, with an API server that does not speak HTTP/2.
///
/// # Errors
/// As [`in_plane`].
pub fn in_plane_over_http1(
    test: &str,
    program: &Path,
    body: impl FnOnce(&Cluster) -> Result<()>,
) -> Result<()> {
    run(test, program, true, body)
}

/// Whether everything is to go over HTTP/1.1 (`MIMEO_HTTP1`): planes do not offer HTTP/2, and on the lab, which
/// does, the program is told not to use it.
pub(crate) fn is_http1_only() -> bool {
    std::env::var_os("MIMEO_HTTP1").is_some()
}

fn run(test: &str, program: &Path, http1: bool, body: impl FnOnce(&Cluster) -> Result<()>) -> Result<()> {
    if let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) {
        let cluster =
            Cluster::new(program, &directory.join("admin.kubeconfig"), &directory.join("audit.log"))?;
        return body(&cluster);
    }
    let itself = std::env::current_exe().context("where is this test program?")?;
    let mut plane = Command::new(checkout().join("tests/lab/lab"));
    plane.arg("plane");
    if http1 {
        plane.arg("--http1-only");
    }
    // Logs, request log and etcd of the plane, to be looked at afterwards.
    if std::env::var_os("KEEP").is_some() {
        plane.arg("--keep").arg(checkout().join("target/planes").join(test.replace("::", "-")));
    }
    let mut running = plane
        .arg("--")
        .arg(itself)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env_remove("KUBECONFIG")
        .env(HELD, program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start a control plane")?;
    let (stdout, stderr) = (running.stdout.take(), running.stderr.take());
    let stdout = thread::spawn(move || pass(stdout, false));
    let stderr = pass(stderr, true);
    let stdout = stdout.join().unwrap_or_default();
    let status = running.wait()?;
    // A wrong name would run nothing, and nothing fails.
    if !stdout.contains("1 passed") && !stdout.contains("1 failed") {
        bail!("the test {test} did not run in its control plane:\n{stdout}{stderr}");
    }
    if !status.success() {
        bail!("in a control plane of its own:\n{stderr}");
    }
    Ok(())
}

/// Reads what the inner run says, indented, so that nobody takes it for the outer run's; with `live`,
/// hands it on as it comes.
fn pass(stream: Option<impl Read>, live: bool) -> String {
    let mut said = String::new();
    for line in stream.into_iter().flat_map(|stream| BufReader::new(stream).lines()) {
        let Ok(line) = line else { break };
        let line = format!("  | {line}\n");
        if live {
            // Progress only: where it cannot be shown, the end of the test says enough.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        said.push_str(&line);
    }
    said
}
