//! Killed in each phase, a teardown is finished by the next one.

use std::{thread, time::Duration};

use anyhow::{Result, anyhow, ensure};
use serde_json::Value;
use testkit::{Case, Cut, GitRepo, Mimeo, Relay, in_plane};

use super::stage::{Controllers, Stage, Variant, branch, prepare};
use crate::program;

/// After the first write that follows the record of the phase.
#[test]
fn killed_in_each_phase_it_is_finished_by_the_next() -> Result<()> {
    in_plane("teardown::killed::killed_in_each_phase_it_is_finished_by_the_next", program(), |cluster| {
        Case::run(cluster, |case| {
            prepare(cluster)?;
            let repo = case.repo("teardown")?;
            let controllers = Controllers::play(&cluster.api, Duration::ZERO);
            for (number, name) in ["hook", "borrowed"].into_iter().enumerate() {
                let variant = |at: usize| match name {
                    "hook" => Variant::Hook,
                    _ => Variant::Borrowed(number * 100 + at),
                };
                branch(case, &repo, name, lent(case, variant(0))?)?;
                let places = places(case, &Stage::up(case, &repo, name)?)?;
                ensure!(places.len() >= 5, "phases that begin: {places:?}");
                for at in 1..=places.len() {
                    branch(case, &repo, &format!("{name}-{at}"), lent(case, variant(at))?)?;
                }
                thread::scope(|scope| {
                    let running: Vec<_> = places
                        .iter()
                        .enumerate()
                        .map(|(at, write)| {
                            let (repo, branch) = (&repo, format!("{name}-{}", at + 1));
                            scope.spawn(move || {
                                die(case, repo, &branch, *write).map_err(|error| error.context(branch))
                            })
                        })
                        .collect();
                    running
                        .into_iter()
                        .try_for_each(|one| one.join().unwrap_or_else(|_| Err(anyhow!("a run panicked"))))
                })?;
            }
            controllers.end()
        })
    })
}

fn lent(case: &Case<'_>, variant: Variant) -> Result<Variant> {
    if let Variant::Borrowed(number) = variant {
        case.cluster.lend(&format!("lent-{number}"))?;
    }
    Ok(variant)
}

fn through(stage: &Stage<'_>, relay: &Relay) -> Result<Mimeo> {
    let path = stage.case.home().join(format!("{}.kubeconfig", stage.environment.name));
    let config = stage.case.cluster.api.config();
    config.with_token(&stage.case.account.token).by_way_of(&relay.url()).write(&path)?;
    Ok(stage.down().kubeconfig(&path))
}

/// The number of the first write of each phase, from a run that is not killed.
fn places(case: &Case<'_>, stage: &Stage<'_>) -> Result<Vec<usize>> {
    let relay = Relay::start(case.cluster.api.config())?;
    through(stage, &relay)?.start_through(&relay)?.wait()?.expect(0)?;
    case.is_gone(&stage.environment)?;
    let begins = |body: &Value| body["spec"]["teardown"]["phase"].as_str().map(str::to_owned);
    let mut places = Vec::new();
    let mut phases: Vec<String> = Vec::new();
    for exchange in relay.log() {
        if let (Some(write), Some(phase)) = (exchange.write, begins(&exchange.body))
            && !phases.contains(&phase)
        {
            phases.push(phase);
            places.push(write + 1);
        }
    }
    Ok(places)
}

fn die(case: &Case<'_>, repo: &GitRepo, branch: &str, write: usize) -> Result<()> {
    let stage = Stage::up(case, repo, branch)?;
    let relay = Relay::start(case.cluster.api.config())?;
    relay.kill_at(write, Cut::AfterSend);
    let killed = through(&stage, &relay)?.start_through(&relay)?.wait()?;
    ensure!(relay.has_cut() && killed.code.is_none(), "{killed}\n{}", relay.transcript());
    stage.case.mimeo(["status", &stage.environment.name]).succeed()?.says(["Teardown:    deleting:"])?;
    stage.down().succeed()?;
    case.is_gone(&stage.environment)
}
