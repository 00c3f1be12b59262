//! `mimeo extend`: more time for an environment.

use clap::Args;
use engine::Error;
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    args::{Global, Source},
    commands::session,
    select,
    ui::Ui,
};

/// Give an environment more time before it is stale
///
/// Moves the end of its TTL; when that is over already, the time counts from now.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo extend qa 24h
  mimeo extend qa-feature-x-1a2b3c4d 7d")]
pub struct ExtendArgs {
    /// Name or id of the environment, or its spec
    #[arg(value_name = "ENV|SPEC")]
    environment: String,
    /// How much more, such as 24h or 7d
    #[arg(value_name = "DURATION", value_parser = more)]
    more: SignedDuration,
    #[command(flatten)]
    source: Source,
}

/// A duration as in a spec's `lifecycle`, more than nothing.
fn more(text: &str) -> Result<SignedDuration, String> {
    let seconds = spec::quantity::seconds(text).map_err(|why| format!("{text:?} {why}; write 24h or 7d"))?;
    match i64::try_from(seconds) {
        Ok(seconds) if seconds > 0 => Ok(SignedDuration::from_secs(seconds)),
        _ => Err(format!("{text:?} is no time at all; write 24h or 7d")),
    }
}

pub async fn run(args: ExtendArgs, global: &Global, ui: &Ui) -> Result<u8, Error> {
    let session = session(global, ui).await?;
    let record = select::environment(&session, &args.environment, &args.source).await?;
    let name = record.metadata.name.clone().unwrap_or_default();
    let end = engine::extend::extend(&session, &record, args.more).await?;
    ui.clear();
    match ui.structured(&json!({"name": name, "expiresAt": end})) {
        Some(text) => ui.data(&text),
        None => ui.data(&format!("{name} stays until {end}")),
    }
    Ok(0)
}
