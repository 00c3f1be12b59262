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
    /// When the last `up` began, RFC 3339.
    pub last_up: String,
    /// When the environment becomes stale, RFC 3339; absent when it lives until `down`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The inventory that belongs to this record.
    pub inventory: InventoryMark,
    /// The teardown, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teardown: Option<Teardown>,
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
    /// When it ended, RFC 3339.
    pub finished: String,
    /// Whether every look found nothing.
    pub proven: bool,
    /// Number of objects the inventory held.
    pub objects: usize,
    /// Every live read that was made to find leftovers.
    pub looks: Vec<Look>,
}

/// One live read of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    /// What was looked for.
    pub what: String,
    /// Where: a namespace, or `cluster`.
    pub place: String,
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
