//! `mimeo why`: what `gc` thinks of one environment, or whose one of its objects is.

use std::time::Duration;

use clap::Args;
use engine::{Error, gc};

use crate::{
    args::{Global, Source},
    ci::ForgeArgs,
    commands::session,
    select,
    ui::Ui,
    views,
};

/// Say whether `gc` keeps an environment, by which rule, and what comes next
///
/// Of an environment that is gone it says why and when it went. With an object it says whose that is, who
/// else writes it, how well it is, whether it is as it was applied, and what a teardown does with it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo why qa                       the environment of the current branch
  mimeo why qa-feature-x-1a2b3c4d -o json
  mimeo why qa StatefulSet/warehouse     one object of it")]
pub struct WhyArgs {
    /// Name or id of the environment, or its spec
    #[arg(value_name = "ENV|SPEC")]
    environment: String,
    /// An object of the environment, as Kind/name or name
    #[arg(value_name = "OBJECT")]
    object: Option<String>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    forge: ForgeArgs,
}

pub async fn run(args: WhyArgs, global: &Global, ui: &Ui) -> Result<u8, Error> {
    let forges = args.forge.forges(None)?;
    let session = session(global, ui).await?;
    let record = match select::environment(&session, &args.environment, &args.source).await {
        Ok(record) => record,
        Err(error) => {
            // Only when the record is known not to be there can a receipt speak for it.
            if !error.diagnostics().iter().any(|diagnostic| diagnostic.code == "ENV014") {
                return Err(error);
            }
            let Some(receipt) = select::receipt(&session, &args.environment, &args.source).await else {
                return Err(error);
            };
            ui.clear();
            match ui.structured(&receipt.spec) {
                Some(text) => ui.data(&text),
                None => ui.data(&views::stale::receipt(&receipt.spec)),
            }
            return Ok(0);
        }
    };
    if let Some(object) = &args.object {
        let accounts = engine::account::account(&session, &record, object).await?;
        ui.clear();
        ui.data(
            &ui.structured(&serde_json::json!({"items": accounts}))
                .unwrap_or_else(|| views::stale::accounts(&accounts)),
        );
        return Ok(0);
    }
    // The same pass over all: whether it would be held depends on the others.
    let options = gc::Options { dry_run: true, approve: None, timeout: Duration::ZERO };
    let report = gc::gc(&session, &forges, &options).await?;
    ui.clear();
    let name = record.metadata.name.clone().unwrap_or_default();
    if let Some(decision) = report.decisions.iter().find(|decision| decision.environment == name) {
        let teardown = engine::down::progress(&session, &record).await?;
        let mut item = views::stale::item(decision);
        if let Some(teardown) = &teardown {
            item["teardown"] = serde_json::json!(teardown);
        }
        match ui.structured(&item) {
            Some(text) => ui.data(&text),
            None => ui.data(&views::stale::one(decision, teardown.as_ref())),
        }
    }
    Ok(0)
}
