//! Gates: one query, one value, yes or no.

use serde_json::Value;
use tokio_postgres::Client;

use crate::connect;
use crate::{Error, GateAnswer, GateRequest, Side};

const SESSION: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '30s'";
/// The answer goes into a record and a terminal; a gate is a figure, not a report.
const LONGEST: usize = 256;

/// Asks the gate's query in a read-only transaction and compares its value.
///
/// # Errors
/// When the database cannot be asked, or the query does not give one row with one column. A value that is not the
/// expected one is an answer, not an error.
pub async fn gate(request: &GateRequest, password: &str) -> Result<GateAnswer, Error> {
    let session = connect::target(&request.target, password, &|_| {}).await?;
    let value = ask(&session, request).await?;
    Ok(GateAnswer {
        passed: passes(value.as_deref(), &request.expect),
        value: value.map_or_else(|| "NULL".to_owned(), |text| text.chars().take(LONGEST).collect()),
    })
}

async fn ask(client: &Client, request: &GateRequest) -> Result<Option<String>, Error> {
    let doing = format!("asking gate {:?}", request.name);
    let failed = |e: &tokio_postgres::Error| Error::from_driver(Side::Target, &doing, e);
    let wrong = |got: String| Error::GateShape { gate: request.name.clone(), got };
    client.batch_execute(SESSION).await.map_err(|e| failed(&e))?;
    // Prepared on its own first: the server takes one statement only, so none can end our transaction.
    let sql = request.sql.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    let alone = client.prepare(sql).await.map_err(|e| failed(&e))?;
    if !alone.params().is_empty() {
        return Err(wrong("a question with parameters".to_owned()));
    }
    if alone.columns().len() != 1 {
        return Err(wrong(format!("{} columns", alone.columns().len())));
    }
    let as_text = format!("SELECT gate.value::text FROM (\n{sql}\n) AS gate(value) LIMIT 2");
    let rows = client.query(&as_text, &[]).await.map_err(|e| failed(&e))?;
    match rows.as_slice() {
        [row] => Ok(row.get(0)),
        [] => Err(wrong("no row".to_owned())),
        _ => Err(wrong("more than one row".to_owned())),
    }
}

/// `0`, `0.00` and `"0"` are one value to whoever wrote the gate; a null is only ever equal to null.
fn passes(value: Option<&str>, expect: &Value) -> bool {
    let wanted = match expect {
        Value::Null => "null",
        Value::String(text) => text,
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Number(number) => &number.to_string(),
        Value::Array(_) | Value::Object(_) => return false,
    };
    match value {
        None => wanted.eq_ignore_ascii_case("null"),
        Some(value) => !expect.is_null() && (value == wanted || same_number(value, wanted)),
    }
}

fn same_number(one: &str, other: &str) -> bool {
    match (one.parse::<i128>(), other.parse::<i128>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.parse::<f64>().ok().zip(other.parse::<f64>().ok()).is_some_and(|(a, b)| a == b),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::passes;

    #[test]
    fn values_are_compared_by_kind() {
        for (value, expect, passed) in [
            (Some("0"), json!(0), true),
            (Some("0.00"), json!(0), true),
            (Some("1"), json!(0), false),
            (Some("9007199254740993"), json!(9_007_199_254_740_993_u64), true),
            (Some("9007199254740992"), json!(9_007_199_254_740_993_u64), false),
            (Some("2.5"), json!(2.50), true),
            (Some("true"), json!(true), true),
            (Some("0"), json!("0"), true),
            (Some("0.0"), json!("0"), true),
            (None, json!("null"), true),
            (Some("x"), json!(0), false),
            (Some("null"), json!(null), false),
            (None, json!(null), true),
            (None, json!(0), false),
            (Some("[]"), json!([]), false),
        ] {
            assert_eq!(passes(value, &expect), passed, "{value:?} {expect}");
        }
    }
}
