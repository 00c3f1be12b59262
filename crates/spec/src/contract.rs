//! Contracts: named, versioned interfaces between components, with typed outputs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::decode::decode;
use crate::load;
use crate::name::{Identifier, is_label};
use crate::{Diagnostic, Files, Located, Node, files, near};

/// Contracts that every repository has.
const BUILT_IN: [(&str, &str); 5] = [
    ("http/v1", include_str!("../contracts/http-v1.yaml")),
    ("kafka/v1", include_str!("../contracts/kafka-v1.yaml")),
    ("postgres/v1", include_str!("../contracts/postgres-v1.yaml")),
    ("s3/v1", include_str!("../contracts/s3-v1.yaml")),
    ("sql/v1", include_str!("../contracts/sql-v1.yaml")),
];

/// A contract.
#[derive(Debug, Clone)]
pub struct Contract {
    /// `<name>/v<major>`.
    pub name: String,
    /// Output to its type.
    pub outputs: BTreeMap<String, Output>,
}

/// One output of a contract.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its type.
    pub r#type: OutputType,
    /// May be left out.
    #[serde(default)]
    pub optional: bool,
    /// The value when it is left out.
    #[serde(default)]
    pub default: Option<Node>,
    /// What it is.
    #[serde(default)]
    pub description: Option<String>,
}

/// Types of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A reference to a Secret, `{secretRef: NAME}`; never its content.
    Secret,
}

impl OutputType {
    fn accepts(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::Secret => value.as_object().is_some_and(|map| {
                map.len() == 1
                    && map.get("secretRef").and_then(Value::as_str).is_some_and(crate::name::is_subdomain)
            }),
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::String => "put it in quotes",
            Self::Integer | Self::Boolean => {
                "write it without quotes; a text that is exactly one `{{ … }}` keeps the type of what it names"
            }
            Self::Secret => "write {secretRef: NAME}, with nothing beside it",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Boolean => "a boolean",
            Self::Secret => "{secretRef: NAME}",
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ContractBody")]
pub(crate) struct Body {
    #[serde(default)]
    #[expect(dead_code, reason = "for readers of the file")]
    description: Option<String>,
    #[schemars(extend("propertyNames" = {"pattern": crate::schema::IDENTIFIER}))]
    outputs: BTreeMap<Located<String>, Output>,
}

/// Name and major of `<name>/v<major>`.
#[must_use]
pub fn split(contract: &str) -> Option<(&str, u32)> {
    let (name, version) = contract.split_once("/v")?;
    let canonical = !version.starts_with('0') && version.bytes().all(|byte| byte.is_ascii_digit());
    if !canonical || !is_label(name) {
        return None;
    }
    Some((name, version.parse().ok()?))
}

/// Loads a contract: a built-in one, or `contracts/<name>-v<major>.yaml`.
///
/// # Errors
/// `CTR001` when there is none, or what is wrong with its file.
pub fn load(files: &dyn Files, root: &str, name: &Located<String>) -> Result<Contract, Vec<Diagnostic>> {
    let unknown =
        |known: &[String]| {
            let hint = near::hint(&name.value, "contract", known.iter().map(String::as_str));
            vec![name.spot.mark(
                Diagnostic::error("CTR001", format!("there is no contract `{}`", name.value)).help(hint),
            )]
        };
    let Some((short, major)) = split(&name.value) else { return Err(unknown(&[])) };
    let stem = format!("{short}-v{major}");
    let file = files::join(root, &format!("contracts/{stem}.yaml"));
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name.value);
    let loaded = match built_in {
        Some((_, text)) => Some(load::parse(&file, (*text).to_owned(), "Contract", &stem)),
        None => load::load(files, &file, "Contract", &stem).transpose(),
    };
    let Some(loaded) = loaded.transpose().map_err(|finding| vec![*finding])? else {
        return Err(unknown(&known(files, root)));
    };
    let body: Body =
        decode(&loaded.spec, "spec").map_err(|finding| vec![finding.with_source(&loaded.text)])?;
    let mut findings = Vec::new();
    for (output, declared) in &body.outputs {
        if let Err(error) = Identifier::new(&output.value) {
            findings.push(output.spot.mark(error.diagnostic()));
        }
        if let Some(default) = &declared.default
            && !declared.r#type.accepts(&default.to_value())
        {
            let cause = format!("default of `{}` is not {}", output.value, declared.r#type.words());
            let finding =
                Diagnostic::error("CTR002", cause).on(format!("spec.outputs.{}.default", output.value));
            findings.push(default.spot.mark(finding.help("correct the default, or the type")));
        }
    }
    if !findings.is_empty() {
        return Err(findings.into_iter().map(|finding| finding.with_source(&loaded.text)).collect());
    }
    let outputs = body.outputs.into_iter().map(|(name, output)| (name.value, output)).collect();
    Ok(Contract { name: name.value.clone(), outputs })
}

fn known(files: &dyn Files, root: &str) -> Vec<String> {
    let own = own(files, root).into_iter().filter_map(|(_, name)| name);
    BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).chain(own).collect()
}

/// The files of `contracts/`, each with the contract it is of, if it has the name of one.
fn own(files: &dyn Files, root: &str) -> Vec<(String, Option<String>)> {
    let folder = files::join(root, "contracts");
    let paths = files.list(&folder).unwrap_or_default().into_iter();
    let named = |path: String| {
        let stem = path.strip_prefix(&folder)?.strip_prefix('/')?;
        let stem = stem.strip_suffix(".yaml").or_else(|| stem.strip_suffix(".yml"))?;
        let name = stem.rsplit_once("-v").map(|(name, major)| format!("{name}/v{major}"));
        let name = name.filter(|name| path.ends_with(".yaml") && split(name).is_some());
        Some((path, name))
    };
    paths.filter_map(named).collect()
}

/// What is wrong with the contracts of a repository, whether a template uses them or not.
#[must_use]
pub fn check(files: &dyn Files, root: &str) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (path, name) in own(files, root) {
        let finding = |cause: &str| Diagnostic::error("CTR003", cause).at(&path, 1, 1);
        match name {
            None => {
                let help = "name it like contracts/warehouse-v1.yaml";
                found.push(finding("the file's name is none of a contract, so it is not read").help(help));
            }
            Some(name) if BUILT_IN.iter().any(|(known, _)| *known == name) => {
                let cause = format!("the contract {name} is built in, so the file is not read");
                found.push(finding(&cause).help("remove it, or give it another name or major version"));
            }
            Some(name) => {
                found.extend(load(files, root, &Located::nowhere(name)).err().into_iter().flatten())
            }
        }
    }
    found
}

