//! Why a copy or a gate stopped. Nothing here can hold a value of a row, a password or a URI.

use std::fmt;

use tokio_postgres::error::SqlState;

/// Which end of a copy something happened at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The database that is read.
    Source,
    /// The database that is written to, or asked.
    Target,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

/// A failure with a stable code. `Display` is the cause, [`Error::help`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Source and target are one database.
    #[error("the source and the target are the same database")]
    SameDatabase,
    /// The source's URI is not one.
    #[error("the URI of the source cannot be read: {cause}")]
    SourceUri {
        /// What is wrong with it, in our words: the URI holds a password.
        cause: &'static str,
    },
    /// No connection, also after waiting for the target.
    #[error("cannot connect to the {side}: {cause}")]
    Unreachable {
        /// Which end.
        side: Side,
        /// What the last attempt met.
        cause: String,
    },
    /// The server refused user, password or database.
    #[error("the {side} refused the connection: {cause} (SQLSTATE {sqlstate})")]
    Refused {
        /// Which end.
        side: Side,
        /// The server's message.
        cause: String,
        /// Its code.
        sqlstate: String,
    },
    /// The server reported an error.
    #[error("the {side} reported an error while {doing}: {cause} (SQLSTATE {sqlstate})")]
    Server {
        /// Which end.
        side: Side,
        /// What was being done.
        doing: String,
        /// The server's message where it cannot quote a value, else only its kind.
        cause: String,
        /// Its code.
        sqlstate: String,
    },
    /// The connection ended.
    #[error("the connection to the {side} was lost while {doing}")]
    Lost {
        /// Which end.
        side: Side,
        /// What was being done.
        doing: String,
    },
    /// The source has no such table.
    #[error("the source has no table {table:?}{}", Near(.near))]
    NoTable {
        /// The table.
        table: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// The table has no such column.
    #[error("table {table:?} of the source has no column {column:?}{}", Near(.near))]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// The column's type cannot be made on the target.
    #[error("column {column:?} of table {table:?} has type {kind}, which a copy cannot carry")]
    Unsupported {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type, as the server writes it.
        kind: String,
    },
    /// The filter is not one boolean expression.
    #[error("the `where` of table {table:?} is refused: {cause}")]
    Filter {
        /// The table.
        table: String,
        /// Why.
        cause: String,
    },
    /// The request contradicts itself.
    #[error("{cause}")]
    Request {
        /// What is wrong.
        cause: String,
    },
    /// What arrived is not what was sent.
    #[error("table {table:?} did not arrive whole: {cause}")]
    Verify {
        /// The table.
        table: String,
        /// Which figures differ.
        cause: String,
    },
    /// The source's role may not read a listed column.
    #[error("the source's role may not read column {column:?} of table {table:?}")]
    NotReadable {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The gate's query does not give one row with one column.
    #[error("gate {gate:?} must give one row with one column, it gave {got}")]
    GateShape {
        /// The gate.
        gate: String,
        /// What it gave.
        got: String,
    },
}

impl Error {
    /// The stable code of this kind of failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::SameDatabase => "DB001",
            Self::Unreachable { .. } => "DB003",
            Self::SourceUri { .. } => "DB004",
            Self::Refused { .. } => "DB005",
            Self::Server { .. } => "DB006",
            Self::Lost { .. } => "DB007",
            Self::NoTable { .. } => "DAT001",
            Self::NoColumn { .. } => "DAT002",
            Self::Unsupported { .. } => "DAT003",
            Self::Filter { .. } => "DAT004",
            Self::Request { .. } => "DAT005",
            Self::Verify { .. } => "DAT006",
            Self::NotReadable { .. } => "DAT007",
            Self::GateShape { .. } => "DAT008",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::SameDatabase => "name another source, or give the component a database of its own",
            Self::Unreachable { side: Side::Source, .. } => {
                "check host and port in the source's Secret, and that its server accepts connections from the cluster"
            }
            Self::Unreachable { .. } => {
                "look at the component that provides the database: `mimeo status`, `mimeo logs`"
            }
            Self::SourceUri { .. } => {
                "the Secret's key `uri` holds postgres://user:password@host:port/database?sslmode=disable|prefer|require|verify-full"
            }
            Self::Refused { side: Side::Source, .. } => {
                "check user, password and database in the source's Secret"
            }
            Self::Refused { .. } => {
                "the password in the component's Secret is not the one its volume was made with; take the environment down and up again"
            }
            Self::Server { .. } => {
                "the SQLSTATE is explained in appendix A of the PostgreSQL manual; the server's log has the rest"
            }
            Self::Lost { .. } => "run `mimeo up` again: the target is as it was before the copy",
            Self::NoTable { .. } | Self::NoColumn { .. } => {
                "correct the name under `data:`; names are taken as the catalogue has them, case counts"
            }
            Self::Unsupported { .. } => {
                "leave the column out, or offer a view on the source that casts it to a built-in type"
            }
            Self::Filter { .. } => {
                "`where` is one boolean expression over the listed columns, without `;` and comments; other tables may be asked in a subquery"
            }
            Self::Request { .. } => "correct the tables listed under `data:`",
            Self::Verify { .. } => "nothing was changed on the target; run again, and report it if it stays",
            Self::NotReadable { .. } => {
                "grant SELECT on the column to the source's role, or leave the column out"
            }
            Self::GateShape { .. } => {
                "write the gate as one SELECT that gives one value, such as `select count(*) from …`"
            }
        }
    }

    /// Translates a driver's error; `doing` continues "while …".
    pub(crate) fn from_driver(side: Side, doing: &str, error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(server) => Self::Server {
                side,
                doing: doing.to_owned(),
                cause: safe_message(server),
                sqlstate: server.code().code().to_owned(),
            },
            None => Self::Lost { side, doing: doing.to_owned() },
        }
    }
}

/// The server's message where its class of errors names objects only. Data exceptions (22), raised texts (P0) and
/// classes we do not know may quote a value; detail, hint and context always may, and are never read.
pub(crate) fn safe_message(server: &tokio_postgres::error::DbError) -> String {
    const SAFE: [&str; 12] = ["08", "0A", "23", "25", "28", "3D", "3F", "40", "42", "53", "55", "57"];
    let code = server.code();
    if SAFE.contains(&code.code().get(..2).unwrap_or_default()) {
        return server.message().to_owned();
    }
    let kind = match code {
        &SqlState::CARDINALITY_VIOLATION => "a subquery gave more than one row",
        &SqlState::DIVISION_BY_ZERO => "division by zero",
        code if code.code().starts_with("22") => "a value does not fit (its text is withheld)",
        code if code.code().starts_with("58") => "the server met an error of its operating system",
        _ => "the text is withheld because it may quote a value",
    };
    kind.to_owned()
}

struct Near<'a>(&'a [String]);

impl fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.0.iter().enumerate() {
            write!(f, "{}{name:?}", if n == 0 { "; near: " } else { ", " })?;
        }
        Ok(())
    }
}
