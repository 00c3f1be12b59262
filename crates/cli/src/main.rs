//! The mimeo command: parses, calls the engine, shows the result. No logic lives here.

mod args;
mod commands;
mod inputs;
mod select;
mod ui;
mod views;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
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
    let stopped = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        result = commands::run(cli, &ui) => match result {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                ui.failed(&error);
                ExitCode::from(error.category().exit_code())
            }
        },
        () = stopped => {
            ui.say("stopped; what was done is recorded: run the same command again to go on");
            ExitCode::from(130)
        }
    }
}
