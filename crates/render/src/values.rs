//! Effective values: defaults, then what the spec says, then `--values`, then `--set`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use spec::merge::merge;
use spec::node::Kind;
use spec::parameter::Parameter;
use spec::{Diagnostic, HIDDEN, Located, Node, Spot, near};

use crate::engine::Engine;
use crate::names::Scope;
use crate::rendered::Input;
use crate::request::Request;
use crate::strings::render_tree;

type Declared = BTreeMap<Located<String>, Parameter>;

/// What a parameter is in the end, and what gave it.
pub(crate) struct Effective {
    /// The value, checked and canonical.
    pub value: Value,
    /// The same before it was checked: it knows where each part stands.
    pub node: Node,
    /// `default`, `values file` or `--set`; `spec` in a component, where parts may still be defaults.
    pub origin: &'static str,
}

impl From<Effective> for Input {
    fn from(effective: Effective) -> Self {
        Self { value: effective.value, origin: effective.origin.to_owned() }
    }
}

/// The parameters of a spec, each with its origin.
pub(crate) fn of_spec(
    declared: &Declared,
    request: &Request,
) -> Result<BTreeMap<String, Effective>, Vec<Diagnostic>> {
    let (given, mut found) = given(declared, request);
    let mut inputs = BTreeMap::new();
    for (name, parameter) in declared {
        let (node, origin) = match (given.get(name.as_str()), &parameter.default) {
            (Some((value, origin)), _) => (value.clone(), *origin),
            (None, Some(default)) => (default.clone(), "default"),
            (None, None) => {
                let cause = format!("parameter `{}` has no value", name.value);
                let help = format!("give it with `--set {}=…`, or give it a default", name.value);
                found.push(name.spot.mark(Diagnostic::error("SPC010", cause).help(help)));
                continue;
            }
        };
        match parameter.accept(&node.to_value()) {
            Ok(value) => drop(inputs.insert(name.value.clone(), Effective { value, node, origin })),
            Err(why) => found.push(
                refused(name.as_str(), parameter, &why, (&node, &node.spot))
                    .on(format!("{origin} {}", name.value)),
            ),
        }
    }
    if found.is_empty() { Ok(inputs) } else { Err(hidden(found, declared, request.values.as_ref())) }
}

/// Findings on a line that a secret stands on do not show it, whatever they are about.
fn hidden(mut found: Vec<Diagnostic>, declared: &Declared, values: Option<&Node>) -> Vec<Diagnostic> {
    fn lines<'a>(node: &'a Node, known: &mut BTreeSet<(&'a str, usize)>) {
        known.insert((&node.spot.file, node.spot.line));
        match &node.kind {
            Kind::Map(entries) => entries.iter().for_each(|entry| lines(&entry.value, known)),
            Kind::List(items) => items.iter().for_each(|item| lines(item, known)),
            _ => {}
        }
    }
    let secret = |name: &str| declared.get(name).is_some_and(|parameter| parameter.secret);
    let mut known = BTreeSet::new();
    for entry in values.map(Node::entries).unwrap_or_default() {
        if secret(entry.key.as_str()) {
            lines(&entry.value, &mut known);
        }
    }
    for finding in &mut found {
        let place = finding.place.as_ref().map(|place| (place.file.as_str(), place.line));
        if place.is_some_and(|place| known.contains(&place)) {
            finding.snippet = Some(HIDDEN.to_owned());
        }
    }
    found
}

/// What the values file and `--set` say; the later one wins.
fn given<'a>(declared: &Declared, request: &Request) -> (BTreeMap<String, (Node, &'a str)>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let mut given = BTreeMap::new();
    let mut add = |name: &str, value: Node, origin, spot: &Spot| {
        if declared.contains_key(name) {
            given.insert(name.to_owned(), (value, origin));
            return;
        }
        let hint = near::hint(name, "parameter in this spec", declared.keys().map(Located::as_str));
        let cause = format!("the spec has no parameter `{name}` ({origin})");
        found.push(spot.mark(Diagnostic::error("SPC009", cause).help(hint)));
    };
    let values = request.values.as_ref();
    for entry in values.map(Node::entries).unwrap_or_default() {
        add(entry.key.as_str(), entry.value.clone(), "values file", &entry.key.spot);
    }
    for (name, text) in &request.set {
        let value = declared.get(name.as_str()).map_or(Value::Null, |parameter| parameter.coerce(text));
        add(name, Node::from_value(&value, &Spot::default()), "--set", &Spot::default());
    }
    if let Some(values) = values.filter(|values| !matches!(values.kind, Kind::Map(_) | Kind::Null)) {
        let finding = Diagnostic::error("SPC023", "the values file is not a mapping");
        found.push(values.spot.mark(finding.help("write one `name: value` per line")));
    }
    (given, found)
}

