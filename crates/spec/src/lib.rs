//! Names, specs, templates, contracts and diagnostics: the types every stage speaks.
//!
//! Pure: no clock, network, file system, environment variable or async runtime.

pub mod contract;
pub mod declared;
mod decode;
pub mod deny;
mod diagnostic;
pub mod environment;
pub mod files;
pub mod health;
pub mod identity;
pub mod load;
pub mod lock_file;
pub mod merge;
pub mod moved;
pub mod name;
pub mod near;
pub mod node;
pub mod parameter;
pub mod quantity;
pub mod schema;
pub mod sources;
pub mod sql;
pub mod stack;
pub mod template;
pub mod yaml;

pub use diagnostic::{Category, Diagnostic, HIDDEN, Place, Severity};
pub use files::{Files, MemoryFiles};
pub use identity::EnvironmentIdentity;
pub use node::{Located, Node, Spot};
