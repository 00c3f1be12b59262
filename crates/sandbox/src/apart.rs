//! A rendering in a process of its own: what the parent does.

use std::io::{self, BufReader, BufWriter, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use spec::{Diagnostic, Files};

use crate::meter::{Line, placed, too_large, too_long};
use crate::task::{Answer, Task};
use crate::wire::{self, Of, Order, Reply, Say};
use crate::{ARGUMENT, Sources};

/// Wall time after which a child that neither computes nor answers is ended.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a child that has closed its pipes may take to end.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes of what a child says on standard error that are kept.
const MAX_WORDS: u64 = 4096;

/// Does a task in a child process.
pub(crate) fn run(task: &Task, sources: &Sources, program: &Path) -> Result<Answer, Box<Diagnostic>> {
    let mut last = None;
    let finding = match supervised(task, &sources.watched(None), program, &mut last) {
        Ok(answer) => return Ok(answer),
        Err(finding) => finding,
    };
    Err(Box::new(placed(finding, last, &*sources.files, &task.object())))
}

fn supervised(
    task: &Task,
    sources: &Sources,
    program: &Path,
    last: &mut Option<Line>,
) -> Result<Answer, Diagnostic> {
    let mut child = start(program).map_err(|error| unfit(&format!("it cannot be started: {error}")))?;
    let words = child.stderr.take().map(listen);
    let guard = Guard::over(&child);
    let outcome = talk(&mut child, task, sources, last);
    let patient = guard.dismiss();
    let status = end(&mut child, matches!(outcome, Err(End::Silent)));
    let words = words.and_then(|words| words.recv_timeout(FAREWELL).ok()).unwrap_or_default();
    match outcome {
        Ok(answer) => Ok(answer),
        Err(End::Unfit(why)) => Err(unfit(&why)),
        Err(End::Silent) if !patient => Err(ended("did not end within 10 minutes", "")),
        Err(End::Silent) => Err(silent(status, &words)),
        Err(End::Garbled(error)) => Err(ended(&format!("gave an answer that is none: {error}"), &words)),
    }
}

fn start(program: &Path) -> io::Result<Child> {
    Command::new(program)
        .arg(ARGUMENT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // An interrupt is for the parent, which decides what becomes of the child.
        .process_group(0)
        .spawn()
}

/// Why there is no answer.
enum End {
    /// It ended, or closed its pipes.
    Silent,
    /// What it said makes no sense.
    Garbled(io::Error),
    /// It could not be held to its limits, and says why.
    Unfit(String),
}

/// Gives the order, and then whatever the child asks for, until it has an answer.
fn talk(child: &mut Child, task: &Task, sources: &Sources, last: &mut Option<Line>) -> Result<Answer, End> {
    let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else { return Err(End::Silent) };
    let (mut to, mut from) = (BufWriter::new(to), BufReader::new(from));
    let governor = sources.governor.as_ref().map(|(revision, _)| revision.clone());
    // It may have ended before it has read everything: what it said before says why.
    let mut heard = wire::send(&mut to, &Order { task: task.clone(), governor });
    loop {
        let said = wire::receive(&mut from).map_err(End::Garbled)?.ok_or(End::Silent)?;
        let question = match said {
            Say::Done(said) => return Ok((*said).into()),
            Say::Unfit(why) => return Err(End::Unfit(why)),
            Say::At(file, line) => {
                *last = Some((file.into(), line));
                continue;
            }
            question => question,
        };
        if heard.is_err() {
            return Err(End::Silent);
        }
        heard = wire::send(&mut to, &answer(&question, sources));
    }
}

fn answer(question: &Say, sources: &Sources) -> Reply {
    let files = |of: &Of| -> Option<&dyn Files> {
        match of {
            Of::Commit => Some(&*sources.files),
            Of::Governor => sources.governor.as_ref().map(|(_, files)| &**files),
        }
    };
    let reply = match question {
        Say::Read(of, path) => files(of).map(|files| files.read(path).map(Reply::content)),
        Say::List(of, folder) => files(of).map(|files| files.list(folder).map(Reply::Paths)),
        Say::TreeId(of, folder) => files(of).map(|files| files.tree_id(folder).map(Reply::TreeId)),
        _ => None,
    };
    // No honest child asks for a commit that it was not given.
    let reply =
        reply.unwrap_or_else(|| Err(Box::new(Diagnostic::error("TPL015", "there is no such commit"))));
    reply.unwrap_or_else(|finding| Reply::Refused(Box::new((*finding).into())))
}

/// Collects the child, which may end by itself when it is about to.
fn end(child: &mut Child, ending: bool) -> Option<ExitStatus> {
    let pause = Duration::from_millis(10);
    for _ in 0..if ending { FAREWELL.as_millis() / pause.as_millis() } else { 0 } {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(pause);
    }
    // It may have ended meanwhile.
    let _ = child.kill();
    child.wait().ok()
}

/// Keeps the beginning of what a child says on standard error, and reads on so that it can go on.
fn listen(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (send, words) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut words = Vec::new();
        let _ = from.by_ref().take(MAX_WORDS).read_to_end(&mut words);
        let _ = send.send(String::from_utf8_lossy(&words).into_owned());
        let _ = io::copy(&mut from, &mut io::sink());
    });
    words
}

/// Ends a child that is never done.
struct Guard {
    dismissed: SyncSender<()>,
    thread: JoinHandle<bool>,
}

impl Guard {
    fn over(child: &Child) -> Self {
        let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let (dismissed, wait) = mpsc::sync_channel(1);
        let thread = thread::spawn(move || match wait.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => {
                // Nobody collects it before the guard is dismissed, so the number is still its own.
                let _ = child.map(|child| kill_process(child, Signal::KILL));
                false
            }
            _ => true,
        });
        Self { dismissed, thread }
    }

    /// Whether it was never needed.
    fn dismiss(self) -> bool {
        let _ = self.dismissed.send(());
        self.thread.join().unwrap_or(true)
    }
}

/// What ended a child that gave no answer.
fn silent(status: Option<ExitStatus>, words: &str) -> Diagnostic {
    let signal = status.and_then(|status| status.signal());
    if signal == Some(Signal::XCPU.as_raw()) {
        return too_long();
    }
    // What Rust says before it aborts.
    if words.contains("memory allocation of") {
        return too_large();
    }
    if words.contains("has overflowed its stack") {
        return ended("has overflowed its stack", "").help("nest templates and documents less deeply");
    }
    match (signal, status.and_then(|status| status.code())) {
        (Some(signal), _) if signal == Signal::KILL.as_raw() => ended("was killed", words)
            .help("see whether the machine or its container is short of memory, and run the command again"),
        (Some(signal), _) => ended(&format!("was ended by signal {signal}"), words),
        (None, Some(code)) => ended(&format!("ended with exit code {code}"), words),
        (None, None) => ended("ended", words),
    }
}

fn ended(how: &str, words: &str) -> Diagnostic {
    let mut finding = Diagnostic::error("TPL015", format!("the process that rendered {how}"))
        .help("look at the template that was at work; report this with it when it is harmless");
    finding.detail = words.lines().take(10).map(str::to_owned).collect();
    finding
}

fn unfit(why: &str) -> Diagnostic {
    Diagnostic::error("TPL016", format!("there is no safe process to render in: {why}"))
        .help("run this on Linux, where processes may set seccomp filters")
}
