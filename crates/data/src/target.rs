//! The target's side of a copy: one transaction, the marker of what was copied, and the tables.

use tokio_postgres::Transaction;

use crate::connect::Session;
use crate::ddl;
use crate::name::TableName;
use crate::shape::Shape;
use crate::{CopySummary, Error, Side, TableSummary};

/// Two copies into one database take turns; the number is ours alone ("mimeo" in ASCII).
const TURN: &str = "SELECT pg_advisory_xact_lock(470121246063)";
const MARKER: &str = "CREATE SCHEMA IF NOT EXISTS mimeo; \
     CREATE TABLE IF NOT EXISTS mimeo.copies (digest text PRIMARY KEY, finished_at timestamptz NOT NULL, \
     tables jsonb NOT NULL)";

/// The open transaction. Dropped without [`Load::commit`], nothing happened.
pub(crate) struct Load<'a> {
    transaction: Transaction<'a>,
    previous: Option<Previous>,
}

struct Previous {
    digest: String,
    tables: Vec<TableSummary>,
}

impl<'a> Load<'a> {
    /// Begins, waits for a copy that is under way, and reads the marker.
    pub async fn begin(session: &'a mut Session) -> Result<Self, Error> {
        let doing = "beginning its transaction";
        let begun = session.client_mut().transaction().await;
        let transaction = begun.map_err(|e| Error::from_driver(Side::Target, doing, &e))?;
        let mut load = Self { transaction, previous: None };
        // A lock held by a query over the tables to be dropped is worth waiting for, but not for ever.
        load.run("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0", doing)
            .await?;
        load.run(TURN, doing).await?;
        load.run("SET LOCAL lock_timeout = '60s'", doing).await?;
        load.run(MARKER, "making its marker table").await?;
        load.previous = load.read_marker().await?;
        Ok(load)
    }

    async fn read_marker(&self) -> Result<Option<Previous>, Error> {
        let doing = "reading its marker table";
        let sql = "SELECT digest, tables::text FROM mimeo.copies ORDER BY finished_at DESC LIMIT 1";
        let row = self.transaction.query_opt(sql, &[]).await;
        let row = row.map_err(|e| Error::from_driver(Side::Target, doing, &e))?;
        // A marker that cannot be read is no proof of a finished copy: the copy is made again.
        Ok(row.and_then(|row| {
            let tables = serde_json::from_str(row.get(1)).ok()?;
            Some(Previous { digest: row.get(0), tables })
        }))
    }

    /// The tables of a finished copy of this digest.
    pub fn finished(&self, digest: &str) -> Option<&[TableSummary]> {
        self.previous.as_ref().filter(|p| p.digest == digest).map(|p| p.tables.as_slice())
    }

    /// Drops what the last copy made and the listed tables, and makes the listed ones, empty.
    pub async fn make_tables(&self, shapes: &[Shape]) -> Result<(), Error> {
        // A table that is no longer listed may no longer be here either.
        for old in self.previous.iter().flat_map(|previous| &previous.tables) {
            let name = TableName { schema: old.schema.clone(), table: old.table.clone() };
            self.run(&ddl::drop_table(&name), &format!("dropping table {:?}", name.to_string())).await?;
        }
        for shape in shapes {
            let doing = format!("making table {:?}", shape.name.to_string());
            if let Some(sql) = ddl::create_schema(&shape.name) {
                self.run(&sql, &doing).await?;
            }
            self.run(&ddl::drop_table(&shape.name), &doing).await?;
            self.run(&ddl::create_table(shape), &doing).await?;
        }
        Ok(())
    }

    /// Makes a table's keys and statistics.
    pub async fn finish_table(&self, shape: &Shape) -> Result<(), Error> {
        let doing = format!("making the keys of table {:?}", shape.name.to_string());
        for sql in ddl::add_keys(shape) {
            self.run(&sql, &doing).await?;
        }
        self.run(&format!("ANALYZE {}", shape.name.sql()), &doing).await
    }

    /// Writes the marker, which replaces the one before, and commits.
    pub async fn commit(self, summary: &CopySummary) -> Result<(), Error> {
        let doing = "writing its marker table";
        let tables = serde_json::to_string(&summary.tables).unwrap_or_else(|_| "[]".to_owned());
        self.run("DELETE FROM mimeo.copies", doing).await?;
        let sql = "INSERT INTO mimeo.copies VALUES ($1, clock_timestamp(), $2::text::jsonb)";
        let written = self.transaction.execute(sql, &[&summary.digest, &tables]).await;
        written.map_err(|e| Error::from_driver(Side::Target, doing, &e))?;
        let done = self.transaction.commit().await;
        done.map_err(|e| Error::from_driver(Side::Target, "committing", &e))
    }

    /// The transaction, for the stream of rows.
    pub fn transaction(&self) -> &Transaction<'a> {
        &self.transaction
    }

    async fn run(&self, sql: &str, doing: &str) -> Result<(), Error> {
        let done = self.transaction.batch_execute(sql).await;
        done.map_err(|e| Error::from_driver(Side::Target, doing, &e))
    }
}
