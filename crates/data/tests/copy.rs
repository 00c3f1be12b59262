//! Copies between two real databases: what arrives, what is never read, what is refused.

mod support;

use std::sync::Mutex;
use std::time::Duration;

use data::{Error, Progress};
use support::{PASSWORD, Pair, server, table, text};

const CUSTOMER: &str = "CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
     country char(2) NOT NULL, hush_email text, twice int GENERATED ALWAYS AS (length(country) * 2) STORED); \
     INSERT INTO customer (country, hush_email) SELECT 'DE', 'person' || n || '@example.org' FROM generate_series(1, 5) n";

fn error(result: Result<data::CopySummary, Error>) -> Error {
    let error = result.expect_err("the copy is refused");
    let said = format!("{error} {error:?} {}", error.help());
    assert!(!said.contains(PASSWORD) && !said.contains("postgres://127"), "{said}");
    error
}

#[tokio::test]
async fn listed_columns_only() {
    let pair = Pair::new(CUSTOMER).await;
    let customer = [table("customer", &["id", "country", "twice"], Some("id > 1"))];
    let summary = pair.copy("1", &customer).await.unwrap();
    assert_eq!((summary.rows, summary.skipped), (4, false));
    assert_eq!(pair.ask("SELECT sum(twice) FROM customer").await, "16");
    let columns = "SELECT string_agg(concat(attname, ' ', format_type(atttypid, atttypmod), ' ', attnotnull, \
         attidentity, attgenerated), ',' ORDER BY attnum) FROM pg_attribute \
         WHERE attrelid = 'customer'::regclass AND attnum > 0";
    assert_eq!(pair.ask(columns).await, "id bigint t,country character(2) t,twice integer f");
    let log = server().log();
    assert!(log.contains("COPY ("), "the server's log shows what the source was sent");
    assert!(!log.contains("hush_email"), "{log}");
}

#[tokio::test]
async fn an_added_column_is_absent() {
    let pair = Pair::new(CUSTOMER).await;
    let customer = [table("customer", &["id", "country"], None)];
    pair.copy("1", &customer).await.unwrap();
    pair.source.batch_execute("ALTER TABLE customer ADD hush_phone text DEFAULT '+49'").await.unwrap();
    assert_eq!(pair.copy("2", &customer).await.unwrap().rows, 5);
    assert_eq!(pair.ask("SELECT count(*) FROM pg_attribute WHERE attname LIKE 'hush%'").await, "0");
    assert!(!server().log().contains("hush_phone"));
}

#[tokio::test]
async fn where_cannot_see_an_unlisted_column() {
    let pair = Pair::new(&CUSTOMER.replace("hush_email", "named_email")).await;
    for (filter, says) in [
        ("named_email like 'person1%'", "does not exist"),
        ("customer::text like '%person1%' or nosuch", "does not exist"),
        ("true) union select named_email from customer where (true", "did not open"),
        ("true; drop table customer", "`;`"),
        ("id", "boolean"),
        ("id > $1", "parameter"),
    ] {
        let got = error(pair.copy("1", &[table("customer", &["id"], Some(filter))]).await);
        assert_eq!(got.code(), "DAT004", "{got}");
        assert!(got.to_string().contains(says), "{got}");
    }
    // The whole row is the listed columns, too.
    let filter = "customer::text like '%person%'";
    assert_eq!(pair.copy("1", &[table("customer", &["id"], Some(filter))]).await.unwrap().rows, 0);
    let filter = "id in (select max(id) from customer)";
    assert_eq!(pair.copy("2", &[table("customer", &["id"], Some(filter))]).await.unwrap().rows, 1);
}

