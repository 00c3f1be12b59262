//! `mimeo diff`: what `up` would change.

use clap::Args;
use engine::Error;

use crate::{
    args::{Global, Inputs, Pinning},
    commands::connecting,
    inputs,
    ui::Ui,
    views,
};

/// Show what `up` would change; exit code 1 when something would
///
/// Nothing is written. Fields are compared with what the server stores, so that its defaults are no
/// differences. Secret values are never shown. What is refused, such as a field of another manager, is marked
/// beside the rest, and the exit code is 3.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo diff qa                          the current branch against its environment
  mimeo diff qa --rev feature/x -o json  the plan as JSON
  mimeo diff qa --set days=30            with another parameter")]
pub struct DiffArgs {
    /// Environment spec
    #[arg(value_name = "SPEC")]
    spec: String,
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    pinning: Pinning,
}

pub async fn run(args: DiffArgs, global: &Global, ui: &Ui) -> Result<u8, Error> {
    let asked = inputs::asked(&args.inputs, &args.pinning, &args.spec, ui).await?;
    let connecting = connecting(global, ui);
    let rendered = asked.render(ui).await?;
    let session = connecting.await?;
    let preview = engine::preview::sketch(&session, &rendered).await?;
    ui.clear();
    match ui.structured(&views::plan::json(&preview)) {
        Some(text) => ui.data(&text),
        None => ui.data(&views::plan::differences(&preview)),
    }
    let preview = preview.allowed()?;
    Ok(u8::from(!preview.plan.is_empty() || !preview.plan.settings.is_empty()))
}
