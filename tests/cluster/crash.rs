//! Killed at every write, before it is sent, after it is done, after it is answered: the same command
//! again ends in the same state, with the same creations and deletions, as a run that was not killed.
//!
//! A real `kill -9`, by a relay that numbers the writes. One life of an environment has up to four stages,
//! each killed once and begun again: it is made, every object of it changes, components go, it is taken
//! down. What a stage ends in is compared before the next one begins, so each begins where an unharmed life
//! does. `make soak` dies at every write in all three ways, `make test` a fifth of those deaths.

#![expect(clippy::print_stderr, reason = "a test of minutes tells how far it is")]

use std::{
    collections::BTreeMap,
    fmt, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::{Case, Cut, Environment, GitRepo, Outcome, Relay, in_plane, pool, state};

use crate::{faults::carries_uids, program};

/// So many environments at a time.
const WORKERS: usize = 10;
/// The ConfigMap that is there before its environment, in a borrowed namespace.
const ADOPTED: &str = "part-a";
/// So many deaths there are at least.
const LEAST: usize = 500;

/// Whose namespace the environment lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Owned,
    Borrowed,
}

/// A command with what it has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// `up` from nothing.
    Create,
    /// `up` with a change of every object: two cannot change in place, a Job runs again.
    Update,
    /// `up` without a third of the objects.
    Prune,
    Down,
}

impl Place {
    fn stages(self) -> &'static [Stage] {
        match self {
            Self::Owned => &[Stage::Create, Stage::Update, Stage::Prune, Stage::Down],
            Self::Borrowed => &[Stage::Create, Stage::Down],
        }
    }
}

/// One way to die.
#[derive(Debug, Clone, Copy)]
struct Death {
    write: usize,
    cut: Cut,
}

/// One environment, and where each of its stages is killed.
#[derive(Debug, Clone)]
struct Life {
    place: Place,
    number: usize,
    deaths: Vec<(Stage, Option<Death>)>,
}

impl Life {
    fn branch(&self) -> String {
        format!("{:?}{}", self.place, self.number).to_lowercase()
    }

    fn namespace(&self, case: &Case<'_>) -> String {
        format!("{}-{}", case.spec(), self.branch())
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.branch())?;
        for (stage, death) in &self.deaths {
            if let Some(Death { write, cut }) = death {
                write!(f, ", {stage:?} at {write} {cut:?}")?;
            }
        }
        Ok(())
    }
}

/// What a stage that is not killed does, and leaves.
struct Unharmed {
    place: Place,
    stage: Stage,
    writes: usize,
    counts: BTreeMap<String, usize>,
    objects: Vec<String>,
}

#[test]
fn killed_at_every_write() -> Result<()> {
    in_plane("crash::killed_at_every_write", program(), |cluster| Case::run(cluster, every_write))
}

fn every_write(case: &Case<'_>) -> Result<()> {
    let theatre = Theatre { case, repo: repo(case)? };
    let mut unharmed = Vec::new();
    for place in [Place::Owned, Place::Borrowed] {
        let deaths = place.stages().iter().map(|stage| (*stage, None)).collect();
        let life = Life { place, number: 0, deaths };
        theatre.live(&life, &mut |stage, seen| {
            unharmed.push(Unharmed { place, stage, ..seen });
            Ok(())
        })?;
    }
    plausible(&unharmed)?;
    let lives: Vec<Life> =
        [Place::Owned, Place::Borrowed].iter().flat_map(|place| lives(*place, &unharmed)).collect();
    let deaths = lives.iter().flat_map(|life| &life.deaths).filter(|(_, death)| death.is_some()).count();
    let writes: Vec<_> =
        unharmed.iter().map(|one| format!("{:?} {:?} {}", one.place, one.stage, one.writes)).collect();
    eprintln!("writes: {}; {deaths} deaths in {} lives", writes.join(", "), lives.len());
    let all = unharmed.iter().map(|one| one.writes * Cut::ALL.len()).sum::<usize>();
    ensure!(all >= LEAST, "only {all} deaths");
    pool::try_each(WORKERS, &lives, ToString::to_string, |life| {
        theatre.live(life, &mut |stage, seen| {
            let known = unharmed.iter().find(|one| one.place == life.place && one.stage == stage);
            let known = known.context("no unharmed run")?;
            same("counts", &lines(&known.counts), &lines(&seen.counts))?;
            same("objects", &known.objects, &seen.objects)
        })
    })
}

