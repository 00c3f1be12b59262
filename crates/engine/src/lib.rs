//! Composes the stages. Values flow downward only, and every command goes the same way:
//!
//! ```text
//! rendered ─► compose ─► observe ─► plan ─► execute ─► health ─► gates ─► report
//!             objects    live       steps   one request
//!             as sent    + owned    + why   per write
//! ```
//!
//! [`up::up`] runs a plan, [`preview::preview`] only makes it, [`down::down`] makes and runs the
//! plan of a teardown. There is no second path.

mod abandoned;
mod access;
pub mod account;
mod books;
pub mod compose;
mod create;
mod definitions;
pub mod down;
mod error;
mod event;
mod execute;
pub mod extend;
mod forges;
pub mod gc;
mod health;
mod hooks;
pub mod install;
pub mod logs;
mod observe;
mod place;
pub mod plan_file;
pub mod preview;
pub mod pull_request;
mod read;
mod redact;
mod remake;
mod session;
pub mod status;
mod stuck;
pub mod up;
mod update;
mod write_ahead;

pub use error::{Error, Result};
pub use event::Event;
pub use forges::Forges;
pub use session::Session;
