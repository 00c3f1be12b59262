//! How long each trouble has lasted, and when it counts as a failure. Time is an argument.

use std::{collections::HashMap, time::Duration};

use super::Trouble;
use crate::Key;

/// How long the Secret of a data Job's source may be missing: the Job's own follows it at once.
const SOURCE: Duration = Duration::from_secs(20);

/// What changes how long an object's trouble may last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Grace {
    /// Nothing is waited for: any trouble fails on first sight.
    pub fail_fast: bool,
    /// How long the component's images may take (`waitForImage`).
    pub image: Option<Duration>,
    /// It is a data Job, which reads the Secret of a source.
    pub data_job: bool,
}

/// Since when which object is in which trouble.
#[derive(Debug, Default)]
pub struct Patience {
    since: HashMap<Key, (Trouble, Duration)>,
}

impl Grace {
    /// How long a trouble may last; `None` when it never fails by time.
    #[must_use]
    pub fn of(self, trouble: Trouble) -> Option<Duration> {
        match trouble {
            _ if self.fail_fast => Some(Duration::ZERO),
            Trouble::ContainerConfig if self.data_job => Some(SOURCE),
            Trouble::ImagePull => self.image.or(trouble.patience()),
            _ => trouble.patience(),
        }
    }
}

impl Patience {
    /// When the trouble of an object counts as a failure. The clock starts at first sight, and anew when the
    /// trouble is another one. Moments are distances from any fixed one.
    pub fn deadline(&mut self, key: &Key, trouble: Trouble, now: Duration, grace: Grace) -> Option<Duration> {
        let since = self.since.entry(key.clone()).or_insert((trouble, now));
        if since.0 != trouble {
            *since = (trouble, now);
        }
        Some(since.1 + grace.of(trouble)?)
    }

    /// The object is in no trouble any more.
    pub fn passed(&mut self, key: &Key) {
        self.since.remove(key);
    }
}
