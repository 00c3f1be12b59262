//! Killed at every write, before it is sent, after it is done, after it is answered: the same command
//! again ends in the same state, with the same creations and deletions, as a run that was not killed.
//!
//! A real `kill -9`, by a relay that numbers the writes. `make test` tries each write with one of the
//! three cuts, chosen by `MIMEO_SEED`; `make soak` tries all.

#![expect(clippy::print_stderr, reason = "a test of minutes tells how far it is")]

use std::{
    collections::BTreeMap,
    fmt,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use testkit::{Case, Cut, Environment, GitRepo, Outcome, Relay, in_plane, state};

use crate::{faults::carries_uids, program};

/// So many environments at a time.
const WORKERS: usize = 6;
/// So many failures are shown with every request of theirs.
const SHOWN: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Up,
    Down,
}

/// One way to die.
#[derive(Debug, Clone, Copy)]
struct Death {
    command: Command,
    write: usize,
    cut: Cut,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} killed at write {} {:?}", self.command, self.write, self.cut)
    }
}

impl Death {
    fn branch(self) -> String {
        format!("{:?}-{}-{:?}", self.command, self.write, self.cut).to_lowercase()
    }
}

/// What a run that is not killed does.
struct Unharmed {
    up_writes: usize,
    down_writes: usize,
    objects: Vec<String>,
    created: BTreeMap<String, usize>,
    deleted: BTreeMap<String, usize>,
}

#[test]
fn killed_at_every_write() -> Result<()> {
    in_plane("crash::killed_at_every_write", program(), |cluster| Case::run(cluster, every_write))
}

