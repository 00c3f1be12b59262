//! The further repositories of a spec: opened at the commits they are pinned to, or pinned anew.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::Error;
use render::{Governor, Pin, Pins, Request, Source, SourcedFiles};
use source::{Credentials, Network, Repository};
use spec::{Diagnostic, Files, lock_file};

use crate::{
    file,
    inputs::{Commit, blocking, cache_dir},
    ui::Ui,
};

/// The files of a commit, and those of the sources of a spec. What is not on this machine is fetched, once.
pub async fn opened(request: &Request, files: &Arc<dyn Files>) -> Result<Arc<dyn Files>, Error> {
    let (request, files) = (request.clone(), Arc::clone(files));
    blocking(move || open_all(&request, files, None, Network::With(None))).await
}

/// The same for a pull request: only repositories that its base branch reads as well are connected to.
pub async fn governed(
    request: &Request,
    files: &Arc<dyn Files>,
    governor: &Governor,
    credentials: Option<&Credentials>,
) -> Result<Arc<dyn Files>, Error> {
    let (request, files, governor) = (request.clone(), Arc::clone(files), governor.clone());
    let credentials = credentials.cloned();
    blocking(move || open_all(&request, files, Some(&governor), Network::With(credentials.as_ref()))).await
}

fn open_all(
    request: &Request,
    files: Arc<dyn Files>,
    governor: Option<&Governor>,
    network: Network<'_>,
) -> Result<Arc<dyn Files>, Error> {
    let sources = render::sources(request, &*files, governor).map_err(Error::Found)?;
    // What is wrong without asking anybody is said before anybody is asked.
    let mut found: Vec<Diagnostic> = Vec::new();
    for finding in sources.iter().filter_map(|source| source.pin.as_ref().err()) {
        if !found.contains(finding) {
            found.push((**finding).clone());
        }
    }
    if !found.is_empty() {
        return Err(Error::Found(found));
    }
    if sources.is_empty() {
        return Ok(files);
    }
    let mut all = SourcedFiles::new(files);
    for source in sources {
        let files = open(&source, network).map_err(|finding| Error::from(*finding))?;
        all.insert(source.name, Ok(files));
    }
    Ok(Arc::new(all))
}

fn open(source: &Source, network: Network<'_>) -> Result<Arc<dyn Files>, Box<Diagnostic>> {
    let pin = source.pin.clone()?;
    let failed = |error: source::Error| Box::new(about(source, &error));
    let repository = Repository::pinned(&pin.url, &pin.revision, &cache_dir(), network).map_err(failed)?;
    Ok(Arc::new(repository.tree(&pin.revision).map_err(failed)?))
}

/// What went wrong with a source, at its line of the spec.
fn about(source: &Source, error: &source::Error) -> Diagnostic {
    let mut finding = error.diagnostic();
    finding.cause = format!("source `{}`: {}", source.name, finding.cause);
    // Which repository it is stands in the spec, not on the command line.
    if finding.code == "GIT016" {
        finding.help = Some("correct `url` of the source, or make the repository readable here".to_owned());
    }
    source.mark(finding)
}

/// The same without asking anybody: what is not on this machine is a warning, and what reads it cannot be checked.
pub async fn at_hand(
    request: &Request,
    files: &Arc<dyn Files>,
) -> Result<(Arc<dyn Files>, Vec<Diagnostic>), Error> {
    let (request, files) = (request.clone(), Arc::clone(files));
    blocking(move || {
        // What is wrong with the spec is found again by whoever checks it.
        let sources = render::sources(&request, &*files, None).unwrap_or_default();
        let mut all = SourcedFiles::new(files);
        let mut not_here = Vec::new();
        for source in sources {
            let files = open(&source, Network::Never);
            if let Err(finding) = &files
                && source.pin.is_ok()
            {
                not_here.push(unchecked((**finding).clone(), &source, &request.spec));
            }
            // The check knows this family of codes as "not opened".
            let closed = |mut finding: Box<Diagnostic>| {
                finding.code = "LCK005";
                finding
            };
            all.insert(source.name, files.map_err(closed));
        }
        Ok((Arc::new(all) as Arc<dyn Files>, not_here))
    })
    .await
}

fn unchecked(finding: Diagnostic, source: &Source, spec: &str) -> Diagnostic {
    if finding.code != "LCK005" {
        return finding;
    }
    let short = source.pin.as_ref().map_or("", |pin| pin.revision.get(..12).unwrap_or_default());
    let cause = format!(
        "source `{}` is not on this machine at {short}: components that read it are not checked",
        source.name
    );
    Diagnostic { cause, ..finding }
        .warning()
        .help(format!("run `mimeo render {spec}` first where the network is: it fetches the commit"))
}

