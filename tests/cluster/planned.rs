//! A plan that was shown runs as it is or not at all, and a run that is stopped leaves the next one room.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::{Case, GitRepo};

use crate::on_lab;

/// A plan in a file of the case's own.
fn plan(case: &Case<'_>, repo: &GitRepo, name: &str) -> Result<String> {
    let file = case.home().join(format!("{name}.json")).display().to_string();
    case.mimeo(case.on("plan", repo, "main")).args(["-o", &file]).succeed()?;
    Ok(file)
}

#[test]
fn the_plan_that_was_shown_is_what_runs() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("small")?;
        let file = plan(case, &repo, "first")?;
        // What is pushed later is not part of it.
        repo.edit(&format!("environments/{}.yaml", case.spec()), "greeting: hello", "greeting: later")?;
        repo.commit("later")?;
        let run = case.mimeo(["up", "--plan", &file, "--repo", &repo.arg()]);
        run.succeed()?;
        let environment = case.environment()?;
        let path = format!("/api/v1/namespaces/{}/configmaps/web", environment.name);
        let live = case.cluster.api.get(&path)?.unwrap_or_default();
        ensure!(live["data"].to_string().contains("hello"), "the commit of the plan: {live}");
        // A second time there is another world.
        run.run()?.expect(3)?.says(["PLN004", "made anew"])?;
        // A status that changes is no change: the pod has become ready since.
        let again = plan(case, &repo, "again")?;
        thread::sleep(Duration::from_millis(500));
        case.mimeo(["up", "--plan", &again, "--repo", &repo.arg()]).succeed()?;
        let live = case.cluster.api.get(&path)?.unwrap_or_default();
        ensure!(live["data"].to_string().contains("later"), "the newer commit: {live}");
        moved(case, &repo, &environment.name)?;
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.mimeo(["receipts", &environment.name]).succeed()?.says(["LOOKED FOR", "nothing"])?;
        case.is_gone(&environment)
    })
}

/// Everything that makes a plan another one, each refused by name, with nothing done.
fn moved(case: &Case<'_>, repo: &GitRepo, namespace: &str) -> Result<()> {
    let api = &case.cluster.api;
    let notes = format!("/api/v1/namespaces/{namespace}/configmaps/notes");
    let before = plan(case, repo, "before")?;
    let refused = |text: &str| {
        let mark = case.cluster.audit.mark()?;
        case.mimeo(["up", "--plan", &before, "--repo", &repo.arg()])
            .run()?
            .expect(3)?
            .says(["PLN004", text])?;
        let calls = case.cluster.audit.since(&mark, api)?;
        let user = case.account.username();
        let wrote = calls.iter().find(|call| {
            call.user == user
                && !["get", "list", "watch"].contains(&call.verb.as_str())
                && call.namespace == namespace
                && !call.uri.contains("dryRun=All")
        });
        ensure!(wrote.is_none(), "nothing is written: {wrote:?}");
        Ok(())
    };
    // A field that mimeo owns.
    let patch = json!({"data": {"greeting": "by hand"}});
    ensure!(api.merge(&notes.replace("notes", "web"), &patch)?.is_ok());
    refused("ConfigMap/web")?;
    let why = case.mimeo(["why", namespace, "configmap/web"]).succeed()?;
    why.says(["Whose:       ours", "As applied:  no", "goes with the namespace"])?;
    case.mimeo(["why", namespace, "configmap/wob"]).run()?.expect(2)?.says(["ENV024", "ConfigMap/web"])?;
    // An object that went.
    ensure!(api.delete(&notes)?.is_ok());
    refused("ConfigMap/notes")?;
    case.mimeo(case.on("up", repo, "main")).succeed()?;
    // By now the inventory is another one, too.
    refused("inventory")
}

#[test]
fn a_plan_that_was_changed_by_hand_is_refused() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("small")?;
        let file = plan(case, &repo, "whole")?;
        let text = std::fs::read_to_string(&file)?;
        for (name, changed, said) in [
            ("edited", text.replacen("notes", "motes", 1), "changed since"),
            ("newer", text.replacen("\"version\": 1", "\"version\": 9", 1), "version 9"),
            ("cut", text[..text.len() / 2].to_owned(), "no plan"),
            ("other", "{}".to_owned(), "no plan"),
        ] {
            let path = case.home().join(name).display().to_string();
            std::fs::write(&path, changed)?;
            case.mimeo(["up", "--plan", &path, "--repo", &repo.arg()])
                .run()?
                .expect(2)?
                .says(["PLN005", said])?;
        }
        ensure!(case.environments()?.is_empty(), "nothing was brought up");
        Ok(())
    })
}

/// Ctrl-C and a CI system's SIGTERM: what is under way is finished and recorded, and said.
#[test]
fn a_stopped_up_is_recorded_and_goes_on() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("trouble")?;
        let up = case.mimeo(case.on("up", &repo, "main"));
        for signal in ["INT", "TERM"] {
            let running = up.clone().args(["--set", "cpu=1000"]).start()?;
            running.wait_for("nsufficient cpu", Duration::from_secs(20))?;
            running.signal(signal)?;
            let stopped = running.wait()?.expect(130)?.says(["RUN001", "run the same command again"])?;
            ensure!(stopped.took < Duration::from_secs(30), "{stopped}");
            let record = case.record(&case.environment()?)?;
            ensure!(record["spec"]["state"] == "Failed", "{record}");
            ensure!(record["spec"]["message"].to_string().contains("stopped"), "{record}");
        }
        // The lease was given back: nobody waits for it.
        let environment = case.environment()?;
        let down = case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        ensure!(!down.all().contains("another run"), "{down}");
        case.is_gone(&environment)
    })
}

/// A run that is paused while it works, and awakes after a newer one has finished, changes nothing.
#[test]
fn a_run_that_slept_does_not_undo_a_newer_one() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("small")?;
        let moments = [150, 400, 900];
        for moment in moments {
            repo.git(&["branch", &format!("slept-{moment}")])?;
        }
        repo.branch("newer")?;
        repo.edit(&format!("environments/{}.yaml", case.spec()), "greeting: hello", "greeting: newer")?;
        repo.commit("newer")?;
        thread::scope(|scope| {
            let runs: Vec<_> = moments
                .map(|moment| {
                    let repo = &repo;
                    scope.spawn(move || slept(case, repo, moment))
                })
                .into_iter()
                .collect();
            runs.into_iter()
                .try_for_each(|run| run.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a run panicked"))))
        })
    })
}

fn slept(case: &Case<'_>, repo: &GitRepo, moment: u64) -> Result<()> {
    let rev = format!("slept-{moment}");
    let older = case.mimeo(case.on("up", repo, &rev)).start()?;
    thread::sleep(Duration::from_millis(moment));
    older.signal("STOP")?;
    repo.git(&["branch", "--force", &rev, "newer"])?;
    let outcome = case.mimeo(case.on("up", repo, &rev)).run()?.expect(0)?;
    older.signal("CONT")?;
    let older = older.wait()?;
    // One that slept before it had looked at the branch is no older run.
    let late = older.code == Some(0) && older.all().contains(" newer)");
    ensure!(late || older.code == Some(3), "the older run stops: {older}\nafter\n{outcome}");
    case.mimeo(case.on("diff", repo, &rev)).run()?.expect(0)?;
    let all = case.environments()?;
    let Some(environment) = all.iter().find(|one| one.name.contains(&format!("-{rev}-"))) else {
        anyhow::bail!("no {rev} in {all:?}");
    };
    case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
    case.is_gone(environment)
}
