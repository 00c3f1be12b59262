//! From a request to a rendering, stage by stage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_json::{Map, Value, json};
use spec::contract;
use spec::environment::{self, EnvironmentSpec};
use spec::lock_file::Pins;
use spec::moved;
use spec::quantity::seconds;
use spec::template::Template;
use spec::{Diagnostic, EnvironmentIdentity, Files, Located, Node, Severity};

use crate::beside;
use crate::blame;
use crate::declared;
use crate::draft::{Draft, draft};
use crate::engine::Engine;
use crate::extras::{self, Offers};
use crate::lock;
use crate::manifests::{self, Compiled};
use crate::names::Scope;
use crate::object::Owner;
use crate::order;
use crate::rendered::{Component, Env, GeneratedSecret, NamespacePolicy, Rendered, RenderedObject};
use crate::request::{Governor, Request};
use crate::strings::render_tree;
use crate::values::{self, Effective};
use crate::wiring::{self, Wiring};
use crate::{offers, steps};

/// Everything that is known before the first component is rendered.
pub(crate) struct Prepared {
    pub spec: EnvironmentSpec,
    pub env: Env,
    namespace: String,
    pub inputs: BTreeMap<String, Effective>,
    pub templates: BTreeMap<String, Template>,
    pub compiled: BTreeMap<String, Compiled>,
    wiring: Wiring,
    /// Renders the strings of the spec.
    pub strings: Engine,
    /// Its sources, each at one commit.
    pub pins: Pins,
    /// Component to the name its objects carry, where that is another one.
    origins: BTreeMap<String, String>,
}

impl Prepared {
    /// What `name` is in the templates of a component.
    fn origin<'a>(&'a self, component: &'a str) -> &'a str {
        self.origins.get(component).map_or(component, String::as_str)
    }
}

/// What the components yield together.
#[derive(Default)]
pub(crate) struct Yield {
    components: Vec<Component>,
    pub objects: Vec<RenderedObject>,
    generated: Vec<GeneratedSecret>,
    pub offers: Offers,
    values: Map<String, Value>,
    images: BTreeSet<String>,
    /// Bytes of text that the manifests rendered to.
    bytes: usize,
    pub found: Vec<Diagnostic>,
}

impl Yield {
    /// What another component yields comes after it.
    fn take(&mut self, mut other: Self) {
        self.components.append(&mut other.components);
        self.objects.append(&mut other.objects);
        self.generated.append(&mut other.generated);
        self.offers.append(&mut other.offers);
        self.values.append(&mut other.values);
        self.images.append(&mut other.images);
        self.bytes += other.bytes;
        self.found.append(&mut other.found);
    }
}

/// See [`crate::render`].
pub(crate) fn render(
    request: &Request,
    files: &Arc<dyn Files>,
    governor: Option<&Governor>,
) -> Result<(Rendered, Vec<Diagnostic>), Vec<Diagnostic>> {
    let prepared = prepared(request, files, governor)?;
    let all = components(&prepared, request, files);
    stop_on_errors(&all.found)?;
    let (rendered, found) = finish(prepared, request, files, all);
    stop_on_errors(&found)?;
    let mut rendered = rendered.map_err(|finding| vec![*finding])?;
    rendered.lock.governed_by = governor.map(|governor| governor.revision.clone());
    Ok((rendered, found))
}

/// All that must be right before a component is looked at; a first mistake of any kind stops it.
pub(crate) fn prepared(
    request: &Request,
    files: &Arc<dyn Files>,
    governor: Option<&Governor>,
) -> Result<Prepared, Vec<Diagnostic>> {
    let draft = draft(request, files, governor)?;
    stop_on_errors(&draft.found).map_err(|found| excerpts(found, &draft.spec.texts))?;
    prepare(draft, request, files)
}

fn stop_on_errors(found: &[Diagnostic]) -> Result<(), Vec<Diagnostic>> {
    if found.iter().any(|finding| finding.severity == Severity::Error) { Err(found.to_vec()) } else { Ok(()) }
}

/// Renders every component, providers before consumers; those of one level beside each other.
pub(crate) fn components(prepared: &Prepared, request: &Request, files: &Arc<dyn Files>) -> Yield {
    let mut all = Yield::default();
    for names in levels(&prepared.wiring) {
        let bytes = AtomicUsize::new(all.bytes);
        let yields = beside::each(&names, |name| {
            // Nearly always those before it are too much by themselves.
            if bytes.load(Relaxed) > manifests::MAX_TOTAL {
                return None;
            }
            let one = component(prepared, request, files, name, &all.offers);
            bytes.fetch_add(one.bytes, Relaxed);
            Some(one)
        });
        for (name, one) in names.iter().zip(yields) {
            let one = one.unwrap_or_else(|| component(prepared, request, files, name, &all.offers));
            all.take(one);
            if all.bytes > manifests::MAX_TOTAL {
                all.found.push(too_large(prepared, name));
                return all;
            }
            if all.found.iter().any(steps::is_limit) {
                return all;
            }
        }
    }
    all
}