#[tokio::test]
async fn all_common_types_arrive_as_they_were() {
    let pair = Pair::new(
        "CREATE TABLE kinds (b bool, i2 int2, i4 int4, i8 int8, r float4, d float8, n numeric, n2 numeric(12, 3), \
         m money, t text, v varchar(9), c char(4), \"by\" bytea, da date, ti time(3), tz timetz, ts timestamp, \
         tt timestamptz, iv interval, u uuid, j json, jb jsonb, ip inet, ci cidr, ma macaddr, bi bit(3), \
         vb varbit, p point, ia int[], ta text[], na numeric(8, 2)[], jba jsonb[], rg int4range, tr tstzrange, \
         q \"char\", ls pg_lsn, tv tsvector, ba bytea[]); \
         INSERT INTO kinds VALUES (true, -32768, 2147483647, -9223372036854775808, 'NaN', '-Infinity', \
         'NaN', 123456789.125, 12.34, E'tab\\t nl\\n \\\\ quote'' \"ü\" 漢字 🦀 ', 'a,b', 'x', '\\x00ff0a5c', \
         '4713-01-01 BC', '23:59:59.999', '12:00+05:30', 'infinity', '2013-03-10 02:30:00+00', \
         '1 year -2 days 3.5 s', '6f9619ff-8b86-d011-b42d-00c04fc964ff', '{\"a\" :1,\"a\":2}', \
         '{\"k\": [1, null, \"é\"]}', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '101', '1', '(1.5,-2)', \
         '[0:1]={1,NULL}', '{NULL,\"\",\"NULL\",\"a\\\"b\"}', '{{1.25,2},{3,4}}', array['{}'::jsonb], '[1,5)', \
         '[2013-01-01,)', 'z', '16/B374D848', 'a:1 b', array['\\x01'::bytea, null]); \
         INSERT INTO kinds DEFAULT VALUES; INSERT INTO kinds (n, t) VALUES (1e-130, ''), (1e130, repeat('x', 300000))",
    )
    .await;
    let summary = pair.copy("1", &[table("kinds", &[], None)]).await.unwrap();
    assert_eq!((summary.rows, summary.tables[0].columns), (4, 38));
    let rows = "SELECT md5(string_agg(k::text, '|' ORDER BY k::text)) FROM kinds k";
    assert_eq!(pair.ask(rows).await, text(&pair.source, rows).await);
    let kinds = "SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute \
         WHERE attrelid = 'kinds'::regclass AND attnum > 0";
    assert_eq!(pair.ask(kinds).await, text(&pair.source, kinds).await);
}

#[tokio::test]
async fn odd_names_keys_and_empty_tables() {
    let pair = Pair::new(
        "CREATE SCHEMA \"Odd \"\"one\"; CREATE TABLE \"Odd \"\"one\".\"a.b; --\" (\"Id 1\" int, \"select\" text, \
         \"q\"\"x\" int, left_out int, PRIMARY KEY (\"q\"\"x\", \"Id 1\"), UNIQUE (\"select\"), UNIQUE (left_out, \"Id 1\")); \
         INSERT INTO \"Odd \"\"one\".\"a.b; --\" VALUES (1, 'x', 2, 3); CREATE TABLE empty (a int UNIQUE NOT NULL); \
         CREATE VIEW seen AS SELECT 7 AS a",
    )
    .await;
    let odd = table("\"Odd \"\"one\".\"a.b; --\"", &["select", "q\"x", "Id 1"], Some("\"q\"\"x\" = 2"));
    let summary = pair.copy("1", &[odd, table("empty", &[], None), table("seen", &[], None)]).await.unwrap();
    assert_eq!(summary.tables.iter().map(|t| t.rows).collect::<Vec<_>>(), [1, 0, 1]);
    let keys = "SELECT string_agg(pg_get_constraintdef(oid), ' / ' ORDER BY contype, conname) FROM pg_constraint \
         WHERE conrelid = '\"Odd \"\"one\".\"a.b; --\"'::regclass AND contype <> 'n'";
    assert_eq!(pair.ask(keys).await, "PRIMARY KEY (\"q\"\"x\", \"Id 1\") / UNIQUE (\"select\")");
    assert_eq!(pair.ask("SELECT count(*) FROM empty").await, "0");
    assert_eq!(pair.ask("SELECT a FROM seen").await, "7");
}

#[tokio::test]
async fn wrong_requests_are_refused_before_the_target_changes() {
    let sql = format!(
        "{CUSTOMER}; CREATE TYPE mood AS ENUM ('ok'); CREATE DOMAIN plz AS text; CREATE TABLE typed (a mood, b plz, \
         c mood[], d regclass, e xml, f pg_class)"
    );
    let pair = Pair::new(&sql).await;
    pair.target
        .batch_execute("CREATE TABLE customer (old int); CREATE VIEW v AS SELECT * FROM customer")
        .await
        .unwrap();
    let both = |columns: &[&str]| [table("customer", &["id"], None), table("typed", columns, None)];
    for column in ["a", "b", "c", "d", "e", "f"] {
        let got = error(pair.copy("1", &both(&[column])).await);
        assert_eq!(got.code(), "DAT003", "{got}");
        assert!(got.to_string().contains(&format!("column {column:?} of table \"typed\"")), "{got}");
    }
    for (tables, code, says) in [
        (vec![table("custmer", &[], None)], "DAT001", "no table \"custmer\"; near: \"customer\""),
        (vec![table("customer", &["ids"], None)], "DAT002", "no column \"ids\"; near: \"id\""),
        (vec![table("customer", &["id", "id"], None)], "DAT005", "twice"),
        (vec![table("customer", &["id"], None), table("public.customer", &["id"], None)], "DAT005", "twice"),
        (vec![table("pg_catalog.pg_authid", &[], None)], "DAT005", "belongs to the server"),
    ] {
        let got = error(pair.copy("1", &tables).await);
        assert_eq!(got.code(), code, "{got}");
        assert!(got.to_string().contains(says), "{got}");
    }
    let revoke =
        format!("REVOKE SELECT ON customer FROM {0}; GRANT SELECT (id) ON customer TO {0}", pair.reader);
    pair.source.batch_execute(&revoke).await.unwrap();
    let got = error(pair.copy("1", &[table("customer", &["id", "country"], None)]).await);
    assert_eq!(got.to_string(), "the source's role may not read column \"country\" of table \"customer\"");
    assert_eq!(pair.copy("1", &[table("customer", &["id"], Some("id < 3"))]).await.unwrap().rows, 2);
}

