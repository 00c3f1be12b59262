//! mimeo's own resources. The Rust types are the source; `install/crds/*.yaml` is a checked snapshot.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Namespace of records, inventories, receipts and leases, unless `--record-namespace` says otherwise.
pub const SYSTEM_NAMESPACE: &str = "mimeo-system";

/// Namespace of the credentials of data sources and of the Jobs that use them.
pub const DATA_NAMESPACE: &str = "mimeo-data";

/// The finalizer that makes the deletion of a record mean the teardown of its environment.
pub const TEARDOWN_FINALIZER: &str = "mimeo.dev/teardown";

/// The record of one environment.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mimeo.dev",
    version = "v1alpha1",
    kind = "Environment",
    root = "EnvironmentRecord",
    plural = "environments",
    shortname = "menv",
    namespaced,
    status = "RecordStatus",
    printcolumn = r#"{"name":"Spec","type":"string","jsonPath":".spec.spec"}"#,
    printcolumn = r#"{"name":"Ref","type":"string","jsonPath":".spec.ref"}"#,
    printcolumn = r#"{"name":"Revision","type":"string","jsonPath":".spec.revision"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".spec.state"}"#,
    printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".spec.expiresAt"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct RecordSpec {
    /// 32 hexadecimal digits of hash(repository, ref, spec).
    pub id: String,
    /// Name of the environment spec.
    pub spec: String,
    /// Identity of the repository.
    pub repository: String,
    /// Full name of the branch or tag, `pr/<number>`, or the value of `--name`.
    pub r#ref: String,
    /// What `ref` is the name of; absent in records that do not say, and then only a TTL counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_kind: Option<RefKind>,
    /// Network URL by which the branches of the repository can be asked for, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The forge that knows the pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge: Option<ForgeMark>,
    /// The commit that was brought up last.
    pub revision: String,
    /// The namespace.
    pub namespace: String,
    /// Whether mimeo made the namespace, and removes it.
    pub namespace_owned: bool,
    /// What the environment is doing or has become.
    pub state: State,
    /// Why, when the state is Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Transitions of the lease under which this was written: an older run has a smaller number.
    pub epoch: i64,
    /// Effective parameters of the last `up`: name to value.
    #[serde(default)]
    #[schemars(schema_with = "any_object")]
    pub inputs: Map<String, Value>,
    /// What the last rendering was made from.
    #[serde(default)]
    #[schemars(schema_with = "any_object")]
    pub lock: Map<String, Value>,
    /// Never deleted by `gc`.
    #[serde(default)]
    pub protected: bool,
    /// When the last `up` took hold of the environment, RFC 3339; a TTL counts from here.
    pub last_up: String,
    /// When the command of the last `up` was given, RFC 3339 with fractions: of two runs that give another
    /// commit, the one that was given later is the newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// When the environment becomes stale, RFC 3339; absent when it lives until `down`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Until when `mimeo extend` keeps it at least, RFC 3339; a later `up` does not shorten that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_until: Option<String>,
    /// Jobs that run before anything of the environment is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "any_list")]
    pub before_delete: Vec<HookMark>,
    /// What templates say about the health of their kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<HealthMark>,
    /// The inventory that belongs to this record.
    pub inventory: InventoryMark,
    /// The teardown, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teardown: Option<Teardown>,
}

/// What the ref of an environment is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RefKind {
    /// A branch.
    Branch,
    /// A tag.
    Tag,
    /// `pr/<number>`.
    Pull,
    /// What `--name` said.
    Name,
}

/// A hook that runs at the teardown, kept here because the templates may be gone by then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HookMark {
    /// The component it belongs to.
    pub component: String,
    /// Level of the component: hooks of components that need others run first.
    pub level: usize,
    /// The template file, from the root of the repository.
    pub file: String,
    /// First line of its document.
    pub line: usize,
    /// The Job as it is applied, but for the owner.
    #[schemars(with = "Map<String, Value>")]
    pub manifest: Value,
}

/// What a template says about the health of a kind, kept here because the templates may be gone when somebody
/// asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthMark {
    /// The component whose objects it is about.
    pub component: String,
    /// API group of the kind.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// CEL: holds when an object is what was asked for.
    pub current: String,
    /// CEL: holds while it is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_progress: Option<String>,
    /// CEL: holds when it will not become healthy by waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// CEL: a text that says why it is not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Which forge, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgeMark {
    /// `gitea` or `github`.
    pub kind: String,
    /// URL of its web pages, with which those of every repository begin.
    pub server: String,
}

/// What the garbage collector remembers of an environment between two passes. Losing it, as a restore
/// from a backup may, only makes the collector start to look anew.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordStatus {
    /// Sightings, absences, announcements.
    #[serde(default)]
    #[schemars(schema_with = "any_object")]
    pub memory: plan::stale::Memory,
    /// `DeletionHeld` while its deletion waits for an approval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One condition, as everywhere in Kubernetes (API conventions, "Typical status properties").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its name.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Since when, RFC 3339.
    pub last_transition_time: String,
}

/// What an environment is doing, or has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// `up` is writing or waiting, or was killed while it did.
    Applying,
    /// Every object was healthy and every gate passed.
    Ready,
    /// The last `up` ended without that.
    Failed,
    /// `down` has begun; nothing is applied any more.
    Deleting,
    /// `down` could not prove that everything is gone.
    DeleteBlocked,
}

