//! Several runs on one environment: at once, one after another, and killed in between.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Result, ensure};
use testkit::{Case, GitRepo, Outcome};

use crate::{Quiet, on_lab};

#[test]
fn two_ups_at_once_make_everything_once() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("small")?;
        let mark = case.cluster.audit.mark()?;
        let up = case.mimeo(case.on("up", &repo, "main"));
        let (one, two) = (up.start()?, up.start()?);
        let outcomes = [one.wait()?, two.wait()?];
        ensure!(
            outcomes.iter().any(|outcome| outcome.code == Some(0)),
            "one of them gets there: {outcomes:?}"
        );
        ensure!(
            outcomes.iter().all(|outcome| matches!(outcome.code, Some(0 | 3))),
            "the other waits or is refused: {outcomes:?}"
        );
        let environment = case.environment()?;
        let calls = case.cluster.audit.since(&mark, &case.cluster.api)?;
        let counts =
            testkit::state::existence(&calls, &case.account.username(), &environment.name, &environment.id);
        ensure!(counts.values().all(|count| *count == 1) && counts.len() > 8, "everything once: {counts:?}");
        case.mimeo(case.on("diff", &repo, "main")).run()?.expect(0)?;
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)
    })
}

#[test]
fn up_while_down_waits_or_is_refused() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("small")?;
        let up = case.mimeo(case.on("up", &repo, "main"));
        up.succeed()?;
        let environment = case.environment()?;
        let down = case.mimeo(["down", &environment.name, "--yes"]).start()?;
        thread::sleep(Duration::from_millis(300));
        let up_meanwhile = up.run()?;
        let down = down.wait()?.expect(0)?;
        ensure!(matches!(up_meanwhile.code, Some(0 | 3)), "{up_meanwhile}\nwhile\n{down}");
        if up_meanwhile.code == Some(0) {
            // It has waited: everything is there, in a namespace of its own life.
            case.mimeo(case.on("diff", &repo, "main")).run()?.expect(0)?;
            case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
            let left = testkit::state::leftovers(&case.cluster.api, &environment.name, &environment.id)?;
            ensure!(left.is_empty(), "left: {left:?}");
            return Ok(());
        }
        case.is_gone(&environment)
    })
}

/// `kill -9` by the clock, where the crash tests do it by the write: real pods take their time.
#[test]
fn a_killed_up_is_finished_by_the_next_and_leaves_nothing() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("small")?;
        let moments = [100, 300, 700, 1500, 3000];
        for moment in moments {
            repo.branch(&format!("killed-after-{moment}"))?;
        }
        thread::scope(|scope| {
            let runs: Vec<_> = moments
                .map(|moment| {
                    let repo = &repo;
                    scope.spawn(move || killed_once(case, repo, moment))
                })
                .into_iter()
                .collect();
            runs.into_iter()
                .try_for_each(|run| run.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a run panicked"))))
        })
    })
}

fn killed_once(case: &Case<'_>, repo: &GitRepo, moment: u64) -> Result<()> {
    let rev = format!("killed-after-{moment}");
    let up = case.mimeo(case.on("up", repo, &rev));
    let running = up.start()?;
    thread::sleep(Duration::from_millis(moment));
    let killed = running.kill()?;
    let again = up.run()?;
    ensure!(again.code == Some(0), "after {moment} ms:\n{killed}\n{again}");
    ensure!(again.took < Duration::from_secs(30), "a dead run is not waited for: {again}");
    let all = case.environments()?;
    let Some(environment) = all.iter().find(|one| one.name.contains(&format!("-{rev}-"))) else {
        anyhow::bail!("no {rev} in {all:?}");
    };
    down(case, &environment.name)?.expect(0)?;
    case.is_gone(environment)
}

fn down(case: &Case<'_>, name: &str) -> Result<Outcome> {
    case.mimeo(["down", name, "--yes"]).run()
}

#[test]
fn a_killed_down_is_finished_by_the_next() -> Result<()> {
    on_lab(|case| {
        let _quiet = Quiet::without_gc();
        let repo = case.repo("small")?;
        case.mimeo(case.on("up", &repo, "main")).succeed()?;
        let environment = case.environment()?;
        let mark = case.cluster.audit.mark()?;
        let running = case.mimeo(["down", &environment.name, "--yes"]).start()?;
        for _ in 0..1000 {
            if case.record(&environment)?["spec"]["state"] == "Deleting" {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let killed = running.kill()?;
        ensure!(killed.code.is_none(), "it was not killed in time: {killed}");
        let refused = case.mimeo(case.on("up", &repo, "main")).run()?;
        ensure!(refused.code == Some(3), "an environment that is going is not brought up: {refused}");
        down(case, &environment.name)?.expect(0)?;
        case.is_gone(&environment)?;
        let calls = case.cluster.audit.since(&mark, &case.cluster.api)?;
        let counts: BTreeMap<_, _> =
            testkit::state::existence(&calls, &case.account.username(), &environment.name, &environment.id);
        ensure!(counts.values().all(|count| *count == 1), "nothing is deleted twice: {counts:?}");
        Ok(())
    })
}
