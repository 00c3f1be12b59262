//! Effective values: defaults, then what the spec says, then `--values`, then `--set`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use spec::merge::merge;
use spec::node::Kind;
use spec::parameter::Parameter;
use spec::{Diagnostic, Located, Node, Spot, near};

use crate::engine::Engine;
use crate::names::Scope;
use crate::rendered::Input;
use crate::request::Request;
use crate::strings::render_tree;

/// Stands for a line that may hold a secret.
pub(crate) const HIDDEN: &str = "(not shown: it may hold a secret)";

type Declared = BTreeMap<Located<String>, Parameter>;

/// The parameters of a spec, each with its origin.
pub(crate) fn of_spec(
    declared: &Declared,
    request: &Request,
) -> Result<BTreeMap<String, Input>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let mut given: BTreeMap<String, (Value, &str)> = BTreeMap::new();
    match &request.values {
        None | Some(Value::Null) => {}
        Some(Value::Object(values)) => {
            given.extend(values.iter().map(|(name, value)| (name.clone(), (value.clone(), "values file"))));
        }
        Some(_) => found.push(
            Diagnostic::error("SPC023", "the values file is not a mapping")
                .help("write one `name: value` per line"),
        ),
    }
    for (name, text) in &request.set {
        let value = declared.get(name.as_str()).map_or(Value::Null, |parameter| parameter.coerce(text));
        given.insert(name.clone(), (value, "--set"));
    }
    for (name, (_, origin)) in &given {
        if !declared.contains_key(name.as_str()) {
            let hint = near::hint(name, "parameter in this spec", declared.keys().map(Located::as_str));
            let cause = format!("the spec has no parameter `{name}` ({origin})");
            found.push(Diagnostic::error("SPC009", cause).help(hint));
        }
    }
    let mut inputs = BTreeMap::new();
    for (name, parameter) in declared {
        let (value, origin, spot) = match (given.remove(name.as_str()), &parameter.default) {
            (Some((value, origin)), _) => (value, origin, Spot::default()),
            (None, Some(default)) => (default.to_value(), "default", default.spot.clone()),
            (None, None) => {
                let cause = format!("parameter `{}` has no value", name.value);
                let help = format!("give it with `--set {}=…`, or give it a default", name.value);
                found.push(name.spot.mark(Diagnostic::error("SPC010", cause).help(help)));
                continue;
            }
        };
        match parameter.accept(&value) {
            Ok(value) => {
                inputs.insert(name.value.clone(), Input { value, origin: origin.to_owned() });
            }
            Err(why) => found
                .push(refused(name.as_str(), parameter, &why, &spot).on(format!("{origin} {}", name.value))),
        }
    }
    if found.is_empty() { Ok(inputs) } else { Err(found) }
}

/// The parameters of one component: the template's defaults under the spec's values.
pub(crate) fn of_component(
    declared: &Declared,
    values: &Node,
    component: &Located<String>,
    engine: &Engine,
    scope: &Scope<'_>,
) -> Result<Value, Vec<Diagnostic>> {
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
    let mut params = Map::new();
    for (name, parameter) in declared {
        match one(name, parameter, values.get(name.as_str()), component, (engine, scope)) {
            Ok(value) => {
                params.insert(name.value.clone(), value);
            }
            Err(findings) => found.extend(findings),
        }
    }
    if found.is_empty() { Ok(Value::Object(params)) } else { Err(found) }
}

fn one(
    name: &Located<String>,
    parameter: &Parameter,
    given: Option<&Node>,
    component: &Located<String>,
    (engine, scope): (&Engine, &Scope<'_>),
) -> Result<Value, Vec<Diagnostic>> {
    let mut default = parameter.default.clone();
    if let Some(default) = &mut default {
        render_tree(default, engine, scope)?;
    }
    let given = given.filter(|value| value.kind != Kind::Null);
    let node = match (given, default) {
        (Some(value), Some(default)) => merge(&default, value),
        (Some(value), None) => value.clone(),
        (None, Some(default)) => default,
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
    parameter
        .accept(&node.to_value())
        .map_err(|why| vec![refused(name.as_str(), parameter, &why, spot).on(path(component, name.as_str()))])
}

fn refused(name: &str, parameter: &Parameter, why: &str, spot: &Spot) -> Diagnostic {
    let mut finding = spot.mark(Diagnostic::error("SPC014", format!("parameter `{name}`: {why}")));
    if parameter.secret {
        finding.snippet = Some(HIDDEN.to_owned());
    }
    finding
}

fn path(component: &Located<String>, name: &str) -> String {
    format!("spec.components.{}.values.{name}", component.value)
}
