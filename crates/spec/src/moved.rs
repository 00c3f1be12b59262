//! `moved` of an environment spec: components that had another name.
//!
//! Kubernetes cannot rename an object, so a component that was renamed keeps the names of its objects. What
//! they are called is its *origin*: the name it had first.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::node::{Kind, Node};
use crate::{Diagnostic, Located, near};

/// One renaming.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MovedBody {
    /// The component's name before.
    pub from: Located<String>,
    /// Its name now, or the `from` of the next renaming.
    pub to: Located<String>,
}

/// Components by the origin of their name, for those that have another one than their own. `exists` says
/// whether a name is a component's. The moves were checked with [`check`].
#[must_use]
pub fn origins(moves: &[MovedBody], exists: &dyn Fn(&str) -> bool) -> BTreeMap<String, String> {
    let back: BTreeMap<&str, &str> =
        moves.iter().map(|step| (step.to.as_str(), step.from.as_str())).collect();
    let origin = |name: &str| {
        let mut first = *back.get(name)?;
        // A name that is a component's again was given to that one: the way back ends there.
        for _ in 0..moves.len() {
            match back.get(first).filter(|_| !exists(first)) {
                Some(before) => first = before,
                None => break,
            }
        }
        Some(first.to_owned())
    };
    let targets = moves.iter().map(|step| step.to.as_str()).filter(|name| exists(name));
    targets.filter_map(|name| Some((name.to_owned(), origin(name)?))).collect()
}

/// Everything that makes a list of moves ambiguous, each at its place.
pub(crate) fn check(moves: &[MovedBody], components: &BTreeSet<&str>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut refuse = |at: &Located<String>, cause: String, help: &str| {
        found.push(at.spot.mark(Diagnostic::error("SPC025", cause).on("spec.moved").help(help)));
    };
    let targets: BTreeSet<&str> = moves.iter().map(|step| step.to.as_str()).collect();
    let origins: BTreeSet<&str> = moves.iter().map(|step| step.from.as_str()).collect();
    let (mut from_seen, mut to_seen) = (BTreeSet::new(), BTreeSet::new());
    for step in moves {
        let (from, to) = (step.from.as_str(), step.to.as_str());
        if from == to {
            refuse(&step.to, format!("`{from}` is moved to itself"), "remove the move");
            continue;
        }
        if !from_seen.insert(from) {
            refuse(&step.from, format!("`{from}` is moved twice"), "keep one of the moves");
        }
        if !to_seen.insert(to) {
            refuse(&step.to, format!("two components are moved to `{to}`"), "keep one of the moves");
        }
        if components.contains(from) && !targets.contains(from) {
            refuse(
                &step.from,
                format!("`{from}` is moved away and still a component"),
                "give the component another name: the objects of this one belong to the one that was moved",
            );
        }
        if !components.contains(to) && !origins.contains(to) {
            let hint = near::hint(to, "component", components.iter().copied());
            refuse(&step.to, format!("there is no component `{to}`"), &hint);
        }
    }
    if found.is_empty() {
        found.extend(circles(moves, components));
    }
    found
}

/// Names that only go round. Two components that swap their names are no such circle.
fn circles(moves: &[MovedBody], components: &BTreeSet<&str>) -> Vec<Diagnostic> {
    let next: BTreeMap<&str, &str> =
        moves.iter().map(|step| (step.from.as_str(), step.to.as_str())).collect();
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for step in moves {
        let mut walk = vec![step.from.as_str()];
        while let Some(to) = next.get(walk[walk.len() - 1]).filter(|to| !walk.contains(to)) {
            walk.push(to);
        }
        let closed = next.get(walk[walk.len() - 1]) == Some(&walk[0]);
        let swap = walk.len() == 2 && walk.iter().all(|name| components.contains(name));
        if closed && !swap && walk.iter().all(|name| told.insert(*name)) {
            let cause = format!("names are moved in a circle: {} → {}", walk.join(" → "), walk[0]);
            let help = "cut it; only two components can swap their names";
            found.push(step.from.spot.mark(Diagnostic::error("SPC025", cause).on("spec.moved").help(help)));
        }
    }
    found
}

/// Lists the moves of specs that extend one another, the first one extended first: a move is history, so those
/// of a spec come after those it inherits. `null` forgets the inherited ones. What is no list is left for the
/// reader of the merged spec to refuse, also where a spec that is laid over it has moves: to forget a move is to
/// make its component again.
pub(crate) fn join<'a>(merged: &mut Node, specs: impl Iterator<Item = &'a Node>) {
    let mut all: Vec<Node> = Vec::new();
    let mut wrong = None;
    for node in specs.filter_map(|spec| spec.get("moved")) {
        match &node.kind {
            Kind::Null => {
                all.clear();
                wrong = None;
            }
            Kind::List(own) => all.extend(own.iter().cloned()),
            _ => wrong = wrong.or(Some(node)),
        }
    }
    let Kind::Map(entries) = &mut merged.kind else { return };
    for entry in entries.iter_mut().filter(|entry| entry.key.value == "moved") {
        match wrong {
            // A spec that extends none has nothing to forget: it is read like every other list that is null.
            None if entry.value.kind == Kind::Null => {}
            Some(wrong) => entry.value = wrong.clone(),
            None => entry.value.kind = Kind::List(std::mem::take(&mut all)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins_of(moves: &[(&str, &str)], components: &[&str]) -> Vec<(String, String)> {
        let moves: Vec<MovedBody> = moves
            .iter()
            .map(|(from, to)| MovedBody {
                from: Located::nowhere((*from).to_owned()),
                to: Located::nowhere((*to).to_owned()),
            })
            .collect();
        let components: BTreeSet<&str> = components.iter().copied().collect();
        assert!(check(&moves, &components).is_empty(), "{:?}", check(&moves, &components));
        origins(&moves, &|name| components.contains(name)).into_iter().collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, origin)| ((*name).to_owned(), (*origin).to_owned())).collect()
    }

    #[test]
    fn a_chain_leads_to_the_first_name_in_any_order() {
        for moves in [[("a", "b"), ("b", "c")], [("b", "c"), ("a", "b")]] {
            assert_eq!(origins_of(&moves, &["c", "x"]), pairs(&[("c", "a")]));
        }
    }

    #[test]
    fn two_components_swap_their_names() {
        assert_eq!(origins_of(&[("a", "b"), ("b", "a")], &["a", "b"]), pairs(&[("a", "b"), ("b", "a")]));
    }

    #[test]
    fn a_name_that_is_taken_again_ends_the_way_back() {
        assert_eq!(origins_of(&[("c", "a"), ("a", "b")], &["a", "b"]), pairs(&[("a", "c"), ("b", "a")]));
    }
}
