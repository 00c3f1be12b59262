//! `mimeo gc`: takes stale environments down.

use std::time::Duration;

use clap::Args;
use engine::{
    Error,
    gc::{self, Removal},
};
use spec::{Category, Diagnostic};

use crate::{
    args::{Global, Output},
    ci::ForgeArgs,
    commands::{Stop, session, up::duration},
    ui::Ui,
    views,
};

/// Take down every environment that is stale
///
/// An environment is stale when its TTL is over, its branch is gone, or its pull request is closed or
/// merged. What cannot be seen is never taken for gone: a branch has to be missing twice, some minutes
/// apart, or once when the forge agrees; a TTL strikes in the pass after the one that finds it over. When
/// more than a fifth of all environments would go because their branches are missing, none of them does
/// until somebody approves the list. Works from the records alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo gc --dry-run                what would happen to each environment and each leftover, and why
  mimeo gc                          as a nightly job, or in the cluster: mimeo install --gc
  mimeo gc --approve 1f2e3d4c5b6a   delete exactly the list that was held")]
pub struct GcArgs {
    /// Show the decisions and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Approve the deletions that are held, by the digest of their list
    #[arg(long, value_name = "DIGEST")]
    approve: Option<String>,
    /// How long one object may take to go
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    forge: ForgeArgs,
}

pub async fn run(args: GcArgs, global: &Global, ui: &Ui, stop: Stop) -> Result<u8, Error> {
    let forges = args.forge.forges(None)?;
    let session = session(global, ui).await?.stopped_by(stop);
    let options = gc::Options { dry_run: args.dry_run, approve: args.approve, timeout: args.timeout };
    let report = gc::gc(&session, &forges, &options).await?;
    ui.clear();
    match ui.structured(&views::stale::json(&report)) {
        Some(text) => ui.data(&text),
        None if report.decisions.is_empty() => ui.say("no environments in this cluster"),
        None => ui.data(&views::stale::text(&report, ui.output)),
    }
    if matches!(ui.output, Output::Text | Output::Wide) && !report.abandoned.is_empty() {
        ui.data(&views::stale::abandoned(&report.abandoned));
    }
    let mut found: Vec<Diagnostic> = Vec::new();
    for (name, removal) in report.removed {
        match removal {
            Removal::Gone => ui.say(&format!("{name} is gone")),
            Removal::Stays(why) => ui.say(&format!("{name} stays for now: {why}")),
            Removal::Failed(findings) => found.extend(findings),
        }
    }
    found.extend(report.held.map(held));
    if found.is_empty() { Ok(0) } else { Err(Error::Found(found)) }
}

fn held(digest: String) -> Diagnostic {
    let cause =
        "DeletionHeld: more branches are missing than one pass may delete for; none of these was deleted";
    Diagnostic::new("ENV022", Category::Refused, cause)
        .on(digest.clone())
        .help(format!("Check that the branches are really gone, then run `mimeo gc --approve {digest}`"))
}
