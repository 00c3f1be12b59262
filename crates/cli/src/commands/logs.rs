//! `mimeo logs`: what the pods of an environment say.

use std::collections::BTreeSet;

use clap::Args;
use engine::{Error, logs};
use spec::Diagnostic;

use crate::{
    args::{Global, Source},
    commands::session,
    select,
    ui::Ui,
    views,
};

/// Print the logs of an environment's pods
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo logs qa                     every pod, each line with component and container in front
  mimeo logs qa transform --tail 50 one component
  mimeo logs qa warehouse -f        follow until interrupted")]
pub struct LogsArgs {
    /// Name or id of the environment, or its spec
    #[arg(value_name = "ENV|SPEC")]
    environment: String,
    /// Only this component
    #[arg(value_name = "COMPONENT")]
    component: Option<String>,
    #[command(flatten)]
    source: Source,
    /// Only the last lines of each container
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    /// Follow until the containers end, or Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

pub async fn run(args: LogsArgs, global: &Global, ui: &Ui) -> Result<u8, Error> {
    let session = session(global, ui).await?;
    let record = select::environment(&session, &args.environment, &args.source).await?;
    let stored = session.records.inventory(&record).await?;
    let mut containers = logs::containers(&session, &record, &stored).await?;
    if let Some(component) = &args.component {
        let known: BTreeSet<String> = stored
            .inventory
            .entries
            .iter()
            .map(|entry| entry.component.clone())
            .filter(|name| name != engine::compose::ENVIRONMENT)
            .collect();
        if !known.contains(component) {
            return Err(Diagnostic::error("ENV017", "the environment has no such component")
                .on(component.clone())
                .help(spec::near::hint(component, "component", known.iter().map(String::as_str)))
                .into());
        }
        containers.retain(|container| container.component == *component);
    }
    let show = |from: &logs::Container, line: &str| {
        ui.data(&format!("{}/{}: {}", from.component, from.container, views::plain(line)));
    };
    logs::print(&session, &containers, args.tail, args.follow, &show).await?;
    Ok(0)
}
