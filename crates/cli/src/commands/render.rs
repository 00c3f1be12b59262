//! `mimeo render`: the manifests of one commit, as bytes.

use clap::Args;
use engine::Error;

use crate::{args::Inputs, inputs, ui::Ui};

/// Print the manifests of a spec at one commit
///
/// The output is a YAML stream in apply order, byte for byte the same on any machine. Generated
/// secrets are no part of it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo render qa                          at the current branch
  mimeo render qa --rev v1.4.0 --name v14  at a tag
  mimeo render qa --lock                   what the rendering was made from")]
pub struct RenderArgs {
    /// Environment spec
    #[arg(value_name = "SPEC")]
    spec: String,
    #[command(flatten)]
    inputs: Inputs,
    /// Print the lock instead: revision, template trees, values, images, digest of the manifests
    #[arg(long)]
    lock: bool,
}

pub async fn run(args: RenderArgs, ui: &Ui) -> Result<u8, Error> {
    let rendered = inputs::asked(&args.inputs, &args.spec).await?.render(ui).await?;
    if args.lock {
        let text = ui.structured(&rendered.lock).map_or_else(|| spec::yaml::to_yaml(&rendered.lock), Ok);
        ui.data(&text.map_err(|diagnostic| Error::from(*diagnostic))?);
        return Ok(0);
    }
    match ui.structured(&rendered.objects.iter().map(|object| &object.manifest).collect::<Vec<_>>()) {
        Some(text) => ui.data(&text),
        None => ui.data(&rendered.yaml_stream().map_err(|diagnostic| Error::from(*diagnostic))?),
    }
    Ok(0)
}
