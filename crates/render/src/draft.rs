//! What a spec and its templates say before anything is wired or rendered.

use std::collections::BTreeMap;
use std::sync::Arc;

use spec::environment::{self, EnvironmentSpec};
use spec::lock_file::Pins;
use spec::template::{self, Template};
use spec::{Diagnostic, Files, near};

use crate::manifests::{self, Compiled};
use crate::request::{Governor, Request};
use crate::values::{self, Effective};
use crate::{sources, specs};

/// What the spec and its templates say by themselves.
pub(crate) struct Draft {
    pub spec: EnvironmentSpec,
    /// Values of the spec's parameters; `None` when one of them is wrong.
    pub inputs: Option<BTreeMap<String, Effective>>,
    pub templates: BTreeMap<String, Template>,
    pub compiled: BTreeMap<String, Compiled>,
    pub pins: Pins,
    pub found: Vec<Diagnostic>,
}

/// Reads the spec and its templates; only a spec that cannot be read at all is an error.
pub(crate) fn draft(
    request: &Request,
    files: &Arc<dyn Files>,
    governor: Option<&Governor>,
) -> Result<Draft, Vec<Diagnostic>> {
    let root = &request.root;
    let known = specs(root, &**files).map_err(|finding| vec![*finding])?;
    let mut spec = environment::load(&**files, root, &request.spec, &known)?;
    if let Some(governor) = governor {
        govern(&mut spec, request, governor)?;
    }
    let mut found = Vec::new();
    if spec.body.components.is_empty() {
        let finding = Diagnostic::error("SPC016", "the spec has no components").on("spec.components");
        found.push(
            finding
                .at(environment::path(root, &spec.name), 1, 1)
                .help("add one, or render a spec that extends it"),
        );
    }
    let (pins, unpinned) = sources::pins(&spec, request, &**files, governor);
    found.extend(unpinned);
    let inputs = match values::of_spec(&spec.body.parameters, request) {
        Ok(inputs) => Some(inputs),
        Err(findings) => {
            found.extend(findings);
            None
        }
    };
    let (templates, compiled) = load_templates(&spec, files, root, &mut found);
    Ok(Draft { spec, inputs, templates, compiled, pins, found })
}

/// Puts the governor's `lifecycle` and `policy` in place of the spec's own, and keeps of `adopt` and `overrides` what
/// the governor declares as well: they reach for what is not the environment's.
fn govern(spec: &mut EnvironmentSpec, request: &Request, governor: &Governor) -> Result<(), Vec<Diagnostic>> {
    let files = &*governor.files;
    let known = specs(&request.root, files).map_err(|finding| vec![*finding])?;
    let body = match known.contains(&request.spec) {
        true => Some(environment::load(files, &request.root, &request.spec, &known)?.body),
        false => None,
    };
    let components = body.as_ref().map(|body| &body.components);
    for (name, component) in &mut spec.body.components {
        let known = components.and_then(|components| components.get(name.as_str()));
        component.adopt.retain(|wanted| known.is_some_and(|known| known.adopt.contains(wanted)));
        component.overrides.retain(|object, fields| {
            let known = known.and_then(|known| known.overrides.get(object));
            fields.retain(|field| known.is_some_and(|known| known.contains(field)));
            !fields.is_empty()
        });
    }
    (spec.body.lifecycle, spec.body.policy) = body.map_or((None, None), |body| (body.lifecycle, body.policy));
    Ok(())
}

fn load_templates(
    spec: &EnvironmentSpec,
    files: &Arc<dyn Files>,
    root: &str,
    found: &mut Vec<Diagnostic>,
) -> (BTreeMap<String, Template>, BTreeMap<String, Compiled>) {
    let mut templates = BTreeMap::new();
    let mut compiled = BTreeMap::new();
    for component in spec.body.components.values() {
        let name = component.template.as_str();
        if templates.contains_key(name) {
            continue;
        }
        match template::load(&**files, root, name) {
            Ok(Some(template)) => match manifests::compile(files, root, name) {
                Ok(folder) => {
                    compiled.insert(name.to_owned(), folder);
                    templates.insert(name.to_owned(), template);
                }
                Err(findings) => found.extend(findings),
            },
            Ok(None) => {
                let known = template_names(files, root);
                let hint = near::hint(name, "template", known.iter().map(String::as_str));
                let finding =
                    Diagnostic::error("SPC015", format!("there is no template `{name}`")).help(hint);
                found.push(component.template.spot.mark(finding));
            }
            Err(findings) => found.extend(findings),
        }
    }
    (templates, compiled)
}

pub(crate) fn template_names(files: &Arc<dyn Files>, root: &str) -> Vec<String> {
    let folder = spec::files::join(root, "templates");
    let paths = files.list(&folder).unwrap_or_default();
    let name = |path: &String| {
        Some(path.strip_prefix(&folder)?.strip_prefix('/')?.strip_suffix("/template.yaml")?.to_owned())
    };
    paths.iter().filter_map(name).collect()
}
