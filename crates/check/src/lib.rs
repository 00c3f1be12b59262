//! check: a rendering and versions of Kubernetes to findings, without a cluster.
//!
//! Input: [`render::Rendered`], and the same spec rendered for another branch. Output: findings, each at its
//! template line. Pure: no clock, network, file system, environment variable or async runtime; the tables of
//! Kubernetes' API are part of the program.
//!
//! Two parts: [`schema`](crate::schema) asks what a version of the API server would refuse, object by object;
//! [`lint`](crate::lint) asks what it would take and what would still not work, or not for two environments.

mod crd;
mod deny;
mod lint;
mod removed;
mod schema;
mod shape;
mod subject;
mod table;
mod version;
mod walk;

use std::collections::{HashMap, HashSet};

use render::{Rendered, RenderedObject};
use spec::Diagnostic;

use crate::lint::World;
use crate::subject::Fault;

pub use deny::rules;
pub use version::{SUPPORTED, Version};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What is checked.
    pub rendered: &'a Rendered,
    /// Whether this is all of the environment. Where a component could not be rendered, what its objects
    /// would be is not known, so nothing is said about what others expect of them.
    pub complete: bool,
    /// The same spec for another branch: what both claim, two environments would fight over.
    pub twin: Option<&'a Rendered>,
    /// The versions of Kubernetes that have to take it.
    pub versions: &'a [Version],
}

/// Every finding about the objects of a rendering, each once, in the order of the objects.
#[must_use]
pub fn check(question: &Question<'_>) -> Vec<Diagnostic> {
    let world = World::new(question.rendered, question.twin.filter(|_| question.complete));
    let mut found: Vec<(&RenderedObject, Fault)> = Vec::new();
    // A fault that several versions tell, each with its own name in the words, is told by the first.
    let mut told = HashSet::new();
    for version in question.versions {
        let mut own = schema::check(&world.subjects, *version);
        own.extend(lint::single(&world, *version));
        own.retain(|(object, fault)| !told.contains(&key(object, fault)));
        told.extend(own.iter().map(|(object, fault)| key(object, fault)));
        found.append(&mut own);
    }
    if question.complete {
        found.extend(lint::together(&world));
    }
    let order: HashMap<*const RenderedObject, usize> = question
        .rendered
        .objects
        .iter()
        .enumerate()
        .map(|(index, it)| (std::ptr::from_ref(it), index))
        .collect();
    found.sort_by_key(|(object, _)| order.get(&std::ptr::from_ref(*object)).copied());
    found.into_iter().map(|(object, fault)| fault.place(object)).collect()
}

/// What makes two faults one: the object, the field and the code.
fn key(object: &RenderedObject, fault: &Fault) -> (usize, Vec<String>, &'static str) {
    (std::ptr::from_ref(object).addr(), fault.path.clone(), fault.finding.code)
}