fn every_write(case: &Case<'_>) -> Result<()> {
    let repo = case.repo("crash")?;
    let unharmed = unharmed(case, &repo)?;
    let deaths = deaths(&unharmed);
    for death in &deaths {
        repo.git(&["branch", &death.branch(), "main"])?;
    }
    eprintln!(
        "up has {} writes, down has {}; {} deaths are tried",
        unharmed.up_writes,
        unharmed.down_writes,
        deaths.len()
    );
    let (queue, failures) = (Mutex::new(deaths.iter()), Mutex::new(Vec::new()));
    let next = || queue.lock().ok().and_then(|mut queue| queue.next().copied());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(death) = next() {
                    let began = Instant::now();
                    let outcome = die(case, &repo, &unharmed, death);
                    let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
                    eprintln!("{death}: {verdict} ({:.1?})", began.elapsed());
                    if let (Err(error), Ok(mut failures)) = (outcome, failures.lock()) {
                        let shown = failures.len() < SHOWN;
                        let dump = if shown {
                            case.dump(&format!("{}-{}-", case.spec(), death.branch()))
                        } else {
                            String::new()
                        };
                        failures.push((death, error.context(dump)));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().map_err(|_| anyhow!("a worker panicked"))?;
    if failures.is_empty() {
        return Ok(());
    }
    let mut told: String =
        failures.iter().map(|(death, error)| format!("{death}: {}\n", error.root_cause())).collect();
    for (death, error) in failures.iter().take(SHOWN) {
        told.push_str(&format!("\n=== {death}\n{error:#}\n"));
    }
    bail!("{} of {} deaths end differently:\n{told}", failures.len(), deaths.len())
}

/// Every write, once with a cut that the seed chooses, or with all three.
fn deaths(unharmed: &Unharmed) -> Vec<Death> {
    let seed: usize = std::env::var("MIMEO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let all = std::env::var_os("MIMEO_SOAK").is_some();
    let writes = |command, count| (1..=count).map(move |write| (command, write));
    writes(Command::Up, unharmed.up_writes)
        .chain(writes(Command::Down, unharmed.down_writes))
        .flat_map(|(command, write)| Cut::ALL.map(|cut| Death { command, write, cut }))
        .enumerate()
        .filter(|(number, death)| all || number % Cut::ALL.len() == (death.write + seed) % Cut::ALL.len())
        .map(|(_, death)| death)
        .collect()
}

/// One environment through a relay, up and down.
struct Life<'a> {
    case: &'a Case<'a>,
    repo: &'a GitRepo,
    branch: String,
}

impl Life<'_> {
    /// Runs the command through a relay of its own; with a death, until that.
    fn run(&self, command: Command, death: Option<Death>) -> Result<(Relay, Outcome)> {
        let config = self.case.cluster.api.config();
        let relay = Relay::start(config)?;
        if let Some(death) = death {
            relay.kill_at(death.write, death.cut);
        }
        let kubeconfig = self.case.home().join(format!("{}.kubeconfig", self.branch));
        config.with_token(&self.case.account.token).by_way_of(&relay.url()).write(&kubeconfig)?;
        let arguments: &[&str] = if command == Command::Up { &[] } else { &["--yes"] };
        let name = if command == Command::Up { "up" } else { "down" };
        let mimeo = self
            .case
            .mimeo(self.case.on(name, self.repo, &self.branch))
            .args(arguments)
            .kubeconfig(&kubeconfig);
        let outcome = mimeo.limit(Duration::from_secs(90)).start_through(&relay)?.wait();
        let outcome = outcome.with_context(|| relay.transcript())?;
        carries_uids(&relay)?;
        Ok((relay, outcome))
    }

    /// Runs it to a good end.
    fn succeed(&self, command: Command) -> Result<Relay> {
        let (relay, outcome) = self.run(command, None)?;
        outcome.expect(0).with_context(|| relay.transcript())?;
        Ok(relay)
    }

    fn environment(&self) -> Result<Environment> {
        let all = self.case.environments()?;
        let own = all.into_iter().find(|one| one.name.contains(&format!("-{}-", self.branch)));
        own.with_context(|| format!("there is no record of {}", self.branch))
    }

    /// What this account made and removed of an environment since a mark.
    fn existence(
        &self,
        mark: &testkit::AuditMark,
        environment: &Environment,
    ) -> Result<BTreeMap<String, usize>> {
        let cluster = self.case.cluster;
        let calls = cluster.audit.since(mark, &cluster.api)?;
        Ok(state::existence(&calls, &self.case.account.username(), &environment.name, &environment.id))
    }
}

fn unharmed(case: &Case<'_>, repo: &GitRepo) -> Result<Unharmed> {
    let life = Life { case, repo, branch: "unharmed".to_owned() };
    repo.git(&["branch", &life.branch, "main"])?;
    let mark = case.cluster.audit.mark()?;
    let up = life.succeed(Command::Up)?;
    let environment = life.environment()?;
    let created = life.existence(&mark, &environment)?;
    let objects = state::snapshot(&case.cluster.api, &environment.name, &environment.id)?;
    let mark = case.cluster.audit.mark()?;
    let down = life.succeed(Command::Down)?;
    case.is_gone(&environment)?;
    let deleted = life.existence(&mark, &environment)?;
    // Twelve objects of the fixture, the namespace, the binding in it, the record and the inventory.
    ensure!(
        created.len() >= 16 && created.values().all(|count| *count == 1),
        "each is created once: {created:?}"
    );
    ensure!(
        created.keys().all(|what| what.starts_with("created ")),
        "nothing is deleted on the way up: {created:?}"
    );
    ensure!(deleted.values().all(|count| *count == 1), "each is deleted once: {deleted:?}");
    ensure!(up.writes() >= created.len() && down.writes() >= 4, "the relay saw the writes");
    Ok(Unharmed { up_writes: up.writes(), down_writes: down.writes(), objects, created, deleted })
}

/// One environment: killed, the same command again, compared, taken down.
fn die(case: &Case<'_>, repo: &GitRepo, unharmed: &Unharmed, death: Death) -> Result<()> {
    let life = Life { case, repo, branch: death.branch() };
    match death.command {
        Command::Up => {
            let mark = case.cluster.audit.mark()?;
            let killed = killed(&life, death)?;
            let again = life.succeed(Command::Up).with_context(|| killed.transcript())?;
            let environment = life.environment()?;
            let told = || {
                format!("the killed run:\n{}the run after it:\n{}", killed.transcript(), again.transcript())
            };
            let objects = state::snapshot(&case.cluster.api, &environment.name, &environment.id)?;
            same("objects", &unharmed.objects, &objects).with_context(told)?;
            same_counts(&unharmed.created, &life.existence(&mark, &environment)?).with_context(told)?;
            let down = life.succeed(Command::Down).with_context(told)?;
            case.is_gone(&environment).with_context(|| format!("{}down:\n{}", told(), down.transcript()))
        }
        Command::Down => {
            life.succeed(Command::Up)?;
            let environment = life.environment()?;
            let mark = case.cluster.audit.mark()?;
            let killed = killed(&life, death)?;
            let again = life.succeed(Command::Down).with_context(|| killed.transcript())?;
            let told = || {
                format!("the killed run:\n{}the run after it:\n{}", killed.transcript(), again.transcript())
            };
            case.is_gone(&environment).with_context(told)?;
            same_counts(&unharmed.deleted, &life.existence(&mark, &environment)?).with_context(told)
        }
    }
}

/// Runs it to its death.
fn killed(life: &Life<'_>, death: Death) -> Result<Relay> {
    let (relay, outcome) = life.run(death.command, Some(death))?;
    if !relay.has_cut() || outcome.code.is_some() {
        bail!("it was not killed: {outcome}\n{}", relay.transcript());
    }
    Ok(relay)
}

fn same(what: &str, expected: &[String], found: &[String]) -> Result<()> {
    let difference = state::difference(expected, found);
    ensure!(difference.is_empty(), "other {what} than without being killed:\n{}", difference.join("\n"));
    Ok(())
}

fn same_counts(expected: &BTreeMap<String, usize>, found: &BTreeMap<String, usize>) -> Result<()> {
    let lines = |counts: &BTreeMap<String, usize>| -> Vec<String> {
        counts.iter().map(|(what, count)| format!("{what}: {count}")).collect()
    };
    same("counts", &lines(expected), &lines(found))
}
