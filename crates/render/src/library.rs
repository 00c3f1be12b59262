//! Templates and contracts by themselves, whether a spec uses them or not: as much as can be told without values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use spec::contract::{self, Contract};
use spec::node::Kind;
use spec::template::{self, Template};
use spec::{Diagnostic, Files, Node, files};

use crate::draft::template_names;
use crate::manifests::{self, Compiled};
use crate::names::Scope;
use crate::{scan, strings};

/// What is wrong with the templates and contracts of a repository.
pub(crate) fn check(files: &Arc<dyn Files>, root: &str) -> Vec<Diagnostic> {
    let mut found = without_file(&**files, root);
    for name in template_names(files, root) {
        match template::load(&**files, root, &name) {
            Ok(Some(template)) => match manifests::compile(files, root, &name) {
                Ok(compiled) => found.extend(one(&template, &compiled, &**files, root)),
                Err(findings) => found.extend(findings),
            },
            Ok(None) => {}
            Err(findings) => found.extend(findings),
        }
    }
    found.extend(contract::check(&**files, root));
    found
}

/// Folders that look like a template and have no `template.yaml`: no spec can use them.
fn without_file(files: &dyn Files, root: &str) -> Vec<Diagnostic> {
    let folder = files::join(root, "templates");
    let paths = files.list(&folder).unwrap_or_default();
    let mut inside: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in &paths {
        let below = path.strip_prefix(&folder).and_then(|path| path.strip_prefix('/'));
        if let Some((name, rest)) = below.and_then(|below| below.split_once('/')) {
            inside.entry(name).or_default().push(rest);
        }
    }
    let mut found = Vec::new();
    for (name, rest) in inside {
        let like = |path: &&str| {
            path.starts_with("manifests/") || path.starts_with("partials/") || path.starts_with("template.")
        };
        if rest.contains(&"template.yaml") {
            continue;
        }
        if let Some(path) = rest.into_iter().find(like) {
            let finding = Diagnostic::error("SPC015", format!("templates/{name} has no template.yaml"))
                .on(folder.clone());
            let help = "add template.yaml, which makes it a template, or move the folder out of templates/";
            found.push(finding.at(format!("{folder}/{name}/{path}"), 1, 1).help(help));
        }
    }
    found
}

fn one(template: &Template, compiled: &Compiled, files: &dyn Files, root: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut wires = Map::new();
    let body = &template.body;
    for (name, requirement) in &body.requires {
        match contract::load(files, root, &requirement.contract) {
            Ok(contract) => drop(wires.insert(name.value.clone(), outputs(&contract))),
            Err(findings) => found.extend(findings),
        }
    }
    for (name, offered) in &body.provides {
        match contract::load(files, root, name) {
            Ok(contract) if matches!(offered.kind, Kind::Map(_)) => {
                let path = format!("spec.provides.{}", name.value);
                let later = |value: &Value| scan::is_template(&value.to_string());
                found.extend(contract.outputs_but(offered, &path, &later).err().into_iter().flatten());
            }
            Ok(_) => {}
            Err(findings) => found.extend(findings),
        }
    }
    // Without its contract it is not known what a wire has.
    if wires.len() == body.requires.len() {
        found.extend(undeclared(template, compiled, wires));
    }
    let texts = BTreeMap::from([(template.file.clone(), template.text.clone())]);
    crate::pipeline::excerpts(found, &texts)
}

/// What a wire has, as far as its contract says.
fn outputs(contract: &Contract) -> Value {
    Value::Object(contract.outputs.keys().map(|name| (name.clone(), Value::Null)).collect())
}

/// Names that the template uses and does not declare.
fn undeclared(template: &Template, compiled: &Compiled, wires: Map<String, Value>) -> Vec<Diagnostic> {
    let body = &template.body;
    let nothing = BTreeSet::new();
    let env = json!({"name": "", "id": "", "spec": "", "ref": "", "revision": "", "short_revision": ""});
    let early = json!({"name": "", "namespace": "", "env": env});
    let params: Map<String, Value> =
        body.parameters.keys().map(|name| (name.value.clone(), Value::Null)).collect();
    let mut all = early.clone();
    (all["params"], all["wires"]) = (params.into(), wires.into());
    let early = Scope { values: &early, absent: &nothing, extra: &nothing };
    let all = Scope { values: &all, absent: &nothing, extra: &nothing };
    let defaults = body.parameters.values().filter_map(|parameter| parameter.default.as_ref());
    let mut found: Vec<Diagnostic> =
        defaults.flat_map(|default| strings::undeclared(default, &early)).collect();
    let strings: Vec<&Node> =
        body.generates.values().chain(body.provides.values()).chain(&body.hooks).collect();
    found.extend(strings.into_iter().flat_map(|node| strings::undeclared(node, &all)));
    found.extend(manifests::undeclared(compiled, &all));
    found
}