/// The fixture at three commits, each on a branch of its number.
fn repo(case: &Case<'_>) -> Result<GitRepo> {
    let repo = case.repo("crash")?;
    let spec = format!("environments/{}.yaml", case.spec());
    repo.branch("one")?.branch("two")?;
    repo.edit(&spec, "round: {type: integer, default: 1}", "round: {type: integer, default: 2}")?;
    repo.commit("Everything changes")?;
    repo.branch("three")?;
    let text = std::fs::read_to_string(repo.path().join(&spec))?;
    let kept = |line: &&str| !["part-c:", "part-d:", "work:"].iter().any(|name| line.contains(name));
    repo.write(&spec, &text.lines().filter(kept).map(|line| format!("{line}\n")).collect::<String>())?;
    repo.commit("Three components go")?;
    // What goes with a namespace of its own, and a role binding that a user may make there only.
    repo.checkout("one")?.branch("borrowed")?;
    repo.edit(&spec, "binds: {type: boolean, default: true}", "binds: {type: boolean, default: false}")?;
    repo.edit(
        &spec,
        "spec:\n  parameters:",
        "spec:\n  policy: {namespace: {borrowed: NAMESPACE}}\n  parameters:",
    )?;
    repo.edit(&spec, "part-a: {", &format!("part-a: {{adopt: [ConfigMap/{ADOPTED}], "))?;
    repo.commit("In a namespace of somebody else, with an object that was there before")?;
    Ok(repo)
}

/// That the unharmed runs do what their names say.
fn plausible(unharmed: &[Unharmed]) -> Result<()> {
    for Unharmed { place, stage, writes, counts, .. } in unharmed {
        let of = |verb: &str| counts.keys().filter(|what| what.starts_with(verb)).count();
        let (created, deleted) = (of("created"), of("deleted"));
        let as_expected = match stage {
            Stage::Create => created >= 30 && deleted == 0,
            Stage::Update => created == 3 && deleted == 3 && *writes >= 30,
            Stage::Prune => created == 0 && deleted >= 10,
            Stage::Down if *place == Place::Owned => created == 1 && deleted >= 4,
            Stage::Down => created == 1 && deleted >= 30,
        };
        ensure!(as_expected, "{place:?} {stage:?}: {writes} writes, {counts:?}");
        ensure!(counts.values().all(|count| *count == 1), "everything once: {counts:?}");
        let made = counts.contains_key(&format!("created configmaps {ADOPTED}"));
        ensure!(made == (*place == Place::Owned && *stage == Stage::Create), "adopted, not made: {counts:?}");
    }
    Ok(())
}

/// As many lives as the deadliest stage of a place needs, each with one death of every stage that has any left.
fn lives(place: Place, unharmed: &[Unharmed]) -> Vec<Life> {
    let seed = usize::try_from(pool::seed()).unwrap_or(1);
    let chosen =
        |write: usize, cut: usize| pool::is_soak() || (write * Cut::ALL.len() + cut + seed).is_multiple_of(5);
    let deaths = |stage: Stage| -> Vec<Death> {
        let own = unharmed.iter().find(|one| one.place == place && one.stage == stage);
        (1..=own.map_or(0, |own| own.writes))
            .flat_map(|write| Cut::ALL.into_iter().enumerate().map(move |(number, cut)| (write, number, cut)))
            .filter(|(write, number, _)| chosen(*write, *number))
            .map(|(write, _, cut)| Death { write, cut })
            .collect()
    };
    let stages: Vec<(Stage, Vec<Death>)> =
        place.stages().iter().map(|stage| (*stage, deaths(*stage))).collect();
    let count = stages.iter().map(|(_, deaths)| deaths.len()).max().unwrap_or_default();
    (0..count)
        .map(|index| {
            let mut deaths: Vec<(Stage, Option<Death>)> =
                stages.iter().map(|(stage, deaths)| (*stage, deaths.get(index).copied())).collect();
            // What follows the last death proves nothing.
            while deaths.last().is_some_and(|(_, death)| death.is_none()) {
                deaths.pop();
            }
            Life { place, number: index + 1, deaths }
        })
        .collect()
}

