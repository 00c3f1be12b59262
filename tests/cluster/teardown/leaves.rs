//! Environments of every kind, many at once, up and down: in etcd there is nothing that was not there before but
//! a receipt of each.

#![expect(clippy::print_stderr, reason = "a test of minutes tells how far it is")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use testkit::{Case, Cut, Environment, Etcd, GitRepo, Relay, in_plane, witness_deletes, witnessed};

use super::stage::{Controllers, Variant, branch, prepare};
use crate::program;

/// So many environments at a time.
const WORKERS: usize = 8;
const ALL: usize = 100;

/// What happens to an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Up and down.
    Plain,
    /// `down` is killed at this write, and run again.
    Killed(usize, Cut),
    /// Somebody deletes the namespace once the custom resources are on their way.
    NamespaceDeleted,
}

/// One environment of the test.
#[derive(Debug, Clone, Copy)]
struct One {
    number: usize,
    variant: Variant,
    life: Life,
}

impl One {
    fn of(number: usize) -> Self {
        let round = number / 5;
        let (variant, life) = match number % 5 {
            0 => (Variant::Whole, Life::Plain),
            1 => (Variant::Borrowed(number), Life::Plain),
            2 => (Variant::Hook, Life::Plain),
            // The write and the cut move on from round to round.
            3 => (
                if round.is_multiple_of(2) { Variant::Borrowed(number) } else { Variant::Hook },
                Life::Killed(2 + round, Cut::ALL[round % Cut::ALL.len()]),
            ),
            _ => (Variant::Whole, Life::NamespaceDeleted),
        };
        Self { number, variant, life }
    }

    fn branch(self) -> String {
        format!("env-{}", self.number)
    }
}

#[test]
fn a_hundred_environments_leave_only_receipts() -> Result<()> {
    in_plane("teardown::leaves::a_hundred_environments_leave_only_receipts", program(), |cluster| {
        Case::run(cluster, leave)
    })
}

fn leave(case: &Case<'_>) -> Result<()> {
    let cluster = case.cluster;
    prepare(cluster)?;
    witness_deletes(cluster)?;
    let repo = case.repo("teardown")?;
    let all: Vec<One> = chosen().into_iter().map(One::of).collect();
    for one in &all {
        branch(case, &repo, &one.branch(), one.variant)?;
        if let Variant::Borrowed(number) = one.variant {
            cluster.lend(&format!("lent-{number}"))?;
        }
    }
    // What Kubernetes puts into every namespace is there a moment later.
    thread::sleep(Duration::from_secs(2));
    let etcd = Etcd::of_plane()?;
    let before = etcd.keys()?;
    let mark = cluster.audit.mark()?;
    let controllers = Controllers::play(&cluster.api, Duration::ZERO);
    let environments = run_all(case, &repo, &all)?;
    controllers.end()?;
    nothing_is_left(&etcd, &before, &environments)?;
    let deletes = witnessed(cluster, &mark, &case.account.username())?;
    judge_deletes(&deletes, &environments)?;
    eprintln!(
        "{} environments, {} deletes, each with the uid of what it hit",
        environments.len(),
        deletes.len()
    );
    Ok(())
}

/// All of them, or a fifth that the seed chooses, with every kind in it.
fn chosen() -> Vec<usize> {
    if std::env::var_os("MIMEO_SOAK").is_some() {
        return (0..ALL).collect();
    }
    let seed: usize = std::env::var("MIMEO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let first = seed % 5;
    (0..ALL).filter(|number| (number / 5) % 5 == first).collect()
}

fn run_all(case: &Case<'_>, repo: &GitRepo, all: &[One]) -> Result<Vec<Environment>> {
    let (queue, done) = (Mutex::new(all.iter()), Mutex::new(Vec::new()));
    let next = || queue.lock().ok().and_then(|mut queue| queue.next().copied());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(one) = next() {
                    let began = Instant::now();
                    let outcome = live(case, repo, one).with_context(|| format!("{one:?}"));
                    let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
                    eprintln!("{one:?}: {verdict} ({:.1?})", began.elapsed());
                    if let Ok(mut done) = done.lock() {
                        done.push(outcome);
                    }
                }
            });
        }
    });
    let done = done.into_inner().map_err(|_| anyhow!("a worker panicked"))?;
    ensure!(done.len() == all.len(), "{} of {} environments came to an end", done.len(), all.len());
    let (good, bad): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
    if bad.is_empty() {
        return good.into_iter().collect();
    }
    let told: Vec<String> =
        bad.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    bail!("{} of {} environments:\n{}", told.len(), all.len(), told.join("\n"))
}

