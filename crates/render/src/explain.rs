//! Every effective value of a spec, and where it was written.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use spec::node::Kind;
use spec::{Diagnostic, Files, Located, Node, Spot};

use crate::names::Scope;
use crate::pipeline::{self, Prepared};
use crate::rendered::Env;
use crate::request::Request;
use crate::scan;
use crate::strings::render_tree;
use crate::values::Effective;

/// A spec at one commit, value by value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// The environment it is for.
    pub env: Env,
    /// The files it was merged from: itself, the one it extends, the one that extends, …
    pub files: Vec<String>,
    /// The values, in the order of the spec.
    pub items: Vec<Setting>,
}

/// One effective value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Path below `spec`, such as `components.warehouse.values.storage`.
    pub name: String,
    /// The value that counts.
    pub value: Value,
    /// What gave it.
    pub origin: Layer,
    /// Where it stands; not for `--set`.
    #[serde(flatten)]
    pub place: Option<spec::Place>,
    /// The template it was rendered from, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// A reference to a Secret, whose content nobody here knows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// What gives a value; the later ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The default of a parameter, in a spec or a template.
    Default,
    /// The spec, or one it extends.
    Spec,
    /// The file named by `--values`.
    Values,
    /// `--set`.
    Set,
}

/// See [`crate::explain`].
pub(crate) fn explain(request: &Request, files: &Arc<dyn Files>) -> Result<Explained, Vec<Diagnostic>> {
    let prepared = pipeline::prepared(request, files, None)?;
    let mut items = Vec::new();
    let mut found = Vec::new();
    for entry in prepared.spec.tree.entries() {
        let result = match entry.key.as_str() {
            "extends" | "description" => Ok(()),
            "parameters" => {
                parameters(&prepared, &mut items);
                Ok(())
            }
            "components" => components(&prepared, &entry.value, &mut items),
            "data" | "gates" => templated(&prepared, entry.key.as_str(), &entry.value, &mut items),
            key => {
                plain(key, &entry.value, &entry.value, &mut items);
                Ok(())
            }
        };
        found.extend(result.err().into_iter().flatten());
    }
    if !found.is_empty() {
        return Err(pipeline::excerpts(found, &prepared.spec.texts));
    }
    Ok(Explained { env: prepared.env, files: prepared.spec.files, items })
}

fn parameters(prepared: &Prepared, items: &mut Vec<Setting>) {
    for (name, declared) in &prepared.spec.body.parameters {
        let Some(effective) = prepared.inputs.get(name.as_str()) else { continue };
        let origin = match effective.origin {
            "--set" => Layer::Set,
            "values file" => Layer::Values,
            _ => Layer::Default,
        };
        let path = format!("parameters.{}", name.value);
        let leaves = Leaves { origin: &|_| origin, written: None, whole: declared.secret };
        leaves.walk(&path, &effective.node, Some(&effective.value), items);
    }
}

