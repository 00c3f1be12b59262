//! What is asked for and what comes back: plain values that travel as JSON between the engine and a Job.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A copy: which tables, from which source, into which database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyRequest {
    /// Name of the source, for messages; its address travels apart, as a secret.
    pub source: String,
    /// Where the rows go.
    pub target: Target,
    /// The tables, in the order they are copied.
    pub tables: Vec<Table>,
    /// Digest of everything that decides what is copied. A finished digest is not copied again.
    pub digest: String,
}

/// A database to write to, or to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// Role to connect as.
    pub user: String,
}

/// One table of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// `table` or `schema.table`, as the catalogue has it: case counts. Without a schema, `public`.
    /// A part that contains a dot or a quote is written in double quotes, as in SQL.
    pub table: String,
    /// The columns to copy; absent means all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// One boolean SQL expression over the listed columns.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// What a copy did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopySummary {
    /// The digest of the request.
    pub digest: String,
    /// True when this digest had been copied before and nothing was done.
    pub skipped: bool,
    /// Rows in all tables.
    pub rows: u64,
    /// Bytes of the COPY streams.
    pub bytes: u64,
    /// Wall time.
    pub milliseconds: u64,
    /// One entry per table, in the order of the request.
    pub tables: Vec<TableSummary>,
    /// What somebody should look at although the copy succeeded, each with its code.
    pub warnings: Vec<String>,
}

/// One copied table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSummary {
    /// Schema on both sides.
    pub schema: String,
    /// Name of the table.
    pub table: String,
    /// How many columns were copied.
    pub columns: usize,
    /// Rows read from the source, received by the target and counted there.
    pub rows: u64,
    /// Bytes of the COPY stream.
    pub bytes: u64,
    /// Digest of the rows, the same for any order of them; computed from what was sent and again from
    /// what the target holds.
    pub digest: String,
}

/// A gate: one query whose single value decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateRequest {
    /// Name of the gate, for messages.
    pub name: String,
    /// One `SELECT` with one row and one column.
    pub sql: String,
    /// The value that passes: a number, a text, a boolean or null.
    pub expect: serde_json::Value,
    /// The database to ask.
    pub target: Target,
}

/// The answer of a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateAnswer {
    /// The value as PostgreSQL writes it; `NULL` for null.
    pub value: String,
    /// Whether it is the expected one.
    pub passed: bool,
}

/// What a copy is doing. `Display` gives the plain line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The target does not answer yet.
    Waiting {
        /// Why the last attempt failed.
        cause: String,
    },
    /// This digest was copied before.
    Skipped,
    /// A table's rows start to flow.
    Started {
        /// The table.
        table: String,
    },
    /// Some more rows went through; sent about once a second.
    Rows {
        /// The table.
        table: String,
        /// Rows so far.
        rows: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// A table is copied, verified and analysed.
    Finished {
        /// The table.
        table: String,
        /// Its rows.
        rows: u64,
        /// Its bytes.
        bytes: u64,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { cause } => write!(f, "waiting for the target: {cause}"),
            Self::Skipped => write!(f, "already copied, nothing to do"),
            Self::Started { table } => write!(f, "{table}: copying"),
            Self::Rows { table, rows, bytes } => write!(f, "{table}: {rows} rows, {}", Size(*bytes)),
            Self::Finished { table, rows, bytes } => {
                write!(f, "{table}: {rows} rows, {}, verified", Size(*bytes))
            }
        }
    }
}

struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n < 1 << 10 => write!(f, "{n} B"),
            n if n < 1 << 20 => write!(f, "{} KiB", n >> 10),
            n => write!(f, "{} MiB", n >> 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_travels_as_json() {
        let text = r#"{"source":"s","target":{"host":"h","port":5432,"database":"d","user":"u"},
            "tables":[{"table":"a"},{"table":"b","columns":["x"],"where":"x > 1"}],"digest":"1"}"#;
        let request: CopyRequest = serde_json::from_str(text).unwrap();
        assert_eq!(request.tables[0].columns, None);
        assert_eq!(request.tables[1].filter.as_deref(), Some("x > 1"));
        let again: CopyRequest = serde_json::from_str(&serde_json::to_string(&request).unwrap()).unwrap();
        assert_eq!(again, request);
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        let text = r#"{"table":"b","wher":"x > 1"}"#;
        assert!(serde_json::from_str::<Table>(text).is_err());
    }
}
