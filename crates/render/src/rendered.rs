//! What rendering yields: everything the later stages need, and nothing that needs git again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use spec::Diagnostic;
use spec::lock_file::Pins;

use crate::lock::Stream;
use crate::object::title;
use crate::origin::Origin;

/// One environment, rendered from one revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendered {
    /// Who this environment is.
    pub env: Env,
    /// Components in order of name, with the level at which each is applied.
    pub components: Vec<Component>,
    /// All manifests in apply order, then by kind and name: namespace and labels set, canonical.
    /// Without the Namespace of the environment itself and without generated Secrets.
    pub objects: Vec<RenderedObject>,
    /// Secrets made once in the cluster, never part of the bytes.
    pub generated: Vec<GeneratedSecret>,
    /// Data to copy, at most one step per component.
    pub data: Vec<DataStep>,
    /// Secrets to copy in from other namespaces.
    pub secrets: Vec<SecretCopy>,
    /// Queries that decide whether the environment is ready.
    pub gates: Vec<Gate>,
    /// The environment spec's lifecycle.
    pub lifecycle: Lifecycle,
    /// The environment spec's policy.
    pub policy: Policy,
    /// Effective spec parameters and where each came from.
    pub parameters: BTreeMap<String, Input>,
    /// Everything this rendering was made from.
    pub lock: Lock,
    /// What [`Rendered::yaml_stream`] gives; unknown to a rendering that was read back.
    #[serde(skip)]
    pub stream: Stream,
}

/// The identity of the environment, as templates see it in `env.*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Env {
    /// 32 hexadecimal digits of hash(repository, ref, spec).
    pub id: String,
    /// `<spec>-<slug(ref)>-<first 8 digits of id>`, at most 50 characters; also the namespace.
    pub name: String,
    /// Name of the environment spec.
    pub spec: String,
    /// The repository's identity, such as `git.example.com/team/flights`.
    pub repository: String,
    /// Full branch or tag name, `pr/<number>`, or the value of `--name`.
    pub r#ref: String,
    /// The full commit id.
    pub revision: String,
}

/// A component of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Its name in the spec.
    pub name: String,
    /// The name it had first, when it was moved: what its objects are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<String>,
    /// The template it instantiates.
    pub template: String,
    /// Components it is wired to, and those it says it needs.
    pub needs: Vec<String>,
    /// 0 for a component that needs nothing, else one more than the highest it needs.
    pub level: usize,
    /// What it offers others: contract (`postgres/v1`) to outputs.
    pub provides: BTreeMap<String, BTreeMap<String, Value>>,
    /// How long an image that cannot be pulled is waited for, when the spec says so.
    pub wait_for_image_seconds: Option<u64>,
    /// When its custom resources are healthy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<HealthRule>,
}

/// When the objects of a kind are healthy: CEL over one live object, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthRule {
    /// API group of the kind.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// Holds when an object is what was asked for.
    pub current: String,
    /// Holds while it is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_progress: Option<String>,
    /// Holds when it will not become healthy by waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// A text that says why it is not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderedObject {
    /// The component it belongs to.
    pub component: String,
    /// When a Job is a hook, at which point it runs.
    pub hook: Option<HookPoint>,
    /// It may exist already, and becomes the environment's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,
    /// Fields that are taken from whoever else manages them: keys and indices from the root of the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Vec<String>>,
    /// The manifest, keys sorted.
    pub manifest: Value,
    /// The template file it came from, from the root of the repository.
    pub file: String,
    /// First line of its document in that file, counted from 1.
    pub line: usize,
    /// Where its fields stand in that file; unknown to an object that was read back.
    #[serde(skip)]
    pub origin: Origin,
}

impl RenderedObject {
    /// Puts a finding at the template line of a field: keys and indices from the root of the manifest. A field
    /// that is not written there is shown at the nearest one around it.
    #[must_use]
    pub fn mark(&self, path: &[String], finding: Diagnostic) -> Diagnostic {
        let finding = finding.at(&self.file, self.line, 1);
        self.origin.mark(path, finding, &title(&self.manifest))
    }

    /// Like [`RenderedObject::mark`], at the key of the field instead of its value.
    #[must_use]
    pub fn mark_key(&self, path: &[String], finding: Diagnostic) -> Diagnostic {
        let finding = finding.at(&self.file, self.line, 1);
        self.origin.mark_key(path, finding, &title(&self.manifest))
    }
}

