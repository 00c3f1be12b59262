//! What `template.yaml` says of one component, after its strings are rendered: outputs, generated Secrets,
//! hooks, health rules.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use spec::contract::{self, Contract, OutputType};
use spec::environment::typed;
use spec::name::is_subdomain;
use spec::node::Kind;
use spec::template::{Generate, Hook, HookAt, Template};
use spec::{Diagnostic, Files, HIDDEN, Located, Node, near};

use crate::engine::Engine;
use crate::names::Scope;
use crate::rendered::{GeneratedSecret, HealthRule, HookPoint, PostgresTarget, RenderedObject};
use crate::scan;
use crate::strings::render_tree;

/// Contract to its outputs.
pub(crate) type Provides = BTreeMap<String, BTreeMap<String, Value>>;

/// The outputs a component offers, checked against their contracts.
pub(crate) fn provides(
    template: &Template,
    (component, given): (&Located<String>, Option<&Node>),
    engine: &Engine,
    scope: &Scope<'_>,
    files: &dyn Files,
    root: &str,
) -> Result<Provides, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let mut provides = Provides::new();
    for (name, offered) in &template.body.provides {
        let contract: Contract = match contract::load(files, root, name) {
            Ok(contract) => contract,
            Err(findings) => {
                found.extend(findings);
                continue;
            }
        };
        let by_values = matches!(offered.kind, Kind::String(_));
        let mut offered = offered.clone();
        let outputs = render_tree(&mut offered, engine, scope).and_then(|()| {
            // Written as one expression, it is the values that decide whether the contract is met.
            if by_values && offered.entries().is_empty() && !matches!(offered.kind, Kind::String(_)) {
                return Ok(None);
            }
            if by_values {
                // They are the spec's, not the template's.
                let path = format!("spec.components.{}.values", component.value);
                let value = value_of(template, name, given);
                let outputs = contract.outputs(&offered, &path);
                let there = |finding| at_value(finding, component, &contract, value);
                return outputs.map(Some).map_err(|found| found.into_iter().map(there).collect());
            }
            contract.outputs(&offered, &format!("spec.provides.{}", name.value)).map(Some)
        });
        match outputs {
            Ok(Some(outputs)) => drop(provides.insert(name.value.clone(), outputs)),
            Ok(None) => {}
            Err(findings) => found.extend(findings),
        }
    }
    if found.is_empty() { Ok(provides) } else { Err(found) }
}

/// The value that the outputs of a contract are taken from as they are: `"{{ params.sql }}"`.
fn value_of<'a>(
    template: &'a Template,
    contract: &Located<String>,
    given: Option<&'a Node>,
) -> Option<(&'a Node, &'a str)> {
    let written = template.body.provides.get(contract)?.as_str()?;
    let name = scan::single_expression(written)?.strip_prefix("params.")?;
    Some((given?.get(name)?, name))
}

/// Puts a finding about an output at its line of the spec, as near as is known.
fn at_value(
    finding: Diagnostic,
    component: &Located<String>,
    contract: &Contract,
    value: Option<(&Node, &str)>,
) -> Diagnostic {
    let finding = Diagnostic { snippet: None, ..finding };
    let Some((value, name)) = value else { return component.spot.mark(finding) };
    let output = finding.cause.split('`').nth(1).unwrap_or_default();
    let spot = value.locate_key([output]).clone();
    // What should be a reference may be the secret itself.
    let bare = |name: &String| {
        let node = value.get(name).filter(|node| node.get("secretRef").is_none() || node.entries().len() > 1);
        node.is_some_and(|node| node.spot.line == spot.line)
    };
    let secrets = contract.outputs.iter().filter(|(_, output)| output.r#type == OutputType::Secret);
    let snippet = secrets.map(|(name, _)| name).any(bare).then(|| HIDDEN.to_owned());
    let finding = Diagnostic { snippet, ..finding };
    spot.mark(finding.on(format!("spec.components.{}.values.{name}", component.value)))
}

/// The Secrets that are made once for a component.
pub(crate) fn generates(
    template: &Template,
    component: &str,
    engine: &Engine,
    scope: &Scope<'_>,
) -> Result<Vec<GeneratedSecret>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let mut secrets: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for (name, node) in &template.body.generates {
        let path = format!("spec.generates.{}", name.value);
        let mut node = node.clone();
        let generate: Generate = match render_tree(&mut node, engine, scope)
            .and_then(|()| typed(&node, &path).map_err(|finding| vec![*finding]))
        {
            Ok(generate) => generate,
            Err(findings) => {
                found.extend(findings);
                continue;
            }
        };
        let wrong = if !is_subdomain(&generate.secret.value) {
            Some((&generate.secret.spot, format!("`{}` is not a name for a Secret", generate.secret.value)))
        } else if !is_key(&generate.key.value) {
            Some((&generate.key.spot, format!("`{}` is not a key of a Secret", generate.key.value)))
        } else if !(8..=1024).contains(&generate.length.value) {
            Some((
                &generate.length.spot,
                format!("length {} is not between 8 and 1024", generate.length.value),
            ))
        } else {
            None
        };
        if let Some((spot, cause)) = wrong {
            found.push(spot.mark(Diagnostic::error("SPC024", cause)).on(path));
            continue;
        }
        let keys = secrets.entry(generate.secret.value.clone()).or_default();
        let length = usize::try_from(generate.length.value).unwrap_or(1024);
        if keys.insert(generate.key.value.clone(), length).is_some() {
            let cause = format!(
                "key `{}` of Secret `{}` is generated twice",
                generate.key.value, generate.secret.value
            );
            found.push(generate.key.spot.mark(Diagnostic::error("SPC024", cause)).on(path));
        }
    }
    if !found.is_empty() {
        return Err(found);
    }
    let secret = |(secret, keys)| GeneratedSecret { component: component.to_owned(), secret, keys };
    Ok(secrets.into_iter().map(secret).collect())
}

