//! Long lives of environments, made by chance: edits, reverts, renames, runs that are killed, and somebody
//! else who writes, deletes and makes objects of the same names. After each command a model that shares no
//! code with the product says what it must have done: exit code, creates, updates, deletes, inventory; and
//! that what is somebody else's is as they left it, to the byte.
//!
//! `make soak` plays 200 histories, `make test` a fifth. A history is its number: `MIMEO_HISTORY=17` plays
//! that one again, step by step.

mod model;
mod play;

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use rand::{SeedableRng as _, rngs::StdRng};
use testkit::{Case, in_plane, pool};

use self::{model::World, play::Player};
use crate::program;

/// So many histories at a time.
const WORKERS: usize = 8;
/// So many of them there are.
const HISTORIES: u64 = 200;
/// So many steps each has, before it is taken down.
const STEPS: usize = 13;
/// Every so manieth lives in a namespace of its own, which takes seconds to go.
const OWNED: u64 = 4;

#[test]
fn every_history_ends_as_it_must() -> Result<()> {
    in_plane("histories::every_history_ends_as_it_must", program(), |cluster| Case::run(cluster, all))
}

fn all(case: &Case<'_>) -> Result<()> {
    let seed = pool::seed();
    let numbers: Vec<u64> = match std::env::var("MIMEO_HISTORY").ok().and_then(|number| number.parse().ok()) {
        Some(number) => vec![number],
        None => {
            (1..=HISTORIES).filter(|number| pool::is_soak() || (number + seed).is_multiple_of(5)).collect()
        }
    };
    pool::try_each(WORKERS, &numbers, |number| format!("history {number}"), |number| history(case, *number))
}

fn history(case: &Case<'_>, number: u64) -> Result<()> {
    let mut dice = StdRng::seed_from_u64(number);
    let mut world = World::new(number.is_multiple_of(OWNED));
    let mut player = Player::begin(case, number, &mut world)?;
    let mut told = String::new();
    let replay = |told: &str| format!("MIMEO_HISTORY={number} plays it again; its steps:\n{told}");
    for _ in 0..STEPS {
        let step = world.next(&mut dice);
        let _ = writeln!(told, "  {step:?}");
        player.play(&mut world, &step).with_context(|| replay(&told))?;
    }
    player.end(&mut world).with_context(|| replay(&told))
}
