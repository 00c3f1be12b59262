//! The process that renders: asks over its pipes for what it reads, and answers over them.

use std::io::{self, BufWriter, Stdin, Stdout};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use spec::{Diagnostic, Files};

use crate::meter::{Line, Meter};
use crate::task::perform;
use crate::wire::{self, Of, Order, Reply, Say};
use crate::{Sources, enclose};

/// The argument that makes the program this process.
pub const ARGUMENT: &str = "__render";

/// Stack of the thread that renders. Once enclosed it cannot make another one with more.
const STACK: usize = 256 * 1024 * 1024;
/// So many lines are told of in this time, so that loops do not only talk.
const PACE: (usize, Duration) = (64, Duration::from_millis(20));

/// Does one task for the process that made this one. To be called before any other thread is made.
#[must_use]
pub fn child() -> ExitCode {
    // Where the parent is gone, nobody wants the answer.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let work = || match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work);
    thread.ok().and_then(|thread| thread.join().ok()).unwrap_or(ExitCode::FAILURE)
}

fn work() -> io::Result<()> {
    let pipes = Arc::new(Pipes::new());
    if let Err(why) = enclose() {
        return pipes.say(&Say::Unfit(why));
    }
    let Some(order) = pipes.order()? else { return Ok(()) };
    let files = |of| -> Arc<dyn Files> { Arc::new(Asked { of, pipes: Arc::clone(&pipes) }) };
    let governor = order.governor.map(|revision| (revision, files(Of::Governor)));
    let sources = Sources { files: files(Of::Commit), governor };
    let sources = sources.watched(Some(&Arc::new(Meter::new())));
    let answer = perform(order.task, &sources);
    pipes.say(&Say::Done(Box::new(answer.into())))
}

/// Both ends of what connects it to its parent.
struct Pipes(Mutex<Ends>);

struct Ends {
    from: Stdin,
    to: BufWriter<Stdout>,
    /// The line that was told of last.
    last: Option<Line>,
    /// How many were told of since when.
    told: (usize, Instant),
}

impl Pipes {
    fn new() -> Self {
        let (from, to) = (io::stdin(), BufWriter::new(io::stdout()));
        Self(Mutex::new(Ends { from, to, last: None, told: (0, Instant::now()) }))
    }

    fn order(&self) -> io::Result<Option<Order>> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wire::receive_order(&mut ends.from.lock())
    }

    fn say(&self, message: &Say) -> io::Result<()> {
        wire::send(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).to, message)
    }

    fn ask(&self, question: &Say) -> Result<Reply, Box<Diagnostic>> {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = wire::send(&mut ends.to, question);
        match asked.and_then(|()| wire::receive(&mut ends.from.lock())) {
            Ok(Some(Reply::Refused(told))) => Err(Box::new((*told).into())),
            Ok(Some(reply)) => Ok(reply),
            _ => Err(unanswered()),
        }
    }

    /// Tells where it is, unless it has told too much of late: the last line is what is known of it when it is
    /// ended by force.
    fn at(&self, file: &Arc<str>, line: usize) {
        let ends = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.last.as_ref().is_some_and(|(last, at)| *at == line && last == file) {
            return;
        }
        if ends.told.0 == PACE.0 {
            if ends.told.1.elapsed() < PACE.1 {
                return;
            }
            ends.told = (0, Instant::now());
        }
        ends.told.0 += 1;
        ends.last = Some((Arc::clone(file), line));
        // Without a parent the next question fails.
        let _ = wire::send(&mut ends.to, &Say::At(file.to_string(), line));
    }
}

fn unanswered() -> Box<Diagnostic> {
    Box::new(Diagnostic::error("TPL015", "the process that rendered was left alone"))
}

/// The files of a commit that only the parent can read.
struct Asked {
    of: Of,
    pipes: Arc<Pipes>,
}

impl Files for Asked {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Box<Diagnostic>> {
        match self.pipes.ask(&Say::Read(self.of, path.to_owned()))? {
            Reply::Content(None) => Ok(None),
            Reply::Content(Some(content)) => wire::bytes(&content).map(Some).ok_or_else(unanswered),
            _ => Err(unanswered()),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, Box<Diagnostic>> {
        match self.pipes.ask(&Say::List(self.of, folder.to_owned()))? {
            Reply::Paths(paths) => Ok(paths),
            _ => Err(unanswered()),
        }
    }

    fn tree_id(&self, folder: &str) -> Result<Option<String>, Box<Diagnostic>> {
        match self.pipes.ask(&Say::TreeId(self.of, folder.to_owned()))? {
            Reply::TreeId(id) => Ok(id),
            _ => Err(unanswered()),
        }
    }

    fn step(&self, file: &Arc<str>, line: usize) -> Result<(), Box<Diagnostic>> {
        self.pipes.at(file, line);
        Ok(())
    }
}