impl State {
    /// The state's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applying => "Applying",
            Self::Ready => "Ready",
            Self::Failed => "Failed",
            Self::Deleting => "Deleting",
            Self::DeleteBlocked => "DeleteBlocked",
        }
    }
}

/// How much inventory there must be, so that a lost one is noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryMark {
    /// Number of Inventory objects; 0 before the first is written.
    pub shards: usize,
    /// Number of entries in them when the record was written.
    pub entries: usize,
    /// Generation of the inventory when the record was written.
    pub generation: u64,
}

/// How far a teardown has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Teardown {
    /// When it began, RFC 3339.
    pub started: String,
    /// Why: what `gc` found; absent when somebody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last phase that was reached, such as `custom resources`: what comes before it was proven gone once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What blocks it, as of the last attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<String>,
}

/// A part of what an environment owns. Written before the first apply.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(group = "mimeo.dev", version = "v1alpha1", kind = "Inventory", plural = "inventories", namespaced)]
#[serde(rename_all = "camelCase")]
pub struct InventorySpec {
    /// Id of the environment.
    pub environment: String,
    /// Number of this part, from 0.
    pub shard: usize,
    /// Counts the writes.
    pub generation: u64,
    /// The entries.
    #[schemars(schema_with = "any_list")]
    pub entries: Vec<plan::Entry>,
}

/// The proof that a teardown left nothing, or what it could not prove.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mimeo.dev",
    version = "v1alpha1",
    kind = "Receipt",
    plural = "receipts",
    namespaced,
    printcolumn = r#"{"name":"Environment","type":"string","jsonPath":".spec.environment"}"#,
    printcolumn = r#"{"name":"Proven","type":"boolean","jsonPath":".spec.proven"}"#,
    printcolumn = r#"{"name":"Finished","type":"date","jsonPath":".spec.finished"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptSpec {
    /// Name of the environment.
    pub environment: String,
    /// Its id.
    pub id: String,
    /// Repository, ref and revision of the last `up`.
    pub repository: String,
    /// Full name of the branch or tag.
    pub r#ref: String,
    /// The commit that was up.
    pub revision: String,
    /// uid of the record the receipt closes.
    pub record_uid: String,
    /// When the teardown began, RFC 3339.
    pub started: String,
    /// When it ended, RFC 3339: when it was proven, or given up.
    pub finished: String,
    /// When it was given up, RFC 3339; absent where that never happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<String>,
    /// When what is left was looked at last, RFC 3339; absent where nothing was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked: Option<String>,
    /// Why it was taken down: what `gc` found, or that somebody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether every look found nothing.
    pub proven: bool,
    /// Number of objects the inventory held.
    pub objects: usize,
    /// Every live read that was made to find leftovers.
    pub looks: Vec<Look>,
    /// What was left of an abandoned teardown at the last look, or could not be looked for, by uid: `gc` goes on with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "any_list")]
    pub leftovers: Vec<plan::Entry>,
    /// What blocked the teardown then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<String>,
}

/// What the cluster remembers of a pull request beyond its environments.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mimeo.dev",
    version = "v1alpha1",
    kind = "PullRequest",
    plural = "pullrequests",
    namespaced,
    printcolumn = r#"{"name":"Repository","type":"string","jsonPath":".spec.repository"}"#,
    printcolumn = r#"{"name":"Number","type":"integer","jsonPath":".spec.number"}"#,
    printcolumn = r#"{"name":"Closed","type":"string","jsonPath":".spec.closed.state"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct PullRequestSpec {
    /// Identity of the base repository.
    pub repository: String,
    /// Its number.
    pub number: u64,
    /// Where it is.
    pub forge: ForgeMark,
    /// The one commit of a fork that may be brought up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// The tombstone: nothing is brought up for it until the forge says that it was reopened later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// One comment for each of its environments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<CommentMark>,
}

/// Who allowed which commit of a fork, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// The full commit id; another head voids the approval.
    pub commit: String,
    /// The branch it is to be merged into, which decides over TTL and policy; another one voids it, too.
    #[serde(default)]
    pub base: String,
    /// The person's login on the forge, who may write to the base repository.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
}

/// That a pull request was seen closed or merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    /// `closed` or `merged`.
    pub state: String,
    /// The forge's own time of the pull request's last change then: an older answer is not believed.
    pub updated_at: String,
    /// When it was seen, RFC 3339.
    pub at: String,
}

/// The comment of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommentMark {
    /// Id of the environment.
    pub environment: String,
    /// Name of its spec.
    pub spec: String,
    /// The head the comment is about.
    pub commit: String,
    /// Id of the comment on the forge; absent while none was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<u64>,
    /// What it says: `building`, `ready`, `failed` or `gone`.
    pub says: String,
    /// Why, when it is to say `gone` and could not be told yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untold: Option<String>,
}

/// One live read of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    /// What was looked for.
    pub what: String,
    /// Where: a namespace, or `cluster`.
    pub place: String,
    /// uid of the object that was looked for; absent where its creation was never answered, and for lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// What was found: empty when nothing.
    pub found: Vec<String>,
    /// resourceVersion of the answer, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn any_list(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
    })
}
