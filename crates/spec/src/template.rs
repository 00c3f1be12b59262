//! `templates/<name>/template.yaml`: what a template takes, needs, makes and offers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::decode::decode;
use crate::health::{self, HealthRule};
use crate::load;
use crate::name::{Identifier, TemplateName};
use crate::parameter::Parameter;
use crate::schema::{self, Outputs, Templated};
use crate::{Diagnostic, Files, Located, Node, contract, files};

/// A template, checked as far as its file alone can be.
#[derive(Debug, Clone)]
pub struct Template {
    /// Its name, which is its folder's.
    pub name: String,
    /// Path of `template.yaml`.
    pub file: String,
    /// Its text, for excerpts.
    pub text: String,
    /// What it says.
    pub body: Body,
}

/// What stands under `spec`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TemplateBody")]
pub struct Body {
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// What its instances are given.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": schema::IDENTIFIER}))]
    pub parameters: BTreeMap<Located<String>, Parameter>,
    /// Contracts that other components meet.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": schema::IDENTIFIER}))]
    pub requires: BTreeMap<Located<String>, Requirement>,
    /// Secrets made once in the cluster; strings are templates.
    #[serde(default)]
    #[schemars(with = "BTreeMap<Located<String>, Templated<Generate>>")]
    pub generates: BTreeMap<Located<String>, Node>,
    /// Contracts it meets, with their outputs; strings are templates.
    #[serde(default)]
    #[schemars(with = "BTreeMap<Located<String>, Templated<Outputs>>", extend("propertyNames" = {"pattern": schema::CONTRACT}))]
    pub provides: BTreeMap<Located<String>, Node>,
    /// Jobs that run at certain points; strings are templates.
    #[serde(default)]
    #[schemars(with = "Vec<Templated<Hook>>")]
    pub hooks: Vec<Node>,
    /// When custom resources are healthy. Expressions are no templates: they are not rendered.
    #[serde(default)]
    pub health: Vec<HealthRule>,
}

/// A contract that another component meets.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// `<name>/v<major>`.
    #[schemars(extend("pattern" = schema::CONTRACT))]
    pub contract: Located<String>,
    /// May be left unwired.
    #[serde(default)]
    pub optional: bool,
}

/// One generated value, after its strings were rendered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// Name of the Secret.
    pub secret: Located<String>,
    /// Key in it.
    pub key: Located<String>,
    /// Length in characters.
    #[serde(default = "default_length")]
    #[schemars(range(min = 8, max = 1024))]
    pub length: Located<u64>,
}

fn default_length() -> Located<u64> {
    Located::nowhere(32)
}

/// A hook, after its strings were rendered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Name of the Job among the template's manifests.
    pub job: Located<String>,
    /// When it runs.
    pub at: HookAt,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HookAt {
    /// Before the component's other objects.
    Before,
    /// After the component is healthy.
    After,
    /// At teardown, before anything of the component is deleted.
    BeforeDelete,
}

/// Folder of a template.
#[must_use]
pub fn folder(root: &str, name: &str) -> String {
    files::join(root, &format!("templates/{name}"))
}

/// Loads a template; `None` when there is none of that name.
///
/// # Errors
/// Everything that is wrong with its file.
pub fn load(files: &dyn Files, root: &str, name: &str) -> Result<Option<Template>, Vec<Diagnostic>> {
    TemplateName::new(name).map_err(|error| vec![error.diagnostic()])?;
    let file = format!("{}/template.yaml", folder(root, name));
    let Some(loaded) = load::load(files, &file, "Template", name).map_err(|finding| vec![*finding])? else {
        return Ok(None);
    };
    let body: Body =
        decode(&loaded.spec, "spec").map_err(|finding| vec![finding.with_source(&loaded.text)])?;
    let findings = check(&body);
    if findings.is_empty() {
        return Ok(Some(Template { name: name.to_owned(), file, text: loaded.text, body }));
    }
    Err(findings.into_iter().map(|finding| finding.with_source(&loaded.text)).collect())
}

fn check(body: &Body) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for name in body.parameters.keys().chain(body.requires.keys()) {
        if let Err(error) = Identifier::new(&name.value) {
            found.push(name.spot.mark(error.diagnostic()));
        }
    }
    for (name, parameter) in &body.parameters {
        found.extend(parameter.check(&name.value, &name.spot));
    }
    let contracts =
        body.requires.values().map(|requirement| &requirement.contract).chain(body.provides.keys());
    for name in contracts {
        if contract::split(&name.value).is_none() {
            let cause = format!("`{}` is not a contract", name.value);
            found.push(name.spot.mark(Diagnostic::error("CTR001", cause).help("write it like postgres/v1")));
        }
    }
    found.extend(health::check(&body.health));
    found
}
