//! Templates in the strings of specs and of `template.yaml`: checked for names, then rendered in place.

use serde_json::Value;
use spec::node::Kind;
use spec::{Diagnostic, Node};
use tera::Context;

use crate::engine::Engine;
use crate::names::{self, Scope};
use crate::scan;

/// Renders every string below a node.
pub(crate) fn render_tree(
    node: &mut Node,
    engine: &Engine,
    scope: &Scope<'_>,
) -> Result<(), Vec<Diagnostic>> {
    let mut found = Vec::new();
    check(node, scope, names::check, &mut found);
    if !found.is_empty() {
        return Err(found);
    }
    engine.tree(node, &context(scope.values)).map_err(|finding| vec![*finding])
}

/// Every name in the strings below a node that is not declared, where no values are known.
pub(crate) fn undeclared(node: &Node, scope: &Scope<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    check(node, scope, names::undeclared, &mut found);
    found
}

/// A way to look at the names in a text.
type Look = fn(&str, &str, &Scope<'_>) -> Vec<Diagnostic>;

fn check(node: &Node, scope: &Scope<'_>, look: Look, found: &mut Vec<Diagnostic>) {
    match &node.kind {
        Kind::String(text) if scan::is_template(text) => {
            for finding in look("", text, scope) {
                // The place in the string is of no use: the string's place in the file is.
                found.push(node.spot.mark(Diagnostic { place: None, snippet: None, ..finding }));
            }
        }
        Kind::List(items) => items.iter().for_each(|item| check(item, scope, look, found)),
        Kind::Map(entries) => entries.iter().for_each(|entry| check(&entry.value, scope, look, found)),
        _ => {}
    }
}

/// Variables as Tera wants them.
pub(crate) fn context(values: &Value) -> Context {
    let mut context = Context::new();
    if let Value::Object(map) = values {
        for (name, value) in map {
            context.insert(name.clone(), value);
        }
    }
    context
}
