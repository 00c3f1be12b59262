//! Components that never become healthy: the cause is shown within 10 seconds, and `--fail-fast` fails.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::on_lab;

/// One kind of trouble: parameters of the spec, and what must be said about it.
fn trouble(set: &str, says: &[&str]) -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("trouble")?;
        let up = case.mimeo(case.on("up", &repo, "main")).args(["--set", set]);
        // Patience is the default: the cause is shown while it is still waited for.
        let running = up.clone().start()?;
        for text in says {
            running.wait_for(text, Duration::from_secs(10))?;
        }
        running.kill()?;
        let outcome = up.args(["--fail-fast"]).run()?.expect(7)?.says(says.iter().copied())?;
        ensure!(outcome.took < Duration::from_secs(20), "failed within 20 s: {outcome}");
        ensure!(outcome.all().contains("worker"), "it names the component: {outcome}");
        let status = case.mimeo(["status", case.spec(), "--repo", &repo.arg(), "--rev", "main"]).run()?;
        ensure!(status.all().contains(says[0]), "status tells the same: {status}");
        let environment = case.environment()?;
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)
    })
}

#[test]
fn a_missing_image() -> Result<()> {
    trouble("image=docker.io/library/no-such-image:1", &["no-such-image:1"])
}

#[test]
fn an_impossible_image_name() -> Result<()> {
    trouble("image=Not/An/Image", &["Not/An/Image"])
}

#[test]
fn a_crash_loop_with_its_last_words() -> Result<()> {
    let script = "script=echo reading the settings; echo cannot open /etc/nothing; exit 3";
    trouble(script, &["exit code 3", "reading the settings", "cannot open /etc/nothing"])
}

#[test]
fn a_pod_no_node_has_room_for() -> Result<()> {
    trouble("cpu=1000", &["nsufficient cpu"])
}
