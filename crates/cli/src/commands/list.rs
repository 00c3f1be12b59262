//! `mimeo list`: every environment of the cluster.

use clap::Args;
use engine::Error;
use jiff::Timestamp;
use serde_json::json;

use crate::{args::Global, commands::session, ui::Ui, views};

/// List the environments of the cluster
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo list
  mimeo list -o wide     with id, repository and namespace
  mimeo list -o json     {items: [...]}")]
pub struct ListArgs {}

pub async fn run(_: ListArgs, global: &Global, ui: &Ui) -> Result<u8, Error> {
    let session = session(global, ui).await?;
    let environments = engine::status::list(&session, Timestamp::now()).await?;
    match ui.structured(&json!({"items": environments})) {
        Some(text) => ui.data(&text),
        None if environments.is_empty() => ui.say("no environments in this cluster"),
        None => ui.data(&views::environments::list(&environments, ui.output)),
    }
    Ok(0)
}
