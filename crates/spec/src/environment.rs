//! `environments/<name>.yaml`: what an environment is made of.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::declared::{self, Overrides};
use crate::decode::decode;
use crate::load::{self, Loaded};
use crate::merge::merge_specs;
use crate::moved::{self, MovedBody};
use crate::name::{ComponentName, Identifier, InvalidName, SpecName, TemplateName};
use crate::parameter::Parameter;
use crate::quantity::seconds;
use crate::schema::{self, Outputs, Templated};
use crate::sources::{self, SourceBody};
use crate::{Diagnostic, Files, Located, Node, files, near};

/// How many specs may extend one another in a row.
pub const MAX_EXTENDS: usize = 8;

/// An environment spec after `extends`, checked as far as one file can be.
#[derive(Debug, Clone)]
pub struct EnvironmentSpec {
    /// Its name, which is its file's.
    pub name: String,
    /// The files it was merged from, itself first.
    pub files: Vec<String>,
    /// Texts of these files, for excerpts.
    pub texts: BTreeMap<String, String>,
    /// What stands under `spec`, as a tree with places.
    pub tree: Node,
    /// What it says.
    pub body: Body,
}

/// What stands under `spec`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(rename = "SpecBody")]
pub struct Body {
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// The spec this one is laid over; already done.
    #[serde(default)]
    #[schemars(extend("pattern" = schema::LABEL, "maxLength" = 30))]
    pub extends: Option<Located<String>>,
    /// Further repositories that templates may read.
    #[serde(default)]
    pub sources: Vec<SourceBody>,
    /// Parameters that `--set` and values files fill.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": schema::IDENTIFIER}))]
    pub parameters: BTreeMap<Located<String>, Parameter>,
    /// The components by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": schema::LABEL, "maxLength": 63}))]
    pub components: BTreeMap<Located<String>, ComponentBody>,
    /// Components that had another name.
    #[serde(default)]
    pub moved: Vec<MovedBody>,
    /// Data to copy, by component; its strings are templates.
    #[serde(default)]
    #[schemars(with = "Option<Templated<BTreeMap<Located<String>, DataBody>>>")]
    pub data: Option<Node>,
    /// Secrets to copy into the environment, by name of the copy.
    #[serde(default)]
    pub secrets: BTreeMap<Located<String>, SecretBody>,
    /// Queries that decide whether it is ready; their strings are templates.
    #[serde(default)]
    #[schemars(with = "Option<Templated<Vec<GateBody>>>")]
    pub gates: Option<Node>,
    /// How long it lives.
    #[serde(default)]
    pub lifecycle: Option<LifecycleBody>,
    /// What it may use and reach.
    #[serde(default)]
    pub policy: Option<PolicyBody>,
}

/// An instance of a template.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ComponentBody {
    /// The template.
    #[schemars(extend("pattern" = schema::LABEL, "maxLength" = 63))]
    pub template: Located<String>,
    /// The template's parameters; strings are templates.
    #[serde(default)]
    #[schemars(with = "Option<Templated<Outputs>>")]
    pub values: Option<Node>,
    /// Requirement of the template to the component that meets it.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": schema::IDENTIFIER}))]
    pub wires: BTreeMap<Located<String>, Located<String>>,
    /// Components that have to be healthy before this one begins, besides those it is wired to.
    #[serde(default)]
    pub needs: Vec<Located<String>>,
    /// How long an image that cannot be pulled yet is waited for.
    #[serde(default)]
    #[schemars(extend("pattern" = schema::DURATION))]
    pub wait_for_image: Option<Located<String>>,
    /// Objects that may exist already and become the environment's: `KIND/NAME`.
    #[serde(default)]
    pub adopt: Vec<Located<String>>,
    /// Object (`KIND/NAME`) to fields that are taken from whoever else manages them.
    #[serde(default)]
    pub overrides: Overrides,
}

/// A Secret copied from another namespace.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretBody {
    /// `<namespace>/<name>`.
    #[schemars(extend("pattern" = schema::REFERENCE))]
    pub from: Located<String>,
}

/// How long an environment lives.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LifecycleBody {
    /// From the last `up` on.
    #[serde(default)]
    #[schemars(extend("pattern" = schema::DURATION))]
    pub ttl: Option<Located<String>>,
    /// When it is put to sleep.
    #[serde(default)]
    pub sleep: Option<Sleep>,
    /// When it is deleted.
    #[serde(default)]
    pub delete: Option<Delete>,
    /// Never deleted by `gc`.
    #[serde(default)]
    pub protected: bool,
}

