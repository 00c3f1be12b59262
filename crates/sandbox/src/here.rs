//! A rendering in this process.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use spec::Diagnostic;

use crate::Sources;
use crate::meter::{Meter, placed};
use crate::task::{Answer, Task, perform};

/// How often a rendering is looked at; most have ended before the first time.
const LOOK: Duration = Duration::from_millis(50);

/// Does a task on a thread of its own. Where one step of it never ends, the thread is left behind: Tera cannot
/// be told to stop, and only the end of the process ends it.
pub(crate) fn run(task: Task, sources: &Sources) -> Result<Answer, Box<Diagnostic>> {
    let meter = Arc::new(Meter::new());
    let files = Arc::clone(&sources.files);
    let sources = sources.watched(Some(&meter));
    let object = task.object();
    let (send, answer) = mpsc::sync_channel(1);
    let work = move || {
        // Nobody listens any more when it was given up.
        let _ = send.send(perform(task, &sources));
    };
    let stopped = |why: &str| {
        let finding =
            Diagnostic::error("BUG001", format!("the rendering stopped: {why}")).on(object.as_str());
        Box::new(finding.help("report this with the command you ran"))
    };
    std::thread::Builder::new()
        .name("rendering".to_owned())
        .spawn(work)
        .map_err(|error| stopped(&error.to_string()))?;
    loop {
        match answer.recv_timeout(LOOK) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Disconnected) => return Err(stopped("its thread ended")),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(limit) = meter.look() {
                    return Err(Box::new(placed(limit, meter.last(), &*files, &object)));
                }
            }
        }
    }
}
