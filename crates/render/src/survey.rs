//! A rendering that goes on behind a mistake, as far as what follows does not depend on it: what `check` shows.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use spec::environment::EnvironmentSpec;
use spec::node::Kind;
use spec::{Diagnostic, Files, Located, Node, Place};

use crate::draft::{self, Draft};
use crate::pipeline;
use crate::rendered::Rendered;
use crate::request::Request;
use crate::wiring;

/// What could be rendered, and everything that was found on the way.
#[derive(Debug)]
pub struct Survey {
    /// The components that could be rendered; `None` when none could be tried.
    pub rendered: Option<Rendered>,
    /// Whether these are all.
    pub complete: bool,
    /// Errors and warnings.
    pub found: Vec<Diagnostic>,
    /// The rules of `policy.deny`: what their kinds are is for others to know.
    pub denied: Vec<Written>,
}

/// A text of the spec, and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// The text.
    pub text: String,
    /// Its place.
    pub place: Option<Place>,
    /// Its line of the file, for people.
    pub snippet: Option<String>,
}

/// See [`crate::survey`].
pub(crate) fn survey(request: &Request, files: &Arc<dyn Files>) -> Survey {
    let mut draft = match draft::draft(request, files, None) {
        Ok(draft) => draft,
        Err(found) => return Survey { rendered: None, complete: false, found, denied: Vec::new() },
    };
    let denied = denied(&draft.spec);
    let stopped = |found| Survey { rendered: None, complete: false, found, denied: denied.clone() };
    let wanted: BTreeSet<String> = draft.spec.body.components.keys().map(|name| name.value.clone()).collect();
    let found = std::mem::take(&mut draft.found);
    let mut found = pipeline::excerpts(found, &draft.spec.texts);
    drop_broken(&mut draft, BTreeSet::new());
    while let Err(findings) = wiring::wire(&draft.spec.body.components, &draft.templates) {
        let wrong: BTreeSet<String> = findings.iter().filter_map(component_of).collect();
        found.extend(pipeline::excerpts(findings, &draft.spec.texts));
        if wrong.is_empty() {
            return stopped(found);
        }
        drop_broken(&mut draft, wrong);
    }
    // Without its parameters a component would seem to name what is not there.
    let has_inputs = draft.inputs.is_some();
    let mut prepared = match pipeline::prepare(draft, request, files) {
        Ok(prepared) => prepared,
        Err(findings) => {
            found.extend(findings);
            return stopped(found);
        }
    };
    if !has_inputs || wanted.is_empty() {
        return stopped(found);
    }
    let mut all = pipeline::components(&prepared, request, files);
    let failed: BTreeSet<String> =
        wanted.into_iter().filter(|name| !all.offers.contains_key(name.as_str())).collect();
    let body = &mut prepared.spec.body;
    body.data = body.data.take().map(|node| without_data_of(node, &failed));
    body.gates = body.gates.take().map(|node| without_gates_on(node, &failed));
    let closed = take_closed(&mut all.found);
    found.append(&mut all.found);
    let (rendered, mut findings) = pipeline::finish(prepared, request, files, all);
    let closed = take_closed(&mut findings) || closed;
    // That nothing is rendered follows from what failed.
    found.extend(findings.into_iter().filter(|finding| failed.is_empty() || finding.code != "YML006"));
    let complete = failed.is_empty() && !closed;
    match rendered {
        Ok(rendered) => Survey { rendered: Some(rendered), complete, found, denied },
        Err(finding) => {
            found.push(*finding);
            stopped(found)
        }
    }
}

fn denied(spec: &EnvironmentSpec) -> Vec<Written> {
    let rules = spec.body.policy.iter().flat_map(|policy| &policy.deny);
    let written = |rule: &Located<String>| {
        let found = rule.spot.mark(Diagnostic::error("SPC022", ""));
        let found = pipeline::excerpts(vec![found], &spec.texts).swap_remove(0);
        Written { text: rule.value.clone(), place: found.place, snippet: found.snippet }
    };
    rules.map(written).collect()
}

/// Takes out that a source cannot be read, and says whether something needed one: whoever gave the files knows, and
/// says it once.
fn take_closed(found: &mut Vec<Diagnostic>) -> bool {
    let before = found.len();
    found.retain(|finding| !finding.code.starts_with("LCK"));
    found.len() < before
}

/// The component that a finding of the wiring is about.
fn component_of(finding: &Diagnostic) -> Option<String> {
    let path = finding.object.as_deref()?.strip_prefix("spec.components.")?;
    path.strip_suffix(".wires").map(str::to_owned)
}

/// Leaves out components that are wrong, whose templates are broken, or that are wired to one of these.
fn drop_broken(draft: &mut Draft, wrong: BTreeSet<String>) {
    let mut gone = wrong;
    loop {
        let components = &draft.spec.body.components;
        let broken: Vec<String> = components
            .iter()
            .filter(|(name, body)| {
                gone.contains(name.as_str())
                    || !draft.templates.contains_key(body.template.as_str())
                    || body.wires.values().any(|target| gone.contains(target.as_str()))
            })
            .map(|(name, _)| name.value.clone())
            .collect();
        if broken.is_empty() {
            return;
        }
        draft.spec.body.components.retain(|name, _| !broken.contains(&name.value));
        gone.extend(broken);
    }
}

/// `data` without the components that failed, which would look as if they were not there.
fn without_data_of(mut node: Node, failed: &BTreeSet<String>) -> Node {
    if let Kind::Map(entries) = &mut node.kind {
        entries.retain(|entry| !failed.contains(&entry.key.value));
    }
    node
}

/// `gates` without those on components that failed.
fn without_gates_on(mut node: Node, failed: &BTreeSet<String>) -> Node {
    if let Kind::List(items) = &mut node.kind {
        items.retain(|gate| gate.get("on").and_then(Node::as_str).is_none_or(|name| !failed.contains(name)));
    }
    node
}
