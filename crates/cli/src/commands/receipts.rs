//! `mimeo receipts`: proofs of teardowns, which outlive their environments.

use clap::Args;
use cluster::Receipt;
use engine::Error;
use serde_json::json;

use crate::{
    args::{Global, Output},
    commands::session,
    ui::Ui,
    views,
};

/// List the proofs of teardowns, or show one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo receipts                        one line for each environment that was taken down
  mimeo receipts qa-main-1a2b3c4d       every live read that found nothing left
  mimeo receipts -o json")]
pub struct ReceiptsArgs {
    /// Name or id of an environment that is gone
    #[arg(value_name = "ENV")]
    environment: Option<String>,
}

pub async fn run(args: ReceiptsArgs, global: &Global, ui: &Ui) -> Result<u8, Error> {
    let session = session(global, ui).await?;
    let wanted = |receipt: &Receipt| {
        args.environment
            .as_ref()
            .is_none_or(|wanted| receipt.spec.environment == *wanted || receipt.spec.id == *wanted)
    };
    let receipts: Vec<_> =
        session.records.receipts().await?.into_iter().filter(wanted).map(|receipt| receipt.spec).collect();
    ui.clear();
    match ui.structured(&json!({"items": receipts})) {
        Some(text) => ui.data(&text),
        None if receipts.is_empty() => ui.say("no receipts"),
        None if ui.output == Output::Name => {
            receipts.iter().for_each(|receipt| ui.data(&receipt.environment));
        }
        None if args.environment.is_some() => {
            receipts.iter().for_each(|receipt| ui.data(&views::stale::whole_receipt(receipt)));
        }
        None => ui.data(&views::stale::receipts(&receipts)),
    }
    Ok(0)
}
