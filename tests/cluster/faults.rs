//! "Could not see" is never "gone": answers of a server on a bad day delete nothing and prove nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::{Case, Fault, Mimeo, Relay, state};

use crate::{Quiet, on_lab};

/// The program, talking through a relay.
fn through(case: &Case<'_>, relay: &Relay, arguments: &[&str]) -> Result<Mimeo> {
    let path = case.home().join("relay.kubeconfig");
    case.cluster.api.config().with_token(&case.account.token).by_way_of(&relay.url()).write(&path)?;
    Ok(case.mimeo(arguments).kubeconfig(&path))
}

#[test]
fn a_look_that_fails_is_no_absence() -> Result<()> {
    on_lab(|case| {
        let _quiet = Quiet::without_gc();
        let repo = case.repo("config")?;
        case.mimeo(case.on("up", &repo, "main")).succeed()?;
        let environment = case.environment()?;
        repo.remove("templates/notes/manifests/notes.yaml")?;
        repo.write(
            "templates/notes/manifests/other.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n",
        )?;
        repo.commit("Everything else is pruned")?;
        let relay = Relay::start(case.cluster.api.config())?;
        let up = through(case, &relay, &["up", case.spec(), "--repo", &repo.arg(), "--rev", "main"])?;
        for status in [500, 403, 502] {
            relay.inject(
                Fault::on(&format!("/namespaces/{}/configmaps", environment.name))
                    .method("GET")
                    .status(status),
            );
            let outcome = up.run()?;
            relay.heal();
            ensure!(outcome.code == Some(4), "{status}: {outcome}");
        }
        let deletes: Vec<_> = relay
            .log()
            .into_iter()
            .filter(|exchange| exchange.method == "DELETE" && !exchange.path.contains("/leases"))
            .collect();
        ensure!(deletes.is_empty(), "deleted without having looked: {deletes:?}");
        let maps = case.cluster.api.get(&format!("{}/notes", environment.core("configmaps")))?;
        ensure!(maps.is_some(), "it is still there");

        // A teardown that cannot look for leftovers does not claim that there are none.
        let down = through(case, &relay, &["down", &environment.name, "--yes"])?;
        relay.inject(Fault::on("/persistentvolumes").method("GET").status(403));
        let blocked = down.run()?;
        ensure!(blocked.code == Some(4), "not proven: {blocked}");
        ensure!(blocked.all().contains("PersistentVolumes"), "it names what it could not see: {blocked}");
        ensure!(
            state::receipts(&case.cluster.api, &environment.name)?.is_empty(),
            "no receipt without proof"
        );
        ensure!(case.environments()?.len() == 1, "the record stays");
        relay.heal();
        down.succeed()?;
        carries_uids(&relay)?;
        case.is_gone(&environment)
    })
}

#[test]
fn a_write_that_fails_is_told_and_done_by_the_next_run() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("config")?;
        let relay = Relay::start(case.cluster.api.config())?;
        let up = through(case, &relay, &["up", case.spec(), "--repo", &repo.arg(), "--rev", "main"])?;
        relay.inject(Fault::on("/configmaps/notes?").method("PATCH").status(500).times(1));
        let failed = up.run()?;
        ensure!(failed.code == Some(4), "a server's failure: {failed}");
        failed.says(["ConfigMap/notes", "the test answers 500"])?;
        let environment = case.environment()?;
        ensure!(case.record(&environment)?["spec"]["state"] == "Failed", "the record says so");
        up.succeed()?;
        // Slow is not broken, and a connection that is refused for once is tried again.
        relay.inject(Fault::on("/api").method("GET").delay(Duration::from_millis(700)).times(3));
        relay.inject(Fault::on("/configmaps").method("GET").status(429).times(2));
        case.mimeo(["diff", case.spec(), "--repo", &repo.arg(), "--rev", "main"])
            .kubeconfig(&case.home().join("relay.kubeconfig"))
            .run()?
            .expect(0)?;
        through(case, &relay, &["down", &environment.name, "--yes"])?.succeed()?;
        carries_uids(&relay)?;
        case.is_gone(&environment)
    })
}

/// Every DELETE names the uid it means.
pub fn carries_uids(relay: &Relay) -> Result<()> {
    for exchange in relay.log().iter().filter(|exchange| exchange.method == "DELETE") {
        let uid = exchange.body["preconditions"]["uid"].as_str().unwrap_or_default();
        ensure!(!uid.is_empty(), "a delete without a uid: {exchange} {}", exchange.body);
    }
    Ok(())
}
