//! What the source's catalogue says about a table: the listed columns, their types, the keys over them.

use spec::sql;
use tokio_postgres::{Client, Row};

use crate::name::{TableName, near, quote, quote_list};
use crate::{Error, Side, Table};

/// Everything a copy of one table needs, proven against the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub name: TableName,
    pub columns: Vec<Column>,
    pub keys: Vec<Key>,
    pub filter: Option<String>,
    /// Row-level security applies: the source's role may not see every row.
    pub row_security: bool,
    /// The source's role may change rows here.
    pub writable: bool,
}

/// A copied column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub name: String,
    /// As `format_type` writes it with nothing but `pg_catalog` on the search path.
    pub kind: String,
    pub not_null: bool,
}

/// A primary key or unique constraint whose columns are all copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub primary: bool,
    pub nulls_not_distinct: bool,
    pub columns: Vec<String>,
}

impl Shape {
    /// The query whose rows are copied. The filter stands outside a query of the listed columns, so the server
    /// itself refuses one that names another column.
    pub fn select(&self) -> String {
        let columns = quote_list(self.columns.iter().map(|c| c.name.as_str()));
        let mut sql = format!("SELECT {columns} FROM {}", self.name.sql());
        if let Some(filter) = &self.filter {
            sql =
                format!("SELECT {columns} FROM ({sql}) AS {} WHERE (\n{filter}\n)", quote(&self.name.table));
        }
        sql
    }
}

/// Reads the shape of one table and refuses what cannot be copied, before the first row.
pub(crate) async fn read(client: &Client, table: &Table) -> Result<Shape, Error> {
    let name = TableName::parse(&table.table)?;
    if let Some(cause) = table.filter.as_deref().and_then(sql::refused_condition) {
        return Err(Error::Filter { table: name.to_string(), cause: cause.to_owned() });
    }
    let found = find(client, &name).await?;
    let all = columns(client, found.oid).await?;
    let picked = pick(&name, &all, table.columns.as_deref())?;
    let keys = keys(client, found.oid, &picked).await?;
    let columns = picked
        .iter()
        .map(|c| Column { name: c.name.clone(), kind: c.kind.clone(), not_null: c.not_null })
        .collect();
    let shape = Shape {
        name,
        columns,
        keys,
        filter: table.filter.clone(),
        row_security: found.row_security,
        writable: found.writable,
    };
    try_filter(client, &shape).await?;
    Ok(shape)
}

struct Found {
    oid: u32,
    row_security: bool,
    writable: bool,
}

async fn find(client: &Client, name: &TableName) -> Result<Found, Error> {
    const TABLE: &str = "SELECT c.oid, c.relrowsecurity, \
         has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1::text AND c.relname = $2::text AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
    const ALL: &str = "SELECT n.nspname::text, c.relname::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'information_schema' \
         AND n.nspname NOT LIKE 'pg\\_%'";
    let rows = ask(client, TABLE, &[&name.schema, &name.table]).await?;
    if let Some(row) = rows.first() {
        return Ok(Found { oid: row.get(0), row_security: row.get(1), writable: row.get(2) });
    }
    let names: Vec<String> = ask(client, ALL, &[])
        .await?
        .iter()
        .map(|row| TableName { schema: row.get(0), table: row.get(1) }.to_string())
        .collect();
    let table = name.to_string();
    let near = near(&table, names.iter().map(String::as_str));
    Err(Error::NoTable { table, near })
}

struct CatalogueColumn {
    number: i16,
    name: String,
    kind: String,
    not_null: bool,
    readable: bool,
    portable: bool,
}

async fn columns(client: &Client, table: u32) -> Result<Vec<CatalogueColumn>, Error> {
    const COLUMNS: &str = "SELECT a.attnum, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
         has_column_privilege(a.attrelid, a.attnum, 'SELECT'), \
         n.nspname::text, t.typtype::text, t.typname::text, e.typname::text, en.nspname::text, e.typtype::text \
         FROM pg_attribute a \
         JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace \
         LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A' \
         LEFT JOIN pg_namespace en ON en.oid = e.typnamespace \
         WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let rows = ask(client, COLUMNS, &[&table]).await?;
    Ok(rows.iter().map(catalogue_column).collect())
}

fn catalogue_column(row: &Row) -> CatalogueColumn {
    let element: Option<String> = row.get(8);
    let portable = match element {
        Some(element) => portable(row.get(9), row.get(10), &element),
        None => portable(row.get(5), row.get(6), row.get(7)),
    };
    CatalogueColumn {
        number: row.get(0),
        name: row.get(1),
        kind: row.get(2),
        not_null: row.get(3),
        readable: row.get(4),
        portable,
    }
}

