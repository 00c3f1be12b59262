//! `mimeo init`: a repository to begin with. Needs no cluster.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::Args;
use engine::Error;
use spec::Diagnostic;

use crate::{
    file, inputs,
    starter::{self, File},
    ui::Ui,
};

/// Write a starter repository: one environment with a PostgreSQL and a Job
///
/// Works in a new folder, which becomes a git repository, and in one that is already part of one. Nothing is
/// overwritten and nothing is committed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo init environments-of-mine       a new repository
  mimeo init --ci github                in the current one, with a job for pull requests")]
pub struct InitArgs {
    /// Folder that is to hold environments/ and templates/
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Add a ready-made job for this forge's CI, at the root of the repository; may be repeated
    #[arg(long, value_name = "FORGE", value_parser = starter::JOBS.map(|(forge, _, _)| forge))]
    ci: Vec<String>,
    /// Overwrite files that are in the way
    #[arg(long)]
    force: bool,
}

pub async fn run(args: InitArgs, ui: &Ui) -> Result<u8, Error> {
    let dir = args.dir.clone();
    let (below, made) = inputs::blocking(move || {
        std::fs::create_dir_all(&dir).map_err(|error| unwritable(&dir, &error))?;
        source::init(&dir).map_err(|error| Error::from(error.diagnostic()))
    })
    .await?;
    let mut files = starter::files(&below);
    let forges: BTreeSet<&str> = args.ci.iter().map(String::as_str).collect();
    files.extend(forges.into_iter().filter_map(|forge| starter::job(forge, &below)));
    if !args.force {
        nothing_in_the_way(&args.dir, &files)?;
    }
    for (path, text) in &files {
        let path = args.dir.join(path);
        let folder = path.parent().unwrap_or(&args.dir);
        std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        std::fs::write(&path, text).map_err(|error| unwritable(&path, &error))?;
    }
    ui.data(&files.iter().map(|(path, _)| format!("{path}\n")).collect::<String>());
    if made {
        ui.say(&format!("{} is a git repository now", args.dir.display()));
    }
    let option = if below.is_empty() { String::new() } else { format!(" --path {below}") };
    ui.say("next: commit the files, they are read from the commit; then:");
    ui.say(&format!("  mimeo check{option}\n  mimeo up qa{option}"));
    Ok(0)
}

/// All files that would be overwritten, in one finding; files that are the same already are in nobody's way.
fn nothing_in_the_way(dir: &Path, files: &[File]) -> Result<(), Error> {
    let differs = |(path, text): &&File| {
        let path = dir.join(path);
        path.symlink_metadata().is_ok() && file::read(&path, file::TEXT).ok().as_ref() != Some(text)
    };
    let there: Vec<&str> = files.iter().filter(differs).map(|(path, _)| path.as_str()).collect();
    if there.is_empty() {
        return Ok(());
    }
    let cause = match there.len() {
        1 => "a file is in the way".to_owned(),
        more => format!("{more} files are in the way"),
    };
    let mut finding = Diagnostic::error("ARG012", cause)
        .on(dir.display().to_string())
        .help("Choose another folder, move them, or overwrite them with --force");
    finding.detail = there.into_iter().map(str::to_owned).collect();
    Err(finding.into())
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Diagnostic::error("ARG013", format!("cannot write: {error}"))
        .on(path.display().to_string())
        .help("Check the folder and its permissions")
        .into()
}
