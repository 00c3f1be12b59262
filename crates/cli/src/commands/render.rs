//! `mimeo render`: the manifests of one commit, as bytes.

use std::path::PathBuf;

use clap::Args;
use engine::Error;
use spec::Diagnostic;

use crate::{
    args::{Inputs, Pinning},
    inputs, relock,
    ui::Ui,
};

/// Print the manifests of a spec at one commit
///
/// The output is a YAML stream in apply order, byte for byte the same on any machine. Generated
/// secrets are no part of it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo render qa                          at the current branch
  mimeo render qa --rev v1.4.0 --name v14  at a tag
  mimeo render qa --lock >qa.lock          what the rendering was made from
  mimeo render --lock qa.lock              the same bytes again, on any machine")]
pub struct RenderArgs {
    /// Environment spec
    #[arg(value_name = "SPEC", required_unless_present = "lock")]
    spec: Option<String>,
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    pinning: Pinning,
    /// Print the lock instead: commits, template trees, values, images, digest of the manifests. With FILE,
    /// render what that lock says; commit, parameters and images are those of the lock
    #[arg(long, value_name = "FILE")]
    lock: Option<Option<PathBuf>>,
}

pub async fn run(args: RenderArgs, ui: &Ui) -> Result<u8, Error> {
    let rendered = match (&args.lock, &args.spec) {
        (Some(Some(path)), _) => {
            refuse_inputs(&args)?;
            relock::render(args.inputs.source.repo.clone(), relock::read(path)?, ui).await?
        }
        (_, Some(spec)) => inputs::asked(&args.inputs, &args.pinning, spec, ui).await?.render(ui).await?,
        (_, None) => {
            let finding =
                Diagnostic::error("ARG014", "`--lock` without a file needs a spec whose lock is printed");
            return Err(finding.help("Write `mimeo render SPEC --lock`").into());
        }
    };
    if let Some(None) = args.lock {
        let text = ui.structured(&rendered.lock).map_or_else(|| spec::yaml::to_yaml(&rendered.lock), Ok);
        ui.data(&text.map_err(|diagnostic| Error::from(*diagnostic))?);
        return Ok(0);
    }
    match ui.structured(&rendered.objects.iter().map(|object| &object.manifest).collect::<Vec<_>>()) {
        Some(text) => ui.data(&text),
        None => ui.data(&rendered.yaml_stream().map_err(|diagnostic| Error::from(*diagnostic))?),
    }
    // The process ends: freeing thousands of objects one by one would be a tenth of its time.
    std::mem::forget(rendered);
    Ok(0)
}

/// A lock says everything but where the repository is. An image map may come from the environment: it is not used.
fn refuse_inputs(args: &RenderArgs) -> Result<(), Error> {
    let source = &args.inputs.source;
    let given = [
        ("SPEC", args.spec.is_some()),
        ("--rev", source.rev.is_some()),
        ("--name", source.name.is_some()),
        ("--repository", source.repository.is_some()),
        ("--path", !args.inputs.path.is_empty()),
        ("--set", !args.inputs.set.is_empty()),
        ("--values", args.inputs.values.is_some()),
        ("--update-lock", args.pinning.update_lock),
    ];
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((name, _)) => {
            let finding = Diagnostic::error("ARG014", format!("{name} and a lock: the lock says it already"));
            Err(finding.help("Leave it out; only --repo goes with `--lock FILE`").into())
        }
    }
}