#[tokio::test]
async fn same_digest_is_copied_once() {
    let pair =
        Pair::new(&format!("{CUSTOMER}; CREATE TABLE other (a int); INSERT INTO other VALUES (1)")).await;
    let customer = table("customer", &["id"], None);
    let other = table("other", &["a"], None);
    let first = pair.copy("one", &[customer.clone(), other.clone()]).await.unwrap();
    pair.target
        .batch_execute("CREATE VIEW mart AS SELECT * FROM customer; INSERT INTO other VALUES (2)")
        .await
        .unwrap();
    pair.source.batch_execute("INSERT INTO customer (country) VALUES ('FR')").await.unwrap();
    // A finished copy needs no source at all.
    let request = pair.request("one", &[customer.clone(), other]);
    let again = data::copy(&request, "postgres://nobody@127.0.0.1:1/x", PASSWORD, &|_| {}).await.unwrap();
    assert!(again.skipped);
    assert_eq!((again.tables, again.rows), (first.tables, 6));
    assert_eq!(pair.ask("SELECT sum(a) FROM other").await, "3");
    // Another digest copies again; what is no longer listed is gone, and so is the view over what was replaced.
    let changed = pair.copy("two", std::slice::from_ref(&customer)).await.unwrap();
    assert_eq!((changed.skipped, changed.rows), (false, 6));
    assert_eq!(pair.ask("SELECT count(*) FROM pg_class WHERE relname IN ('other', 'mart')").await, "0");
    assert_eq!(pair.ask("SELECT string_agg(digest, ',') FROM mimeo.copies").await, "two");
    // Going back is a copy, not a finished digest.
    assert!(!pair.copy("one", &[customer]).await.unwrap().skipped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_copy_leaves_the_old_state() {
    let rows = "CREATE TABLE big AS SELECT n AS id, md5(n::text) AS word FROM generate_series(1, 200000) n; \
         ALTER TABLE big ADD PRIMARY KEY (id)";
    let pair = Pair::new(&format!("{rows}; {CUSTOMER}")).await;
    let (customer, big) = (table("customer", &["id"], None), table("big", &[], None));
    pair.copy("old", std::slice::from_ref(&customer)).await.unwrap();
    pair.target.batch_execute("CREATE VIEW mart AS SELECT count(*) FROM customer").await.unwrap();
    let request = pair.request("new", &[customer, big]);
    let uri = pair.uri();
    for after in [0, 5, 20, 60, 120] {
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (begun, request, uri) = (Mutex::new(Some(begun)), request.clone(), uri.clone());
        let task = tokio::spawn(async move {
            let tell = move |progress: Progress| {
                if matches!(&progress, Progress::Started { table } if table == "big")
                    && let Some(begun) = begun.lock().unwrap().take()
                {
                    begun.send(()).unwrap();
                }
            };
            data::copy(&request, &uri, PASSWORD, &tell).await
        });
        begins.await.unwrap();
        tokio::time::sleep(Duration::from_millis(after)).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled(), "killed {after} ms after the rows began to flow");
        assert_eq!(pair.ask("SELECT count FROM mart").await, "5");
        assert_eq!(pair.ask("SELECT count(*) FROM pg_class WHERE relname = 'big'").await, "0");
        assert_eq!(pair.ask("SELECT string_agg(digest, ',') FROM mimeo.copies").await, "old");
    }
    let summary = pair.copy("new", &request.tables).await.unwrap();
    assert_eq!(summary.tables[1].rows, 200_000);
    assert_eq!(pair.ask("SELECT count(*) || md5(string_agg(word, '' ORDER BY id)) FROM big").await, {
        text(&pair.source, "SELECT count(*) || md5(string_agg(word, '' ORDER BY id)) FROM big").await
    });
    assert_eq!(pair.ask("SELECT reltuples FROM pg_class WHERE relname = 'big'").await, "200000");
}

#[tokio::test]
async fn two_copies_at_once_take_turns() {
    let pair = Pair::new(CUSTOMER).await;
    let customer = [table("customer", &["id"], None)];
    let (one, two) = tokio::join!(pair.copy("same", &customer), pair.copy("same", &customer));
    let mut skipped = [one.unwrap().skipped, two.unwrap().skipped];
    skipped.sort_unstable();
    assert_eq!(skipped, [false, true]);
}
