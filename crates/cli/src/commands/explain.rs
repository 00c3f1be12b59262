//! `mimeo explain`: every effective value of a spec, and where it was written. Needs no cluster.

use clap::Args;
use engine::Error;
use serde_json::json;

use crate::{args::Inputs, inputs, sources, ui::Ui, views};

/// Show every effective value of a spec, and where it comes from
///
/// A value comes from the first of these that has one: --set, the --values file, the spec, the specs it
/// extends, the default of the template. Secrets are shown as the references they are.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo explain qa                          all of them
  mimeo explain qa components.warehouse     those below one field
  mimeo explain qa --set days=7 -o json     for programs")]
pub struct ExplainArgs {
    /// Environment spec
    #[arg(value_name = "SPEC")]
    spec: String,
    /// Only what is below this field of the spec
    #[arg(value_name = "FIELD")]
    field: Option<String>,
    #[command(flatten)]
    inputs: Inputs,
}

pub async fn run(args: ExplainArgs, ui: &Ui) -> Result<u8, Error> {
    let commit = inputs::commit(&args.inputs.source).await?;
    inputs::say_dirty(ui, &commit);
    let request = inputs::request(commit.identity(), &args.inputs, &args.spec)?;
    let files = sources::opened(&request, &commit.files).await?;
    let read = sandbox::Sources { files, governor: None };
    let explained = inputs::explained(request, read, commit.mode(args.inputs.sandbox)).await?;
    let items: Vec<_> = explained
        .items
        .into_iter()
        .filter(|item| args.field.as_deref().is_none_or(|field| below(&item.name, field)))
        .collect();
    let all = json!({"env": explained.env, "files": explained.files, "items": items});
    ui.data(&ui.structured(&all).unwrap_or_else(|| views::explain::text(&items, ui.output)));
    Ok(0)
}

/// Whether a field is the one that is named, or below it.
fn below(name: &str, field: &str) -> bool {
    name.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
