//! Which component meets which requirement, and the order that follows.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
use spec::contract::{self};
use spec::environment::ComponentBody;
use spec::template::Template;
use spec::{Diagnostic, Located, near};

/// The wires of one component: requirement to the component that meets it.
pub(crate) type Wires = BTreeMap<String, String>;

/// What wiring yields.
pub(crate) struct Wiring {
    /// Component to its wires.
    pub wires: BTreeMap<String, Wires>,
    /// Component to those it waits for: by a wire, or because it says so.
    pub needs: BTreeMap<String, BTreeSet<String>>,
    /// Component to its level.
    pub levels: BTreeMap<String, usize>,
}

type Components = BTreeMap<Located<String>, ComponentBody>;
type Templates = BTreeMap<String, Template>;

/// Checks all wires. Every component has its template in `templates`.
pub(crate) fn wire(components: &Components, templates: &Templates) -> Result<Wiring, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let mut wires: BTreeMap<String, Wires> = BTreeMap::new();
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, component) in components {
        let Some(template) = templates.get(component.template.as_str()) else { continue };
        for requirement in component.wires.keys() {
            if !template.body.requires.contains_key(requirement.as_str()) {
                let known = template.body.requires.keys().map(Located::as_str);
                let cause = format!("template `{}` requires no `{}`", template.name, requirement.value);
                let hint = near::hint(requirement.as_str(), "requirement in this template", known);
                found.push(at(requirement, name, Diagnostic::error("WIR007", cause).help(hint)));
            }
        }
        let mut own = Wires::new();
        for (requirement, wanted) in &template.body.requires {
            match component.wires.get(requirement.as_str()) {
                Some(target) => match check_target(&wanted.contract.value, target, components, templates) {
                    Ok(()) => {
                        own.insert(requirement.value.clone(), target.value.clone());
                    }
                    Err(finding) => found.push(at(target, name, *finding)),
                },
                None if wanted.optional => {}
                None => found.push(at(
                    name,
                    name,
                    missing(requirement.as_str(), &wanted.contract.value, name, components, templates),
                )),
            }
        }
        let mut wanted: BTreeSet<String> = own.values().cloned().collect();
        for other in &component.needs {
            if components.contains_key(other.as_str()) {
                wanted.insert(other.value.clone());
            } else {
                let hint = near::hint(other.as_str(), "component", components.keys().map(Located::as_str));
                let cause = format!("there is no component `{}`", other.value);
                let path = format!("spec.components.{}.needs", name.value);
                found.push(other.spot.mark(Diagnostic::error("WIR002", cause).help(hint).on(path)));
            }
        }
        needs.insert(name.value.clone(), wanted);
        wires.insert(name.value.clone(), own);
    }
    if !found.is_empty() {
        return Err(found);
    }
    let levels = levels(components, &needs).map_err(|finding| vec![*finding])?;
    Ok(Wiring { wires, needs, levels })
}

fn at(spot: &Located<String>, component: &Located<String>, finding: Diagnostic) -> Diagnostic {
    spot.spot.mark(finding.on(format!("spec.components.{}.wires", component.value)))
}

fn provided<'a>(components: &Components, templates: &'a Templates, component: &str) -> Vec<&'a str> {
    let template = components.get(component).and_then(|body| templates.get(body.template.as_str()));
    template.map(|template| template.body.provides.keys().map(Located::as_str).collect()).unwrap_or_default()
}

fn check_target(
    wanted: &str,
    target: &Located<String>,
    components: &Components,
    templates: &Templates,
) -> Result<(), Box<Diagnostic>> {
    if !components.contains_key(target.as_str()) {
        let hint = near::hint(target.as_str(), "component", components.keys().map(Located::as_str));
        let cause = format!("there is no component `{}`", target.value);
        return Err(Box::new(Diagnostic::error("WIR002", cause).help(hint)));
    }
    let offered = provided(components, templates, target.as_str());
    if offered.contains(&wanted) {
        return Ok(());
    }
    let name = contract::split(wanted).map_or(wanted, |(name, _)| name);
    let other =
        offered.iter().find(|offer| contract::split(offer).is_some_and(|(offered, _)| offered == name));
    let finding = match other {
        Some(other) => {
            Diagnostic::error("WIR004", format!("`{}` provides {other}, {wanted} is required", target.value))
                .help("wire a component of the same major, or a template made for the other one")
        }
        None => {
            let offer = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
            Diagnostic::error("WIR003", format!("`{}` does not provide {wanted}", target.value))
                .help(format!("it provides {offer}"))
        }
    };
    Err(Box::new(finding))
}

fn missing(
    requirement: &str,
    wanted: &str,
    own: &Located<String>,
    components: &Components,
    templates: &Templates,
) -> Diagnostic {
    let candidates: Vec<&str> = components
        .keys()
        .map(Located::as_str)
        .filter(|name| *name != own.as_str() && provided(components, templates, name).contains(&wanted))
        .collect();
    let cause = format!("requirement `{requirement}` ({wanted}) is not wired");
    match candidates[..] {
        [] => Diagnostic::error("WIR001", cause).help(format!("add a component that provides {wanted}")),
        [only] => Diagnostic::error("WIR001", cause).help(format!("add `wires: {{{requirement}: {only}}}`")),
        _ => Diagnostic::error("WIR006", format!("{cause}, and {} components provide it", candidates.len()))
            .help(format!("choose one of `{}`", candidates.join("`, `"))),
    }
}

/// 0 for a component that needs nothing, else one more than the highest it needs.
fn levels(
    components: &Components,
    needs: &BTreeMap<String, BTreeSet<String>>,
) -> Result<BTreeMap<String, usize>, Box<Diagnostic>> {
    let mut graph = DiGraph::<&str, ()>::new();
    let nodes: BTreeMap<&str, _> =
        needs.keys().map(|name| (name.as_str(), graph.add_node(name.as_str()))).collect();
    for (name, own) in needs {
        for target in own {
            graph.add_edge(nodes[name.as_str()], nodes[target.as_str()], ());
        }
    }
    let mut levels = BTreeMap::new();
    // Strongly connected components come with what they lead to first: providers before consumers.
    for group in tarjan_scc(&graph) {
        let names: BTreeSet<&str> = group.iter().map(|index| graph[*index]).collect();
        let first = names.first().copied().unwrap_or_default();
        if names.len() > 1 || needs[first].contains(first) {
            let cause =
                format!("components wait for each other: {}", circle(first, &names, needs).join(" → "));
            let spot = components.get_key_value(first).map(|(name, _)| name.spot.clone()).unwrap_or_default();
            return Err(Box::new(
                spot.mark(Diagnostic::error("WIR005", cause).help("cut one of these wires or `needs`")),
            ));
        }
        let level = needs[first].iter().map(|target| levels.get(target).map_or(0, |level| level + 1)).max();
        levels.insert(first.to_owned(), level.unwrap_or(0));
    }
    Ok(levels)
}

/// One way round, from `first` back to it.
fn circle<'a>(
    first: &'a str,
    names: &BTreeSet<&'a str>,
    needs: &'a BTreeMap<String, BTreeSet<String>>,
) -> Vec<&'a str> {
    let mut walk = vec![first];
    loop {
        let last = walk[walk.len() - 1];
        let next = needs[last].iter().map(String::as_str).filter(|target| names.contains(target));
        let next: Vec<&str> = next.collect();
        let Some(next) = next.iter().find(|target| **target == first).or(next.first()) else { return walk };
        if let Some(start) = walk.iter().position(|known| known == next) {
            walk.drain(..start);
            walk.push(next);
            return walk;
        }
        walk.push(next);
    }
}
