//! The only Kubernetes client: observe, apply, delete, watch, records, leases, receipts.
//!
//! Effects live here. Everything else in the workspace reaches a cluster through [`Cluster`].

mod api;
mod connect;
mod early;
mod error;
mod flow;
mod gone;
pub mod install;
mod kinds;
mod lease;
mod objects;
mod pulls;
mod records;
mod request;
mod review;
mod silence;
mod watch;

pub use api::{
    Approval, Closed, CommentMark, Condition, DATA_NAMESPACE, EnvironmentRecord, ForgeMark, HealthMark,
    HookMark, Inventory, InventoryMark, InventorySpec, Look, PullRequest, PullRequestSpec, Receipt,
    ReceiptSpec, RecordSpec, RecordStatus, RefKind, SYSTEM_NAMESPACE, State, TEARDOWN_FINALIZER, Teardown,
};
pub use connect::Cluster;
pub use error::{Error, Result};
pub use flow::Turn;
pub use kinds::{Kinds, Resource};
pub use lease::{LEASE_DURATION, Lease};
pub use objects::{Deleted, Listing, Propagation};
pub use records::{Records, StoredInventory, definitions};
pub use watch::{Change, Views};
