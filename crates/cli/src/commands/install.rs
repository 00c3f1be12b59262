//! `mimeo install`: once per cluster, by an admin.

use clap::Args;
use cluster::install::Subject;
use engine::{Error, install};

use crate::{args::Global, commands::session, ui::Ui};

/// Install kinds, roles and admission policies (cluster admins)
///
/// Safe to repeat; brings an older installation up to date. Without --image the image of an earlier
/// installation stays.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo install --image registry.example.com/mimeo:0.1.0
  mimeo install --grant group:data-engineers --grant serviceaccount:ci/previews
  mimeo install --dry-run                  print what would be applied, as YAML")]
pub struct InstallArgs {
    /// Image of mimeo that the cluster can pull: data and gate Jobs run it
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Who may use mimeo: user:NAME, group:NAME or serviceaccount:NAMESPACE/NAME; may be repeated
    #[arg(long, value_name = "SUBJECT")]
    grant: Vec<Subject>,
    /// Print the manifests and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: InstallArgs, global: &Global, ui: &Ui) -> Result<u8, Error> {
    if args.dry_run {
        let manifests = cluster::install::manifests(args.image.as_deref(), &args.grant);
        if let Some(text) = ui.structured(&manifests) {
            ui.data(&text);
            return Ok(0);
        }
        for manifest in &manifests {
            let text = spec::yaml::to_yaml(manifest).map_err(|diagnostic| Error::from(*diagnostic))?;
            ui.data(&format!("---\n{text}"));
        }
        return Ok(0);
    }
    let session = session(global, ui).await?;
    ui.say(&format!("installing into {}", session.cluster.server()));
    let done = install::install(&session, args.image.as_deref(), &args.grant).await?;
    ui.clear();
    ui.data(&format!("installed: {done} objects"));
    if args.grant.is_empty() {
        ui.say("next: give people the right to use it, with `mimeo install --grant user:NAME`");
    }
    Ok(0)
}