/// Where all lives take place.
struct Theatre<'a> {
    case: &'a Case<'a>,
    repo: GitRepo,
}

impl Theatre<'_> {
    /// Plays one life, and hands what every stage did and left to a judge.
    fn live(&self, life: &Life, judge: &mut dyn FnMut(Stage, Unharmed) -> Result<()>) -> Result<()> {
        let bystander = self.begin(life)?;
        for (stage, death) in &life.deaths {
            self.stage(life, *stage, *death, judge).with_context(|| format!("{stage:?}"))?;
        }
        let Some(bystander) = bystander else { return Ok(()) };
        let path = format!("/api/v1/namespaces/{}/configmaps/bystander", life.namespace(self.case));
        ensure!(self.case.cluster.api.get(&path)? == Some(bystander), "somebody else's object is touched");
        Ok(())
    }

    /// The branch, and for a borrowed namespace the namespace with two objects of somebody else in it, of which one
    /// is adopted.
    fn begin(&self, life: &Life) -> Result<Option<Value>> {
        let case = self.case;
        if life.place == Place::Owned {
            self.repo.git(&["branch", &life.branch(), "one"])?;
            return Ok(None);
        }
        let namespace = life.namespace(case);
        case.cluster.lend(&namespace)?;
        let theirs = |name: &str| {
            let map = json!({"metadata": {"name": name}, "data": {"whose": "theirs"}});
            case.cluster.api.create(&format!("/api/v1/namespaces/{namespace}/configmaps"), &map)
        };
        theirs(ADOPTED)?;
        let bystander = theirs("bystander")?;
        self.borrow(&life.branch(), &namespace)?;
        Ok(Some(bystander))
    }

    /// A branch whose spec names the namespace: by plumbing, since the work tree is everybody's.
    fn borrow(&self, branch: &str, namespace: &str) -> Result<()> {
        let clone = self.repo.clone_whole()?;
        clone.checkout("borrowed")?.branch(branch)?;
        clone.edit(&format!("environments/{}.yaml", self.case.spec()), "NAMESPACE", namespace)?;
        clone.commit("This namespace")?;
        self.repo.git(&["fetch", "--quiet", &clone.arg(), &format!("{branch}:{branch}")])?;
        Ok(())
    }

    fn stage(
        &self,
        life: &Life,
        stage: Stage,
        death: Option<Death>,
        judge: &mut dyn FnMut(Stage, Unharmed) -> Result<()>,
    ) -> Result<()> {
        let branch = life.branch();
        match stage {
            Stage::Update => drop(self.repo.git(&["branch", "--force", &branch, "two"])?),
            Stage::Prune => drop(self.repo.git(&["branch", "--force", &branch, "three"])?),
            Stage::Create | Stage::Down => {}
        }
        let case = self.case;
        let mark = case.cluster.audit.mark()?;
        let before = self.environment(&branch)?;
        let killed = death.map(|death| self.killed(&branch, stage, death)).transpose()?;
        let (again, outcome) = self.run(&branch, stage, None)?;
        let told = || {
            let killed = killed.as_ref().map(|killed| format!("the killed run:\n{}", killed.transcript()));
            format!("{}the last run:\n{}", killed.unwrap_or_default(), again.transcript())
        };
        outcome.expect(0).with_context(told)?;
        let environment = before.or(self.environment(&branch)?).context("there is no record")?;
        let counts = || {
            let calls = case.cluster.audit.since(&mark, &case.cluster.api)?;
            Ok::<_, anyhow::Error>(existence(&calls, case, life, &environment))
        };
        if stage == Stage::Down {
            case.is_gone(&environment).with_context(told)?;
        }
        let seen = |objects| {
            let (place, writes) = (life.place, again.writes());
            Ok::<_, anyhow::Error>(Unharmed { place, stage, writes, counts: counts()?, objects })
        };
        // Controllers follow: pods of an earlier round go, endpoints come.
        let deadline = Instant::now() + Duration::from_secs(8);
        loop {
            let objects = match stage {
                Stage::Down => Vec::new(),
                _ => self.objects(life, &environment)?,
            };
            match judge(stage, seen(objects)?) {
                Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(400)),
                judged => return judged.with_context(told),
            }
        }
    }

    fn objects(&self, life: &Life, environment: &Environment) -> Result<Vec<String>> {
        let namespace = match life.place {
            Place::Owned => environment.name.clone(),
            Place::Borrowed => life.namespace(self.case),
        };
        let lines =
            state::snapshot_in(&self.case.cluster.api, &environment.name, &namespace, &environment.id)?;
        // A branch that names a namespace has a commit of its own.
        let commit = self.repo.git(&["rev-parse", &life.branch()])?;
        let masked = |line: String| line.replace(&namespace, "NAMESPACE").replace(commit.trim(), "COMMIT");
        Ok(lines.into_iter().map(masked).collect())
    }

    /// Runs a stage's command through a relay of its own; with a death, until that.
    fn run(&self, branch: &str, stage: Stage, death: Option<Death>) -> Result<(Relay, Outcome)> {
        let case = self.case;
        let config = case.cluster.api.config();
        let relay = Relay::start(config)?;
        if let Some(death) = death {
            relay.kill_at(death.write, death.cut);
        }
        let kubeconfig = case.home().join(format!("{branch}.kubeconfig"));
        config.with_token(&case.account.token).by_way_of(&relay.url()).write(&kubeconfig)?;
        let mimeo = match stage {
            Stage::Down => case.mimeo(case.on("down", &self.repo, branch)).args(["--yes"]),
            _ => case.mimeo(case.on("up", &self.repo, branch)),
        };
        let mimeo = mimeo.kubeconfig(&kubeconfig).limit(Duration::from_secs(120));
        let outcome = mimeo.start_through(&relay)?.wait().with_context(|| relay.transcript())?;
        carries_uids(&relay)?;
        Ok((relay, outcome))
    }

    /// Runs it to its death.
    fn killed(&self, branch: &str, stage: Stage, death: Death) -> Result<Relay> {
        let (relay, outcome) = self.run(branch, stage, Some(death))?;
        // After the answer to its last write it may come to its end before it is killed.
        let ended_first = death.cut == Cut::AfterAnswer && outcome.code == Some(0);
        if !relay.has_cut() || (outcome.code.is_some() && !ended_first) {
            bail!("it was not killed: {outcome}\n{}", relay.transcript());
        }
        Ok(relay)
    }

    fn environment(&self, branch: &str) -> Result<Option<Environment>> {
        let part = format!("-{branch}-");
        Ok(self.case.environments()?.into_iter().find(|one| one.name.contains(&part)))
    }
}

/// What the account made and removed of an environment.
fn existence(
    calls: &[testkit::Call],
    case: &Case<'_>,
    life: &Life,
    environment: &Environment,
) -> BTreeMap<String, usize> {
    let user = case.account.username();
    let mut counts = state::existence(calls, &user, &environment.name, &environment.id);
    if life.place == Place::Borrowed {
        let namespace = life.namespace(case);
        for call in calls.iter().filter(|call| call.user == user && call.namespace == namespace) {
            if let Some(what) = call.existence() {
                *counts.entry(format!("{what} {} {}", call.resource, call.name)).or_default() += 1;
            }
        }
    }
    counts
}

fn lines(counts: &BTreeMap<String, usize>) -> Vec<String> {
    counts.iter().map(|(what, count)| format!("{what}: {count}")).collect()
}

fn same(what: &str, expected: &[String], found: &[String]) -> Result<()> {
    let difference = state::difference(expected, found);
    ensure!(difference.is_empty(), "other {what} than without being killed:\n{}", difference.join("\n"));
    Ok(())
}