/// Types every PostgreSQL has, whose binary form means the same on another server. `reg*` types travel as object
/// ids, `xml` is rewritten on its way, domains, enums, composites and extension types need their definition.
fn portable(schema: &str, class: &str, name: &str) -> bool {
    const BASE: [&str; 44] = [
        "bool",
        "bytea",
        "char",
        "name",
        "int8",
        "int2",
        "int4",
        "text",
        "oid",
        "json",
        "jsonb",
        "jsonpath",
        "point",
        "lseg",
        "path",
        "box",
        "polygon",
        "line",
        "circle",
        "float4",
        "float8",
        "money",
        "macaddr",
        "macaddr8",
        "inet",
        "cidr",
        "bpchar",
        "varchar",
        "date",
        "time",
        "timestamp",
        "timestamptz",
        "interval",
        "timetz",
        "bit",
        "varbit",
        "numeric",
        "uuid",
        "pg_lsn",
        "tsvector",
        "tsquery",
        "xid",
        "xid8",
        "tid",
    ];
    schema == "pg_catalog"
        && match class {
            "b" => BASE.contains(&name),
            // Ranges and multiranges of the server itself are over base types.
            "r" | "m" => true,
            _ => false,
        }
}

/// The asked columns in the asked order, each one existing, readable and portable.
fn pick<'a>(
    table: &TableName,
    all: &'a [CatalogueColumn],
    wanted: Option<&[String]>,
) -> Result<Vec<&'a CatalogueColumn>, Error> {
    let picked = match wanted {
        None => all.iter().collect(),
        Some(names) => by_name(table, all, names)?,
    };
    if picked.is_empty() {
        return Err(Error::Request { cause: format!("table {:?}: no columns", table.to_string()) });
    }
    for column in &picked {
        let (table, name) = (table.to_string(), column.name.clone());
        if !column.portable {
            return Err(Error::Unsupported { table, column: name, kind: column.kind.clone() });
        }
        if !column.readable {
            return Err(Error::NotReadable { table, column: name });
        }
    }
    Ok(picked)
}

fn by_name<'a>(
    table: &TableName,
    all: &'a [CatalogueColumn],
    names: &[String],
) -> Result<Vec<&'a CatalogueColumn>, Error> {
    let mut picked: Vec<&CatalogueColumn> = Vec::with_capacity(names.len());
    for name in names {
        let Some(column) = all.iter().find(|column| column.name == *name) else {
            return Err(Error::NoColumn {
                table: table.to_string(),
                column: name.clone(),
                near: near(name, all.iter().map(|c| c.name.as_str())),
            });
        };
        if picked.iter().any(|seen| seen.name == *name) {
            let cause = format!("table {:?}: column {name:?} is listed twice", table.to_string());
            return Err(Error::Request { cause });
        }
        picked.push(column);
    }
    Ok(picked)
}

async fn keys(client: &Client, table: u32, picked: &[&CatalogueColumn]) -> Result<Vec<Key>, Error> {
    // Read as JSON because older servers lack the two newer catalogue columns.
    const KEYS: &str = "SELECT c.contype = 'p', c.conkey, \
         coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) \
         FROM pg_constraint c JOIN pg_index i ON i.indexrelid = c.conindid \
         WHERE c.conrelid = $1 AND c.contype IN ('p', 'u') AND c.convalidated \
         AND NOT coalesce((to_jsonb(c) ->> 'conperiod')::boolean, false) ORDER BY c.contype, c.conname";
    let rows = ask(client, KEYS, &[&table]).await?;
    let named = |number: &i16| picked.iter().find(|c| c.number == *number).map(|c| c.name.clone());
    Ok(rows
        .iter()
        .filter_map(|row| {
            let numbers: Vec<i16> = row.get(1);
            let columns = numbers.iter().map(named).collect::<Option<Vec<_>>>()?;
            Some(Key { primary: row.get(0), nulls_not_distinct: row.get(2), columns })
        })
        .collect())
}

/// Lets the server read the filter before anything is copied.
async fn try_filter(client: &Client, shape: &Shape) -> Result<(), Error> {
    if shape.filter.is_none() {
        return Ok(());
    }
    look_in(client, &shape.name.schema).await?;
    let prepared = client.prepare(&shape.select()).await;
    let refused = |cause| Err(Error::Filter { table: shape.name.to_string(), cause });
    match prepared {
        Ok(statement) if !statement.params().is_empty() => {
            refused("it has a parameter such as `$1`".to_owned())
        }
        Ok(_) => look_in(client, "pg_catalog").await,
        Err(error) => match Error::from_driver(Side::Source, "reading the filter", &error) {
            Error::Server { cause, .. } => refused(cause),
            other => Err(other),
        },
    }
}

/// Makes a filter's subquery find the tables next to its own; our own statements name every schema.
pub(crate) async fn look_in(client: &Client, schema: &str) -> Result<(), Error> {
    let sql = format!("SET LOCAL search_path = pg_catalog, {}", quote(schema));
    let done = client.batch_execute(&sql).await;
    done.map_err(|error| Error::from_driver(Side::Source, "preparing its session", &error))
}

type Parameters<'a> = &'a [&'a (dyn tokio_postgres::types::ToSql + Sync)];

async fn ask(client: &Client, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
    let answer = client.query(sql, parameters).await;
    answer.map_err(|error| Error::from_driver(Side::Source, "reading its catalogue", &error))
}
