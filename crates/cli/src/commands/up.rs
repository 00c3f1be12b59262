//! `mimeo up`: brings an environment to a commit.

use std::time::Duration;

use clap::Args;
use engine::{Error, plan_file::PlanFile, up};
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    args::{Global, Inputs, Output, Pinning},
    commands::{Stop, connecting},
    file, inputs,
    ui::Ui,
    views,
};

/// Bring an environment up, or to a new commit
///
/// Resolves the branch to one commit, renders it, shows what changes as it changes, copies data, waits
/// until every object is healthy and every gate passes. Safe to repeat: what is as it should be is
/// left alone, and a run that was cut short is finished.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo up qa                                the current branch
  mimeo up qa --rev feature/x --set days=30  another branch, another parameter
  mimeo up qa --dry-run                      only show the plan, as mimeo diff
  mimeo up --plan plan.json                  exactly the plan that was looked at
  mimeo up qa --fail-fast --timeout 5m       in CI: do not wait for trouble to mend itself")]
pub struct UpArgs {
    /// Environment spec
    #[arg(value_name = "SPEC", required_unless_present = "plan")]
    spec: Option<String>,
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    pinning: Pinning,
    /// Run a plan that `mimeo plan -o FILE` made, exactly as it is; refused when the world has moved
    #[arg(long, value_name = "FILE", conflicts_with_all = ["spec", "rev", "name", "repository", "path", "set", "values", "update_lock"])]
    plan: Option<std::path::PathBuf>,
    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How long to wait until everything is healthy
    #[arg(long, default_value = "15m", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
    /// Fail on the first sight of trouble instead of giving it time to mend itself
    #[arg(long)]
    fail_fast: bool,
    /// Approve what a plan destroys, by the digest that `mimeo diff` shows
    #[arg(long, value_name = "DIGEST")]
    approve: Option<String>,
}

/// `90s`, `5m`, `1h30m`: more than nothing, and no more than a week.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration =
        text.parse().map_err(|error| format!("{error}; write for instance 90s, 5m or 1h30m"))?;
    let duration = Duration::try_from(parsed).map_err(|_| "it must be more than nothing".to_owned())?;
    if duration.is_zero() || duration > Duration::from_secs(7 * 24 * 3600) {
        return Err("it must be more than nothing and at most a week".to_owned());
    }
    Ok(duration)
}

pub async fn run(args: UpArgs, global: &Global, ui: &Ui, stop: Stop) -> Result<u8, Error> {
    let given = jiff::Timestamp::now();
    let shown = args.plan.as_deref().map(read).transpose()?;
    let asked = match (&shown, &args.spec) {
        (Some(shown), _) => inputs::planned(args.inputs.source.repo.clone(), &shown.request).await?,
        (None, spec) => {
            inputs::asked(&args.inputs, &args.pinning, spec.as_deref().unwrap_or_default(), ui).await?
        }
    };
    let connecting = connecting(global, ui);
    let origin = asked.origin.clone();
    let rendered = asked.render(ui).await?;
    let session = connecting.await?.stopped_by(stop);
    if args.dry_run {
        let preview = engine::preview::sketch(&session, &rendered).await?;
        ui.clear();
        ui.data(&ui.structured(&views::plan::json(&preview)).unwrap_or_else(|| views::plan::text(&preview)));
        return preview.allowed().map(|_| 0);
    }
    let options = up::Options {
        timeout: args.timeout,
        fail_fast: args.fail_fast,
        approve: args.approve,
        origin,
        patience: up::PATIENCE,
        given,
        shown,
    };
    let report = up::up(&session, &rendered, &options, None).await?;
    ui.clear();
    show(&report, ui);
    Ok(0)
}

fn read(path: &std::path::Path) -> Result<PlanFile, Error> {
    let name = path.display().to_string();
    PlanFile::parse(&name, &file::read(path, file::LARGE)?)
}

/// What came of it, as it was asked for.
pub fn show(report: &up::Report, ui: &Ui) {
    if ui.output == Output::Name {
        return ui.data(&report.name);
    }
    let gates: Vec<_> =
        report.gates.iter().map(|(name, answer)| json!({"name": name, "answer": answer})).collect();
    let value = json!({
        "name": report.name, "namespace": report.namespace, "revision": report.revision,
        "expiresAt": report.expires_at, "components": report.components, "gates": gates,
    });
    if let Some(text) = ui.structured(&value) {
        return ui.data(&text);
    }
    ui.data(&views::environments::components(&report.components));
    for (name, answer) in &report.gates {
        let value = answer.get("value").and_then(serde_json::Value::as_str).unwrap_or_default();
        ui.say(&format!("{name}: passed ({value})"));
    }
    ui.say(&views::plan::done(&report.plan));
    if let Some(expires) = &report.expires_at {
        ui.say(&format!("stale after {expires}"));
    }
}
