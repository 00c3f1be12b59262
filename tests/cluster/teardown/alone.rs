//! A teardown needs the record and nothing else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testkit::{Call, tally};

use crate::{Quiet, on_lab};

/// No repository, no git, no spec; and what it costs.
#[test]
fn the_record_alone_is_enough() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("small")?;
        case.mimeo(case.on("up", &repo, "main")).succeed()?;
        let environment = case.environment()?;
        drop(repo);
        let nowhere = tempfile_in(case.home())?;
        let mark = case.cluster.audit.mark()?;
        let down = case.mimeo(["down", &environment.name, "--yes"]).inside(&nowhere).var("PATH", "");
        down.succeed()?.says(["is gone", "live reads"])?;
        case.is_gone(&environment)?;
        let calls = case.cluster.audit.since(&mark, &case.cluster.api)?;
        let user = case.account.username();
        let counted = |call: &&Call| {
            let apart = call.verb == "watch" || call.resource == "leases" || call.resource.is_empty();
            call.user == user && !apart
        };
        let counted: Vec<&Call> = calls.iter().filter(counted).collect();
        ensure!(counted.len() <= 16, "{} requests: {:?}", counted.len(), tally(counted.iter().copied()));
        // The receipt outlives the environment, and names the uid of the namespace that is gone.
        let receipts = case.mimeo(["receipts", &environment.name, "-o", "json"]).succeed()?.json()?;
        let looks = receipts["items"][0]["looks"].as_array().context("a receipt has looks")?;
        let namespace = looks.iter().find(|look| look["what"] == format!("Namespace/{}", environment.name));
        let uid = namespace.and_then(|look| look["uid"].as_str()).unwrap_or_default();
        ensure!(uid.len() == 36, "the receipt names the uid: {looks:?}");
        let again = case.mimeo(["down", &environment.name, "--yes"]).inside(&nowhere).var("PATH", "");
        again.succeed()?.says(["gone already"])?;
        Ok(())
    })
}

fn tempfile_in(home: &std::path::Path) -> Result<std::path::PathBuf> {
    let path = home.join("nowhere");
    std::fs::create_dir(&path)?;
    Ok(path)
}

/// A finalizer that nobody serves, on real machines: named within seconds, and again at the end.
#[test]
fn a_finalizer_that_nobody_serves_is_named() -> Result<()> {
    on_lab(|case| {
        let _quiet = Quiet::without_gc();
        let repo = case.repo("small")?;
        case.mimeo(case.on("up", &repo, "main")).succeed()?;
        let environment = case.environment()?;
        let notes = format!("{}/notes", environment.core("configmaps"));
        let finalizer = "nobody.example.org/hold";
        let held = json!({"metadata": {"finalizers": [finalizer]}});
        ensure!(case.cluster.api.merge(&notes, &held)?.is_ok());
        let blocked =
            case.mimeo(["down", &environment.name, "--yes", "--timeout", "25s"]).run()?.expect(4)?;
        let early = blocked.when("waiting for Namespace/").context("it says what it waits for")?;
        ensure!(early < Duration::from_secs(10), "within ten seconds: {blocked}");
        let blocked =
            blocked.says(["DEL001", finalizer, "its controller could not be looked for", "configmaps"])?;
        // The namespace has taken the user's rights in it: the record knows what was there.
        blocked.says(["ConfigMap/notes"])?;
        case.mimeo(["list"]).succeed()?.says(["DeleteBlocked: namespace"])?;
        case.mimeo(["status", &environment.name]).succeed()?.says(["0 of 1 gone", finalizer])?;
        let live = case.cluster.api.get(&notes)?.context("it is still there")?;
        ensure!(
            live["metadata"]["finalizers"] == json!([finalizer]),
            "nobody's finalizer was touched: {live}"
        );
        ensure!(case.cluster.api.merge(&notes, &json!({"metadata": {"finalizers": null}}))?.is_ok());
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)
    })
}
