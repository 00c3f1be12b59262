//! One file per command: its arguments, whose doc comments are the help page, and one function.

pub mod check;
pub mod completion;
pub mod data;
pub mod diff;
pub mod down;
pub mod install;
pub mod list;
pub mod logs;
pub mod render;
pub mod status;
pub mod uninstall;
pub mod up;

use cluster::Cluster;
use engine::{Error, Session};

use crate::{
    args::{Cli, Command, Global},
    ui::Ui,
};

/// Runs the command; the number is its exit code when nothing went wrong.
pub async fn run(cli: Cli, ui: &Ui) -> Result<u8, Error> {
    let global = cli.global;
    let result = match cli.command {
        Command::Check(args) => check::run(args, ui).await,
        Command::Render(args) => render::run(args, ui).await,
        Command::Diff(args) => diff::run(args, &global, ui).await,
        Command::Up(args) => up::run(args, &global, ui).await,
        Command::Down(args) => down::run(args, &global, ui).await,
        Command::List(args) => list::run(args, &global, ui).await,
        Command::Status(args) => status::run(args, &global, ui).await,
        Command::Logs(args) => logs::run(args, &global, ui).await,
        Command::Install(args) => install::run(args, &global, ui).await,
        Command::Uninstall(args) => uninstall::run(args, &global, ui).await,
        Command::Completion(args) => completion::run(&args, ui),
        // Taken by main: its exit code is part of its contract with the Job.
        Command::Data(_) => Ok(0),
    };
    ui.clear();
    result
}

/// The time of the call, in whole seconds: nobody reads more.
fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Connects; nothing is sent yet.
async fn session(global: &Global, ui: &Ui) -> Result<Session, Error> {
    let cluster = Cluster::connect(global.context.as_deref()).await?;
    let ui = ui.clone();
    Ok(Session::new(cluster, &global.record_namespace, Box::new(move |event| ui.event(&event))))
}
