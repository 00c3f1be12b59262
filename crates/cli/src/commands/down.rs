//! `mimeo down`: takes an environment down and proves it.

use std::time::Duration;

use clap::Args;
use cluster::ReceiptSpec;
use engine::{Error, down};
use spec::{Category, Diagnostic};

use crate::{
    args::{Global, Output, Source},
    commands::{Stop, session, up::duration},
    select,
    ui::Ui,
};

/// Take an environment down and prove that nothing is left
///
/// Works from the environment's record alone: the branch and the repository may be gone. Deletes only
/// what mimeo made, each object by its uid, and leaves a receipt that rests on live reads.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo down qa                          the environment of the current branch
  mimeo down qa-feature-x-1a2b3c4d       by name, from anywhere
  mimeo down qa --rev feature/x --yes    without a question, as in CI")]
pub struct DownArgs {
    /// Name or id of the environment, or its spec
    #[arg(value_name = "ENV|SPEC")]
    environment: String,
    #[command(flatten)]
    source: Source,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Do not run the hooks that run before the deletion
    #[arg(long)]
    skip_hooks: bool,
    /// Where something blocks the teardown, keep a tombstone of every leftover and let the environment go; `gc` goes on with what is left
    #[arg(long)]
    abandon: bool,
    /// How long one object, or a hook, may take
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
}

pub async fn run(args: DownArgs, global: &Global, ui: &Ui, stop: Stop) -> Result<u8, Error> {
    let given = jiff::Timestamp::now();
    let session = session(global, ui).await?.stopped_by(stop);
    let record = match select::environment(&session, &args.environment, &args.source).await {
        Ok(record) => record,
        Err(error) => {
            // Only when the record is known not to be there can a receipt speak for it.
            if !error.diagnostics().iter().any(|diagnostic| diagnostic.code == "ENV014") {
                return Err(error);
            }
            let names = select::names(&args.environment, &args.source).await;
            down::forsaken(&session, &names.iter().map(String::as_str).collect::<Vec<_>>()).await?;
            let Some(receipt) = select::receipt(&session, &args.environment, &args.source).await else {
                return Err(error);
            };
            ui.say(&already(&receipt.spec));
            return Ok(0);
        }
    };
    let name = record.metadata.name.clone().unwrap_or_default();
    if !args.yes {
        confirm(&name, &record.spec.r#ref)?;
    }
    let options = down::Options {
        timeout: args.timeout,
        reason: None,
        skip_hooks: args.skip_hooks,
        abandon: args.abandon,
    };
    let receipt = down::down(&session, &record, given, &options).await?;
    ui.clear();
    match ui.structured(&receipt) {
        Some(text) => ui.data(&text),
        None if ui.output == Output::Name => ui.data(&name),
        None if !receipt.proven => ui.data(&format!(
            "{name} is abandoned, objects left: {}; `mimeo receipts {name}` lists them",
            receipt.leftovers.len()
        )),
        None => {
            ui.data(&format!(
                "{name} is gone: {}, proven by {}",
                down::tally(&receipt),
                down::reads(&receipt)
            ));
            for kept in receipt.looks.iter().flat_map(|look| &look.found) {
                ui.say(&format!("note: {kept}"));
            }
        }
    }
    Ok(0)
}

fn confirm(name: &str, reference: &str) -> Result<(), Error> {
    let refused = |cause: &str| {
        Diagnostic::new("ENV016", Category::Refused, cause)
            .on(name.to_owned())
            .help("Pass --yes to take it down without a question")
    };
    if !Ui::can_ask() {
        return Err(refused("taking an environment down needs a yes, and nobody is there to give it").into());
    }
    let question = format!("Take down {name} (branch {reference}) with everything in it?");
    match dialoguer::Confirm::new().with_prompt(question).default(false).interact() {
        Ok(true) => Ok(()),
        _ => Err(refused("nothing was deleted").into()),
    }
}

/// What a receipt says of an environment of which there is no record any more.
fn already(receipt: &ReceiptSpec) -> String {
    let ReceiptSpec { environment, finished, .. } = receipt;
    if receipt.proven {
        return format!("{environment} is gone already, since {finished}");
    }
    format!(
        "{environment} was given up at {finished}; `mimeo receipts {environment}` says what was left, and `mimeo gc` deletes that where it can"
    )
}