fn components(prepared: &Prepared, tree: &Node, items: &mut Vec<Setting>) -> Result<(), Vec<Diagnostic>> {
    let mut found = Vec::new();
    for component in tree.entries() {
        let path = format!("components.{}", component.key.value);
        for entry in component.value.entries().iter().filter(|entry| entry.key.as_str() != "values") {
            plain(&format!("{path}.{}", entry.key.value), &entry.value, &entry.value, items);
        }
        if let Err(findings) = values(prepared, &component.key, &path, items) {
            found.extend(findings);
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// The values of one component, those that only the template gives included.
fn values(
    prepared: &Prepared,
    component: &Located<String>,
    path: &str,
    items: &mut Vec<Setting>,
) -> Result<(), Vec<Diagnostic>> {
    let Some((name, body)) = prepared.spec.body.components.get_key_value(component.as_str()) else {
        return Ok(());
    };
    let (Some(template), Some(compiled)) =
        (prepared.templates.get(body.template.as_str()), prepared.compiled.get(body.template.as_str()))
    else {
        return Ok(());
    };
    let effective = pipeline::component_values(prepared, (name, body), (template, &compiled.engine))?;
    let of_template = |spot: &Spot| if *spot.file == *template.file { Layer::Default } else { Layer::Spec };
    for (parameter, Effective { value, node, .. }) in &effective {
        let declared = template.body.parameters.get(parameter.as_str());
        let given = body.values.as_ref().and_then(|values| values.get(parameter));
        let written = match given.filter(|given| given.kind != Kind::Null) {
            Some(given) => Some(given),
            None => declared.and_then(|declared| declared.default.as_ref()),
        };
        let whole = declared.is_some_and(|declared| declared.secret);
        let leaves = Leaves { origin: &of_template, written, whole };
        leaves.walk(&format!("{path}.values.{parameter}"), node, Some(value), items);
    }
    Ok(())
}

/// `data` and `gates`: their strings are templates.
fn templated(
    prepared: &Prepared,
    key: &str,
    written: &Node,
    items: &mut Vec<Setting>,
) -> Result<(), Vec<Diagnostic>> {
    let nothing = BTreeSet::new();
    let outer = pipeline::outer(prepared);
    let scope = Scope { values: &outer, absent: &nothing, extra: &nothing };
    let mut node = written.clone();
    render_tree(&mut node, &prepared.strings, &scope)?;
    plain(key, &node, written, items);
    Ok(())
}

fn plain(path: &str, node: &Node, written: &Node, items: &mut Vec<Setting>) {
    let leaves = Leaves { origin: &|_| Layer::Spec, written: Some(written), whole: false };
    leaves.walk(path, node, None, items);
}

/// How a tree is taken apart.
struct Leaves<'a> {
    /// By the place of a leaf.
    origin: &'a dyn Fn(&Spot) -> Layer,
    /// The tree before its strings were rendered.
    written: Option<&'a Node>,
    /// It is one value, whatever it looks like: a reference to a Secret.
    whole: bool,
}

impl Leaves<'_> {
    /// Mappings are told entry by entry, and lists of mappings item by item; `value` is the canonical form.
    fn walk(&self, path: &str, node: &Node, value: Option<&Value>, items: &mut Vec<Setting>) {
        match &node.kind {
            Kind::Map(entries) if !entries.is_empty() && !self.whole => {
                for entry in entries {
                    let inner = self.below(|written| written.get(entry.key.as_str()));
                    let value = value.and_then(|value| value.get(entry.key.as_str()));
                    inner.walk(&format!("{path}.{}", entry.key.value), &entry.value, value, items);
                }
            }
            Kind::List(list) if list.iter().any(|item| matches!(item.kind, Kind::Map(_))) => {
                for (index, item) in list.iter().enumerate() {
                    let inner = self.below(|written| match &written.kind {
                        Kind::List(list) => list.get(index),
                        _ => None,
                    });
                    let value = value.and_then(|value| value.get(index));
                    inner.walk(&format!("{path}[{index}]"), item, value, items);
                }
            }
            _ => items.push(self.leaf(path, node, value)),
        }
    }

    /// One step down; what was rendered from a string stays with that string.
    fn below<'a>(&'a self, step: impl FnOnce(&'a Node) -> Option<&'a Node>) -> Leaves<'a> {
        let written = self.written.and_then(|written| match written.kind {
            Kind::String(_) => Some(written),
            _ => step(written),
        });
        Leaves { origin: self.origin, written, whole: self.whole }
    }

    fn leaf(&self, path: &str, node: &Node, value: Option<&Value>) -> Setting {
        let spot = &node.spot;
        let template = self.written.filter(|written| written.spot == *spot).and_then(Node::as_str);
        let place = spec::Place { file: spot.file.to_string(), line: spot.line, column: spot.column };
        Setting {
            name: path.to_owned(),
            value: value.cloned().unwrap_or_else(|| node.to_value()),
            origin: (self.origin)(spot),
            place: (spot.line > 0).then_some(place),
            template: template.filter(|text| scan::is_template(text)).map(str::to_owned),
            secret: self.whole,
        }
    }
}
