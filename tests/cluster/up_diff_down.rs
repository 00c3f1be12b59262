//! The main road: up on two branches, a change, diff, up again, down.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use testkit::{Call, Case, Environment, GitRepo, Outcome, tally};

use crate::on_lab;

const CANARIES: [&str; 2] = ["canary-of-the-first-commit", "canary-of-the-second-commit"];

#[test]
fn two_branches_live_and_go_side_by_side() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("small")?;
        repo.branch("feature/other")?;
        repo.edit("environments/SPEC.yaml".replace("SPEC", case.spec()).as_str(), "hello", "good day")?
            .commit("Other greeting")?;
        let mut said = Vec::new();
        for rev in ["main", "feature/other"] {
            said.push(case.mimeo(case.on("up", &repo, rev)).succeed()?);
        }
        let all = case.environments()?;
        let find = |slug: &str| {
            all.iter().find(|one| one.name.starts_with(&format!("{}-{slug}-", case.spec()))).cloned()
        };
        let main = find("main").with_context(|| format!("no main in {all:?}"))?;
        let other = find("feature-other").with_context(|| format!("no feature/other in {all:?}"))?;
        ensure!(
            greeting(case, &main)? == "hello" && greeting(case, &other)? == "good day",
            "each has its own value"
        );
        let listed = case.mimeo(["list", "-o", "json"]).succeed()?.json()?;
        let names: Vec<&str> = listed["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item["name"].as_str())
            .collect();
        ensure!(
            names.contains(&main.name.as_str()) && names.contains(&other.name.as_str()),
            "listed: {names:?}"
        );
        said.push(case.mimeo(["status", &main.name]).succeed()?.says(["web", "notes"])?);
        said.push(case.mimeo(["status", &main.name, "-o", "json"]).succeed()?);
        said.push(case.mimeo(["logs", &main.name, "web"]).succeed()?.says(["started"])?);

        let before = case.cluster.api.get(&format!("{}/web", main.core("configmaps")))?;
        // Nothing waits for a keyboard that is not there.
        case.mimeo(case.on("down", &repo, "feature/other")).run()?.expect(3)?.says(["--yes"])?;
        said.push(case.mimeo(case.on("down", &repo, "feature/other")).args(["--yes"]).succeed()?);
        case.is_gone(&other)?;
        let after = case.cluster.api.get(&format!("{}/web", main.core("configmaps")))?;
        ensure!(before.is_some() && before == after, "the neighbour is untouched");
        said.push(case.mimeo(["down", &main.name, "--yes"]).succeed()?);
        case.is_gone(&main)?;
        keeps_secrets(&said, &[])
    })
}

