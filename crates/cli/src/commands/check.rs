//! `mimeo check`: is what the repository says valid? Needs no cluster.

use check::Version;
use clap::Args;
use engine::{
    Error,
    compose::{Surroundings, compose},
};
use spec::{Diagnostic, Severity};

use crate::{
    args::{Inputs, Output},
    inputs::{self, Commit},
    sources,
    ui::Ui,
    views::findings::{self, Checked, Looked, State},
};

/// Stands for the branch where there is none, as in a checkout of CI: nothing that `check` says depends on it.
const NO_NAME: &str = "check";

/// Check specs and templates, offline
///
/// Renders every environment spec that no other extends, or the one that is named, and holds it against
/// the API of Kubernetes and against rules for what would be refused, would not work, or would get in the
/// way of other environments. Lists what is wrong: file, line, column at the commit, the cause, what to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo check                        every spec at the current branch
  mimeo check qa --rev feature/x     one spec at another branch
  mimeo check --kubernetes-version 1.34-1.36
                                     what each of these versions takes
  mimeo check -o github              in CI: annotations at the lines of the pull request; a detached
                                     HEAD needs no --name here
  mimeo check -o sarif >mimeo.sarif  for code scanning

Exit code: 2 when there is an error, 0 with warnings and notes alone.")]
pub struct CheckArgs {
    /// Environment spec
    #[arg(value_name = "SPEC")]
    spec: Option<String>,
    /// Version of Kubernetes, 1.33 to 1.36, or a range of them such as 1.34-1.36 (default: 1.36)
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<String>,
    #[command(flatten)]
    inputs: Inputs,
}

pub async fn run(args: CheckArgs, ui: &Ui) -> Result<u8, Error> {
    let mut checked = Checked::default();
    match look(args, ui, &mut checked).await {
        Ok(()) => {
            checked.found = findings::unique(std::mem::take(&mut checked.found));
            show(&checked, ui);
            Ok(if checked.count(Severity::Error) > 0 { 2 } else { 0 })
        }
        Err(error) => {
            // Whoever reads the findings of a program gets this one, too.
            if matches!(ui.output, Output::Json | Output::Yaml | Output::Sarif | Output::Github) {
                checked.found.extend(error.diagnostics());
                checked.found = findings::unique(std::mem::take(&mut checked.found));
                show(&checked, ui);
            }
            Err(error)
        }
    }
}

/// Looks at everything that is asked for; an error is what nothing can be checked behind.
async fn look(args: CheckArgs, ui: &Ui, checked: &mut Checked) -> Result<(), Error> {
    checked.versions = match &args.kubernetes_version {
        Some(text) => Version::range(text).map_err(|diagnostic| Error::from(*diagnostic))?,
        None => vec![Version::NEWEST],
    };
    let commit = inputs::commit_or(&args.inputs.source, NO_NAME).await?;
    checked.revision = Some(commit.resolved.revision.clone());
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
    if args.spec.is_none() {
        checked.found = inputs::templates(&args.inputs, &commit).await?;
    }
    let mut names = names.into_iter();
    for name in names.by_ref() {
        match one(&args, &commit, &name, checked).await {
            Ok(looked) => checked.specs.push(looked),
            Err(error) if error.diagnostics().iter().any(render::is_limit) => {
                checked.found.extend(error.diagnostics());
                checked.specs.push(Looked { name, objects: 0, state: State::Incomplete });
                break;
            }
            Err(error) => return Err(error),
        }
    }
    // What ran away may still be running here: nothing else is begun beside it.
    checked.specs.extend(names.map(|name| Looked { name, objects: 0, state: State::Unseen }));
    Ok(())
}

/// Looks at one spec.
async fn one(args: &CheckArgs, commit: &Commit, name: &str, checked: &mut Checked) -> Result<Looked, Error> {
    let request = inputs::request(commit.identity(), &args.inputs, name)?;
    let (files, not_here) = sources::at_hand(&request, &commit.files).await?;
    checked.found.extend(not_here);
    let read = sandbox::Sources { files, governor: None };
    let mode = commit.mode(args.inputs.sandbox);
    let (survey, findings) = inputs::checked(request, read, mode, checked.versions.clone()).await?;
    let objects = survey.rendered.as_ref().map_or(0, |rendered| rendered.objects.len());
    if let Some(rendered) = survey.rendered.as_ref().filter(|_| survey.complete) {
        // What `up` would refuse before its first request, `check` says too.
        let around = Surroundings { record_uid: "", subjects: Vec::new(), image: Some("") };
        checked.found.extend(compose(rendered, &around).err().into_iter().flatten());
    }
    checked.found.extend(survey.found);
    checked.found.extend(findings);
    let state = if survey.complete { State::Complete } else { State::Incomplete };
    Ok(Looked { name: name.to_owned(), objects, state })
}

fn show(checked: &Checked, ui: &Ui) {
    match ui.output {
        Output::Sarif => ui.data(&findings::sarif(checked)),
        Output::Github => ui.data(&findings::github(checked)),
        _ => match ui.structured(&findings::json(checked)) {
            Some(text) => ui.data(&text),
            None => {
                ui.warn(&checked.gravest_last());
                if ui.output != Output::Name {
                    ui.data(&findings::summary(checked));
                }
            }
        },
    }
}
