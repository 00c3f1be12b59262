//! One file per command: its arguments, whose doc comments are the help page, and one function.

pub mod approve;
pub mod check;
pub mod completion;
pub mod data;
pub mod diff;
pub mod down;
pub mod explain;
pub mod extend;
pub mod gc;
pub mod init;
pub mod install;
pub mod list;
pub mod lock;
pub mod logs;
pub mod plan;
pub mod preview;
pub mod receipts;
pub mod render;
pub mod schema;
pub mod status;
pub mod uninstall;
pub mod up;
pub mod why;

use cluster::Cluster;
use engine::{Error, Session};
use spec::Diagnostic;

use crate::{
    args::{Cli, Command, Global, Output},
    ui::Ui,
};

/// Runs the command; the number is its exit code when nothing went wrong.
pub async fn run(cli: Cli, ui: &Ui, stop: Stop) -> Result<u8, Error> {
    let global = cli.global;
    if matches!(global.output.format, Output::Sarif | Output::Github)
        && !matches!(cli.command, Command::Check(_))
    {
        return Err(Diagnostic::error("ARG011", "only `mimeo check` writes SARIF or annotations")
            .help("Use -o text, wide, json, yaml or name")
            .into());
    }
    if let Some(file) = &global.output.file
        && !matches!(cli.command, Command::Plan(_))
    {
        return Err(Diagnostic::error("ARG007", "only `mimeo plan` writes to a file")
            .on(format!("-o {}", file.display()))
            .help("Use -o text, wide, json, yaml or name, and redirect standard output")
            .into());
    }
    let result = match cli.command {
        Command::Check(args) => check::run(args, ui).await,
        Command::Render(args) => render::run(args, ui).await,
        Command::Lock(args) => lock::run(args, ui).await,
        Command::Init(args) => init::run(args, ui).await,
        Command::Explain(args) => explain::run(args, ui).await,
        Command::Schema(args) => schema::run(&args, ui),
        Command::Diff(args) => diff::run(args, &global, ui).await,
        Command::Plan(args) => plan::run(args, &global, ui).await,
        Command::Receipts(args) => receipts::run(args, &global, ui).await,
        Command::Up(args) => up::run(args, &global, ui, stop).await,
        Command::Down(args) => down::run(args, &global, ui, stop).await,
        Command::Preview(args) => preview::run(args, &global, ui, stop).await,
        Command::Gc(args) => gc::run(args, &global, ui, stop).await,
        Command::Why(args) => why::run(args, &global, ui).await,
        Command::Extend(args) => extend::run(args, &global, ui).await,
        Command::Approve(args) => approve::run(args, &global, ui).await,
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

/// Becomes true when somebody wants the command to stop.
pub type Stop = tokio::sync::watch::Receiver<bool>;

/// Connects; no request is sent yet.
async fn session(global: &Global, ui: &Ui) -> Result<Session, Error> {
    connecting(global, ui).await
}

/// Connects while something else is done, until it is awaited. After the repository was opened: git2 sets
/// environment variables when it starts, and a name that is looked up reads them.
fn connecting(global: &Global, ui: &Ui) -> impl Future<Output = Result<Session, Error>> + use<> {
    let (context, record_namespace) = (global.context.clone(), global.record_namespace.clone());
    let connecting = tokio::spawn(async move { Cluster::connect(context.as_deref()).await });
    let ui = ui.clone();
    async move {
        let ended = |error: tokio::task::JoinError| std::panic::resume_unwind(error.into_panic());
        let cluster = connecting.await.unwrap_or_else(ended)?;
        Ok(Session::new(cluster, &record_namespace, Box::new(move |event| ui.event(&event))))
    }
}
