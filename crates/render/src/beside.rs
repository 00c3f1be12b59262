//! Independent work beside each other, on the cores there are.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{Builder, available_parallelism, scope};

/// From so many on it is worth a thread.
const MANY: usize = 16;
/// Each thread takes memory of its own.
const MOST: usize = 4;

/// Does the same with each of the names; what comes of it is in their order. Begun in their order as well: what is
/// not begun yet comes after all that is.
///
/// Where no thread can be had, as in a process that was closed in, this one does it all.
pub(crate) fn each<T: Send>(names: &[String], work: impl Fn(&str) -> T + Sync) -> Vec<T> {
    if names.len() < MANY {
        return names.iter().map(|name| work(name)).collect();
    }
    let next = AtomicUsize::new(0);
    let turn = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Relaxed);
            let Some(name) = names.get(index) else { return done };
            done.push((index, work(name)));
        }
    };
    let threads = available_parallelism().map_or(1, NonZero::get).min(MOST);
    let mut done = scope(|scope| {
        let other = |_| Builder::new().name("rendering".to_owned()).spawn_scoped(scope, turn).ok();
        let others: Vec<_> = (1..threads).map_while(other).collect();
        let mut done = turn();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_of_it_is_in_order() {
        for count in [0, 1, MANY - 1, MANY, 20 * MANY] {
            let names: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            let done = each(&names, |name| {
                // The first ones take longest.
                (0..count.saturating_sub(name.parse().unwrap())).for_each(|_| std::thread::yield_now());
                name.to_owned()
            });
            assert_eq!(done, names);
        }
    }
}