/// When an environment is put to sleep.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Sleep {
    /// Without use for this long.
    #[schemars(extend("pattern" = schema::DURATION))]
    pub idle_for: Located<String>,
}

/// When a sleeping environment is deleted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Delete {
    /// Asleep for this long.
    #[schemars(extend("pattern" = schema::DURATION))]
    pub asleep_for: Located<String>,
}

/// What an environment may use and reach.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyBody {
    /// `owned`, or `{borrowed: NAME}`.
    #[serde(default)]
    #[schemars(schema_with = "schema::namespace")]
    pub namespace: Option<Node>,
    /// Hard limits of a `ResourceQuota`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<Located<String>, schema::Quantity>")]
    pub quota: BTreeMap<Located<String>, Node>,
    /// Kinds that no template may use: `KIND`, `KIND.GROUP`, or either with `/TYPE`.
    #[serde(default)]
    #[schemars(inner(regex(pattern = schema::DENY)))]
    pub deny: Vec<Located<String>>,
    /// `open` or `isolated`.
    #[serde(default)]
    pub network: Option<Located<NetworkBody>>,
}

/// What the pods may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkBody {
    /// Everything.
    Open,
    /// The environment and DNS.
    Isolated,
}

/// One entry of `data`, after its strings were rendered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataBody {
    /// Where the rows come from.
    pub source: DataSource,
    /// Table to what is copied of it.
    pub tables: BTreeMap<Located<String>, TableBody>,
}

/// The source of a copy.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// A Secret (key `uri`) in namespace `mimeo-data`.
    pub name: Located<String>,
}

/// What is copied of one table.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["columns"]))]
pub struct TableBody {
    /// `all`, or the columns by name.
    #[serde(default)]
    #[schemars(schema_with = "schema::columns")]
    pub columns: Option<Node>,
    /// SQL condition on the rows.
    #[serde(default, rename = "where")]
    pub filter: Option<Located<String>>,
}

/// One gate, after its strings were rendered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateBody {
    /// Its name.
    pub name: Located<String>,
    /// The component whose database answers.
    pub on: Located<String>,
    /// A query that yields one value.
    pub sql: Located<String>,
    /// The value expected.
    #[schemars(schema_with = "schema::one_value")]
    pub expect: Node,
}

/// Reads rendered `data` or `gates` as what they stand for.
///
/// # Errors
/// One finding: an unknown or missing field, or a value of another type.
pub fn typed<'de, T: Deserialize<'de>>(node: &'de Node, path: &str) -> Result<T, Box<Diagnostic>> {
    decode(node, path)
}

/// Path of a spec's file.
#[must_use]
pub fn path(root: &str, name: &str) -> String {
    files::join(root, &format!("environments/{name}.yaml"))
}

/// Loads a spec and lays it over those it extends. `known` are the names of all specs, for near names.
///
/// # Errors
/// Everything that is wrong with it, as far as the spec alone tells.
pub fn load(
    files: &dyn Files,
    root: &str,
    name: &str,
    known: &[String],
) -> Result<EnvironmentSpec, Vec<Diagnostic>> {
    SpecName::new(name).map_err(|error| vec![error.diagnostic()])?;
    let mut chain: Vec<Loaded> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut next = Some(Located::nowhere(name.to_owned()));
    while let Some(wanted) = next {
        let finding = if names.contains(&wanted.value) {
            names.push(wanted.value.clone());
            Some(Diagnostic::error("SPC007", format!("specs extend each other: {}", names.join(" → "))))
        } else if names.len() > MAX_EXTENDS {
            Some(Diagnostic::error("SPC007", format!("more than {MAX_EXTENDS} specs extend each other")))
        } else {
            SpecName::new(&wanted.value).err().map(|error| error.diagnostic())
        };
        if let Some(finding) = finding {
            return Err(vec![excerpt(wanted.spot.mark(finding), &chain)]);
        }
        let loaded = load::load(files, &path(root, &wanted.value), "EnvironmentSpec", &wanted.value)
            .map_err(|finding| vec![*finding])?;
        let Some(loaded) = loaded else {
            let cause = format!("there is no environment spec `{}`", wanted.value);
            let hint = near::hint(&wanted.value, "spec in environments/", known.iter().map(String::as_str));
            return Err(vec![excerpt(
                wanted.spot.mark(Diagnostic::error("SPC008", cause).help(hint)),
                &chain,
            )]);
        };
        next = match loaded.spec.get("extends") {
            Some(node) => Some(
                decode(node, "spec.extends").map_err(|finding| vec![finding.with_source(&loaded.text)])?,
            ),
            None => None,
        };
        names.push(wanted.value);
        chain.push(loaded);
    }
    finish(name, chain)
}