#[test]
fn a_change_is_shown_exactly_and_touches_only_its_object() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("small")?;
        let mut said = vec![case.mimeo(case.on("up", &repo, "main")).succeed()?];
        let environment = case.environment()?;
        let generated = case
            .cluster
            .api
            .get(&format!("{}/web-auth", environment.core("secrets")))?
            .context("no generated Secret")?;
        let password = base64::engine::general_purpose::STANDARD
            .decode(generated["data"]["password"].as_str().unwrap_or_default())?;
        let password = String::from_utf8(password)?;
        ensure!(password.len() == 40, "a password of 40 characters");

        said.push(unchanged_up(case, &repo, &environment)?);
        said.push(case.mimeo(case.on("diff", &repo, "main")).run()?.expect(0)?);

        spec_edit(case, &repo, "hello", "good evening")?;
        let diff = case.mimeo(case.on("diff", &repo, "main")).run()?.expect(1)?;
        let diff = diff.says(["ConfigMap/web", "hello", "good evening"])?;
        for other in ["Deployment", "Service", "Secret/", "notes"] {
            ensure!(!diff.stdout.contains(other), "only the ConfigMap changes: {diff}");
        }
        let plan = case.mimeo(case.on("diff", &repo, "main")).args(["-o", "json"]).run()?.expect(1)?;
        let steps: Vec<_> = plan.json()?["waves"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|wave| wave["steps"].as_array().cloned().unwrap_or_default())
            .collect();
        ensure!(steps.len() == 1 && steps[0]["object"]["name"] == "web", "one step: {steps:?}");
        said.extend([diff, plan]);

        let mark = case.cluster.audit.mark()?;
        said.push(case.mimeo(case.on("up", &repo, "main")).succeed()?);
        let writes = writes(case, &mark)?;
        let inside: Vec<&Call> = writes.iter().filter(|call| call.namespace == environment.name).collect();
        ensure!(
            inside.len() == 1 && inside[0].resource == "configmaps" && inside[0].name == "web",
            "only one object is written: {inside:?}"
        );
        ensure!(
            writes
                .iter()
                .all(|call| ["configmaps", "environments", "inventories"].contains(&call.resource.as_str())),
            "{:?}",
            tally(&writes)
        );
        ensure!(greeting(case, &environment)? == "good evening", "the change has arrived");
        said.push(case.mimeo(case.on("diff", &repo, "main")).run()?.expect(0)?);

        // A secret value changes: that it does is shown, what it is never.
        repo.edit("templates/web/manifests/web.yaml", CANARIES[0], CANARIES[1])?.commit("Another token")?;
        let diff = case.mimeo(case.on("diff", &repo, "main")).run()?.expect(1)?;
        said.push(diff.says(["Secret/web-token"])?);
        said.push(case.mimeo(case.on("diff", &repo, "main")).args(["-o", "json"]).run()?.expect(1)?);
        said.push(case.mimeo(case.on("up", &repo, "main")).args(["-vv"]).succeed()?);
        let token =
            case.cluster.api.get(&format!("{}/web-token", environment.core("secrets")))?.unwrap_or_default();
        ensure!(
            token["data"]["token"] == base64::engine::general_purpose::STANDARD.encode(CANARIES[1]),
            "the new token has arrived"
        );
        let again =
            case.cluster.api.get(&format!("{}/web-auth", environment.core("secrets")))?.unwrap_or_default();
        ensure!(again["data"] == generated["data"], "a generated value never changes");

        said.push(case.mimeo(case.on("down", &repo, "main")).args(["--yes"]).succeed()?);
        case.is_gone(&environment)?;
        let record = format!("{:?}", testkit::state::receipts(&case.cluster.api, &environment.name)?);
        ensure!(!CANARIES.iter().any(|canary| record.contains(canary)), "the receipt holds a secret");
        keeps_secrets(&said, &[&password])
    })
}

/// A second `up` of the same commit writes the record and nothing else.
fn unchanged_up(case: &Case<'_>, repo: &GitRepo, environment: &Environment) -> Result<Outcome> {
    let mark = case.cluster.audit.mark()?;
    let outcome = case.mimeo(case.on("up", repo, "main")).succeed()?;
    let writes = writes(case, &mark)?;
    ensure!(
        writes.iter().all(|call| call.resource == "environments" && call.name == environment.name)
            && writes.len() <= 1,
        "an unchanged environment is written: {writes:?}"
    );
    ensure!(outcome.took < Duration::from_secs(10), "nothing to wait for: {outcome}");
    Ok(outcome)
}

/// What this test's account wrote since a mark. Dry runs, leases and reviews are no writes.
fn writes(case: &Case<'_>, mark: &testkit::AuditMark) -> Result<Vec<Call>> {
    let calls = case.cluster.audit.since(mark, &case.cluster.api)?;
    Ok(calls.into_iter().filter(|call| call.user == case.account.username() && call.is_write()).collect())
}

fn greeting(case: &Case<'_>, environment: &Environment) -> Result<String> {
    let map = case
        .cluster
        .api
        .get(&format!("{}/web", environment.core("configmaps")))?
        .context("no ConfigMap web")?;
    Ok(map["data"]["greeting"].as_str().unwrap_or_default().to_owned())
}

fn spec_edit(case: &Case<'_>, repo: &GitRepo, from: &str, to: &str) -> Result<String> {
    repo.edit(&format!("environments/{}.yaml", case.spec()), from, to)?;
    repo.commit(&format!("{from} becomes {to}"))
}

/// No output holds a secret value, plain or encoded.
fn keeps_secrets(said: &[Outcome], more: &[&str]) -> Result<()> {
    for secret in CANARIES.iter().chain(more) {
        let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
        for outcome in said {
            let all = outcome.all();
            ensure!(
                !all.contains(secret) && !all.contains(encoded.trim_end_matches('=')),
                "a secret is shown by {outcome}"
            );
        }
    }
    Ok(())
}
