//! `mimeo uninstall`: takes away what `install` made.

use clap::Args;
use engine::{Error, install};
use spec::{Category, Diagnostic};

use crate::{args::Global, commands::session, ui::Ui};

/// Remove kinds, roles and policies (cluster admins); refuses while environments live
///
/// Receipts go with their kind. The namespace mimeo-data stays while it holds Secrets of yours.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo uninstall
  mimeo uninstall --yes")]
pub struct UninstallArgs {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn run(args: UninstallArgs, global: &Global, ui: &Ui) -> Result<u8, Error> {
    let session = session(global, ui).await?;
    if !args.yes {
        let refused = |cause: &str| {
            Diagnostic::new("ENV016", Category::Refused, cause).help("Pass --yes to go on without a question")
        };
        if !Ui::can_ask() {
            return Err(refused("uninstalling needs a yes, and nobody is there to give it").into());
        }
        let question = format!("Remove mimeo from {}?", session.cluster.server());
        if !matches!(dialoguer::Confirm::new().with_prompt(question).default(false).interact(), Ok(true)) {
            return Err(refused("nothing was removed").into());
        }
    }
    let done = install::uninstall(&session).await?;
    ui.clear();
    ui.data(&format!("uninstalled: {done} objects"));
    Ok(0)
}
