//! The statements that make a table on the target: pure text from a shape.

use crate::name::{TableName, quote, quote_list};
use crate::shape::{Column, Key, Shape};

/// `CREATE TABLE` with the copied columns. Generated and identity columns become plain ones, because their values
/// come from the source; defaults may call what the target does not have.
pub(crate) fn create_table(shape: &Shape) -> String {
    let columns: Vec<String> = shape.columns.iter().map(column).collect();
    format!("CREATE TABLE {} (\n  {}\n)", shape.name.sql(), columns.join(",\n  "))
}

fn column(column: &Column) -> String {
    let not_null = if column.not_null { " NOT NULL" } else { "" };
    format!("{} {}{not_null}", quote(&column.name), column.kind)
}

/// `CREATE SCHEMA`, unless it is the one every database has.
pub(crate) fn create_schema(name: &TableName) -> Option<String> {
    (name.schema != "public").then(|| format!("CREATE SCHEMA IF NOT EXISTS {}", quote(&name.schema)))
}

/// Drops a table and the views that were made over it: whoever made them makes them again.
pub(crate) fn drop_table(name: &TableName) -> String {
    format!("DROP TABLE IF EXISTS {} CASCADE", name.sql())
}

/// The keys, to be made after the rows are in. The server names them, so that no name of the source can collide.
pub(crate) fn add_keys(shape: &Shape) -> Vec<String> {
    shape.keys.iter().map(|key| format!("ALTER TABLE {} ADD {}", shape.name.sql(), constraint(key))).collect()
}

fn constraint(key: &Key) -> String {
    let kind = match key {
        Key { primary: true, .. } => "PRIMARY KEY",
        Key { nulls_not_distinct: true, .. } => "UNIQUE NULLS NOT DISTINCT",
        _ => "UNIQUE",
    };
    format!("{kind} ({})", quote_list(key.columns.iter().map(String::as_str)))
}

/// `COPY … FROM STDIN`. The table was made in this transaction, so its rows can be written frozen.
pub(crate) fn copy_in(shape: &Shape) -> String {
    format!("COPY {} ({}) FROM STDIN WITH (FORMAT binary, FREEZE true)", shape.name.sql(), columns(shape))
}

/// `COPY … TO STDOUT` of what the target holds.
pub(crate) fn copy_back(shape: &Shape) -> String {
    format!("COPY {} ({}) TO STDOUT WITH (FORMAT binary)", shape.name.sql(), columns(shape))
}

/// `COPY … TO STDOUT` on the source.
pub(crate) fn copy_out(shape: &Shape) -> String {
    format!("COPY (\n{}\n) TO STDOUT WITH (FORMAT binary)", shape.select())
}

fn columns(shape: &Shape) -> String {
    quote_list(shape.columns.iter().map(|column| column.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        let column =
            |name: &str, kind: &str, not_null| Column { name: name.into(), kind: kind.into(), not_null };
        Shape {
            name: TableName::parse("raw.Odd \"one\"").unwrap(),
            columns: vec![column("id", "bigint", true), column("a\"b", "numeric(10,2)", false)],
            keys: vec![
                Key { primary: true, nulls_not_distinct: false, columns: vec!["id".into()] },
                Key { primary: false, nulls_not_distinct: true, columns: vec!["id".into(), "a\"b".into()] },
            ],
            filter: Some("id > 1".into()),
            row_security: false,
            writable: false,
        }
    }

    #[test]
    fn every_identifier_is_quoted() {
        let shape = shape();
        assert_eq!(
            create_table(&shape),
            "CREATE TABLE \"raw\".\"Odd \"\"one\"\"\" (\n  \"id\" bigint NOT NULL,\n  \"a\"\"b\" numeric(10,2)\n)"
        );
        assert_eq!(create_schema(&shape.name).unwrap(), "CREATE SCHEMA IF NOT EXISTS \"raw\"");
        assert_eq!(
            add_keys(&shape)[1],
            "ALTER TABLE \"raw\".\"Odd \"\"one\"\"\" ADD UNIQUE NULLS NOT DISTINCT (\"id\", \"a\"\"b\")"
        );
    }

    #[test]
    fn the_filter_stands_outside_the_listed_columns() {
        assert_eq!(
            copy_out(&shape()),
            "COPY (\nSELECT \"id\", \"a\"\"b\" FROM (SELECT \"id\", \"a\"\"b\" FROM \"raw\".\"Odd \"\"one\"\"\") \
             AS \"Odd \"\"one\"\"\" WHERE (\nid > 1\n)\n) TO STDOUT WITH (FORMAT binary)"
        );
    }
}
