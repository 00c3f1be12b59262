//! `mimeo check`: is what the repository says valid? Needs no cluster.

use std::sync::Arc;

use clap::Args;
use engine::{
    Error,
    compose::{Surroundings, compose},
};
use serde_json::json;
use spec::{Diagnostic, Severity};

use crate::{
    args::{Inputs, Output},
    inputs,
    ui::Ui,
};

/// Check specs and templates, offline
///
/// Renders every environment spec that no other extends, or the one that is named, and lists what is
/// wrong: file, line, column at the commit, the cause, what to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo check                        every spec at the current branch
  mimeo check qa --rev feature/x     one spec at another branch
  mimeo check -o json                for programs")]
pub struct CheckArgs {
    /// Environment spec
    #[arg(value_name = "SPEC")]
    spec: Option<String>,
    #[command(flatten)]
    inputs: Inputs,
}

pub async fn run(args: CheckArgs, ui: &Ui) -> Result<u8, Error> {
    let commit = inputs::commit(&args.inputs.source).await?;
    inputs::say_dirty(ui, &commit);
    let names = match &args.spec {
        Some(name) => vec![name.clone()],
        None => render::leaf_specs(args.inputs.path.trim_matches('/'), commit.files.as_ref())
            .map_err(|diagnostic| Error::from(*diagnostic))?,
    };
    if names.is_empty() {
        return Err(Diagnostic::error("SPC001", "the repository has no environment spec at this commit")
            .help("Write environments/NAME.yaml and commit it")
            .into());
    }
    let mut found: Vec<Diagnostic> = Vec::new();
    let mut checked = Vec::new();
    for name in names {
        let request = inputs::request(commit.identity(), &args.inputs, &name)?;
        let files = Arc::clone(&commit.files);
        let outcome = inputs::rendering(request, files, None).await?;
        match outcome {
            Ok((rendered, warnings)) => {
                // What `up` would refuse before its first request, `check` says too.
                let around = Surroundings { record_uid: "", subjects: Vec::new(), image: Some("") };
                found.extend(compose(&rendered, &around).err().into_iter().flatten());
                checked.push(format!("{name}: {} objects", rendered.objects.len()));
                found.extend(warnings);
            }
            Err(errors) => found.extend(errors),
        }
    }
    // Two specs that share a template find the same fault twice.
    let mut unique: Vec<Diagnostic> = Vec::new();
    for diagnostic in found {
        if !unique.contains(&diagnostic) {
            unique.push(diagnostic);
        }
    }
    let errors = unique.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    match ui.structured(&json!({"items": unique})) {
        Some(text) => ui.data(&text),
        None => {
            ui.warn(&unique);
            if ui.output != Output::Name {
                let warnings = unique.len() - errors;
                let summary = format!("{}\n{errors} errors, {warnings} warnings", checked.join("\n"));
                ui.data(summary.trim_start());
            }
        }
    }
    Ok(if errors > 0 { 2 } else { 0 })
}
