//! An API server on bad days: what could not be read is not deleted, and the next run goes on by itself.
//!
//! Each file of `tests/cases/reads` is one outage and what `diff`, `up`, `down` and `gc` have to make of it;
//! its README has the format. `make test` plays the real outages and a fifth of the others, `make soak` all.
//! `MIMEO_READS=part,part` plays those with these texts in their names.

mod stage;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use testkit::{Case, checkout, in_plane, pool};

use crate::program;

/// So many cases at a time.
const WORKERS: usize = 8;
/// So many there are at least.
const LEAST: usize = 60;

/// One outage.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    /// What it shows, in a sentence.
    title: String,
    /// Something really happens to the server: it runs by itself, and always.
    #[serde(default)]
    alone: bool,
    faults: Vec<Strike>,
    /// Command to what it has to make of it.
    runs: BTreeMap<Command, Expected>,
}

#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Command {
    Diff,
    Up,
    Down,
    Gc,
}

/// Which requests are struck, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strike {
    /// A text in path and query.
    on: String,
    /// Another one.
    and: Option<String>,
    /// A text that is not in them.
    but: Option<String>,
    method: Option<String>,
    times: Option<usize>,
    #[serde(default)]
    after: usize,
    #[serde(default, rename = "delay-ms")]
    delay_ms: u64,
    /// What the answer becomes; without it the server's own.
    how: Option<How>,
    /// What happens before.
    first: Option<Act>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum How {
    Status(u16),
    Html(u16),
    Expired,
    ExpiredWatch,
    Cut,
    Lost,
    Empty,
    Short,
}

#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Act {
    /// etcd forgets everything before now.
    Compact,
    /// The account is deleted, and its token with it.
    Revoke,
    /// The API of the case's group is served by somebody who does not answer.
    BreakApi,
}

/// What a command does while the outage lasts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    exit: i32,
    #[serde(default)]
    says: Vec<String>,
    /// What the record says then; without it `Ready`, or `Failed` after an error.
    state: Option<String>,
    /// Of `down`: its proof is there, although nobody heard of it.
    #[serde(default)]
    receipt: bool,
    /// Of `up`: what of the component that goes is gone all the same. Nothing else is.
    #[serde(default)]
    gone: Vec<String>,
}

struct Named {
    name: String,
    script: Script,
}

#[test]
fn what_cannot_be_read_stays() -> Result<()> {
    in_plane("reads::what_cannot_be_read_stays", program(), |cluster| {
        Case::run(cluster, |case| {
            let chosen = choose(read()?)?;
            // `gc` looks at every environment, and a server that is really broken is broken for all.
            let (together, alone): (Vec<Named>, Vec<Named>) = chosen
                .into_iter()
                .partition(|Named { script, .. }| !script.alone && !script.runs.contains_key(&Command::Gc));
            let name = |named: &Named| named.name.clone();
            let play = |named: &Named| {
                stage::play(case, &named.name, &named.script).with_context(|| named.script.title.clone())
            };
            let outcomes =
                [pool::try_each(WORKERS, &together, name, play), pool::try_each(1, &alone, name, play)];
            let told: Vec<String> =
                outcomes.into_iter().filter_map(|outcome| Some(format!("{:#}", outcome.err()?))).collect();
            ensure!(told.is_empty(), "{}", told.join("\n"));
            Ok(())
        })
    })
}

fn read() -> Result<Vec<Named>> {
    let folder = checkout().join("tests/cases/reads");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let scripts = files.iter().map(|file| {
        let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let text = std::fs::read_to_string(file)?;
        let script = serde_saphyr::from_str(&text).with_context(|| file.display().to_string())?;
        Ok(Named { name, script })
    });
    scripts.collect()
}

fn choose(mut all: Vec<Named>) -> Result<Vec<Named>> {
    ensure!(all.len() >= LEAST, "only {} cases", all.len());
    if let Ok(parts) = std::env::var("MIMEO_READS") {
        all.retain(|named| parts.split(',').any(|part| named.name.contains(part)));
        ensure!(!all.is_empty(), "no case is called like {parts}");
        return Ok(all);
    }
    let seed = usize::try_from(pool::seed()).unwrap_or(1);
    let mut number = 0;
    all.retain(|named| {
        number += 1;
        pool::is_soak() || named.script.alone || (number + seed).is_multiple_of(5)
    });
    Ok(all)
}
