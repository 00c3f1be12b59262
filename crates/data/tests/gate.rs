//! Gates against a real database.

mod support;

use data::{Error, GateAnswer, GateRequest};
use serde_json::{Value, json};
use support::{PASSWORD, Pair};

async fn ask(pair: &Pair, sql: &str, expect: Value) -> Result<GateAnswer, Error> {
    let request = GateRequest { name: "no-orphans".into(), sql: sql.into(), expect, target: pair.target() };
    data::gate(&request, PASSWORD).await
}

#[tokio::test]
async fn answers() {
    let pair = Pair::new("").await;
    pair.target.batch_execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)").await.unwrap();
    for (sql, expect, value, passed) in [
        ("select count(*) from t", json!(2), "2", true),
        ("select count(*) from t;\n", json!(0), "2", false),
        ("with x as (select 1.50 as v) select v from x -- a remark", json!(1.5), "1.50", true),
        ("select max(a) from t where a > 9", json!(null), "NULL", true),
        ("select a from t order by a desc limit 1", json!("2"), "2", true),
        ("select count(*) = 2 from t", json!(true), "true", true),
        ("values (7)", json!(7), "7", true),
    ] {
        let answer = ask(&pair, sql, expect).await.unwrap();
        assert_eq!(answer, GateAnswer { value: value.into(), passed }, "{sql}");
    }
}

#[tokio::test]
async fn what_is_not_one_value_is_an_error() {
    let pair = Pair::new("").await;
    pair.target.batch_execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)").await.unwrap();
    for (sql, code, says) in [
        ("select a from t", "DAT008", "more than one row"),
        ("select a from t where false", "DAT008", "no row"),
        ("select a, a from t", "DAT008", "2 columns"),
        ("select $1::int", "DAT008", "parameters"),
        ("select nosuch from t", "DB006", "column \"nosuch\" does not exist"),
        ("select 1; commit; drop table t", "DB006", "multiple commands"),
        ("delete from t returning a", "DB006", "syntax error"),
        ("with x as (delete from t returning a) select count(*) from x", "DB006", "42601|0A000|25006"),
        ("select 1) as gate(value); drop table t; select * from (select 1", "DB006", "syntax error"),
        ("select setval('s', 1)", "DB006", "does not exist"),
        ("", "DAT008", "0 columns"),
    ] {
        let error = ask(&pair, sql, json!(0)).await.unwrap_err();
        assert_eq!(error.code(), code, "{sql}: {error}");
        assert!(says.split('|').any(|s| error.to_string().contains(s)), "{sql}: {error}");
    }
    assert_eq!(pair.ask("SELECT count(*) FROM t").await, "2");
}

#[tokio::test]
async fn a_gate_cannot_write() {
    let pair = Pair::new("").await;
    let setup = "CREATE TABLE t (a int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING a'";
    pair.target.batch_execute(setup).await.unwrap();
    let error = ask(&pair, "select f()", json!(1)).await.unwrap_err();
    assert!(error.to_string().contains("read-only transaction"), "{error}");
}