impl Contract {
    /// Checks the outputs a template offers, and fills in defaults.
    ///
    /// # Errors
    /// Every output that is missing, unknown or of another type.
    pub fn outputs(&self, offered: &Node, path: &str) -> Result<BTreeMap<String, Value>, Vec<Diagnostic>> {
        self.outputs_but(offered, path, &|_| false)
    }

    /// The same, without a judgement about values that are known only later.
    ///
    /// # Errors
    /// As [`Self::outputs`].
    pub fn outputs_but(
        &self,
        offered: &Node,
        path: &str,
        later: &dyn Fn(&Value) -> bool,
    ) -> Result<BTreeMap<String, Value>, Vec<Diagnostic>> {
        let mut findings = Vec::new();
        let mut outputs = BTreeMap::new();
        let Value::Object(values) = offered.to_value() else {
            let cause = format!("{} where the outputs of {} are expected", offered.type_name(), self.name);
            return Err(vec![offered.spot.mark(Diagnostic::error("CTR002", cause).on(path))]);
        };
        for entry in offered.entries() {
            if !self.outputs.contains_key(&entry.key.value) {
                let hint = near::hint(&entry.key.value, "output", self.outputs.keys().map(String::as_str));
                let cause = format!("{} has no output `{}`", self.name, entry.key.value);
                findings.push(entry.key.spot.mark(Diagnostic::error("CTR002", cause).on(path).help(hint)));
            }
        }
        for (name, output) in &self.outputs {
            match (values.get(name), &output.default) {
                (Some(value), _) if later(value) || output.r#type.accepts(value) => {
                    outputs.insert(name.clone(), value.clone());
                }
                (Some(_), _) => {
                    let cause = format!("output `{name}` of {} must be {}", self.name, output.r#type.words());
                    let finding = Diagnostic::error("CTR002", cause).on(format!("{path}.{name}"));
                    findings.push(offered.locate([name.as_str()]).mark(finding.help(output.r#type.remedy())));
                }
                (None, Some(default)) => {
                    outputs.insert(name.clone(), default.to_value());
                }
                (None, None) if output.optional => {}
                (None, None) => {
                    let cause = format!("output `{name}` of {} is missing", self.name);
                    let help = format!("add `{name}`, {}", output.r#type.words());
                    findings.push(offered.spot.mark(Diagnostic::error("CTR002", cause).on(path).help(help)));
                }
            }
        }
        if findings.is_empty() { Ok(outputs) } else { Err(findings) }
    }
}

/// Outputs as a template sees them.
#[must_use]
pub fn as_value(outputs: &BTreeMap<String, Value>) -> Value {
    Value::Object(outputs.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryFiles, yaml};

    #[test]
    fn built_in_contracts_load() {
        for (name, _) in BUILT_IN {
            load(&MemoryFiles::default(), "", &Located::nowhere(name.to_owned())).unwrap();
        }
    }

    #[test]
    fn outputs() {
        let contract =
            load(&MemoryFiles::default(), "", &Located::nowhere("postgres/v1".to_owned())).unwrap();
        let good = yaml::parse("t", "{host: h, port: 5432, database: d, auth: {secretRef: s}}").unwrap();
        assert_eq!(contract.outputs(&good, "p").unwrap()["user"], "postgres");
        let bad =
            yaml::parse("t", "{host: h, port: '5432', databse: d, auth: {secretRef: s, key: k}}").unwrap();
        let causes: Vec<String> =
            contract.outputs(&bad, "p").unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(causes.len(), 4, "{causes:?}");
    }

    #[test]
    fn names() {
        assert_eq!(split("postgres/v1"), Some(("postgres", 1)));
        for bad in [
            "postgres",
            "postgres/1",
            "postgres/v01",
            "postgres/v1.2",
            "P/v1",
            "/v1",
            "p/v",
            "p/v99999999999",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
