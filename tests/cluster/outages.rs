//! `mimeo gc` beside a forge on bad days: what cannot be seen is never gone, and `mimeo why` says why.
//!
//! Each file of `tests/cases/outages` is a script: a repository on a real Gitea behind a relay, environments
//! of it, outages, passes, and what each pass has to decide. Its README has the format. `make test` runs one
//! script of each kind and a fifth of the rest; `make soak` runs all. `MIMEO_OUTAGES=part,part` runs the
//! scripts with these texts in their names.

#![expect(clippy::print_stderr, reason = "a test of minutes tells how far it is")]

mod script;
mod stage;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::Command,
    sync::{Mutex, mpsc},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use jiff::Timestamp;
use testkit::{Case, Gitea, checkout, in_plane};

use self::{
    script::Script,
    stage::{Hosts, Site},
};
use crate::program;

/// So many scripts at a time.
const WORKERS: usize = 8;
/// So many there are at least.
const LEAST: usize = 60;

#[test]
fn no_outage_deletes() -> Result<()> {
    in_plane("outages::no_outage_deletes", program(), |cluster| Case::run(cluster, all))
}

/// A named script.
struct Named {
    name: String,
    script: Script,
}

fn all(case: &Case<'_>) -> Result<()> {
    let chosen = choose(read()?)?;
    let began = Instant::now();
    let site = site(case, &chosen)?;
    eprintln!("{} scripts; the forges are up ({:.1?})", chosen.len(), began.elapsed());
    let (queue, failures) = (Mutex::new(chosen.iter().enumerate()), Mutex::new(Vec::new()));
    let next = || queue.lock().ok().and_then(|mut queue| queue.next());
    // A forge ends with the thread that starts it, and a worker may end at any time.
    let (ask, asked) = mpsc::channel::<mpsc::Sender<Result<()>>>();
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            let ask = ask.clone();
            let (site, next, failures) = (&site, &next, &failures);
            scope.spawn(move || {
                while let Some((number, Named { name, script })) = next() {
                    let began = Instant::now();
                    let outcome = stage::play(case, site, &ask, number, name, script);
                    let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
                    eprintln!("{name}: {verdict} ({:.1?})", began.elapsed());
                    if let (Err(error), Ok(mut failures)) = (outcome, failures.lock()) {
                        failures.push(format!("=== {name}: {}\n{error:#}\n", script.title));
                    }
                }
            });
        }
        drop(ask);
        for answer in asked {
            // Whoever asked may have given up.
            let _ = answer.send(site.spare.restart());
        }
    });
    let failures = failures.into_inner().map_err(|_| anyhow!("a worker panicked"))?;
    ensure!(failures.is_empty(), "{} of {} scripts:\n{}", failures.len(), chosen.len(), failures.join("\n"));
    Ok(())
}

/// What all scripts share. Nothing of it ends before the plane does.
fn site(case: &Case<'_>, chosen: &[Named]) -> Result<&'static Site> {
    let directory = case.home().join("forges");
    let spare = Box::leak(Box::new(Gitea::start(&directory.join("spare"))?));
    let site = Site {
        gitea: Box::leak(Box::new(Gitea::start(&directory.join("gitea"))?)),
        spare,
        spare_in_use: Mutex::new(()),
        hosts: Hosts::new(&directory.join("hosts"), chosen.len())?,
        // Never the time of this machine: a difference of a second counts as none.
        began: Timestamp::now().as_second() + 3600,
    };
    // In this plane's own mount namespace only.
    let bound =
        Command::new("mount").arg("--bind").arg(directory.join("hosts")).arg("/etc/hosts").status()?;
    ensure!(bound.success(), "/etc/hosts of the plane cannot be replaced");
    Ok(Box::leak(Box::new(site)))
}

fn read() -> Result<Vec<Named>> {
    let folder = checkout().join("tests/cases/outages");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let scripts = files.iter().map(|file| {
        let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let text = std::fs::read_to_string(file)?;
        let script = Script::parse(&text).with_context(|| file.display().to_string())?;
        Ok(Named { name, script })
    });
    scripts.collect()
}

/// One of each kind and a fifth of the rest, by the seed; or all.
fn choose(all: Vec<Named>) -> Result<Vec<Named>> {
    ensure!(all.len() >= LEAST, "only {} scripts", all.len());
    if let Ok(parts) = std::env::var("MIMEO_OUTAGES") {
        let wanted = |name: &str| parts.split(',').any(|part| name.contains(part));
        let chosen: Vec<Named> = all.into_iter().filter(|named| wanted(&named.name)).collect();
        if chosen.is_empty() {
            bail!("no script is called like {parts}");
        }
        return Ok(chosen);
    }
    if std::env::var_os("MIMEO_SOAK").is_some() {
        return Ok(all);
    }
    let seed: u64 = std::env::var("MIMEO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut kinds = BTreeSet::new();
    let mut sorted: Vec<(u64, Named)> = all
        .into_iter()
        .filter(|named| !named.script.soak)
        .map(|named| (hash(&named.name, seed), named))
        .collect();
    sorted.sort_by_key(|(hash, _)| *hash);
    sorted.retain(|(hash, named)| kinds.insert(named.script.kind.clone()) || hash % 5 == 0);
    Ok(sorted.into_iter().map(|(_, named)| named).collect())
}

/// FNV-1a: the same on every machine and with every compiler.
fn hash(name: &str, seed: u64) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }) >> 7
}
