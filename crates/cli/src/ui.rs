//! Everything that is written to a terminal: data on stdout, talk on stderr.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use engine::Event;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{
    args::{Global, Output},
    views,
};

/// The terminal, or what stands in for one.
#[derive(Clone)]
pub struct Ui {
    quiet: bool,
    verbose: u8,
    /// How results are written.
    pub output: Output,
    started: Instant,
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const WARN: Style = AnsiColor::Yellow.on_default();
pub const DIM: Style = Style::new().dimmed();

impl Ui {
    pub fn new(global: &Global) -> Self {
        Self {
            quiet: global.quiet,
            verbose: global.verbose,
            output: global.output.format,
            started: Instant::now(),
            bar: Arc::default(),
        }
    }

    /// Traces go to stderr; at most debug of mimeo itself and info of the client, never bodies.
    pub fn start_logging(&self) {
        let filter = match self.verbose {
            0 => return,
            1 => "info,kube_client=off",
            _ => "debug,kube_client=info,hyper=info,hyper_util=info,h2=info,rustls=info,tower=info",
        };
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    }

    /// A result, on stdout.
    pub fn data(&self, text: &str) {
        self.pause(|| {
            // A closed pipe is the reader's way of saying that it has enough.
            let text = text.trim_end_matches('\n');
            let _ = match text.contains('\x1b') {
                true => writeln!(anstream::stdout(), "{text}"),
                false => writeln!(std::io::stdout(), "{text}"),
            };
        });
    }

    /// A result in the format that was asked for; `None` when that is for people.
    pub fn structured<T: Serialize>(&self, value: &T) -> Option<String> {
        match self.output {
            Output::Json => serde_json::to_string_pretty(value).ok(),
            Output::Yaml => spec::yaml::to_yaml(value).ok(),
            Output::Text | Output::Wide | Output::Name | Output::Sarif | Output::Github => None,
        }
    }

    /// Talk, on stderr.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.write(text);
        }
    }

    /// Warnings, on stderr also when quiet.
    pub fn warn(&self, diagnostics: &[spec::Diagnostic]) {
        for diagnostic in diagnostics {
            self.write(&views::diagnostic::text(diagnostic));
        }
    }

    /// Why the command stopped, on stderr: for people, or as JSON.
    pub fn failed(&self, error: &engine::Error) {
        self.clear();
        for diagnostic in error.diagnostics() {
            match self.output {
                Output::Json => self.write(&views::diagnostic::json(&diagnostic)),
                _ => self.write(&views::diagnostic::text(&diagnostic)),
            }
        }
    }

    /// Shows what happens: a line that moves on a terminal, plain lines elsewhere.
    pub fn event(&self, event: &Event) {
        if self.quiet {
            return;
        }
        let elapsed = self.started.elapsed().as_secs();
        let line = match event {
            Event::Phase(text) => {
                if self.phase_on_bar(text) {
                    return;
                }
                format!("{DIM}{elapsed:>4}s{DIM:#}  {text}")
            }
            Event::Done { action, object, component } => {
                format!("{DIM}{elapsed:>4}s{DIM:#}  {} {component}: {}", action.sign(), object.short())
            }
            Event::Health { object, component, state: "Progressing", cause } => {
                let text = format!("waiting for {component}: {}: {}", object.short(), views::plain(cause));
                if self.phase_on_bar(&text) || self.verbose == 0 {
                    return;
                }
                format!("{DIM}{elapsed:>4}s  {text}{DIM:#}")
            }
            Event::Health { object, component, state, cause } => {
                let style = match *state {
                    "Healthy" => GOOD,
                    "Trouble" | plan::health::UNVERIFIED => WARN,
                    _ => BAD,
                };
                let cause =
                    if cause.is_empty() { String::new() } else { format!(": {}", views::plain(cause)) };
                format!(
                    "{DIM}{elapsed:>4}s{DIM:#}  {style}{state}{style:#} {component}: {}{cause}",
                    object.short()
                )
            }
            Event::Waiting(late) => {
                let text = format!("waiting for {}", views::plain(&late.join("; ")));
                if self.phase_on_bar(&text) {
                    return;
                }
                format!("{DIM}{elapsed:>4}s  {text}{DIM:#}")
            }
            Event::Logs { from, lines } => {
                let lines: Vec<String> =
                    lines.iter().map(|line| format!("       | {}", views::plain(line))).collect();
                format!("       last log lines of {from}:\n{}", lines.join("\n"))
            }
            Event::Note(text) => format!("{WARN}note{WARN:#}: {}", views::plain(text)),
        };
        self.write(&line);
    }

    /// Ends the moving line, if there is one.
    pub fn clear(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }

    /// Whether somebody sits there who can answer.
    pub fn can_ask() -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    fn phase_on_bar(&self, text: &str) -> bool {
        if !std::io::stderr().is_terminal() {
            return false;
        }
        let mut slot = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = slot.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            if let Ok(style) = ProgressStyle::with_template("{elapsed:>5}  {spinner} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        bar.set_message(text.to_owned());
        true
    }

    fn write(&self, text: &str) {
        self.pause(|| {
            let _ = writeln!(anstream::stderr(), "{}", text.trim_end_matches('\n'));
        });
    }

    fn pause(&self, write: impl FnOnce()) {
        let slot = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.as_ref() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}
