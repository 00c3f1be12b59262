//! `mimeo status`: one environment, judged live.

use clap::Args;
use engine::Error;
use jiff::Timestamp;
use serde_json::json;

use crate::{
    args::{Global, Source},
    commands::session,
    select,
    ui::Ui,
    views,
};

/// Show one environment, component by component
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo status qa                      the environment of the current branch
  mimeo status qa-main-1a2b3c4d -o json")]
pub struct StatusArgs {
    /// Name or id of the environment, or its spec
    #[arg(value_name = "ENV|SPEC")]
    environment: String,
    #[command(flatten)]
    source: Source,
}

pub async fn run(args: StatusArgs, global: &Global, ui: &Ui) -> Result<u8, Error> {
    let session = session(global, ui).await?;
    let record = select::environment(&session, &args.environment, &args.source).await?;
    let status = engine::status::status(&session, &record, Timestamp::now()).await?;
    match ui.structured(&json!({"items": [status]})) {
        Some(text) => ui.data(&text),
        None => ui.data(&views::environments::status(&status)),
    }
    Ok(0)
}
