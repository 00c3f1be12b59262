//! `mimeo lock`: pins the sources of a spec. Needs no cluster.

use clap::Args;
use engine::Error;
use render::Pins;
use serde_json::json;
use spec::lock_file;

use crate::{
    args::{Inputs, Source},
    inputs,
    sources::{self, LockFile, Written},
    ui::Ui,
};

/// Pin the sources of a spec to commits
///
/// Asks every repository under `sources` which commit its ref is now, and writes the commits to
/// environments/SPEC.lock.yaml of the work tree. Commit that file with the spec: every other command reads
/// the sources at the commits in it, and nowhere else. The spec is read from the commit.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo lock qa                    write environments/qa.lock.yaml
  mimeo lock qa --check            in CI: exit code 1 when a ref has moved or the file is another one
  mimeo lock qa --repo URL         without a work tree the file is printed

Exit code: 1 with --check when the file would change.")]
pub struct LockArgs {
    /// Environment spec
    #[arg(value_name = "SPEC")]
    spec: String,
    #[command(flatten)]
    source: Source,
    /// Folder of the repository that holds environments/ and templates/
    #[arg(long, value_name = "DIR", default_value = "")]
    path: String,
    /// Write nothing; exit code 1 when the file at the commit is not what would be written
    #[arg(long)]
    check: bool,
}

pub async fn run(args: LockArgs, ui: &Ui) -> Result<u8, Error> {
    let inputs = Inputs {
        source: args.source,
        path: args.path,
        set: Vec::new(),
        values: None,
        image_map: None,
        sandbox: false,
    };
    let commit = inputs::commit(&inputs.source).await?;
    inputs::say_dirty(ui, &commit);
    let request = inputs::request(commit.identity(), &inputs, &args.spec)?;
    let known = pinned(&commit, &request);
    let pins = sources::newest(&request, &commit.files).await?;
    let file = LockFile::new(&request, &pins)?;
    let committed = commit.files.read(&file.path).map_err(|finding| Error::from(*finding))?;
    let changed = committed.as_deref() != file.text.as_deref().map(str::as_bytes);
    let value = json!({"spec": args.spec, "file": file.path, "changed": changed, "sources": pins});
    let shown = ui.structured(&value).unwrap_or_else(|| table(&known, &pins));
    if args.check {
        ui.data(&shown);
        if changed {
            ui.say(&format!(
                "{} would change: run `mimeo lock {}` and commit the file",
                file.path, args.spec
            ));
        }
        return Ok(u8::from(changed));
    }
    match file.write(&commit)? {
        Written::Nowhere if ui.structured(&value).is_none() => {
            ui.say(&format!("note: no work tree is at this commit: this is {}", file.path));
            ui.data(file.text.as_deref().unwrap_or_default());
            return Ok(0);
        }
        Written::Nowhere => {}
        Written::Same => ui.say(&format!("{} is as it should be", file.path)),
        Written::Changed(path) if file.text.is_none() => ui.say(&format!("{} is removed", path.display())),
        Written::Changed(path) => ui.say(&format!("{} is written, to be committed", path.display())),
    }
    ui.data(&shown);
    Ok(0)
}

/// The pins at the commit, as far as they are of the spec.
fn pinned(commit: &inputs::Commit, request: &render::Request) -> Pins {
    let sources = render::sources(request, &*commit.files, None).unwrap_or_default();
    sources.into_iter().filter_map(|source| Some((source.name, source.pin.ok()?))).collect()
}

/// One line for each source: its ref, its commit, and the commit before.
fn table(known: &Pins, pins: &Pins) -> String {
    let short = |revision: &str| revision.get(..12).unwrap_or(revision).to_owned();
    let line = |(name, pin): (&String, &lock_file::Pin)| {
        let now = short(&pin.revision);
        match known.get(name).map(|pin| short(&pin.revision)) {
            Some(before) if before != now => format!("{name}: {} {before} → {now}\n", pin.r#ref),
            _ => format!("{name}: {} {now}\n", pin.r#ref),
        }
    };
    if pins.is_empty() { "the spec has no sources\n".to_owned() } else { pins.iter().map(line).collect() }
}
