//! Copies the rows and columns a spec names from one PostgreSQL to another, and asks gates.
//!
//! One copy is one read-only snapshot on the source and one transaction on the target:
//!
//! ```text
//! request ─► connect ─► shape ─► ddl ─► stream ─► verify ─► marker ─► commit
//!            rustls     source   pure   COPY to   rows and   mimeo.copies
//!                       catalogue       COPY      digest
//! ```
//!
//! What holds, and which test holds it (`tests/`):
//!
//! - A column that is not listed is never read: no statement sent to the source names it, and the `where` of a
//!   table sees the listed columns only (`listed_columns_only`, `where_cannot_see_an_unlisted_column`).
//! - Killed at any moment, the target is as it was before (`killed_copy_leaves_the_old_state`).
//! - A digest that was copied is not copied again (`same_digest_is_copied_once`).
//! - No value of a row, no password and no URI is part of an error ([`Error`]).

mod connect;
mod copy;
mod ddl;
mod error;
mod gate;
mod name;
mod request;
mod rows;
mod shape;
mod target;
mod tls;

pub use copy::copy;
pub use error::{Error, Side};
pub use gate::gate;
pub use request::{CopyRequest, CopySummary, GateAnswer, GateRequest, Progress, Table, TableSummary, Target};
