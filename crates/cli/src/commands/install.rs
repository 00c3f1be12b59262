//! `mimeo install`: once per cluster, by an admin.

use clap::Args;
use cluster::install::{Choices, Subject};
use engine::{Error, install};

use crate::{
    args::Global,
    commands::{session, up::duration},
    ui::Ui,
};

/// Install kinds, roles and admission policies (cluster admins)
///
/// Safe to repeat; brings an older installation up to date. Without --image the image of an earlier
/// installation stays.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo install --image registry.example.com/mimeo:0.1.0
  mimeo install --grant group:data-engineers --grant serviceaccount:ci/previews
  mimeo install --gc                       stale environments go, looked at every 15 minutes
  mimeo install --dry-run                  print what would be applied, as YAML")]
pub struct InstallArgs {
    /// Image of mimeo that the cluster can pull: data and gate Jobs run it
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Who may use mimeo: user:NAME, group:NAME or serviceaccount:NAMESPACE/NAME; may be repeated
    #[arg(long, value_name = "SUBJECT")]
    grant: Vec<Subject>,
    /// Set up the garbage collector: a CronJob that runs `mimeo gc`
    ///
    /// It asks the forge of the Secret mimeo-forge in mimeo-system (keys url and token), if there is one.
    #[arg(long)]
    gc: bool,
    /// When the garbage collector runs, as in cron (default: as it does, or every 15 minutes)
    #[arg(long, value_name = "CRON")]
    gc_schedule: Option<String>,
    /// How far apart two listings must be that both lack a branch, before it counts as gone (default: 5m)
    #[arg(long, value_name = "DURATION", value_parser = gap)]
    absence_gap: Option<String>,
    /// Print the manifests and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// A duration, kept as it was written.
fn gap(text: &str) -> Result<String, String> {
    duration(text).map(|_| text.to_owned())
}

pub async fn run(args: InstallArgs, global: &Global, ui: &Ui) -> Result<u8, Error> {
    let choices = Choices {
        image: args.image,
        grants: args.grant,
        absence_gap: args.absence_gap,
        gc: args.gc || args.gc_schedule.is_some(),
        gc_schedule: args.gc_schedule,
    };
    if args.dry_run {
        install::has_image(&choices)?;
        let manifests = cluster::install::manifests(&choices);
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
    let done = install::install(&session, &choices).await?;
    ui.clear();
    ui.data(&format!("installed: {done} objects"));
    if choices.grants.is_empty() {
        ui.say("next: give people the right to use it, with `mimeo install --grant user:NAME`");
    }
    Ok(0)
}