/// The plain values by name.
pub(crate) fn plain(effective: &BTreeMap<String, Effective>) -> Map<String, Value> {
    effective.iter().map(|(name, effective)| (name.clone(), effective.value.clone())).collect()
}

/// The parameters of one component: the template's defaults under the spec's values.
pub(crate) fn of_component(
    declared: &Declared,
    values: &Node,
    component: &Located<String>,
    engine: &Engine,
    scope: &Scope<'_>,
) -> Result<BTreeMap<String, Effective>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    for entry in values.entries() {
        if !declared.contains_key(entry.key.as_str()) {
            let hint = near::hint(
                entry.key.as_str(),
                "parameter in this template",
                declared.keys().map(Located::as_str),
            );
            let cause = format!("the template has no parameter `{}`", entry.key.value);
            found.push(
                entry
                    .key
                    .spot
                    .mark(Diagnostic::error("SPC009", cause).help(hint))
                    .on(path(component, entry.key.as_str())),
            );
        }
    }
    if !matches!(values.kind, Kind::Map(_)) {
        let cause = format!("values is a {}, a mapping is expected", values.type_name());
        found.push(
            values
                .spot
                .mark(Diagnostic::error("SPC003", cause))
                .on(format!("spec.components.{}.values", component.value)),
        );
    }
    let mut params = BTreeMap::new();
    for (name, parameter) in declared {
        match one(name, parameter, values.get(name.as_str()), component, (engine, scope)) {
            Ok(value) => {
                params.insert(name.value.clone(), value);
            }
            Err(findings) => found.extend(findings),
        }
    }
    if found.is_empty() { Ok(params) } else { Err(hidden(found, declared, Some(values))) }
}

fn one(
    name: &Located<String>,
    parameter: &Parameter,
    given: Option<&Node>,
    component: &Located<String>,
    (engine, scope): (&Engine, &Scope<'_>),
) -> Result<Effective, Vec<Diagnostic>> {
    let mut default = parameter.default.clone();
    if let Some(default) = &mut default {
        render_tree(default, engine, scope)?;
    }
    let given = given.filter(|value| value.kind != Kind::Null);
    let (node, origin) = match (given, default) {
        (Some(value), Some(default)) => (merge(&default, value), "spec"),
        // A `null` removes also where no default has anything to remove.
        (Some(value), None) => (merge(&Node::empty(), value), "spec"),
        (None, Some(default)) => (default, "default"),
        (None, None) => {
            let cause = format!("parameter `{}` of the template has no value", name.value);
            let finding = Diagnostic::error("SPC010", cause).on(path(component, name.as_str()));
            return Err(vec![
                component
                    .spot
                    .mark(finding)
                    .help(format!("add `values: {{{}: …}}` to the component", name.value)),
            ]);
        }
    };
    let spot = given.map_or(&node.spot, |value| &value.spot);
    match parameter.accept(&node.to_value()) {
        Ok(value) => Ok(Effective { value, node, origin }),
        Err(why) => Err(vec![
            refused(name.as_str(), parameter, &why, (&node, spot)).on(path(component, name.as_str())),
        ]),
    }
}

fn refused(name: &str, parameter: &Parameter, why: &str, (value, spot): (&Node, &Spot)) -> Diagnostic {
    let mut finding = spot.mark(Diagnostic::error("SPC014", format!("parameter `{name}`: {why}")));
    finding.help = parameter.remedy(&value.to_value()).map(str::to_owned);
    if parameter.secret {
        finding.snippet = Some(HIDDEN.to_owned());
    }
    finding
}

fn path(component: &Located<String>, name: &str) -> String {
    format!("spec.components.{}.values.{name}", component.value)
}
