//! `mimeo plan`: what `up` would do, kept as a file that `up` runs as it is.

use clap::Args;
use engine::{
    Error,
    plan_file::{PlanFile, PlanRequest},
    up,
};
use render::Request;
use spec::{Category, Diagnostic};

use crate::{
    args::{Global, Inputs, Pinning},
    commands::connecting,
    inputs,
    ui::Ui,
    views,
};

/// Make a plan and keep it: `up --plan FILE` runs exactly that, or nothing
///
/// Shows the same as `diff`. With `-o FILE.json` the plan is written to a file that can be reviewed and run
/// later; if the commit, the environment or one of its objects is another one by then, it is refused.
/// Values of Secrets are not in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo plan qa -o plan.json      look at it, then: mimeo up --plan plan.json
  mimeo plan qa -o json           on standard output")]
pub struct PlanArgs {
    /// Environment spec
    #[arg(value_name = "SPEC")]
    spec: String,
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    pinning: Pinning,
}

pub async fn run(args: PlanArgs, global: &Global, ui: &Ui) -> Result<u8, Error> {
    let asked = inputs::asked(&args.inputs, &args.pinning, &args.spec, ui).await?;
    let connecting = connecting(global, ui);
    let mut kept = kept(&asked.request, &asked.origin);
    let rendered = asked.render(ui).await?;
    kept.sources.clone_from(&rendered.lock.sources);
    let session = connecting.await?;
    let preview = engine::preview::sketch(&session, &rendered).await?;
    ui.clear();
    if !preview.refused.is_empty() {
        // What nobody may run is shown, and not kept.
        ui.data(&ui.structured(&views::plan::json(&preview)).unwrap_or_else(|| views::plan::text(&preview)));
    }
    let preview = preview.allowed()?;
    let file = PlanFile::new(kept, up::lock(&rendered), &preview);
    if let Some(path) = &global.output.file {
        let text = serde_json::to_string_pretty(&file).unwrap_or_default();
        write(path, &text)?;
        ui.data(&views::plan::text(&preview));
        ui.say(&format!("next: mimeo up --plan {}", path.display()));
        return Ok(0);
    }
    ui.data(&ui.structured(&file).unwrap_or_else(|| views::plan::text(&preview)));
    Ok(0)
}

fn kept(request: &Request, origin: &up::Origin) -> PlanRequest {
    PlanRequest {
        spec: request.spec.clone(),
        path: request.root.clone(),
        repository: request.repository.clone(),
        r#ref: request.ref_name.clone(),
        ref_kind: origin.ref_kind,
        revision: request.revision.clone(),
        set: request.set.clone(),
        values: request.values.as_ref().map(spec::Node::to_value),
        image_map: request.image_map.clone(),
        sources: render::Pins::new(),
    }
}

/// At once or not at all: somebody may run the file while it is written.
fn write(path: &std::path::Path, text: &str) -> Result<(), Error> {
    let new = path.with_extension("new");
    let written = std::fs::write(&new, format!("{text}\n")).and_then(|()| std::fs::rename(&new, path));
    written.map_err(|error| {
        Diagnostic::new("ARG006", Category::Usage, format!("cannot write the file: {error}"))
            .on(path.display().to_string())
            .help("Check the folder")
            .into()
    })
}
