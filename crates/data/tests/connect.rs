//! Connections that fail, wait or are encrypted, and warnings about the source's role.

mod support;

use std::time::Duration;

use support::{PASSWORD, Pair, server, table};

const ONE: &str = "CREATE TABLE one (a int); INSERT INTO one VALUES (1)";

#[tokio::test]
async fn wrong_passwords_are_told_apart_and_not_repeated() {
    let pair = Pair::new(ONE).await;
    let request = pair.request("1", &[table("one", &[], None)]);
    let wrong_source = pair.uri().replace(PASSWORD, "hunter2");
    let source = data::copy(&request, &wrong_source, PASSWORD, &|_| {}).await.unwrap_err();
    let target = data::copy(&request, &pair.uri(), "hunter2", &|_| {}).await.unwrap_err();
    for (error, side) in [(source, "the source refused"), (target, "the target refused")] {
        assert_eq!(error.code(), "DB005");
        let said = format!("{error} {error:?} {}", error.help());
        assert!(said.contains(side) && said.contains("28P01"), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("postgres://reader"), "{said}");
    }
}

#[tokio::test]
async fn an_unreachable_source_is_named_as_such() {
    let pair = Pair::new(ONE).await;
    let request = pair.request("1", &[table("one", &[], None)]);
    let error =
        data::copy(&request, "postgres://u:hunter2@127.0.0.1:1/d", PASSWORD, &|_| {}).await.unwrap_err();
    assert_eq!(error.code(), "DB003");
    assert_eq!(error.to_string(), "cannot connect to the source: Connection refused (os error 111)");
}

#[tokio::test]
async fn one_database_is_not_copied_onto_itself() {
    let pair = Pair::new(ONE).await;
    let mut request = pair.request("1", &[table("one", &[], None)]);
    request.target.database.clone_from(&pair.source_name);
    let error = data::copy(&request, &pair.uri(), PASSWORD, &|_| {}).await.unwrap_err();
    assert_eq!(error.code(), "DB001");
    assert_eq!(support::text(&pair.source, "SELECT sum(a) FROM one").await, "1");
}

#[tokio::test]
async fn a_role_that_can_write_is_warned_about() {
    let pair = Pair::new(ONE).await;
    let one = [table("one", &[], None)];
    assert_eq!(pair.copy("1", &one).await.unwrap().warnings, Vec::<String>::new());
    pair.source.batch_execute(&format!("GRANT DELETE ON one TO {}", pair.reader)).await.unwrap();
    assert!(pair.copy("2", &one).await.unwrap().warnings[0].starts_with("DB002"));
    let as_admin = pair.uri().replace(&pair.reader, "admin");
    let summary = data::copy(&pair.request("3", &one), &as_admin, PASSWORD, &|_| {}).await.unwrap();
    assert!(summary.warnings[0].contains("superuser"));
    let policy = "ALTER TABLE one ENABLE ROW LEVEL SECURITY";
    pair.source.batch_execute(&format!("REVOKE DELETE ON one FROM {}; {policy}", pair.reader)).await.unwrap();
    let hidden = pair.copy("4", &one).await.unwrap();
    assert_eq!(hidden.rows, 0);
    assert!(hidden.warnings[0].starts_with("DAT009"));
}

#[tokio::test]
async fn tls_is_used_as_asked() {
    let pair = Pair::new(&format!(
        "{ONE}; CREATE VIEW session AS SELECT ssl, version FROM pg_stat_ssl \
         WHERE pid = pg_backend_pid()"
    ))
    .await;
    pair.source.batch_execute(&format!("GRANT SELECT ON session TO {}", pair.reader)).await.unwrap();
    let session = [table("session", &[], None)];
    for (mode, encrypted) in [("disable", "false"), ("prefer", "true"), ("require", "true")] {
        let uri = format!("{}?sslmode={mode}", pair.uri());
        data::copy(&pair.request(mode, &session), &uri, PASSWORD, &|_| {}).await.unwrap();
        assert_eq!(pair.ask("SELECT ssl FROM session").await, encrypted, "{mode}");
    }
    // Nobody the system trusts has signed the server's certificate.
    let uri = format!("{}?sslmode=verify-full", pair.uri());
    let error = data::copy(&pair.request("v", &session), &uri, PASSWORD, &|_| {}).await.unwrap_err();
    assert_eq!(error.code(), "DB003");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_target_that_is_not_there_yet_is_waited_for() {
    let pair = Pair::new(ONE).await;
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = door.local_addr().unwrap().port();
    drop(door);
    let mut request = pair.request("1", &[table("one", &[], None)]);
    request.target.port = port;
    let opened = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = tokio::net::TcpStream::connect(("127.0.0.1", server().port)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    let waited = std::sync::atomic::AtomicU32::new(0);
    let count = |progress| {
        if matches!(progress, data::Progress::Waiting { .. }) {
            waited.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    };
    let summary = data::copy(&request, &pair.uri(), PASSWORD, &count).await.unwrap();
    assert_eq!(summary.rows, 1);
    assert!(waited.into_inner() >= 1);
    opened.abort();
}

#[tokio::test]
async fn a_value_never_reaches_an_error() {
    let pair = Pair::new(
        "CREATE TABLE people (id int, name text); INSERT INTO people VALUES (1, 'Ada Secret'), (1, 'Ada Secret'); \
         CREATE VIEW cast_fails AS SELECT id, name::int AS number FROM people",
    )
    .await;
    let error = pair.copy("1", &[table("cast_fails", &["number"], None)]).await.unwrap_err();
    assert_eq!(error.code(), "DB006");
    let said = format!("{error} {error:?}");
    assert!(said.contains("22P02") && !said.contains("Secret"), "{said}");
    let error = pair.copy("1", &[table("people", &["name"], Some("name::int > 0"))]).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("Secret"));
}