/// When a hook Job of a template runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookPoint {
    /// Before the component's other objects; they wait for its success.
    Before,
    /// After the component is healthy.
    After,
    /// At teardown, before anything of the component is deleted.
    BeforeDelete,
}

/// A Secret with random values, made once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedSecret {
    /// The component it belongs to.
    pub component: String,
    /// Name of the Secret, in the environment's namespace.
    pub secret: String,
    /// Key to length in characters.
    pub keys: BTreeMap<String, usize>,
}

/// A Secret copied into the environment from a namespace that the cluster's policy allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretCopy {
    /// Name of the copy.
    pub name: String,
    /// Namespace of the original.
    pub from_namespace: String,
    /// Name of the original.
    pub from_name: String,
}

/// A copy of rows and columns from a source into one component's database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataStep {
    /// The component whose database is filled; it provides `postgres/v1`.
    pub component: String,
    /// The Secret (key `uri`) in namespace `mimeo-data` that names the source.
    pub source: String,
    /// Tables in order of name.
    pub tables: Vec<TableCopy>,
    /// `postgres/v1` outputs of the component: host, port, database, auth.secretRef, user.
    pub target: PostgresTarget,
}

/// Where a PostgreSQL of the environment listens; the password is in the Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresTarget {
    /// Host name inside the cluster.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database name.
    pub database: String,
    /// Role name; `postgres` when the contract's outputs do not say.
    pub user: String,
    /// Secret with key `password`, in the environment's namespace.
    pub secret: String,
}

/// Which rows and columns of one table are copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableCopy {
    /// Table name as the source knows it, `schema.table` or `table` (schema `public`).
    pub table: String,
    /// The columns to copy; `None` stands for `columns: all`.
    pub columns: Option<Vec<String>>,
    /// SQL condition on the source's rows.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none", default)]
    pub filter: Option<String>,
}

/// A query whose answer decides whether the environment is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Its name.
    pub name: String,
    /// The component whose database answers.
    pub on: String,
    /// One SQL query that yields one value.
    pub sql: String,
    /// The value expected, as text.
    pub expect: String,
    /// Where to ask.
    pub target: PostgresTarget,
}

/// How long an environment lives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Seconds from the last `up` after which the environment is stale.
    pub ttl_seconds: Option<u64>,
    /// Never deleted by `gc`.
    pub protected: bool,
    /// Seconds without use after which it is put to sleep.
    pub sleep_idle_seconds: Option<u64>,
    /// Seconds asleep after which it is deleted.
    pub delete_asleep_seconds: Option<u64>,
}

/// What the environment may use and reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `owned`: made and removed by mimeo. `borrowed`: neither.
    pub namespace: NamespacePolicy,
    /// Hard limits for a ResourceQuota, such as `cpu: "4"`.
    pub quota: BTreeMap<String, String>,
    /// Kinds that no template may use, such as `Service/LoadBalancer`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// `open` or `isolated`.
    pub network: Network,
}

/// Who the namespace belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "name")]
pub enum NamespacePolicy {
    /// Created and removed with the environment; named like it.
    Owned,
    /// An existing namespace, never removed.
    Borrowed(String),
}

/// What the environment's pods may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Everything.
    Open,
    /// Only the environment itself and DNS.
    Isolated,
}

/// One effective value and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The value.
    pub value: Value,
    /// `default`, `spec`, `values file` or `--set`.
    pub origin: String,
}

/// Everything a rendering was made from. Same lock, same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of this format.
    pub version: u32,
    /// Version of the tool that rendered.
    pub tool: String,
    /// Name of the environment spec.
    pub spec: String,
    /// The repository's identity.
    pub repository: String,
    /// Full branch or tag name, `pr/<number>`, or the value of `--name`.
    pub r#ref: String,
    /// Folder of the repository that holds `environments/` and `templates/`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Commit id.
    pub revision: String,
    /// Commit id of the base branch that decided over lifecycle and policy, for a pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governed_by: Option<String>,
    /// Further repositories that were read, each at one commit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: Pins,
    /// Template name to git tree id.
    pub templates: BTreeMap<String, String>,
    /// Effective parameters of the spec.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
    /// SHA-256 of the canonical effective values.
    pub values: String,
    /// Image references used, as written; sorted.
    pub images: Vec<String>,
    /// Of these, the ones that were replaced, and by what.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub image_map: BTreeMap<String, String>,
    /// SHA-256 of the rendered bytes.
    pub manifests: String,
}