/// Pins every source to what its ref is now, and writes that into the work tree.
pub async fn update(request: &Request, commit: &Commit, ui: &Ui) -> Result<Pins, Error> {
    let pins = newest(request, &commit.files).await?;
    let file = LockFile::new(request, &pins)?;
    match file.write(commit)? {
        Written::Changed(path) => ui.say(&format!("{} is written, to be committed", path.display())),
        Written::Same => {}
        Written::Nowhere => ui.say("note: no work tree is at this commit, so no lock file is written"),
    }
    Ok(pins)
}

/// What the refs of a spec's sources are now. Each repository is asked once.
pub async fn newest(request: &Request, files: &Arc<dyn Files>) -> Result<Pins, Error> {
    let (request, files) = (request.clone(), Arc::clone(files));
    blocking(move || {
        let sources = render::sources(&request, &*files, None).map_err(Error::Found)?;
        let mut asked: BTreeMap<String, Repository> = BTreeMap::new();
        let mut pins = Pins::new();
        for source in sources {
            let failed = |error: source::Error| Error::from(about(&source, &error));
            let revision = if lock_file::is_revision(&source.r#ref) {
                Repository::pinned(&source.url, &source.r#ref, &cache_dir(), Network::With(None))
                    .map_err(failed)?;
                source.r#ref.clone()
            } else {
                if !asked.contains_key(&source.url) {
                    let repository = Repository::open(Some(&source.url), &cache_dir()).map_err(failed)?;
                    asked.insert(source.url.clone(), repository);
                }
                of_ref(&asked[&source.url], &source)?
            };
            pins.insert(source.name, Pin { url: source.url, r#ref: source.r#ref, revision });
        }
        Ok(pins)
    })
    .await
}

/// The commit that a branch or tag is at. A part of a commit id is neither: it may come to mean another one.
fn of_ref(repository: &Repository, source: &Source) -> Result<String, Error> {
    let failed = |error: source::Error| Error::from(about(source, &error));
    match repository.resolve(Some(&source.r#ref), None) {
        Ok(resolved) => Ok(resolved.revision),
        Err(source::Error::NoName { .. }) => {
            // The name is not used: it only says that a commit id needs none.
            let whole = repository.resolve(Some(&source.r#ref), Some("source")).map_err(failed)?.revision;
            let cause = format!("source `{}`: `{}` is a part of a commit id", source.name, source.r#ref);
            let finding = Diagnostic::error("SPC028", cause).help(format!("write all of it: {whole}"));
            Err(source.mark(finding).into())
        }
        Err(error) => Err(failed(error)),
    }
}

/// The lock file of a spec, as it should be.
pub struct LockFile {
    /// Path from the root of the repository.
    pub path: String,
    /// Its bytes; `None` when the spec has no sources, and there is to be no file.
    pub text: Option<String>,
}

/// What became of a lock file.
pub enum Written {
    /// It was written, or removed.
    Changed(PathBuf),
    /// It was as it should be.
    Same,
    /// No work tree is at the commit.
    Nowhere,
}

impl LockFile {
    /// The file for these pins.
    pub fn new(request: &Request, pins: &Pins) -> Result<Self, Error> {
        let text = match pins.is_empty() {
            true => None,
            false => Some(lock_file::text(&request.spec, pins).map_err(|finding| Error::from(*finding))?),
        };
        Ok(Self { path: lock_file::path(&request.root, &request.spec), text })
    }

    /// Brings the work tree's file to what it should be.
    pub fn write(&self, commit: &Commit) -> Result<Written, Error> {
        let Some(folder) = &commit.work_tree else { return Ok(Written::Nowhere) };
        let path = folder.join(&self.path);
        let known = file::read(&path, file::TEXT).ok();
        if known == self.text {
            return Ok(Written::Same);
        }
        let written = match &self.text {
            Some(text) => replace(&path, text),
            None => std::fs::remove_file(&path),
        };
        written.map_err(|error| {
            Diagnostic::error("LCK009", format!("the lock file cannot be written: {error}"))
                .on(path.display().to_string())
                .help("Check the folder and its permissions")
        })?;
        Ok(Written::Changed(path))
    }
}

/// At once or not at all, and never through a link that stands in its place.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path))
}
