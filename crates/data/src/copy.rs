//! The copy itself: one snapshot in, one transaction out, every row counted and digested on both sides.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use tokio_postgres::{Client, CopyInSink};

use crate::connect::{self, Session};
use crate::rows::{Malformed, Reader, Tally};
use crate::shape::{self, Shape};
use crate::target::Load;
use crate::{CopyRequest, CopySummary, Error, Progress, Side, TableSummary, ddl};

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL search_path = pg_catalog; SET LOCAL standard_conforming_strings = on; \
     SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
     SET LOCAL lock_timeout = '30s'";

/// Copies what the request lists. Either all of it is on the target afterwards, or the target is as it was.
///
/// # Errors
/// See [`Error`]; none of them holds a value of a row, the password or the URI.
pub async fn copy(
    request: &CopyRequest,
    source_uri: &str,
    target_password: &str,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<CopySummary, Error> {
    let begun = Instant::now();
    let mut target = connect::target(&request.target, target_password, progress).await?;
    let here = identity(&target, Side::Target).await?;
    let load = Load::begin(&mut target).await?;
    if let Some(tables) = load.finished(&request.digest) {
        progress(Progress::Skipped);
        return Ok(summarise(request, tables.to_vec(), true, begun, Vec::new()));
    }

    let source = connect::source(source_uri).await?;
    if identity(&source, Side::Source).await? == here {
        return Err(Error::SameDatabase);
    }
    let begun_there = source.batch_execute(SNAPSHOT).await;
    begun_there.map_err(|e| Error::from_driver(Side::Source, "beginning its transaction", &e))?;
    let shapes = shapes(&source, request).await?;
    let warnings = warnings(&source, &request.source, &shapes).await?;

    load.make_tables(&shapes).await?;
    let mut tables = Vec::with_capacity(shapes.len());
    for shape in &shapes {
        progress(Progress::Started { table: shape.name.to_string() });
        let summary = table(&source, &load, shape, progress).await?;
        progress(Progress::Finished {
            table: shape.name.to_string(),
            rows: summary.rows,
            bytes: summary.bytes,
        });
        tables.push(summary);
    }
    let summary = summarise(request, tables, false, begun, warnings);
    load.commit(&summary).await?;
    Ok(summary)
}

fn summarise(
    request: &CopyRequest,
    tables: Vec<TableSummary>,
    skipped: bool,
    begun: Instant,
    warnings: Vec<String>,
) -> CopySummary {
    CopySummary {
        digest: request.digest.clone(),
        skipped,
        rows: tables.iter().map(|t| t.rows).sum(),
        bytes: tables.iter().map(|t| t.bytes).sum(),
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        tables,
        warnings,
    }
}

/// Tells one database from another: two servers do not start in the same microsecond.
async fn identity(session: &Session, side: Side) -> Result<(String, String), Error> {
    let sql = "SELECT pg_catalog.pg_postmaster_start_time()::text, pg_catalog.current_database()::text";
    // Simple protocol and one time zone, so that both sides write the moment alike.
    let sql = format!("SET timezone = 'UTC'; SET datestyle = 'ISO'; {sql}");
    let failed = |e: &tokio_postgres::Error| Error::from_driver(side, "telling who it is", e);
    for message in session.simple_query(&sql).await.map_err(|e| failed(&e))? {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            let text = |n| row.get(n).unwrap_or_default().to_owned();
            return Ok((text(0), text(1)));
        }
    }
    Err(Error::Lost { side, doing: "telling who it is".to_owned() })
}

async fn shapes(source: &Client, request: &CopyRequest) -> Result<Vec<Shape>, Error> {
    let mut shapes: Vec<Shape> = Vec::with_capacity(request.tables.len());
    let mut seen = BTreeSet::new();
    for table in &request.tables {
        let shape = shape::read(source, table).await?;
        if !seen.insert(shape.name.clone()) {
            let cause = format!("table {:?} is listed twice", shape.name.to_string());
            return Err(Error::Request { cause });
        }
        shapes.push(shape);
    }
    Ok(shapes)
}

