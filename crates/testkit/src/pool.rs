//! Many cases of one test side by side, and how many of them a run tries.

#![expect(clippy::print_stderr, reason = "a test of minutes tells how far it is")]

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// So many failures are told whole; of the others, the cause.
const WHOLE: usize = 3;

/// Whether every case is tried (`MIMEO_SOAK`), instead of a fifth.
#[must_use]
pub fn is_soak() -> bool {
    std::env::var_os("MIMEO_SOAK").is_some()
}

/// What chance is made from, and which fifth is tried (`MIMEO_SEED`, else 1).
#[must_use]
pub fn seed() -> u64 {
    std::env::var("MIMEO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// Tries every case, `workers` at a time, and says how long each took and how long all of them.
///
/// # Errors
/// All failures, each under its name.
pub fn try_each<T: Sync>(
    workers: usize,
    cases: &[T],
    name: impl Fn(&T) -> String + Sync,
    body: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let began = Instant::now();
    let (queue, failures) = (Mutex::new(cases.iter()), Mutex::new(Vec::new()));
    let times: Mutex<Vec<Duration>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = next(&queue) {
                    let began = Instant::now();
                    let outcome = body(case);
                    let (name, took) = (name(case), began.elapsed());
                    let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
                    eprintln!("{name}: {verdict} ({took:.1?})");
                    times.lock().unwrap_or_else(PoisonError::into_inner).push(took);
                    if let Err(error) = outcome {
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push((name, error));
                    }
                }
            });
        }
    });
    let longest = times.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().max();
    let (all, longest) = (began.elapsed(), longest.unwrap_or_default());
    eprintln!("{} cases, {workers} at a time, in {all:.1?}, the longest {longest:.1?}", cases.len());
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failures.is_empty() {
        return Ok(());
    }
    let causes: String =
        failures.iter().map(|(name, error)| format!("{name}: {}\n", error.root_cause())).collect();
    let whole: String =
        failures.iter().take(WHOLE).map(|(name, error)| format!("\n=== {name}\n{error:#}\n")).collect();
    bail!("{} of {} cases failed:\n{causes}{whole}", failures.len(), cases.len())
}

fn next<'a, T>(queue: &Mutex<std::slice::Iter<'a, T>>) -> Option<&'a T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_tried_and_every_failure_told() {
        let cases: Vec<u32> = (0..20).collect();
        let outcome = try_each(3, &cases, ToString::to_string, |case| {
            if case % 7 == 0 { bail!("seven divides {case}") } else { Ok(()) }
        });
        let told = outcome.unwrap_err().to_string();
        assert!(told.starts_with("3 of 20 cases failed"), "{told}");
        assert!([0, 7, 14].iter().all(|case| told.contains(&format!("seven divides {case}"))), "{told}");
    }
}
