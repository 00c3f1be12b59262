//! `mimeo approve`: lets one commit of a fork have a preview.

use clap::Args;
use engine::{Error, pull_request};
use forge::PullUrl;

use crate::{
    args::Global,
    ci::{self, ForgeArgs},
    commands::session,
    ui::Ui,
};

/// Let one commit of a fork's pull request have a preview
///
/// The forge token must be your own, and you must be allowed to write to the base repository. Another push
/// to the pull request needs another approval.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  mimeo approve https://git.example.com/team/flights/pulls/7 --commit 0123456789abcdef0123456789abcdef01234567")]
pub struct ApproveArgs {
    /// URL of the pull request
    #[arg(value_name = "PR_URL")]
    pull: String,
    /// The commit that you have looked at
    #[arg(long, value_name = "SHA")]
    commit: String,
    #[command(flatten)]
    forge: ForgeArgs,
}

pub async fn run(args: ApproveArgs, global: &Global, ui: &Ui) -> Result<u8, Error> {
    let url: PullUrl = args.pull.parse()?;
    let forges = args.forge.forges(Some(&url.server))?;
    let session = session(global, ui).await?;
    let forge = ci::connect(&forges, &url).await?;
    let approval = pull_request::approve(&session, &*forge, url.number, &args.commit).await?;
    ui.clear();
    match ui.structured(&approval) {
        Some(text) => ui.data(&text),
        None => ui.data(&format!("{} approved by {} at {}", approval.commit, approval.by, approval.at)),
    }
    Ok(0)
}
