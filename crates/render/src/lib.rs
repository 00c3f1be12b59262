//! render: specs and templates at one revision to canonical manifests and a lock.
//!
//! Input: a [`Request`] and the [`spec::Files`] of one commit. Output: [`Rendered`].
//! Pure: no clock, network, file system, environment variable or async runtime; the same input gives
//! the same bytes on any machine.

mod beside;
mod blame;
mod carried;
mod declared;
mod draft;
mod engine;
mod explain;
mod extras;
mod filters;
mod images;
mod kinds;
mod library;
mod lock;
mod manifests;
mod mark;
mod names;
mod object;
mod offers;
mod order;
mod origin;
mod pipeline;
mod rendered;
mod renderings;
mod request;
mod scan;
mod sources;
mod steps;
mod strings;
mod survey;
mod values;
mod wiring;

use std::sync::Arc;

use spec::{Diagnostic, Files};

pub use carried::Carried;
pub use explain::{Explained, Layer, Setting};
pub use kinds::is_cluster_scoped;
pub use lock::LOCK_VERSION;
pub use origin::Origin;
pub use rendered::*;
pub use renderings::{Kept, Renderings};
pub use request::{Governor, Request};
pub use sources::{Source, SourcedFiles};
pub use spec::lock_file::{Pin, Pins};
pub use steps::is_limit;
pub use survey::{Survey, Written};

/// Renders one environment. Warnings come with the result; errors come all that can be found at once.
///
/// # Errors
/// At least one finding of severity error, and the warnings found before.
pub fn render(
    request: &Request,
    files: &Arc<dyn Files>,
) -> Result<(Rendered, Vec<Diagnostic>), Vec<Diagnostic>> {
    spec::stack::roomy(|| pipeline::render(request, files, None))
}

/// Renders one environment with the `lifecycle` and the `policy` that the same spec has at another commit:
/// those of the base branch, where a pull request must not choose its own. Where that commit does not have
/// the spec, there are none.
///
/// # Errors
/// As [`render`]; also when the spec is wrong at the governor's commit.
pub fn render_governed(
    request: &Request,
    files: &Arc<dyn Files>,
    governor: &Governor,
) -> Result<(Rendered, Vec<Diagnostic>), Vec<Diagnostic>> {
    spec::stack::roomy(|| pipeline::render(request, files, Some(governor)))
}

/// Every effective value of a spec, and where it was written. Manifests are not rendered.
///
/// # Errors
/// What is wrong with the spec, its templates and their values.
pub fn explain(request: &Request, files: &Arc<dyn Files>) -> Result<Explained, Vec<Diagnostic>> {
    spec::stack::roomy(|| explain::explain(request, files))
}

/// Renders one environment as far as its mistakes allow, so that they can be shown all at once.
#[must_use]
pub fn survey(request: &Request, files: &Arc<dyn Files>) -> Survey {
    spec::stack::roomy(|| survey::survey(request, files))
}

/// What is wrong with the templates and contracts themselves, whether a spec uses them or not.
#[must_use]
pub fn templates(root: &str, files: &Arc<dyn Files>) -> Vec<Diagnostic> {
    spec::stack::roomy(|| library::check(files, root))
}

/// The further repositories that a spec declares, each with the commit it is pinned to, or why it is not: what has
/// to be opened, as [`SourcedFiles`], before the spec is rendered.
///
/// With a governor, only repositories that the same spec declares there have a pin.
///
/// # Errors
/// What is wrong with the spec.
pub fn sources(
    request: &Request,
    files: &dyn Files,
    governor: Option<&Governor>,
) -> Result<Vec<Source>, Vec<Diagnostic>> {
    spec::stack::roomy(|| sources::sources(request, files, governor))
}

/// Names of all environment specs below `root`, sorted.
///
/// # Errors
/// When the folder cannot be listed.
pub fn specs(root: &str, files: &dyn Files) -> Result<Vec<String>, Box<Diagnostic>> {
    let folder = spec::files::join(root, "environments");
    let paths = files.list(&folder)?;
    Ok(paths
        .iter()
        .filter_map(|path| path.strip_prefix(&folder)?.strip_prefix('/')?.strip_suffix(".yaml"))
        .filter(|name| !name.contains('/') && !name.ends_with(".lock"))
        .map(str::to_owned)
        .collect())
}

/// Names of the environment specs that no other extends: those that are meant to be brought up. A spec
/// that cannot be parsed counts as one of them, so that checking it says why.
///
/// # Errors
/// When the folder cannot be listed.
pub fn leaf_specs(root: &str, files: &dyn Files) -> Result<Vec<String>, Box<Diagnostic>> {
    let names = specs(root, files)?;
    let extended: Vec<String> = names.iter().filter_map(|name| extends(root, name, files)).collect();
    Ok(names.into_iter().filter(|name| !extended.contains(name)).collect())
}

fn extends(root: &str, name: &str, files: &dyn Files) -> Option<String> {
    let path = spec::files::join(root, &format!("environments/{name}.yaml"));
    let text = spec::files::read_text(files, &path).ok()??;
    let node = spec::yaml::parse(&path, &text).ok()?;
    node.get("spec")?.get("extends")?.as_str().map(str::to_owned)
}
