//! Rules over all objects of a rendering: what the server takes, but what does not work, or not twice.
//! One file, one rule.

mod collision;
mod denied;
mod labels;
pub(crate) mod pod_security;
mod quota;
mod reference;
mod selector;
mod service;
mod size;
mod target;
mod token;
mod volume;

use std::collections::BTreeMap;

use render::{NamespacePolicy, Rendered, RenderedObject};

use crate::subject::{Fault, Subject};
use crate::version::Version;

/// A rendering as the rules see it.
pub(crate) struct World<'a> {
    pub rendered: &'a Rendered,
    /// The same spec for another branch, to see what both would claim.
    pub twin: Option<&'a Rendered>,
    pub subjects: Vec<Subject<'a>>,
}

/// What the rules found, each with its object.
pub(crate) type Found<'a> = Vec<(&'a RenderedObject, Fault)>;

impl<'a> World<'a> {
    pub(crate) fn new(rendered: &'a Rendered, twin: Option<&'a Rendered>) -> Self {
        Self { rendered, twin, subjects: rendered.objects.iter().map(Subject::new).collect() }
    }

    /// The objects of a kind.
    pub(crate) fn all(&self, group: &'a str, kind: &'a str) -> impl Iterator<Item = &Subject<'a>> {
        self.subjects.iter().filter(move |subject| subject.is(group, kind))
    }

    /// The names of a kind's objects, with the objects.
    pub(crate) fn named(&self, group: &'a str, kind: &'a str) -> BTreeMap<&'a str, &Subject<'a>> {
        self.all(group, kind).map(|subject| (subject.name, subject)).collect()
    }

    /// Whether the namespace is made for this environment, so that nothing else is in it.
    pub(crate) fn owns_namespace(&self) -> bool {
        self.rendered.policy.namespace == NamespacePolicy::Owned
    }

    /// Whether nothing but what is rendered can be in the namespace: no controller of a custom kind, and
    /// no pod with rights of its own, makes more.
    pub(crate) fn is_closed(&self) -> bool {
        let makes_more = |subject: &Subject<'_>| {
            subject.kind == "RoleBinding"
                || subject.kind == "ClusterRoleBinding"
                || (subject.group.contains('.') && !subject.group.ends_with(".k8s.io"))
        };
        self.owns_namespace() && !self.subjects.iter().any(makes_more)
    }
}

/// The rules that look at one object alone: these hold also where other components could not be rendered.
pub(crate) fn single<'a>(world: &World<'a>, version: Version) -> Found<'a> {
    let mut found = denied::check(world);
    found.extend(labels::check(world));
    found.extend(size::check(world));
    found.extend(selector::check(world));
    found.extend(volume::check(world));
    found.extend(pod_security::check(world, version));
    found
}

/// The rules that look at objects together.
pub(crate) fn together<'a>(world: &World<'a>) -> Found<'a> {
    let mut found = reference::check(world);
    found.extend(target::check(world));
    found.extend(service::check(world));
    found.extend(token::check(world));
    found.extend(quota::check(world));
    found.extend(collision::check(world));
    found
}
