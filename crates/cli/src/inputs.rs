//! From the command line to a rendering: open, resolve, read, render.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use cluster::RefKind;
use engine::{Error, plan_file::PlanRequest, up::Origin};
use render::{Governor, Rendered, Request, Survey};
use source::{Repository, Resolved};
use spec::{Diagnostic, Files, Node, Spot};

use crate::{
    args::{Inputs, Pinning, Source},
    sources,
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
    /// Network URL of the repository, without credentials.
    pub remote: Option<String>,
    /// The work tree, when it is at this commit.
    pub work_tree: Option<PathBuf>,
}

impl Commit {
    /// Repository, ref name and revision.
    pub fn identity(&self) -> (String, String, String) {
        (self.repository.clone(), self.resolved.ref_name.clone(), self.resolved.revision.clone())
    }
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
        let (remote, work_tree) = (repository.remote_url(), repository.work_tree_at(&resolved.revision));
        Ok(Commit { repository: identity, resolved, files, remote, work_tree })
    })
    .await
}

/// What rendering is asked for, besides the spec's name.
///
/// The first argument is repository, ref name and revision.
pub fn request(
    (repository, ref_name, revision): (String, String, String),
    inputs: &Inputs,
    spec: &str,
) -> Result<Request, Error> {
    let set = inputs
        .set
        .iter()
        .map(|text| spec::parameter::split_set(text))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|diagnostic| Error::from(*diagnostic))?;
    let values = inputs.values.as_ref().map(read_yaml).transpose()?;
    let image_map = match inputs.image_map.as_ref().map(read_yaml).transpose()? {
        None => BTreeMap::new(),
        Some(map) => serde_json::from_value(map.to_value()).map_err(|_| {
            Diagnostic::error("ARG002", "the image map is no map of image to image")
                .help("Write one `image: other-image` per line")
        })?,
    };
    Ok(Request {
        spec: spec.to_owned(),
        root: inputs.path.trim_matches('/').to_owned(),
        repository,
        ref_name,
        revision,
        set,
        values,
        image_map,
        pins: None,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// What is to be rendered, and of which commit.
pub struct Asked {
    /// What is asked of the renderer.
    pub request: Request,
    /// The commit it reads.
    pub commit: Commit,
    /// Where the commit comes from.
    pub origin: Origin,
}

impl Asked {
    /// Renders it, and says what a person should know about it.
    pub async fn render(self, ui: &Ui) -> Result<Rendered, Error> {
        render(ui, self.request, &self.commit).await
    }
}

/// Finds the commit of one spec, and those of its sources.
pub async fn asked(inputs: &Inputs, pinning: &Pinning, spec: &str, ui: &Ui) -> Result<Asked, Error> {
    let mut commit = commit(&inputs.source).await?;
    let mut request = request(commit.identity(), inputs, spec)?;
    if pinning.update_lock {
        request.pins = Some(sources::update(&request, &commit, ui).await?);
    }
    commit.files = sources::opened(&request, &commit.files).await?;
    Ok(Asked { request, origin: origin(&commit), commit })
}

/// Renders what was asked for.
pub async fn render(ui: &Ui, request: Request, commit: &Commit) -> Result<Rendered, Error> {
    let short = commit.resolved.revision.get(..12).unwrap_or(&commit.resolved.revision);
    let (reference, summary) = (plain(&commit.resolved.ref_name), plain(&commit.resolved.summary));
    ui.say(&format!("{} at {reference} ({short} {summary})", request.spec));
    say_dirty(ui, commit);
    let files = Arc::clone(&commit.files);
    let (rendered, warnings) = rendering(request, files, None).await?.map_err(Error::Found)?;
    for (name, pin) in &rendered.lock.sources {
        let short = pin.revision.get(..12).unwrap_or(&pin.revision);
        ui.say(&format!("source {name} at {} ({short})", plain(&pin.r#ref)));
    }
    ui.warn(&warnings);
    Ok(rendered)
}

/// Finds what a plan was made of, again.
pub async fn planned(repo: Option<String>, plan: &PlanRequest) -> Result<Asked, Error> {
    let source = Source {
        repo,
        rev: Some(plan.revision.clone()),
        name: Some(plan.r#ref.clone()),
        repository: Some(plan.repository.clone()),
    };
    let mut commit = commit(&source).await?;
    let request = Request {
        spec: plan.spec.clone(),
        root: plan.path.clone(),
        repository: plan.repository.clone(),
        ref_name: plan.r#ref.clone(),
        revision: plan.revision.clone(),
        set: plan.set.clone(),
        values: plan.values.as_ref().map(|values| Node::from_value(values, &Spot::default())),
        image_map: plan.image_map.clone(),
        pins: (!plan.sources.is_empty()).then(|| plan.sources.clone()),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    commit.files = sources::opened(&request, &commit.files).await?;
    let origin = Origin { ref_kind: plan.ref_kind, ..origin(&commit) };
    Ok(Asked { request, commit, origin })
}

/// What the garbage collector needs to look at the commit's ref again.
pub fn origin(commit: &Commit) -> Origin {
    let ref_kind = match commit.resolved.ref_kind {
        source::RefKind::Branch => RefKind::Branch,
        source::RefKind::Tag => RefKind::Tag,
        source::RefKind::Name => RefKind::Name,
    };
    Origin { ref_kind: Some(ref_kind), remote: commit.remote.clone(), forge: None }
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
pub async fn rendering(
    request: Request,
    files: Arc<dyn Files>,
    governor: Option<Governor>,
) -> Result<Outcome, Error> {
    let spec = request.spec.clone();
    let work = blocking(move || {
        Ok(match governor {
            Some(governor) => render::render_governed(&request, &files, &governor),
            None => render::render(&request, &files),
        })
    });
    match tokio::time::timeout(RENDER_DEADLINE, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(too_long(&spec)),
    }
}

/// Looks at everything one spec makes, as far as its mistakes allow, for versions of Kubernetes.
pub async fn checked(
    request: Request,
    files: Arc<dyn Files>,
    versions: Vec<check::Version>,
) -> Result<(Survey, Vec<Diagnostic>), Error> {
    let spec = request.spec.clone();
    let work = blocking(move || {
        let survey = render::survey(&request, &files);
        let other = Request { ref_name: "the/other-branch".to_owned(), ..request };
        let twin = survey.complete.then(|| render::render(&other, &files).ok()).flatten();
        let found = survey.rendered.as_ref().map(|rendered| {
            let twin = twin.as_ref().map(|(twin, _)| twin);
            let complete = survey.complete;
            check::check(&check::Question { rendered, complete, twin, versions: &versions })
        });
        Ok((survey, found.unwrap_or_default()))
    });
    match tokio::time::timeout(RENDER_DEADLINE, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(too_long(&spec)),
    }
}

/// What is wrong with the templates of a commit by themselves.
pub async fn templates(inputs: &Inputs, commit: &Commit) -> Result<Vec<Diagnostic>, Error> {
    let (root, files) = (inputs.path.trim_matches('/').to_owned(), Arc::clone(&commit.files));
    blocking(move || Ok(render::templates(&root, &files))).await
}

fn too_long(spec: &str) -> Error {
    Diagnostic::error("TPL003", "rendering takes longer than 20 s")
        .on(format!("environments/{spec}.yaml"))
        .help("Look for loops in the templates of its components")
        .into()
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
pub fn cache_dir() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    base.or(home).unwrap_or_else(std::env::temp_dir).join("mimeo").join("git")
}

pub fn read_yaml(path: &PathBuf) -> Result<Node, Error> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Diagnostic::error("ARG001", format!("cannot read the file: {error}"))
            .on(shown.clone())
            .help("Check the path")
    })?;
    spec::yaml::parse(&shown, &text).map_err(|diagnostic| Error::from(*diagnostic))
}
