//! Whose fault a fault of a template is: a value that names a file which is not there is the spec's.

use std::collections::BTreeMap;

use spec::node::Kind;
use spec::{Diagnostic, Node};

use crate::values::Effective;

/// What a template asks for in vain.
pub(crate) const NO_FILE: &str = "TPL009";

/// Puts files that are not there at the value that named them, where one did; where the template asks for it
/// stays beside it.
pub(crate) fn values(
    found: Vec<Diagnostic>,
    component: &str,
    given: &BTreeMap<String, Effective>,
) -> Vec<Diagnostic> {
    found.into_iter().map(|finding| one(finding, component, given)).collect()
}

fn one(finding: Diagnostic, component: &str, given: &BTreeMap<String, Effective>) -> Diagnostic {
    let asked = finding.cause.split('`').nth(1).filter(|_| finding.code == NO_FILE);
    let Some(asked) = asked.map(str::to_owned) else { return finding };
    // A path that is written out in the template is the template's own.
    let quoted =
        |line: &String| ['"', '\''].iter().any(|mark| line.contains(&format!("{mark}{asked}{mark}")));
    if finding.snippet.as_ref().is_some_and(quoted) {
        return finding;
    }
    let named = given.iter().filter_map(|(name, value)| Some((name, longest(&value.node, &asked)?)));
    let Some((name, node)) = named.max_by_key(|(_, node)| node.as_str().map_or(0, str::len)) else {
        return finding;
    };
    if node.spot.line == 0 {
        return finding;
    }
    let mut placed = node.spot.mark(Diagnostic { snippet: None, ..finding.clone() });
    placed.detail.extend(finding.place.map(|place| format!("read by {place}")));
    placed.on(format!("spec.components.{component}.values.{name}"))
}

/// The longest text below a node that is the path, or a folder above it.
fn longest<'a>(node: &'a Node, asked: &str) -> Option<&'a Node> {
    match &node.kind {
        Kind::String(text) => {
            let text = text.trim_end_matches('/');
            let rest = asked.strip_prefix(text).filter(|_| !text.is_empty())?;
            (rest.is_empty() || rest.starts_with('/')).then_some(node)
        }
        Kind::List(items) => best(items.iter().filter_map(|item| longest(item, asked))),
        Kind::Map(entries) => best(entries.iter().filter_map(|entry| longest(&entry.value, asked))),
        _ => None,
    }
}

fn best<'a>(nodes: impl Iterator<Item = &'a Node>) -> Option<&'a Node> {
    nodes.max_by_key(|node| node.as_str().map_or(0, str::len))
}