/// The finding about a component with which the manifests are too large together.
fn too_large(prepared: &Prepared, component: &str) -> Diagnostic {
    let cause = format!("the manifests together are larger than {} bytes", manifests::MAX_TOTAL);
    let finding = Diagnostic::error("TPL004", cause).on(format!("spec.components.{component}"));
    let spot = prepared.spec.body.components.get_key_value(component).map(|(key, _)| &key.spot);
    let finding = finding.help("render less of it in one environment");
    spot.map_or(finding.clone(), |spot| spot.mark(finding))
}

/// Wires the components, each of which has its template, and names the environment.
pub(crate) fn prepare(
    draft: Draft,
    request: &Request,
    files: &Arc<dyn Files>,
) -> Result<Prepared, Vec<Diagnostic>> {
    let Draft { spec, inputs, templates, compiled, pins, .. } = draft;
    let inputs = inputs.unwrap_or_default();
    let wiring =
        wiring::wire(&spec.body.components, &templates).map_err(|found| excerpts(found, &spec.texts))?;
    let identity = EnvironmentIdentity::new(&request.repository, &request.ref_name, &request.spec);
    let env = Env {
        id: identity.id,
        name: identity.name,
        spec: request.spec.clone(),
        repository: request.repository.clone(),
        r#ref: request.ref_name.clone(),
        revision: request.revision.clone(),
    };
    let namespace = match extras::policy(&spec.body, &mut Vec::new()).namespace {
        NamespacePolicy::Owned => env.name.clone(),
        NamespacePolicy::Borrowed(name) => name,
    };
    let components = &spec.body.components;
    let origins = moved::origins(&spec.body.moved, &|name| components.contains_key(name));
    let strings = Engine::strings(files);
    Ok(Prepared { spec, env, namespace, inputs, templates, compiled, wiring, strings, pins, origins })
}

/// Names of the components of each level, providers before consumers.
fn levels(wiring: &Wiring) -> Vec<Vec<String>> {
    let mut levels: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (name, level) in &wiring.levels {
        levels.entry(*level).or_default().push(name.clone());
    }
    levels.into_values().collect()
}