fn live(case: &Case<'_>, repo: &GitRepo, one: One) -> Result<Environment> {
    let branch = one.branch();
    case.mimeo(case.on("up", repo, &branch)).succeed()?;
    let environments = case.environments()?;
    let environment = environments
        .into_iter()
        .find(|known| known.name.contains(&format!("-{branch}-")))
        .with_context(|| format!("there is no record of {branch}"))?;
    let down = case.mimeo(["down", &environment.name, "--yes"]);
    match one.life {
        Life::Plain => {}
        Life::Killed(write, cut) => {
            let relay = Relay::start(case.cluster.api.config())?;
            relay.kill_at(write, cut);
            let path = case.home().join(format!("{branch}.kubeconfig"));
            case.cluster.api.config().with_token(&case.account.token).by_way_of(&relay.url()).write(&path)?;
            let killed = down.clone().kubeconfig(&path).start_through(&relay)?.wait()?;
            // Late writes exist in the longer teardowns only.
            ensure!(relay.has_cut() != (killed.code == Some(0)), "{killed}\n{}", relay.transcript());
            if killed.code == Some(0) {
                return Ok(environment);
            }
        }
        Life::NamespaceDeleted => {
            let running = down.start()?;
            running.wait_for("deleting: custom resources", Duration::from_secs(60))?;
            let namespace = format!("/api/v1/namespaces/{}", environment.name);
            case.cluster.api.delete(&namespace)?;
            running.wait()?.expect(0)?;
            return Ok(environment);
        }
    }
    down.succeed()?;
    Ok(environment)
}

/// In etcd, and read anew by the API server's own account of it.
fn nothing_is_left(etcd: &Etcd, before: &BTreeSet<String>, environments: &[Environment]) -> Result<()> {
    let receipt = |key: &str| {
        let name = key.strip_prefix("/registry/mimeo.dev/receipts/mimeo-system/");
        name.is_some_and(|name| environments.iter().any(|one| name.starts_with(&one.name)))
    };
    let now = etcd.settles(before, Duration::from_secs(30), receipt)?;
    let receipts = now.iter().filter(|key| receipt(key)).count();
    ensure!(receipts == environments.len(), "{receipts} receipts of {} environments", environments.len());
    let texts: Vec<&str> = environments.iter().flat_map(|one| [one.name.as_str(), one.id.as_str()]).collect();
    let mentions = etcd.mentioning(&texts)?;
    let others: Vec<&String> = mentions.iter().filter(|key| !receipt(key)).collect();
    ensure!(others.is_empty(), "what still speaks of them: {others:#?}");
    ensure!(mentions.len() == environments.len(), "each receipt speaks of its environment");
    Ok(())
}

/// Each object was deleted once, and nothing but what belongs to the environments.
fn judge_deletes(deletes: &[testkit::Call], environments: &[Environment]) -> Result<()> {
    let mut counts: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for call in deletes {
        *counts.entry((&call.resource, &call.namespace, &call.name)).or_default() += 1;
        let own = call.namespace.starts_with("lent-")
            || environments.iter().any(|one| {
                call.namespace == one.name
                    || call.name.contains(&one.name)
                    || call.name.contains(&one.id[..8])
            });
        ensure!(own, "a delete of what is no environment's: {call:?}");
    }
    // A lease is dropped by every run that finds nothing left to do.
    let twice: Vec<_> =
        counts.iter().filter(|((resource, ..), count)| **count > 1 && *resource != "leases").collect();
    ensure!(twice.is_empty(), "deleted more than once: {twice:?}");
    let namespaces = deletes.iter().filter(|call| call.resource == "namespaces").count();
    ensure!(namespaces > 0, "owned namespaces are deleted");
    Ok(())
}
