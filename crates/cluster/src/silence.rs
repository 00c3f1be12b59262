//! A server that accepts a request and does not answer: nobody is left to look at nothing.

use std::{
    pin::pin,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// After this long something is said, and again after as long.
const PATIENCE: Duration = Duration::from_secs(10);

type Tell = Box<dyn Fn(Duration) + Send + Sync>;

/// Since when requests wait for an answer, and who wants to know.
pub(crate) struct Silence {
    patience: Duration,
    tell: OnceLock<Tell>,
    began: Instant,
    /// When something was said last, in milliseconds after the beginning.
    told: AtomicU64,
}

impl Default for Silence {
    fn default() -> Self {
        Self { patience: PATIENCE, tell: OnceLock::new(), began: Instant::now(), told: AtomicU64::new(0) }
    }
}

impl Silence {
    pub(crate) fn told_to(&self, tell: impl Fn(Duration) + Send + Sync + 'static) {
        // Somebody listens already.
        drop(self.tell.set(Box::new(tell)));
    }

    /// Waits for an answer to what was asked `since`.
    pub(crate) async fn until<T>(&self, since: Instant, answer: impl Future<Output = T>) -> T {
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                () = sleep(self.patience) => self.say(since),
            }
        }
    }

    /// Of many requests that wait, one speaks: those that were sent at nearly the same time are one silence.
    fn say(&self, since: Instant) {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (now, told) = (millis(self.began.elapsed()), self.told.load(Ordering::Relaxed));
        let due = told == 0 || now.saturating_sub(told) >= millis(self.patience / 2);
        if due
            && self.told.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            && let Some(tell) = self.tell.get()
        {
            tell(since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    async fn told(requests: usize, lasts: u64) -> usize {
        let silence = Silence { patience: Duration::from_millis(200), ..Silence::default() };
        let heard = Arc::new(Mutex::new(0));
        let ears = Arc::clone(&heard);
        silence.told_to(move |_| *ears.lock().unwrap() += 1);
        let since = Instant::now();
        let waiting = (0..requests).map(|_| silence.until(since, sleep(Duration::from_millis(lasts))));
        futures::future::join_all(waiting).await;
        *heard.lock().unwrap()
    }

    #[tokio::test]
    async fn a_silence_is_told_again_and_again_however_many_wait() {
        for requests in [1, 20] {
            assert_eq!(told(requests, 50).await, 0);
            assert_eq!(told(requests, 700).await, 3);
        }
    }
}
