//! From the command line to a rendering: open, resolve, read, render.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use engine::Error;
use render::{Rendered, Request};
use source::{Repository, Resolved};
use spec::{Diagnostic, Files};

use crate::{
    args::{Inputs, Source},
    ui::Ui,
    views::plain,
};

/// One commit of one repository, ready to be rendered.
pub struct Commit {
    /// Identity of the repository.
    pub repository: String,
    /// What was resolved, and to what.
    pub resolved: Resolved,
    /// Its files.
    pub files: Arc<dyn Files>,
}

/// Opens the repository and resolves the revision: once, here, and never again.
pub async fn commit(source: &Source) -> Result<Commit, Error> {
    let source = source.clone();
    blocking(move || {
        let failed = |error: source::Error| Error::from(error.diagnostic());
        let repository = Repository::open(source.repo.as_deref(), &cache_dir()).map_err(failed)?;
        let resolved = repository.resolve(source.rev.as_deref(), source.name.as_deref()).map_err(failed)?;
        let identity = repository.identity(source.repository.as_deref()).map_err(failed)?;
        let files: Arc<dyn Files> = Arc::new(repository.tree(&resolved.revision).map_err(failed)?);
        Ok(Commit { repository: identity, resolved, files })
    })
    .await
}

/// What rendering is asked for, besides the spec's name.
pub fn request(commit: &Commit, inputs: &Inputs, spec: &str) -> Result<Request, Error> {
    let set = inputs
        .set
        .iter()
        .map(|text| spec::parameter::split_set(text))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|diagnostic| Error::from(*diagnostic))?;
    let values = inputs.values.as_ref().map(read_yaml).transpose()?;
    let image_map = match inputs.image_map.as_ref().map(read_yaml).transpose()? {
        None => BTreeMap::new(),
        Some(value) => serde_json::from_value(value).map_err(|_| {
            Diagnostic::error("ARG002", "the image map is no map of image to image")
                .help("Write one `image: other-image` per line")
        })?,
    };
    Ok(Request {
        spec: spec.to_owned(),
        root: inputs.path.trim_matches('/').to_owned(),
        repository: commit.repository.clone(),
        ref_name: commit.resolved.ref_name.clone(),
        revision: commit.resolved.revision.clone(),
        set,
        values,
        image_map,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Renders one spec, and says what a person should know about it.
pub async fn rendered(ui: &Ui, inputs: &Inputs, spec: &str) -> Result<Rendered, Error> {
    let commit = commit(&inputs.source).await?;
    let request = request(&commit, inputs, spec)?;
    let short = commit.resolved.revision.get(..12).unwrap_or(&commit.resolved.revision);
    let (reference, summary) = (plain(&commit.resolved.ref_name), plain(&commit.resolved.summary));
    ui.say(&format!("{spec} at {reference} ({short} {summary})"));
    say_dirty(ui, &commit);
    let files = Arc::clone(&commit.files);
    let (rendered, warnings) = rendering(request, files).await?.map_err(Error::Found)?;
    ui.warn(&warnings);
    Ok(rendered)
}

/// What is not committed is not read, and somebody who has just edited it should know.
pub fn say_dirty(ui: &Ui, commit: &Commit) {
    if commit.resolved.dirty {
        ui.say("note: the work tree has changes that are not committed; they are ignored");
    }
}

/// Identity of the repository alone: enough to name the environment of a branch that is gone.
pub async fn repository(source: &Source) -> Result<String, Error> {
    let source = source.clone();
    blocking(move || {
        let failed = |error: source::Error| Error::from(error.diagnostic());
        let repository = Repository::open(source.repo.as_deref(), &cache_dir()).map_err(failed)?;
        repository.identity(source.repository.as_deref()).map_err(failed)
    })
    .await
}

/// Longest time a rendering may take. A real one takes milliseconds; a template can loop for hours.
const RENDER_DEADLINE: Duration = Duration::from_secs(20);

/// Renders off the async threads, within the deadline.
pub async fn rendering(request: Request, files: Arc<dyn Files>) -> Result<Outcome, Error> {
    let spec = request.spec.clone();
    let work = blocking(move || Ok(render::render(&request, &files)));
    match tokio::time::timeout(RENDER_DEADLINE, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Diagnostic::error("TPL003", "rendering takes longer than 20 s")
            .on(format!("environments/{spec}.yaml"))
            .help("Look for loops in the templates of its components")
            .into()),
    }
}

type Outcome = Result<(Rendered, Vec<Diagnostic>), Vec<Diagnostic>>;

/// Runs blocking work off the async threads.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Diagnostic::error("BUG001", format!("a worker stopped: {error}"))
            .help("Please report this with the command you ran")
            .into()),
    }
}

/// Cached copies of remote repositories.
fn cache_dir() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    base.or(home).unwrap_or_else(std::env::temp_dir).join("mimeo").join("git")
}

fn read_yaml(path: &PathBuf) -> Result<serde_json::Value, Error> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Diagnostic::error("ARG001", format!("cannot read the file: {error}"))
            .on(shown.clone())
            .help("Check the path")
    })?;
    let node = spec::yaml::parse(&shown, &text).map_err(|diagnostic| Error::from(*diagnostic))?;
    Ok(node.to_value())
}
