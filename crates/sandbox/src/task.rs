//! What can be asked for, and what comes of it: the same code here and in a process of its own.

use check::{Question, Version};
use render::{Explained, Governor, Rendered, Request, Survey};
use serde::{Deserialize, Serialize};
use spec::Diagnostic;

use crate::Sources;

/// What is to be done with a commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// Render one environment.
    Render(Request),
    /// Render it as far as its mistakes allow, and hold it against versions of Kubernetes.
    Check(Request, Vec<Version>),
    /// Find the effective values of a spec.
    Explain(Request),
    /// Read every template below a folder.
    Templates(String),
}

impl Task {
    /// What it is about, for a finding without a better place.
    pub(crate) fn object(&self) -> String {
        match self {
            Self::Render(request) | Self::Check(request, _) | Self::Explain(request) => {
                spec::files::join(&request.root, &format!("environments/{}.yaml", request.spec))
            }
            Self::Templates(root) => spec::files::join(root, "templates"),
        }
    }
}

/// What came of a [`Task`], each of its own kind.
#[derive(Debug)]
pub enum Answer {
    /// A rendering and its warnings, or what is wrong.
    Rendered(Result<(Box<Rendered>, Vec<Diagnostic>), Vec<Diagnostic>>),
    /// What could be rendered, and what the versions of Kubernetes say to it.
    Checked(Box<Survey>, Vec<Diagnostic>),
    /// The values, or what is wrong.
    Explained(Result<Explained, Vec<Diagnostic>>),
    /// What is wrong with the templates.
    Templates(Vec<Diagnostic>),
}

/// Does a task, without any limit but those that `sources` have.
pub(crate) fn perform(task: Task, sources: &Sources) -> Answer {
    let files = &sources.files;
    match task {
        Task::Render(request) => {
            let outcome = match &sources.governor {
                Some((revision, files_of_base)) => {
                    let governor = Governor { revision: revision.clone(), files: files_of_base.clone() };
                    render::render_governed(&request, files, &governor)
                }
                None => render::render(&request, files),
            };
            let boxed = |(rendered, warnings)| (Box::new(rendered), warnings);
            Answer::Rendered(outcome.map(boxed).map_err(limit_alone))
        }
        Task::Check(request, versions) => {
            let survey = render::survey(&request, files);
            if survey.found.iter().any(render::is_limit) {
                let found = limit_alone(survey.found);
                let ended = Survey { rendered: None, complete: false, found, denied: Vec::new() };
                return Answer::Checked(Box::new(ended), Vec::new());
            }
            let other = Request { ref_name: "the/other-branch".to_owned(), ..request };
            let twin = survey.complete.then(|| render::render(&other, files).ok()).flatten();
            let twin = twin.as_ref().map(|(twin, _)| twin);
            let complete = survey.complete;
            let question = |rendered| Question { rendered, complete, twin, versions: &versions };
            let mut found = check::rules(&survey.denied, survey.rendered.as_ref(), &versions);
            found.extend(survey.rendered.iter().flat_map(|rendered| check::check(&question(rendered))));
            Answer::Checked(Box::new(survey), found)
        }
        Task::Explain(request) => Answer::Explained(render::explain(&request, files).map_err(limit_alone)),
        Task::Templates(root) => Answer::Templates(render::templates(&root, files)),
    }
}

/// Where a limit ended the rendering, whatever else was found may only be a consequence.
fn limit_alone(found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    match found.iter().find(|finding| render::is_limit(finding)) {
        Some(limit) => vec![limit.clone()],
        None => found,
    }
}
