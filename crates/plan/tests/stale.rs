//! When an environment is no longer wanted: each rule by example, and all of them on generated histories,
//! beside a second decision that remembers nothing and reads the whole history every time.
//!
//! 2,000 histories, or 10,000 with `MIMEO_SOAK=1`. `MIMEO_SEED` starts them elsewhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is the finding")]

#[path = "stale/branch.rs"]
mod branch;
#[path = "stale/budget.rs"]
mod budget;
#[path = "stale/examples.rs"]
mod examples;
#[path = "stale/histories.rs"]
mod histories;
#[path = "stale/invariants.rs"]
mod invariants;
#[path = "stale/random.rs"]
mod random;
#[path = "stale/reference.rs"]
mod reference;
#[path = "stale/world.rs"]
mod world;
