//! From the command line to a rendering: open, resolve, read, render.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use cluster::RefKind;
use engine::{Error, plan_file::PlanRequest, up::Origin};
use render::{Explained, Rendered, Request, Survey};
use sandbox::{Answer, Mode, Sources, Task};
use source::{Network, Repository, Resolved};
use spec::{Diagnostic, Files, Node, Spot};

use crate::{
    args::{Inputs, Pinning, Source},
    file, sources,
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
    /// Where it is rendered: apart when that is asked for, or when nothing says who wrote it.
    pub fn mode(&self, sandbox: bool) -> Mode {
        if sandbox || !self.resolved.of_branch { Mode::apart() } else { Mode::Here }
    }

    /// Its files alone.
    pub fn sources(&self) -> Sources {
        Sources { files: Arc::clone(&self.files), governor: None }
    }

    /// Repository, ref name and revision.
    pub fn identity(&self) -> (String, String, String) {
        (self.repository.clone(), self.resolved.ref_name.clone(), self.resolved.revision.clone())
    }
}

/// The repository. A commit that is here is what it is: nobody has to be asked for it.
fn open(source: &Source) -> source::Result<Repository> {
    if let (Some(repo), Some(rev)) = (&source.repo, &source.rev)
        && rev.len() == 40
        && rev.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        match Repository::pinned(repo, rev, &cache_dir(), Network::With(None)) {
            Err(source::Error::Vanished { .. }) => {}
            pinned => return pinned,
        }
    }
    Repository::open(source.repo.as_deref(), &cache_dir())
}

/// Opens the repository and resolves the revision: once, here, and never again.
pub async fn commit(source: &Source) -> Result<Commit, Error> {
    found(source, None).await
}

/// The same with a name for a commit that nothing names: for what does not depend on the name.
pub async fn commit_or(source: &Source, name: &'static str) -> Result<Commit, Error> {
    found(source, Some(name)).await
}

async fn found(source: &Source, neutral: Option<&'static str>) -> Result<Commit, Error> {
    let source = source.clone();
    blocking(move || {
        let failed = |error: source::Error| Error::from(error.diagnostic());
        let repository = open(&source).map_err(failed)?;
        let resolved = match (repository.resolve(source.rev.as_deref(), source.name.as_deref()), neutral) {
            (Err(source::Error::NoName { .. }), Some(name)) => {
                repository.resolve(source.rev.as_deref(), Some(name))
            }
            (resolved, _) => resolved,
        };
        let resolved = resolved.map_err(failed)?;
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
    let values = inputs.values.as_deref().map(read_yaml).transpose()?;
    let image_map = match inputs.image_map.as_deref().map(read_yaml).transpose()? {
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
    /// Where it is rendered.
    mode: Mode,
}

impl Asked {
    /// Renders it, and says what a person should know about it.
    pub async fn render(self, ui: &Ui) -> Result<Rendered, Error> {
        render(ui, self.request, &self.commit, self.mode).await
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
    let mode = commit.mode(inputs.sandbox);
    Ok(Asked { request, origin: origin(&commit), commit, mode })
}

/// Renders what was asked for.
async fn render(ui: &Ui, request: Request, commit: &Commit, mode: Mode) -> Result<Rendered, Error> {
    let short = commit.resolved.revision.get(..12).unwrap_or(&commit.resolved.revision);
    let (reference, summary) = (plain(&commit.resolved.ref_name), plain(&commit.resolved.summary));
    ui.say(&format!("{} at {reference} ({short} {summary})", request.spec));
    say_dirty(ui, commit);
    let (rendered, warnings) = rendering(request, commit.sources(), mode).await?.map_err(Error::Found)?;
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
    let mode = commit.mode(false);
    Ok(Asked { request, commit, origin, mode })
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

/// Renders off the async threads, within the limits of the sandbox.
pub async fn rendering(request: Request, sources: Sources, mode: Mode) -> Result<Outcome, Error> {
    match limited(Task::Render(request), sources, mode).await? {
        Answer::Rendered(outcome) => Ok(outcome.map(|(rendered, warnings)| (*rendered, warnings))),
        other => Err(unexpected(&other)),
    }
}

/// Looks at everything one spec makes, as far as its mistakes allow, for versions of Kubernetes.
pub async fn checked(
    request: Request,
    sources: Sources,
    mode: Mode,
    versions: Vec<check::Version>,
) -> Result<(Survey, Vec<Diagnostic>), Error> {
    match limited(Task::Check(request, versions), sources, mode).await? {
        Answer::Checked(survey, found) => Ok((*survey, found)),
        other => Err(unexpected(&other)),
    }
}

/// Every effective value of a spec.
pub async fn explained(request: Request, sources: Sources, mode: Mode) -> Result<Explained, Error> {
    match limited(Task::Explain(request), sources, mode).await? {
        Answer::Explained(outcome) => outcome.map_err(Error::Found),
        other => Err(unexpected(&other)),
    }
}

/// What is wrong with the templates of a commit by themselves.
pub async fn templates(inputs: &Inputs, commit: &Commit) -> Result<Vec<Diagnostic>, Error> {
    let task = Task::Templates(inputs.path.trim_matches('/').to_owned());
    match limited(task, commit.sources(), commit.mode(inputs.sandbox)).await? {
        Answer::Templates(found) => Ok(found),
        other => Err(unexpected(&other)),
    }
}

async fn limited(task: Task, sources: Sources, mode: Mode) -> Result<Answer, Error> {
    blocking(move || sandbox::run(task, &sources, &mode).map_err(|finding| Error::from(*finding))).await
}

fn unexpected(answer: &Answer) -> Error {
    let kind = match answer {
        Answer::Rendered(_) => "a rendering",
        Answer::Checked(..) => "a check",
        Answer::Explained(_) => "values",
        Answer::Templates(_) => "templates",
    };
    Diagnostic::error("BUG001", format!("a worker stopped: it answered with {kind}"))
        .help("Please report this with the command you ran")
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

pub fn read_yaml(path: &Path) -> Result<Node, Error> {
    let shown = path.display().to_string();
    let text = file::read(path, file::TEXT)?;
    spec::yaml::parse(&shown, &text).map_err(|diagnostic| Error::from(*diagnostic))
}
