//! A write that arrives late: of a run that was killed, or that slept while a newer one finished.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use testkit::{Case, Environment, Fault, GitRepo, Mimeo, Outcome, Relay, in_plane, state};

use crate::{faults::carries_uids, program};

const EXTRA: &str = "templates/notes/manifests/extra.yaml";

/// Holds a request until it is let go.
#[derive(Clone, Default)]
struct Gate {
    inner: Arc<(Mutex<(bool, bool)>, Condvar)>,
}

impl Gate {
    /// A fault that hands the request on once the gate is open.
    fn on(&self, path: &str, method: &str) -> Fault {
        let gate = self.clone();
        Fault::on(path).but("dryRun=").method(method).times(1).first(move || {
            gate.change(|(come, _)| *come = true);
            gate.wait(|(_, open)| *open);
        })
    }

    /// Waits until the request has come.
    fn has_come(&self) {
        self.wait(|(come, _)| *come);
    }

    fn open(&self) {
        self.change(|(_, open)| *open = true);
    }

    fn change(&self, how: impl Fn((&mut bool, &mut bool))) {
        let mut state = self.inner.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (come, open) = &mut *state;
        how((come, open));
        self.inner.1.notify_all();
    }

    fn wait(&self, until: impl Fn((&bool, &bool)) -> bool) {
        let state = self.inner.0.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = Duration::from_secs(60);
        let waited = self.inner.1.wait_timeout_while(state, limit, |(come, open)| !until((come, open)));
        drop(waited);
    }
}

fn through(case: &Case<'_>, repo: &GitRepo, branch: &str, relay: &Relay, name: &str) -> Result<Mimeo> {
    let path = case.home().join(format!("{branch}-{name}.kubeconfig"));
    case.cluster.api.config().with_token(&case.account.token).by_way_of(&relay.url()).write(&path)?;
    Ok(case.mimeo(case.on("up", repo, branch)).kubeconfig(&path))
}

/// A command that is held before it asks for the lease, as by a slow machine, while `meanwhile` happens.
fn held(case: &Case<'_>, command: &[String], meanwhile: impl FnOnce() -> Result<()>) -> Result<Outcome> {
    let (gate, relay) = (Gate::default(), Relay::start(case.cluster.api.config())?);
    relay.inject(gate.on("/leases/", "GET"));
    let path = case.home().join("held.kubeconfig");
    case.cluster.api.config().with_token(&case.account.token).by_way_of(&relay.url()).write(&path)?;
    let run = case.mimeo(command).kubeconfig(&path).start()?;
    gate.has_come();
    meanwhile()?;
    gate.open();
    run.wait()
}

/// What was asked for later counts, whoever comes to the lease first.
#[test]
fn a_command_that_came_late_undoes_nothing_that_was_asked_for_after_it() -> Result<()> {
    let name = "late::a_command_that_came_late_undoes_nothing_that_was_asked_for_after_it";
    in_plane(name, program(), |cluster| {
        Case::run(cluster, |case| {
            let repo = case.repo("config")?;
            let spec = format!("environments/{}.yaml", case.spec());
            repo.edit(&spec, "spec:\n", "spec:\n  parameters: {text: {type: string, default: first}}\n")?;
            repo.edit(
                &spec,
                "{template: notes}",
                "{template: notes, values: {text: \"{{ params.text }}\"}}",
            )?;
            repo.commit("A parameter")?;
            let up = || case.mimeo(case.on("up", &repo, "main"));
            up().succeed()?;
            let environment = case.environment()?;
            let uid = || Ok::<_, anyhow::Error>(case.record(&environment)?["metadata"]["uid"].clone());
            let down = ["down", &environment.name, "--yes"].map(str::to_owned);

            // An `up` between the look of a `down` and its lease.
            let refused = held(case, &down, || up().args(["--set", "text=second"]).succeed().map(drop))?;
            refused.expect(3)?.says(["ENV023", "a newer `up`"])?;

            // The same commit with other values.
            let older =
                [case.on("up", &repo, "main"), ["--set", "text=older"].map(str::to_owned).to_vec()].concat();
            let refused = held(case, &older, || up().args(["--set", "text=newer"]).succeed().map(drop))?;
            refused.expect(3)?.says(["ENV023", "other inputs"])?;
            up().args(["--set", "text=newer", "--dry-run"]).succeed()?.says(["nothing changes"])?;

            // Taken down by somebody else, and made again.
            let first = uid()?;
            let late = held(case, &down, || {
                case.mimeo(&down).succeed()?;
                up().succeed().map(drop)
            })?;
            late.expect(0)?;
            ensure!(uid()? != first, "another life");
            case.mimeo(case.on("diff", &repo, "main")).run()?.expect(0)?;
            case.mimeo(&down).succeed()?;
            let left = state::leftovers(&case.cluster.api, &environment.name, &environment.id)?;
            ensure!(left.is_empty(), "left: {left:?}");
            Ok(())
        })
    })
}

fn environment(case: &Case<'_>, branch: &str) -> Result<Environment> {
    let part = format!("-{branch}-");
    let all = case.environments()?;
    let own = all.into_iter().find(|one| one.name.contains(&part));
    own.ok_or_else(|| anyhow::anyhow!("there is no record of {branch}"))
}

fn extra(whose: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: extra}}\ndata: {{whose: {whose}}}\n")
}

