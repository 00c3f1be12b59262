//! The mimeo command: parses, calls the engine, shows the result. No logic lives here.

mod args;
mod ci;
mod commands;
mod file;
mod inputs;
mod relock;
mod select;
mod sources;
mod starter;
mod ui;
mod views;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    // Before there is any thread: a process that renders for another is nothing else.
    if std::env::args_os().nth(1).is_some_and(|first| first == sandbox::ARGUMENT) {
        return sandbox::child();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(_) => return ExitCode::from(4),
    };
    let code = runtime.block_on(run());
    // A rendering that was given up must not hold the process.
    runtime.shutdown_background();
    code
}

async fn run() -> ExitCode {
    // The one TLS provider of the process; a second install can only mean that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    let ui = ui::Ui::new(&cli.global);
    ui.start_logging();
    if let Command::Data(args) = cli.command {
        return commands::data::run(args).await;
    }
    let writes =
        matches!(cli.command, Command::Up(_) | Command::Down(_) | Command::Preview(_) | Command::Gc(_));
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let interrupted = async {
        if writes {
            interrupt().await;
            ui.say("stopping once the writes under way are done; once more stops at once");
            let _ = stop.send(true);
        }
        interrupt().await;
    };
    tokio::select! {
        result = commands::run(cli, &ui, stopping) => match result {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                ui.failed(&error);
                let asked = *stop.borrow();
                ExitCode::from(if asked { INTERRUPTED } else { error.category().exit_code() })
            }
        },
        () = interrupted => {
            ui.say("stopped; what was done is recorded: run the same command again to go on");
            ExitCode::from(INTERRUPTED)
        }
    }
}

/// As a shell reports a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Ctrl-C, or the SIGTERM by which a CI system ends a job.
async fn interrupt() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        heard = tokio::signal::ctrl_c() => if heard.is_err() { std::future::pending::<()>().await },
        _ = terminate.recv() => {}
    }
}
