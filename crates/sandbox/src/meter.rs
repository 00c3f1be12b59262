//! What a rendering takes of the processor and of memory, and at which line of a template it is.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use spec::{Diagnostic, Files, files};

/// CPU time that a rendering may take. It is not wall time: a machine with much to do fails no template.
pub const CPU_SECONDS: u64 = 5;
/// Memory that a rendering may take.
pub const MEMORY_BYTES: u64 = 1024 * 1024 * 1024;

/// How much longer one step may take before the rendering is given up in the middle of it.
const GRACE: Duration = Duration::from_secs(1);
/// Steps look at the clock of the processor no more often than this: it costs a system call.
const PACE: Duration = Duration::from_millis(20);

/// A line of a template.
pub(crate) type Line = (Arc<str>, usize);

/// Watches over one rendering.
pub(crate) struct Meter {
    began: Instant,
    cpu: Duration,
    memory: u64,
    /// The line of the last step.
    last: Mutex<Option<Line>>,
    /// When the next look is due, in milliseconds since the beginning.
    next: AtomicU64,
    /// The limit that was reached.
    over: OnceLock<Diagnostic>,
}

impl Meter {
    /// Begins to count.
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            cpu: cpu_time(),
            memory: resident().unwrap_or_default(),
            last: Mutex::default(),
            next: AtomicU64::new(millis(PACE)),
            over: OnceLock::new(),
        }
    }

    /// Notes a step; an error at the first one after a limit was reached.
    pub(crate) fn step(&self, file: &Arc<str>, line: usize) -> Result<(), Box<Diagnostic>> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(file), line));
        // Asked before the clock is looked at: the step after the one that was slow is more often in the
        // innermost loop, which is the one to be shown.
        if let Some(over) = self.over.get() {
            return Err(Box::new(over.clone().at(&**file, line, 1)));
        }
        let now = millis(self.began.elapsed());
        if now >= self.next.load(Relaxed) {
            self.next.store(now + millis(PACE), Relaxed);
            if self.spent() > Duration::from_secs(CPU_SECONDS) {
                self.over.get_or_init(too_long);
            }
        }
        Ok(())
    }

    /// A look from outside at a rendering that may never come to its next step: the limit to give it up for.
    pub(crate) fn look(&self) -> Option<Diagnostic> {
        let spent = self.spent();
        let grown = resident().unwrap_or_default().saturating_sub(self.memory);
        // It gets the time until the next look to end by itself.
        let known = self.over.get().is_some();
        if grown > MEMORY_BYTES {
            self.over.get_or_init(too_large);
        }
        if spent > Duration::from_secs(CPU_SECONDS) {
            self.over.get_or_init(too_long);
        }
        let late = spent > Duration::from_secs(CPU_SECONDS) + GRACE || (known && grown > MEMORY_BYTES);
        self.over.get().filter(|_| late).cloned()
    }

    /// The line of the last step.
    pub(crate) fn last(&self) -> Option<Line> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn spent(&self) -> Duration {
        cpu_time().saturating_sub(self.cpu)
    }
}

/// Puts a finding at a line of a commit, where one is known that is there, else at what was asked for.
pub(crate) fn placed(finding: Diagnostic, line: Option<Line>, files: &dyn Files, task: &str) -> Diagnostic {
    let Some((file, line)) = line else { return finding.on(task) };
    match files::read_text(files, &file) {
        Ok(Some(text)) => finding.at(&*file, line, 1).with_source(&text),
        _ => finding.on(task),
    }
}

/// The finding about too much CPU time.
pub(crate) fn too_long() -> Diagnostic {
    Diagnostic::error("TPL003", format!("rendering takes more than {CPU_SECONDS} s of CPU time"))
        .help("look for loops in loops, and for texts or lists that grow with every round")
}

/// The finding about too much memory.
pub(crate) fn too_large() -> Diagnostic {
    let cause = format!("rendering takes more than {} MiB of memory", MEMORY_BYTES / 1024 / 1024);
    Diagnostic::error("TPL014", cause).help("look for texts or lists that grow with every round")
}

/// CPU time of this process, all its threads together.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Bytes of memory that this process has in use; unknown elsewhere than on Linux.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(rustix::param::page_size() as u64))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
