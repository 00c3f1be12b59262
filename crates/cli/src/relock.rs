//! A rendering made again from its lock: same lock, same bytes, or what is not the same.

use std::{path::Path, sync::Arc};

use engine::Error;
use render::{Governor, LOCK_VERSION, Lock, Rendered, Request};
use sandbox::{Mode, Sources};
use source::{Network, Repository};
use spec::{Category, Diagnostic, Files, Node, Spot, lock_file};

use crate::{
    inputs::{self, blocking, cache_dir},
    sources,
    ui::Ui,
};

/// Reads a lock that `render --lock` printed.
pub fn read(path: &Path) -> Result<Lock, Error> {
    let refused = |cause: String| {
        let finding = Diagnostic::error("LCK007", cause).on(path.display().to_string());
        Error::from(finding.help("Make it with `mimeo render SPEC --lock`"))
    };
    let value = inputs::read_yaml(path)?.to_value();
    if value["kind"] == lock_file::KIND {
        return Err(refused(
            "it is the lock file of a spec's sources, not the lock of a rendering".to_owned(),
        ));
    }
    if value["version"] != LOCK_VERSION {
        return Err(refused(format!("it is no lock of version {LOCK_VERSION}")));
    }
    serde_json::from_value(value).map_err(|error| refused(format!("it is no lock: {error}")))
}

/// Renders what a lock says, from the repository at a path or URL or from the one around the current directory.
///
/// # Errors
/// Whatever rendering says; and every field of the lock that the rendering has otherwise.
pub async fn render(repo: Option<String>, lock: Lock, ui: &Ui) -> Result<Rendered, Error> {
    let (files, governor) = commits(repo, &lock).await?;
    let request = request(&lock);
    let files = sources::opened(&request, &files).await?;
    let governor = governor.map(|governor| (governor.revision, governor.files));
    // Nobody says which branch the commit is of.
    let rendering = inputs::rendering(request, Sources { files, governor }, Mode::apart());
    let (rendered, warnings) = rendering.await?.map_err(Error::Found)?;
    ui.warn(&warnings);
    let differences = lock.differences(&rendered.lock);
    if differences.is_empty() {
        return Ok(rendered);
    }
    let cause = match lock.manifests == rendered.lock.manifests {
        true => "the lock is of another rendering, although the manifests are the same",
        false => "this is not the rendering that the lock is of",
    };
    let mut finding =
        Diagnostic::new("LCK008", Category::Usage, cause).on(format!("environments/{}.yaml", lock.spec));
    finding.help = Some(match lock.tool == rendered.lock.tool {
        true => "The lock was changed, or is of another repository".to_owned(),
        false => format!("Use mimeo {}", lock.tool),
    });
    finding.detail = differences;
    Err(finding.into())
}

/// The files at the lock's commit, and the commit that governed it.
async fn commits(repo: Option<String>, lock: &Lock) -> Result<(Arc<dyn Files>, Option<Governor>), Error> {
    let (revision, governed_by) = (lock.revision.clone(), lock.governed_by.clone());
    blocking(move || {
        let failed = |error: source::Error| Error::from(error.diagnostic());
        let repository = match &repo {
            Some(url) => Repository::pinned(url, &revision, &cache_dir(), Network::With(None)),
            None => Repository::open(None, &cache_dir()),
        };
        let repository = repository.map_err(failed)?;
        let tree = |revision: &str| -> Result<Arc<dyn Files>, Error> {
            Ok(Arc::new(repository.tree(revision).map_err(failed)?))
        };
        let governor = match governed_by {
            Some(revision) => Some(Governor { files: tree(&revision)?, revision }),
            None => None,
        };
        Ok((tree(&revision)?, governor))
    })
    .await
}

fn request(lock: &Lock) -> Request {
    let parameters = lock.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Request {
        spec: lock.spec.clone(),
        root: lock.path.clone(),
        repository: lock.repository.clone(),
        ref_name: lock.r#ref.clone(),
        revision: lock.revision.clone(),
        set: Vec::new(),
        values: Some(Node::from_value(&serde_json::Value::Object(parameters), &Spot::default())),
        image_map: lock.image_map.clone(),
        pins: Some(lock.sources.clone()),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