fn env_value(env: &Env) -> Value {
    let short: String = env.revision.chars().take(12).collect();
    json!({"name": env.name, "id": env.id, "spec": env.spec, "ref": env.r#ref, "revision": env.revision, "short_revision": short})
}

fn component(
    prepared: &Prepared,
    request: &Request,
    files: &Arc<dyn Files>,
    name: &str,
    offers: &Offers,
) -> Yield {
    let mut all = Yield::default();
    let Some((key, body)) = prepared.spec.body.components.get_key_value(name) else { return all };
    let (Some(template), Some(compiled)) =
        (prepared.templates.get(body.template.as_str()), prepared.compiled.get(body.template.as_str()))
    else {
        return all;
    };
    let given = match component_values(prepared, (key, body), (template, &compiled.engine)) {
        Ok(given) => given,
        Err(findings) => {
            all.found.extend(findings);
            return all;
        }
    };
    let params = Value::Object(values::plain(&given));
    let wires = match wires_value(prepared, name, template, offers) {
        Ok(Some(wires)) => wires,
        Ok(None) => return all,
        Err(finding) => {
            all.found.extend(located(vec![*finding], prepared, template));
            return all;
        }
    };
    let scope = json!({
        "name": prepared.origin(name), "namespace": prepared.namespace, "env": env_value(&prepared.env),
        "params": params, "wires": wires,
    });
    let absent: BTreeSet<String> = template
        .body
        .requires
        .keys()
        .filter(|requirement| wires.get(requirement.as_str()).is_none())
        .map(|requirement| format!("wires.{}", requirement.value))
        .collect();
    let scope = Scope { values: &scope, absent: &absent, extra: &BTreeSet::new() };
    all.values.insert(name.to_owned(), params);
    instance(prepared, request, files, (key, body), &scope, &mut all);
    if all.found.iter().any(|finding| finding.code == blame::NO_FILE) {
        let blamed = blame::values(std::mem::take(&mut all.found), name, &given);
        all.found = located(blamed, prepared, template);
    }
    all
}

/// The values of one component: its template's defaults under those of the spec, all strings rendered.
pub(crate) fn component_values(
    prepared: &Prepared,
    (name, body): (&Located<String>, &environment::ComponentBody),
    (template, engine): (&Template, &Engine),
) -> Result<BTreeMap<String, Effective>, Vec<Diagnostic>> {
    let nothing = BTreeSet::new();
    let outer = outer(prepared);
    let outer = Scope { values: &outer, absent: &nothing, extra: &nothing };
    let mut given = body.values.clone().unwrap_or_else(Node::empty);
    render_tree(&mut given, &prepared.strings, &outer).map_err(|findings| {
        let on = |finding: Diagnostic| finding.on(format!("spec.components.{}.values", name.value));
        excerpts(findings.into_iter().map(on).collect(), &prepared.spec.texts)
    })?;
    let env = env_value(&prepared.env);
    let early = json!({"name": prepared.origin(name.as_str()), "namespace": prepared.namespace, "env": env});
    let early = Scope { values: &early, absent: &nothing, extra: &nothing };
    values::of_component(&template.body.parameters, &given, name, engine, &early)
        .map_err(|findings| located(findings, prepared, template))
}

/// What the strings of a spec see.
pub(crate) fn outer(prepared: &Prepared) -> Value {
    json!({"params": values::plain(&prepared.inputs), "env": env_value(&prepared.env)})
}

/// Outputs of the components it is wired to; `None` when one of them failed, which was reported there.
///
/// # Errors
/// A component whose template could meet the contract, but not with the values it was given.
fn wires_value(
    prepared: &Prepared,
    name: &str,
    template: &Template,
    offers: &Offers,
) -> Result<Option<Value>, Box<Diagnostic>> {
    let mut wires = Map::new();
    for (requirement, target) in &prepared.wiring.wires[name] {
        let (Some(wanted), Some(offered)) =
            (template.body.requires.get(requirement.as_str()), offers.get(target))
        else {
            return Ok(None);
        };
        let contract = wanted.contract.as_str();
        let Some(outputs) = offered.get(contract) else {
            let cause = format!("`{target}` does not provide {contract} with the values it is given");
            let finding =
                Diagnostic::error("WIR003", cause).on(format!("spec.components.{name}.wires")).help(format!(
                    "see the parameters of its template: `mimeo explain` shows what `{target}` is given"
                ));
            let body = prepared.spec.body.components.get(name);
            let spot = body.and_then(|body| body.wires.get(requirement.as_str())).map(|wire| &wire.spot);
            return Err(Box::new(spot.map_or(finding.clone(), |spot| spot.mark(finding))));
        };
        wires.insert(requirement.clone(), contract::as_value(outputs));
    }
    Ok(Some(Value::Object(wires)))
}

fn instance(
    prepared: &Prepared,
    request: &Request,
    files: &Arc<dyn Files>,
    (name, body): (&Located<String>, &environment::ComponentBody),
    scope: &Scope<'_>,
    all: &mut Yield,
) {
    let template = &prepared.templates[body.template.as_str()];
    let compiled = &prepared.compiled[body.template.as_str()];
    let engine = &compiled.engine;
    let mut found = Vec::new();
    let provides =
        offers::provides(template, (name, body.values.as_ref()), engine, scope, &**files, &request.root)
            .unwrap_or_else(|findings| {
                found.extend(findings);
                BTreeMap::new()
            });
    match offers::generates(template, name.as_str(), engine, scope) {
        Ok(secrets) => all.generated.extend(secrets),
        Err(findings) => found.extend(findings),
    }
    let owner = Owner {
        env: &prepared.env,
        namespace: &prepared.namespace,
        component: name.as_str(),
        origin: prepared.origin(name.as_str()),
    };
    let mut output = manifests::render(compiled, scope, &owner, &request.image_map);
    let broken = output.findings.iter().any(|finding| finding.severity == Severity::Error);
    found.append(&mut output.findings);
    if !broken {
        found.extend(offers::hooks(template, &mut output.objects, engine, scope));
        found.extend(declared::declare(name.as_str(), body, &mut output.objects, &all.generated));
    }
    let health = offers::health(template, &output.objects, &mut found);
    let failed = found.iter().any(|finding| finding.severity == Severity::Error);
    all.found.extend(located(found, prepared, template));
    all.images.extend(output.images);
    all.bytes += output.bytes;
    all.objects.append(&mut output.objects);
    if !failed {
        all.offers.insert(name.value.clone(), provides.clone());
    }
    let needs = &prepared.wiring.needs[name.as_str()];
    all.components.push(Component {
        name: name.value.clone(),
        moved_from: prepared.origins.get(name.as_str()).cloned(),
        template: template.name.clone(),
        needs: needs.iter().cloned().collect(),
        level: prepared.wiring.levels[name.as_str()],
        provides,
        wait_for_image_seconds: body.wait_for_image.as_ref().and_then(|text| seconds(&text.value).ok()),
        health,
    });
}

/// Adds the offending line where a finding stands in a file that was read.
fn located(found: Vec<Diagnostic>, prepared: &Prepared, template: &Template) -> Vec<Diagnostic> {
    let mut texts = prepared.spec.texts.clone();
    texts.insert(template.file.clone(), template.text.clone());
    excerpts(found, &texts)
}

pub(crate) fn excerpts(found: Vec<Diagnostic>, texts: &BTreeMap<String, String>) -> Vec<Diagnostic> {
    let add = |finding: Diagnostic| {
        let text = finding.place.as_ref().and_then(|place| texts.get(&place.file));
        match text {
            Some(text) if finding.snippet.is_none() => finding.with_source(text),
            _ => finding,
        }
    };
    found.into_iter().map(add).collect()
}

/// What belongs to the environment as a whole: data, gates, lifecycle, policy, and the lock.
pub(crate) fn finish(
    prepared: Prepared,
    request: &Request,
    files: &Arc<dyn Files>,
    mut all: Yield,
) -> (Result<Rendered, Box<Diagnostic>>, Vec<Diagnostic>) {
    let body = &prepared.spec.body;
    let mut found = std::mem::take(&mut all.found);
    let params = values::plain(&prepared.inputs);
    let outer = outer(&prepared);
    let nothing = BTreeSet::new();
    let scope = Scope { values: &outer, absent: &nothing, extra: &nothing };
    let rendered = |node: &Option<Node>, found: &mut Vec<Diagnostic>| {
        let mut node = node.clone().filter(|node| !offers::is_nothing(node))?;
        match render_tree(&mut node, &prepared.strings, &scope) {
            Ok(()) => Some(node),
            Err(findings) => {
                found.extend(findings);
                None
            }
        }
    };
    let data = rendered(&body.data, &mut found).map(|node| extras::data(&node, &all.offers, &mut found));
    let gates = rendered(&body.gates, &mut found).map(|node| extras::gates(&node, &all.offers, &mut found));
    let policy = extras::policy(body, &mut found);
    found.extend(extras::not_carried_out(body));
    found.extend(nothing_or_twice(&all.objects, &all.generated));
    let found = excerpts(found, &prepared.spec.texts);
    all.components.sort_by(|a, b| a.name.cmp(&b.name));
    all.generated.sort_by(|a, b| (&a.component, &a.secret).cmp(&(&b.component, &b.secret)));
    order::sort(&mut all.objects, &prepared.wiring.levels);
    let lifecycle = extras::lifecycle(body);
    let secrets = extras::secrets(body);
    let effective = json!({"parameters": params, "components": all.values});
    let lock = lock::lock(request, &**files, &prepared, effective, &all.images, &all.objects);
    let rendered = lock.map(|(lock, stream)| Rendered {
        env: prepared.env,
        components: all.components,
        objects: all.objects,
        generated: all.generated,
        data: data.unwrap_or_default(),
        secrets,
        gates: gates.unwrap_or_default(),
        lifecycle,
        policy,
        parameters: prepared.inputs.into_iter().map(|(name, input)| (name, input.into())).collect(),
        lock,
        stream,
    });
    (rendered, found)
}

/// A rendering without objects; objects that are rendered twice, or rendered and generated.
fn nothing_or_twice(objects: &[RenderedObject], generated: &[GeneratedSecret]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if objects.is_empty() {
        let finding = Diagnostic::error("YML006", "no object is rendered");
        found.push(finding.help("check the manifests and their conditions"));
    }
    let mut seen: BTreeMap<(String, String, String), String> = generated
        .iter()
        .map(|secret| {
            let key = (String::new(), "Secret".to_owned(), secret.secret.clone());
            (key, format!("generated for component `{}`", secret.component))
        })
        .collect();
    for object in objects {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let group =
            crate::kinds::group(object.manifest["apiVersion"].as_str().unwrap_or_default()).to_owned();
        let key = (group, text(&object.manifest["kind"]), text(&object.manifest["metadata"]["name"]));
        let here = format!("component `{}`, {}:{}", object.component, object.file, object.line);
        if let Some(first) = seen.insert(key, here) {
            let cause = format!("the same object is already there: {first}");
            let finding = Diagnostic::error("OBJ006", cause).help("put `{{ name }}` into its name");
            found.push(object.mark(&["metadata".to_owned(), "name".to_owned()], finding));
        }
    }
    found
}