fn edit(case: &Case<'_>, repo: &GitRepo, text: &str, extra_of: Option<&str>) -> Result<()> {
    let spec = format!(
        "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {{name: {}}}\nspec:\n  components:\n    notes: {{template: notes, values: {{text: {text}}}}}\n",
        case.spec()
    );
    repo.write(&format!("environments/{}.yaml", case.spec()), &spec)?;
    match extra_of {
        Some(whose) => drop(repo.write(EXTRA, &extra(whose))?),
        None if repo.path().join(EXTRA).exists() => drop(repo.remove(EXTRA)?),
        None => {}
    }
    repo.commit(text).map(drop)
}

#[test]
fn what_a_killed_run_sent_late_is_its_own() -> Result<()> {
    in_plane("late::what_a_killed_run_sent_late_is_its_own", program(), |cluster| {
        Case::run(cluster, |case| {
            let repo = case.repo("config")?;
            let mark = case.cluster.audit.mark()?;
            let gate = Gate::default();
            let first = Relay::start(case.cluster.api.config())?;
            first.inject(gate.on("/configmaps/notes?", "PATCH"));
            let killed = through(case, &repo, "main", &first, "first")?.start()?;
            gate.has_come();
            killed.kill()?;
            // The next run has looked, and is about to make it: then the write of the dead one is done.
            let second = Relay::start(case.cluster.api.config())?;
            let (name, api) = (environment(case, "main")?, case.cluster.api.clone());
            let path = format!("{}/notes", name.core("configmaps"));
            second.inject(Fault::on("/configmaps/notes?").method("PATCH").times(1).first(move || {
                gate.open();
                for _ in 0..200 {
                    if matches!(api.get(&path), Ok(Some(_))) {
                        return;
                    }
                    thread::sleep(Duration::from_millis(50));
                }
            }));
            let outcome = through(case, &repo, "main", &second, "second")?.run()?;
            ensure!(outcome.code == Some(0), "{outcome}\n{}\n{}", first.transcript(), second.transcript());
            let refused = second.log().into_iter().any(|one| one.status == Some(409));
            ensure!(refused, "it was not late:\n{}", second.transcript());
            case.mimeo(case.on("diff", &repo, "main")).run()?.expect(0)?;
            let calls = case.cluster.audit.since(&mark, &case.cluster.api)?;
            let counts = state::existence(&calls, &case.account.username(), &name.name, &name.id);
            ensure!(counts.values().all(|count| *count == 1), "everything once: {counts:?}");
            case.mimeo(["down", &name.name, "--yes"]).succeed()?;
            case.is_gone(&name)
        })
    })
}

/// What the older run is about to send when it falls asleep, and what it must not do to the newer one's end.
#[derive(Debug, Clone, Copy)]
enum Sleeper {
    Create,
    Update,
    /// It sleeps before the deletes that are to come.
    Prune,
    /// It sleeps on a delete; another object has the name when it arrives.
    Delete,
}

/// Stopped between decision and send, for longer than its lease; a newer run finishes; it goes on.
#[test]
fn a_run_that_sleeps_on_a_write_changes_nothing_of_a_newer_one() -> Result<()> {
    let name = "late::a_run_that_sleeps_on_a_write_changes_nothing_of_a_newer_one";
    in_plane(name, program(), |cluster| {
        Case::run(cluster, |case| {
            let sleepers = [Sleeper::Create, Sleeper::Update, Sleeper::Prune, Sleeper::Delete];
            testkit::pool::try_each(
                sleepers.len(),
                &sleepers,
                |sleeper| format!("{sleeper:?}"),
                |sleeper| sleep(case, *sleeper),
            )
        })
    })
}

fn sleep(case: &Case<'_>, sleeper: Sleeper) -> Result<()> {
    let repo = case.repo("config")?;
    let branch = format!("{sleeper:?}").to_lowercase();
    repo.branch(&branch)?;
    let (path, method, before, older, newer) = match sleeper {
        Sleeper::Create => ("/configmaps/extra?", "PATCH", None, Some("older"), Some("newer")),
        Sleeper::Update => ("/configmaps/notes?", "PATCH", None, None, None),
        Sleeper::Prune => ("/configmaps/notes?", "PATCH", Some("before"), None, Some("before")),
        Sleeper::Delete => ("/configmaps/extra", "DELETE", Some("before"), None, None),
    };
    edit(case, &repo, "before", before)?;
    case.mimeo(case.on("up", &repo, &branch)).succeed()?;
    let environment = environment(case, &branch)?;
    edit(case, &repo, "older", older)?;
    let (gate, relay) = (Gate::default(), Relay::start(case.cluster.api.config())?);
    relay.inject(gate.on(path, method));
    let run = through(case, &repo, &branch, &relay, "older")?.start()?;
    gate.has_come();
    run.signal("STOP")?;
    edit(case, &repo, "newer", newer)?;
    let fresh = || case.mimeo(case.on("up", &repo, &branch)).run()?.expect(0);
    fresh()?;
    if matches!(sleeper, Sleeper::Delete) {
        edit(case, &repo, "newest", Some("newest"))?;
        fresh()?;
    }
    let path = format!("{}/extra", environment.core("configmaps"));
    let end = case.cluster.api.get(&path)?;
    gate.open();
    run.signal("CONT")?;
    let outcome = run.wait()?;
    let told = format!("{outcome}\n{}", relay.transcript());
    ensure!(outcome.code == Some(3), "the older run stops: {told}");
    carries_uids(&relay)?;
    ensure!(case.cluster.api.get(&path)? == end, "the newer run's object is another one: {told}");
    case.mimeo(case.on("diff", &repo, &branch)).run()?.expect(0)?;
    case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
    case.is_gone(&environment)
}
