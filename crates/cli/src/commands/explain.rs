//! `mimeo explain`: every effective value of a spec, and where it was written. Needs no cluster.

use std::collections::BTreeSet;

use clap::Args;
use engine::Error;
use render::Setting;
use serde_json::json;
use spec::{Diagnostic, near};

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
    if let Some(field) = &args.field {
        known(field, &explained.items)?;
    }
    let items: Vec<_> = explained
        .items
        .into_iter()
        .filter(|item| args.field.as_deref().is_none_or(|field| below(&item.name, field)))
        .collect();
    let all = json!({"env": explained.env, "files": explained.files, "items": items});
    ui.data(&ui.structured(&all).unwrap_or_else(|| views::explain::text(&items, ui.output)));
    Ok(0)
}

/// What a spec may have, also where it has nothing of it.
const FIELDS: [&str; 11] = [
    "components",
    "data",
    "description",
    "extends",
    "gates",
    "lifecycle",
    "moved",
    "parameters",
    "policy",
    "secrets",
    "sources",
];

/// Refuses a field that is neither there nor one that this spec leaves out.
fn known(field: &str, items: &[Setting]) -> Result<(), Error> {
    let left_out = || {
        let Some((component, rest)) =
            field.strip_prefix("components.").and_then(|below| below.split_once('.'))
        else {
            return FIELDS.contains(&field);
        };
        let is_there = items.iter().any(|item| below(&item.name, &format!("components.{component}")));
        is_there && OF_COMPONENTS.contains(&rest)
    };
    if items.iter().any(|item| below(&item.name, field)) || left_out() {
        return Ok(());
    }
    let mut names: BTreeSet<&str> = FIELDS.into_iter().collect();
    let components = items.iter().filter_map(|item| item.name.strip_suffix(".template"));
    let theirs: Vec<String> =
        components.flat_map(|name| OF_COMPONENTS.map(|field| format!("{name}.{field}"))).collect();
    names.extend(theirs.iter().map(String::as_str));
    for item in items {
        let ends = item.name.match_indices(['.', '[']).map(|(at, _)| at).chain([item.name.len()]);
        names.extend(ends.map(|end| &item.name[..end]));
    }
    // Of a name with a slip in one step, the steps above tell more than all others.
    let above = field.rfind('.').map_or("", |at| &field[..=at]);
    let siblings: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_prefix(above))
        .filter(|rest| !rest.is_empty() && !rest.contains(['.', '[']))
        .collect();
    let help = match near::near(field, names.iter().copied())[..] {
        [] if !siblings.is_empty() => near::hint(&field[above.len()..], "field", siblings),
        _ => near::hint(field, "field", names.iter().copied()),
    };
    Err(Diagnostic::error("ARG016", format!("the spec has no field `{field}`")).help(help).into())
}

/// What a component may have.
const OF_COMPONENTS: [&str; 6] = ["adopt", "needs", "overrides", "values", "waitForImage", "wires"];

/// Whether a field is the one that is named, or below it.
fn below(name: &str, field: &str) -> bool {
    name.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
