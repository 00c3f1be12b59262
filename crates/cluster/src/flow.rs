//! How many requests are in flight at once: as many as the API server takes, which says so by 429 (its own
//! priority and fairness) and by how long it takes.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Where a connection begins.
const FIRST: usize = 32;
/// As many streams as the API server allows on one HTTP/2 connection (`secure_serving.go`).
pub(crate) const MOST: usize = 100;
/// An answer within this time says that there is room for more; one that takes longer than
/// [`SLOW`], that there is too much under way.
const QUICK: Duration = Duration::from_millis(200);
const SLOW: Duration = Duration::from_secs(2);
/// Requests that were sent together are refused together: that counts once.
const ONE_REFUSAL: Duration = Duration::from_millis(500);

/// The window of one connection.
#[derive(Debug)]
pub(crate) struct Flow {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    /// How many may be in flight.
    width: usize,
    in_flight: usize,
    /// Quick answers since the window grew.
    quick: usize,
    narrowed: Option<Instant>,
}

/// A place in the window, until it is dropped.
#[derive(Debug)]
pub struct Turn<'a>(&'a Flow);

impl Default for Flow {
    fn default() -> Self {
        let state = State { width: FIRST, in_flight: 0, quick: 0, narrowed: None };
        Self { state: Mutex::new(state), freed: Notify::new() }
    }
}

impl Flow {
    /// Waits for a place.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.lock();
                if state.in_flight < state.width {
                    state.in_flight += 1;
                    return Turn(self);
                }
            }
            freed.await;
        }
    }

    /// The server answered after this time.
    pub(crate) fn answered(&self, after: Duration) {
        let mut state = self.lock();
        if after > SLOW {
            state.narrow(Instant::now());
        } else if after <= QUICK {
            state.quick += 1;
            if state.quick >= state.width && state.width < MOST {
                state.quick = 0;
                state.width += 1;
                drop(state);
                self.freed.notify_one();
            }
        }
    }

    /// The server asked to send it again later.
    pub(crate) fn refused(&self) {
        self.lock().narrow(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn narrow(&mut self, now: Instant) {
        if self.narrowed.is_some_and(|before| now.duration_since(before) < ONE_REFUSAL) {
            return;
        }
        self.narrowed = Some(now);
        self.quick = 0;
        self.width = (self.width / 2).max(1);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn places(flow: &Flow) -> usize {
        let taken: Vec<Turn<'_>> = std::iter::from_fn(|| flow.turn().now_or_never()).collect();
        taken.len()
    }

    #[test]
    fn quick_answers_widen_the_window_up_to_what_a_connection_carries() {
        let flow = Flow::default();
        assert_eq!(places(&flow), FIRST);
        (0..FIRST).for_each(|_| flow.answered(QUICK));
        assert_eq!(places(&flow), FIRST + 1);
        (0..100 * MOST).for_each(|_| flow.answered(QUICK));
        assert_eq!(places(&flow), MOST);
    }

    #[test]
    fn a_burst_of_refusals_halves_it_once_and_it_never_closes() {
        let flow = Flow::default();
        (0..20).for_each(|_| flow.refused());
        assert_eq!(places(&flow), FIRST / 2);
        for _ in 0..20 {
            flow.lock().narrowed = None;
            flow.answered(SLOW + Duration::from_millis(1));
        }
        assert_eq!(places(&flow), 1);
    }

    #[tokio::test]
    async fn whoever_waits_gets_the_place_that_is_given_back() {
        let flow = Flow::default();
        let mut taken: Vec<Turn<'_>> = std::iter::from_fn(|| flow.turn().now_or_never()).collect();
        let waiting = flow.turn();
        let mut waiting = std::pin::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        taken.pop();
        assert!(waiting.now_or_never().is_some());
    }
}