fn is_key(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text != "."
        && text != ".."
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Marks the Jobs that are hooks.
pub(crate) fn hooks(
    template: &Template,
    objects: &mut [RenderedObject],
    engine: &Engine,
    scope: &Scope<'_>,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, node) in template.body.hooks.iter().enumerate() {
        let path = format!("spec.hooks[{index}]");
        let mut node = node.clone();
        let hook: Hook = match render_tree(&mut node, engine, scope)
            .and_then(|()| typed(&node, &path).map_err(|finding| vec![*finding]))
        {
            Ok(hook) => hook,
            Err(findings) => {
                found.extend(findings);
                continue;
            }
        };
        let point = match hook.at {
            HookAt::Before => HookPoint::Before,
            HookAt::After => HookPoint::After,
            HookAt::BeforeDelete => HookPoint::BeforeDelete,
        };
        let is_job = |object: &&mut RenderedObject| object.manifest["kind"] == "Job";
        let job = objects
            .iter_mut()
            .filter(is_job)
            .find(|job| job.manifest["metadata"]["name"] == hook.job.value.as_str());
        match job {
            Some(job) if job.hook.is_none() => job.hook = Some(point),
            Some(_) => {
                let cause = format!("Job `{}` is a hook twice", hook.job.value);
                found.push(hook.job.spot.mark(Diagnostic::error("TPL013", cause)).on(path));
            }
            None => {
                let jobs = objects.iter().filter(|object| object.manifest["kind"] == "Job");
                let known = jobs.filter_map(|job| job.manifest["metadata"]["name"].as_str());
                let hint = near::hint(&hook.job.value, "Job in this template", known);
                let cause = format!("hook names Job `{}`, which is not rendered", hook.job.value);
                found.push(hook.job.spot.mark(Diagnostic::error("TPL013", cause)).on(path).help(hint));
            }
        }
    }
    found
}

/// The health rules of a component. One that matches nothing rendered is a warning: it is most often a
/// mistyped kind, but may be one that only some values give.
pub(crate) fn health(
    template: &Template,
    objects: &[RenderedObject],
    found: &mut Vec<Diagnostic>,
) -> Vec<HealthRule> {
    let text = |text: &Located<String>| text.value.clone();
    let kinds: BTreeSet<(String, String)> = objects
        .iter()
        .filter_map(|object| {
            let group = crate::kinds::group(object.manifest["apiVersion"].as_str()?);
            Some((group.to_owned(), object.manifest["kind"].as_str()?.to_owned()))
        })
        .collect();
    let mut rules = Vec::new();
    for rule in &template.body.health {
        let (group, kind) = rule.group_kind();
        if !kinds.contains(&(group.to_owned(), kind.to_owned())) {
            let custom: Vec<String> = kinds
                .iter()
                .filter(|(group, _)| group.contains('.'))
                .map(|(group, kind)| format!("{kind}.{group}"))
                .collect();
            let hint = near::hint(
                &rule.kind.value,
                "custom resource in this template",
                custom.iter().map(String::as_str),
            );
            let cause = format!("no object of kind `{}` is rendered", rule.kind.value);
            found.push(rule.kind.spot.mark(Diagnostic::error("TPL023", cause).warning()).help(hint));
        }
        rules.push(HealthRule {
            group: group.to_owned(),
            kind: kind.to_owned(),
            current: text(&rule.current),
            in_progress: rule.in_progress.as_ref().map(text),
            failed: rule.failed.as_ref().map(text),
            message: rule.message.as_ref().map(text),
        });
    }
    rules
}

/// The PostgreSQL a component offers.
pub(crate) fn postgres(provides: &Provides) -> Option<PostgresTarget> {
    let outputs = provides.get("postgres/v1")?;
    let text = |name: &str| outputs.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(PostgresTarget {
        host: text("host")?,
        port: outputs.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())?,
        database: text("database")?,
        user: text("user").unwrap_or_else(|| "postgres".to_owned()),
        secret: outputs.get("auth")?.get("secretRef")?.as_str()?.to_owned(),
    })
}

/// Whether a node says nothing.
pub(crate) fn is_nothing(node: &spec::Node) -> bool {
    node.kind == Kind::Null
}
