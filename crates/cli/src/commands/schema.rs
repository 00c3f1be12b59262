//! `mimeo schema`: the JSON Schemas of the files. Needs no cluster and no repository.

use clap::Args;
use engine::Error;

use crate::ui::Ui;

/// Print the JSON Schema of specs, templates or contracts
///
/// For editors, by a first line such as
/// `# yaml-language-server: $schema=../schemas/EnvironmentSpec.json`, and for other programs. Without a kind
/// it is one schema for all of them, told apart by their `kind`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo schema EnvironmentSpec > schemas/EnvironmentSpec.json
  mimeo schema Template        > schemas/Template.json")]
pub struct SchemaArgs {
    /// EnvironmentSpec, Template or Contract
    #[arg(value_name = "KIND", value_parser = spec::schema::KINDS)]
    kind: Option<String>,
}

pub fn run(args: &SchemaArgs, ui: &Ui) -> Result<u8, Error> {
    let schema = args.kind.as_deref().and_then(spec::schema::of).unwrap_or_else(spec::schema::any);
    ui.data(&format!("{schema:#}"));
    Ok(0)
}