fn finish(name: &str, chain: Vec<Loaded>) -> Result<EnvironmentSpec, Vec<Diagnostic>> {
    let merged =
        chain.iter().rev().map(|loaded| loaded.spec.clone()).reduce(|base, over| merge_specs(&base, &over));
    let mut merged = merged.unwrap_or_else(Node::empty);
    moved::join(&mut merged, chain.iter().rev().map(|loaded| &loaded.spec));
    sources::join(&mut merged, chain.iter().rev().map(|loaded| &loaded.spec));
    let body: Body = decode(&merged, "spec").map_err(|finding| vec![excerpt(*finding, &chain)])?;
    let findings: Vec<Diagnostic> =
        check(&body).into_iter().map(|finding| excerpt(finding, &chain)).collect();
    if !findings.is_empty() {
        return Err(findings);
    }
    let files = chain.iter().map(|loaded| loaded.file.clone()).collect();
    let texts = chain.into_iter().map(|loaded| (loaded.file, loaded.text)).collect();
    Ok(EnvironmentSpec { name: name.to_owned(), files, texts, tree: merged, body })
}

fn excerpt(finding: Diagnostic, chain: &[Loaded]) -> Diagnostic {
    let text = finding.place.as_ref().and_then(|place| chain.iter().find(|loaded| loaded.file == place.file));
    match text {
        Some(loaded) => finding.with_source(&loaded.text),
        None => finding,
    }
}

fn check(body: &Body) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut name = |result: Result<(), InvalidName>, at: &Located<String>, path: &str| {
        if let Err(error) = result {
            found.push(at.spot.mark(error.diagnostic()).on(format!("spec.{path}")));
        }
    };
    for parameter in body.parameters.keys() {
        name(Identifier::new(&parameter.value).map(drop), parameter, "parameters");
    }
    for (component, instance) in &body.components {
        name(ComponentName::new(&component.value).map(drop), component, "components");
        let path = format!("components.{}.template", component.value);
        name(TemplateName::new(&instance.template.value).map(drop), &instance.template, &path);
        for requirement in instance.wires.keys() {
            name(Identifier::new(&requirement.value).map(drop), requirement, "wires");
        }
    }
    for (component, instance) in &body.components {
        found.extend(declared::check(&component.value, instance));
    }
    for (parameter, declared) in &body.parameters {
        found.extend(declared.check(&parameter.value, &parameter.spot));
    }
    check_durations(body, &mut found);
    found.extend(sources::check(&body.sources));
    let components: BTreeSet<&str> = body.components.keys().map(Located::as_str).collect();
    found.extend(moved::check(&body.moved, &components));
    for (name, secret) in &body.secrets {
        let parts: Vec<&str> = secret.from.value.split('/').collect();
        let valid = matches!(parts[..], [namespace, secret] if crate::name::is_label(namespace) && crate::name::is_subdomain(secret));
        if !valid || !crate::name::is_subdomain(&name.value) {
            let finding =
                Diagnostic::error("SPC013", format!("`{}` is not <namespace>/<name>", secret.from.value));
            found.push(
                secret.from.spot.mark(
                    finding.on(format!("spec.secrets.{}", name.value)).help("write team-secrets/regcred"),
                ),
            );
        }
    }
    found
}

fn check_durations(body: &Body, found: &mut Vec<Diagnostic>) {
    let mut check = |text: Option<&Located<String>>, path: &str| {
        let Some(text) = text else { return };
        let why = match seconds(&text.value) {
            Ok(0) => "is zero",
            Ok(_) => return,
            Err(why) => why,
        };
        let finding =
            Diagnostic::error("ENV001", format!("`{}` {why}", text.value)).on(format!("spec.{path}"));
        found.push(text.spot.mark(
            finding.help("write it like 30m, 72h or 7d, at most 3650d; leave it out to keep it for good"),
        ));
    };
    if let Some(lifecycle) = &body.lifecycle {
        check(lifecycle.ttl.as_ref(), "lifecycle.ttl");
        check(lifecycle.sleep.as_ref().map(|sleep| &sleep.idle_for), "lifecycle.sleep.idleFor");
        check(lifecycle.delete.as_ref().map(|delete| &delete.asleep_for), "lifecycle.delete.asleepFor");
    }
    for (name, component) in &body.components {
        check(component.wait_for_image.as_ref(), &format!("components.{}.waitForImage", name.value));
    }
}
