//! Runs the program as a person or a pipeline would, and keeps what it said and when.

use std::{
    fmt,
    io::{BufRead as _, BufReader, Read},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{Relay, plane};

/// One command line in the making. Nothing of the test's own environment reaches it.
#[derive(Clone)]
pub struct Mimeo {
    program: PathBuf,
    home: PathBuf,
    kubeconfig: Option<PathBuf>,
    directory: Option<PathBuf>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    limit: Duration,
}

/// What came of a run.
#[derive(Clone)]
pub struct Outcome {
    /// The command line.
    pub command: String,
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Both, line by line, each with the time since the start.
    pub lines: Vec<(Duration, String)>,
    /// How long it took.
    pub took: Duration,
}

/// A program that runs.
pub struct Running {
    command: String,
    began: Instant,
    limit: Duration,
    child: Arc<Mutex<Child>>,
    lines: Arc<Mutex<Vec<(Duration, String)>>>,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl Mimeo {
    /// A run of `program` with its own home directory.
    #[must_use]
    pub fn new(program: &Path, home: &Path) -> Self {
        Self {
            program: program.to_owned(),
            home: home.to_owned(),
            kubeconfig: None,
            directory: None,
            arguments: Vec::new(),
            variables: Vec::new(),
            limit: Duration::from_secs(120),
        }
    }

    /// With this kubeconfig; without one there is none.
    #[must_use]
    pub fn kubeconfig(mut self, path: &Path) -> Self {
        self.kubeconfig = Some(path.to_owned());
        self
    }

    /// In this directory.
    #[must_use]
    pub fn inside(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// With these arguments, after those it has.
    #[must_use]
    pub fn args<S: AsRef<str>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// With an environment variable.
    #[must_use]
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Killed, and an error, when it takes longer.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started, or does not end in time.
    pub fn run(&self) -> Result<Outcome> {
        self.start()?.wait()
    }

    /// Runs it to its end, which must be exit code 0.
    ///
    /// # Errors
    /// When it fails.
    pub fn succeed(&self) -> Result<Outcome> {
        self.run()?.expect(0)
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self) -> Result<Running> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &self.home)
            .env("LC_ALL", "C.UTF-8")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.as_deref().unwrap_or(&self.home))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if plane::is_http1_only() && !plane::inside_plane() {
            command.env("DISABLE_HTTP2", "1");
        }
        // Nothing is left to a kubeconfig that happens to lie around.
        let kubeconfig = self.kubeconfig.clone().unwrap_or_else(|| self.home.join("no-kubeconfig"));
        command.env("KUBECONFIG", kubeconfig);
        let began = Instant::now();
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stdout = collect(child.stdout.take(), began, Arc::clone(&lines));
        let stderr = collect(child.stderr.take(), began, Arc::clone(&lines));
        let command = format!("mimeo {}", self.arguments.join(" "));
        let child = Arc::new(Mutex::new(child));
        Ok(Running { command, began, limit: self.limit, child, lines, stdout, stderr })
    }

    /// Starts it as the victim of a relay.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_through(&self, relay: &Relay) -> Result<Running> {
        let running = self.start()?;
        relay.aim(Arc::clone(&running.child));
        Ok(running)
    }
}

fn collect(
    stream: Option<impl Read + Send + 'static>,
    began: Instant,
    lines: Arc<Mutex<Vec<(Duration, String)>>>,
) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut whole = String::new();
        let Some(stream) = stream else { return whole };
        let mut stream = BufReader::new(stream);
        let mut bytes = Vec::new();
        while stream.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line = String::from_utf8_lossy(&bytes).into_owned();
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push((began.elapsed(), line.trim_end().to_owned()));
            whole.push_str(&line);
            bytes.clear();
        }
        whole
    })
}

impl Running {
    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has said so far.
    #[must_use]
    pub fn said(&self) -> Vec<(Duration, String)> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line that holds this text, and says when it came.
    ///
    /// # Errors
    /// When it ends, or the time is over, without it.
    pub fn wait_for(&self, text: &str, limit: Duration) -> Result<Duration> {
        let deadline = self.began + limit;
        loop {
            let ended = self.child().try_wait()?.is_some();
            if let Some((at, _)) = self.said().into_iter().find(|(_, line)| line.contains(text)) {
                return Ok(at);
            }
            if ended || Instant::now() > deadline {
                let said: String =
                    self.said().iter().map(|(at, line)| format!("{at:8.3?} {line}\n")).collect();
                bail!("{}: no line with {text:?} within {limit:?}:\n{said}", self.command);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends it a signal by name, such as `INT`.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child().id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status()?;
        if !status.success() {
            bail!("{} has ended, it cannot be sent {name}", self.command);
        }
        Ok(())
    }

    /// `kill -9`, unless it has ended; returns what it came to.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(self) -> Result<Outcome> {
        let _ = self.child().kill();
        self.wait()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it does not come in time; then it is killed.
    pub fn wait(self) -> Result<Outcome> {
        let deadline = self.began + self.limit;
        let status = loop {
            if let Some(status) = self.child().try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child().kill();
                let limit = self.limit;
                let outcome = self.finish(ExitStatus::from_raw(9));
                bail!("not done after {limit:?}: {outcome}");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Ok(self.finish(status))
    }

    fn finish(self, status: ExitStatus) -> Outcome {
        let took = self.began.elapsed();
        let stdout = self.stdout.join().unwrap_or_default();
        let stderr = self.stderr.join().unwrap_or_default();
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Outcome { command: self.command, code: status.code(), stdout, stderr, lines, took }
    }
}

impl Outcome {
    /// The same outcome, if it has this exit code.
    ///
    /// # Errors
    /// When it has another one.
    pub fn expect(self, code: i32) -> Result<Self> {
        if self.code != Some(code) {
            bail!("expected exit code {code}: {self}");
        }
        Ok(self)
    }

    /// Standard output and standard error.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Whether every one of the texts occurs in what it said.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn says<'a>(self, texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let all = self.all();
        for text in texts {
            if !all.contains(text) {
                bail!("it does not say {text:?}: {self}");
            }
        }
        Ok(self)
    }

    /// When a line with this text came.
    #[must_use]
    pub fn when(&self, text: &str) -> Option<Duration> {
        self.lines.iter().find(|(_, line)| line.contains(text)).map(|(at, _)| *at)
    }

    /// Standard output as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("standard output is no JSON: {self}"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "killed".to_owned(), |code| format!("exit code {code}"));
        writeln!(f, "`{}` ended with {code} after {:.1?}", self.command, self.took)?;
        for (at, line) in &self.lines {
            writeln!(f, "  {:7.3} {line}", at.as_secs_f32())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
