//! sandbox: renders within limits, here or in a process of its own.
//!
//! Input: a [`Task`] and the [`Files`] of its commit. Output: an [`Answer`], or the limit that was reached, with
//! the line of the template that was at work. Blocking: callers move it off their async threads.
//!
//! ```text
//! Mode::Here    a thread   files ─► render ─► answer     CPU time and memory are looked at from outside
//! Mode::Apart   a process  ┌─────────────────────────┐   and the kernel holds it to its limits:
//!                 request ─┤► render ─► answer ──────┼─► no file, no network, no other process
//!                 files  ◄─┤► read, list             │
//!                          └─────────────────────────┘
//! ```
//!
//! The process has nothing but two pipes. What it wants to read it asks for, and is given from the commit alone.

mod apart;
mod child;
mod enclose;
mod here;
mod meter;
mod task;
mod watched;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use spec::{Diagnostic, Files};

pub use child::{ARGUMENT, child};
pub use enclose::enclose;
pub use meter::{CPU_SECONDS, MEMORY_BYTES};
pub use task::{Answer, Task};

/// Where a rendering runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// In this process: for what somebody trusted has written.
    Here,
    /// In a process of its own, made from this program with [`ARGUMENT`].
    Apart(PathBuf),
}

impl Mode {
    /// A process of the running program. By the link of the kernel the program is the same one after its file
    /// was replaced.
    #[must_use]
    pub fn apart() -> Self {
        let own = std::env::current_exe().unwrap_or_default();
        Self::Apart(if cfg!(target_os = "linux") { PathBuf::from("/proc/self/exe") } else { own })
    }
}

/// The files of one commit, and those of the commit that governs it.
#[derive(Clone)]
pub struct Sources {
    /// The commit that is rendered.
    pub files: Arc<dyn Files>,
    /// The commit whose lifecycle and policy count instead, with its id.
    pub governor: Option<(String, Arc<dyn Files>)>,
}

/// Does a task within the limits.
///
/// # Errors
/// `TPL003` when it takes more than [`CPU_SECONDS`] of CPU time and `TPL014` when it takes more than
/// [`MEMORY_BYTES`]; `TPL015` when its process ends without an answer, `TPL016` when there can be none.
pub fn run(task: Task, sources: &Sources, mode: &Mode) -> Result<Answer, Box<Diagnostic>> {
    match mode {
        Mode::Here => here::run(task, sources),
        Mode::Apart(program) => apart::run(&task, sources, program),
    }
}
