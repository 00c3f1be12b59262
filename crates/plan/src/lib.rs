//! What to do and why: a pure function of what was rendered, what was observed and what is owned.
//!
//! Input: [`Desired`] objects, [`Observed`] live objects, the [`Inventory`]. Output: a [`Plan`], an
//! immutable list of steps with a reason each; the executor has no choices left.
//! No cluster, no clock, no async runtime.

mod declared;
mod definition;
mod desired;
mod diff;
pub mod guard;
pub mod health;
pub mod held;
mod inventory;
mod mounts;
mod moved;
mod object;
mod observed;
mod outline;
mod owned;
mod ownership;
mod planner;
mod prune;
mod redact;
pub mod remade;
pub mod stale;
mod steps;
mod teardown;

pub use declared::{Taking, taking};
pub use definition::Definition;
pub use desired::{
    Declared, Desired, ENVIRONMENT_LABEL, OWNER_ANNOTATION, Order, Origin, Rerun, Stage, desired_digest,
};
pub use diff::{FieldChange, ORDER, diff, diff_present};
pub use guard::{Limits, Refusal, adoption::shown, beyond};
pub use inventory::{Entry, Inventory};
pub use object::{Key, ObjectRef, at, text, uid};
pub use observed::{DryRun, Observed};
pub use outline::{Line, StepKind};
pub use owned::{FIELD_MANAGER, digest, other_managers, owned_digest, owned_fields};
pub use ownership::{Ownership, Provenance, is_sent_by, keeps, ownership};
pub use planner::{Compared, Inputs, compare, is_terminating, lacks_empties, needs_dry_run, plan, sketch};
pub use redact::{drop_secret_values, is_secret};
pub use steps::{Action, Note, Plan, Step, Wave};
pub use teardown::{Phase, TeardownPhase, is_custom, phase_of, prune_groups, teardown};
