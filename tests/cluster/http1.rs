//! HTTP/2 where the server offers it, HTTP/1.1 where it does not, or where somebody wants it so.
//!
//! `make soak` runs every cluster test a second time over HTTP/1.1 only (`MIMEO_HTTP1`).

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use testkit::{Case, Wire, in_plane, in_plane_over_http1};

use crate::program;

/// As many connections as an `up` over HTTP/2 opens at most: one for requests, and one more where the first
/// requests begin before its protocol is agreed.
const FEW: usize = 3;

/// One up, diff, crash and down; returns how many connections the `up` opened.
fn life(case: &Case<'_>, branch: &str, variable: Option<&str>) -> Result<usize> {
    let repo = case.repo("small")?;
    repo.branch(branch)?;
    let wire = Wire::to(case.cluster.api.config())?;
    let kubeconfig = case.home().join(format!("{branch}.kubeconfig"));
    wire.write(&case.account.token, &kubeconfig)?;
    let mimeo = |command: &str| {
        let mimeo = case.mimeo(case.on(command, &repo, branch)).kubeconfig(&kubeconfig);
        variable.map_or(mimeo.clone(), |name| mimeo.var(name, "1"))
    };
    let killed = mimeo("up").start()?;
    killed.wait_for("+ ", Duration::from_secs(30))?;
    killed.kill()?;
    let _ = wire.connections();
    mimeo("up").succeed()?;
    let connections = wire.connections();
    mimeo("diff").run()?.expect(0)?;
    let part = format!("-{branch}-");
    let all = case.environments()?;
    let environment = all.into_iter().find(|one| one.name.contains(&part));
    let down = mimeo("down").args(["--yes"]).start()?;
    thread::sleep(Duration::from_millis(300));
    down.kill()?;
    mimeo("down").args(["--yes"]).succeed()?;
    if let Some(environment) = environment {
        case.is_gone(&environment)?;
    }
    Ok(connections)
}

#[test]
fn a_server_without_http2_is_served() -> Result<()> {
    in_plane_over_http1("http1::a_server_without_http2_is_served", program(), |cluster| {
        Case::run(cluster, |case| {
            let connections = life(case, "main1", None)?;
            ensure!(connections > FEW, "{connections} connections: it is not HTTP/1.1");
            Ok(())
        })
    })
}

#[test]
fn http2_is_used_unless_somebody_disables_it() -> Result<()> {
    // It is about the difference: not in the second run of everything.
    if std::env::var_os("MIMEO_HTTP1").is_some() {
        return Ok(());
    }
    in_plane("http1::http2_is_used_unless_somebody_disables_it", program(), |cluster| {
        Case::run(cluster, |case| {
            let two = life(case, "two", None)?;
            ensure!(two <= FEW, "{two} connections: it is not HTTP/2");
            let one = life(case, "one", Some("DISABLE_HTTP2"))?;
            ensure!(one > FEW, "{one} connections: it is not HTTP/1.1");
            Ok(())
        })
    })
}