/// What the owner of the source should look at.
async fn warnings(source: &Client, name: &str, shapes: &[Shape]) -> Result<Vec<String>, Error> {
    let sql = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
    let row = source.query_opt(sql, &[]).await;
    let row = row.map_err(|e| Error::from_driver(Side::Source, "reading its catalogue", &e))?;
    let mut warnings = Vec::new();
    if row.is_some_and(|row| row.get(0)) {
        warnings.push(format!(
            "DB002: source {name:?} is read as a superuser; a role that can only read is enough"
        ));
    } else if let Some(shape) = shapes.iter().find(|shape| shape.writable) {
        warnings.push(format!(
            "DB002: source {name:?} is read as a role that can write to table {:?}; one that can only read is enough",
            shape.name.to_string()
        ));
    }
    for shape in shapes.iter().filter(|shape| shape.row_security) {
        warnings.push(format!(
            "DAT009: table {:?} of source {name:?} has row-level security; only the rows its role may see were copied",
            shape.name.to_string()
        ));
    }
    Ok(warnings)
}

async fn table(
    source: &Client,
    load: &Load<'_>,
    shape: &Shape,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<TableSummary, Error> {
    let (sent, received, bytes) = stream(source, load, shape, progress).await?;
    verify(load, shape, sent, received).await?;
    load.finish_table(shape).await?;
    Ok(TableSummary {
        schema: shape.name.schema.clone(),
        table: shape.name.table.clone(),
        columns: shape.columns.len(),
        rows: sent.rows,
        bytes,
        digest: sent.digest(),
    })
}

/// Pipes the rows; memory holds one message of either side at a time.
async fn stream(
    source: &Client,
    load: &Load<'_>,
    shape: &Shape,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(Tally, u64, u64), Error> {
    let table = shape.name.to_string();
    let reading =
        |e: &tokio_postgres::Error| Error::from_driver(Side::Source, &format!("reading {table:?}"), e);
    let writing =
        |e: &tokio_postgres::Error| Error::from_driver(Side::Target, &format!("filling {table:?}"), e);
    shape::look_in(source, &shape.name.schema).await?;
    let rows = source.copy_out(&ddl::copy_out(shape)).await.map_err(|e| reading(&e))?;
    let sink: CopyInSink<_> =
        load.transaction().copy_in(&ddl::copy_in(shape)).await.map_err(|e| writing(&e))?;
    let (mut rows, mut sink) = (pin!(rows), pin!(sink));
    let mut reader = Reader::default();
    let mut told = Instant::now();
    while let Some(chunk) = rows.next().await {
        let chunk = chunk.map_err(|e| reading(&e))?;
        reader.feed(&chunk).map_err(|Malformed| malformed(&table))?;
        sink.feed(chunk).await.map_err(|e| writing(&e))?;
        if told.elapsed() > Duration::from_secs(1) {
            told = Instant::now();
            progress(Progress::Rows { table: table.clone(), rows: reader.rows(), bytes: reader.bytes() });
        }
    }
    let received = sink.finish().await.map_err(|e| writing(&e))?;
    let bytes = reader.bytes();
    let sent = reader.finish().map_err(|Malformed| malformed(&table))?;
    Ok((sent, received, bytes))
}

/// Reads the target's rows back inside the transaction: nobody has seen them yet.
async fn verify(load: &Load<'_>, shape: &Shape, sent: Tally, received: u64) -> Result<(), Error> {
    let table = shape.name.to_string();
    let failed =
        |e: &tokio_postgres::Error| Error::from_driver(Side::Target, &format!("verifying {table:?}"), e);
    let rows = load.transaction().copy_out(&ddl::copy_back(shape)).await.map_err(|e| failed(&e))?;
    let mut rows = pin!(rows);
    let mut reader = Reader::default();
    while let Some(chunk) = rows.next().await {
        reader.feed(&chunk.map_err(|e| failed(&e))?).map_err(|Malformed| malformed(&table))?;
    }
    let held = reader.finish().map_err(|Malformed| malformed(&table))?;
    if sent.rows != received || sent.rows != held.rows {
        let cause = format!("{} rows sent, {received} received, {} held", sent.rows, held.rows);
        return Err(Error::Verify { table, cause });
    }
    if sent != held {
        let cause = format!("{} rows on both sides, but with other contents", sent.rows);
        return Err(Error::Verify { table, cause });
    }
    Ok(())
}

fn malformed(table: &str) -> Error {
    Error::Verify { table: table.to_owned(), cause: "the stream of rows is not whole".to_owned() }
}
