//! A real PostgreSQL for the tests: started once per test binary from the system's packages, gone with it.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a harness fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use data::{CopyRequest, CopySummary, Error, Table, Target};
use tokio_postgres::{Client, NoTls};

/// Password of every role; a test greps errors for it.
pub const PASSWORD: &str = "s3cr3t-of-the-tests";

/// The server all tests of this binary share.
pub struct Server {
    pub port: u16,
    pub directory: PathBuf,
    // Holds the pipe whose end tells the keeper that the tests are over, also after kill -9.
    _keeper: Child,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The running server; started by the first test that asks.
pub fn server() -> &'static Server {
    SERVER.get_or_init(Server::start)
}

fn binaries() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("these tests need a PostgreSQL server: apt-get install postgresql")
}

/// A command as the user `postgres` where we are root: the server refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    command
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Server {
    fn start() -> Self {
        let bin = binaries();
        let directory = tempfile::Builder::new().prefix("mimeo-pg-").tempdir().unwrap().keep();
        std::fs::write(directory.join("password"), PASSWORD).unwrap();
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres:postgres"]).arg(&directory));
        }
        let data = directory.join("data");
        run(unprivileged(&bin.join("initdb"))
            .args(["--username=admin", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--no-sync", "--no-instructions"])
            .arg(format!("--pwfile={}", directory.join("password").display()))
            .arg(format!("--pgdata={}", data.display())));
        make_certificate(&data);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let keeper = keeper(&bin, &directory, port);
        Self { port, directory, _keeper: keeper }
    }

    /// Everything the server logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap()
    }

    pub async fn connect(&self, user: &str, database: &str) -> Client {
        let begun = Instant::now();
        loop {
            let options = format!(
                "host=127.0.0.1 port={} user={user} dbname={database} password={PASSWORD}",
                self.port
            );
            match tokio_postgres::connect(&options, NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(e) if begun.elapsed() > Duration::from_secs(30) => panic!("{e:?}\n{}", self.log()),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// A self-signed certificate, as the packages of most distributions make one.
fn make_certificate(data: &Path) {
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .arg("-keyout")
        .arg(data.join("server.key"))
        .arg("-out")
        .arg(data.join("server.crt")));
    if is_root() {
        run(Command::new("chown").arg("postgres:postgres").arg(data.join("server.key")));
    }
    run(Command::new("chmod").arg("600").arg(data.join("server.key")));
}

/// Runs the server until our end of its standard input closes, then removes everything.
fn keeper(bin: &Path, directory: &Path, port: u16) -> Child {
    const SCRIPT: &str = r#""$@" >"$LOG" 2>&1 </dev/null & pid=$!
        cat >/dev/null; kill -QUIT $pid; wait $pid; rm -rf "$DIRECTORY""#;
    let postgres = unprivileged(&bin.join("postgres"));
    let mut command = Command::new("bash");
    command.args(["-c", SCRIPT, "keeper"]).arg(postgres.get_program()).args(postgres.get_args());
    command
        .arg("-D")
        .arg(directory.join("data"))
        .arg("-p")
        .arg(port.to_string())
        .arg("-k")
        .arg(directory)
        .args(["-h", "127.0.0.1", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "ssl=on"])
        .args(["-c", "max_connections=200", "-c", "log_line_prefix=%u@%d "])
        .env("LOG", directory.join("log"))
        .env("DIRECTORY", directory)
        .stdin(Stdio::piped());
    command.spawn().unwrap()
}

/// A source and a target database of one test, with a role that can only read.
pub struct Pair {
    pub source: Client,
    pub target: Client,
    pub source_name: String,
    pub target_name: String,
    pub reader: String,
}

impl Pair {
    /// Makes the databases and runs `sql` in the source.
    pub async fn new(sql: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (source_name, target_name) = (format!("source{number}"), format!("target{number}"));
        let reader = format!("reader{number}");
        let admin = server().connect("admin", "postgres").await;
        for statement in [
            format!("CREATE DATABASE {source_name}"),
            format!("CREATE DATABASE {target_name}"),
            format!("CREATE ROLE {reader} LOGIN PASSWORD '{PASSWORD}'"),
            format!("ALTER ROLE {reader} SET log_statement = 'all'"),
        ] {
            admin.batch_execute(&statement).await.unwrap();
        }
        let source = server().connect("admin", &source_name).await;
        let target = server().connect("admin", &target_name).await;
        source.batch_execute(sql).await.unwrap();
        let grants = format!(
            "DO $$ DECLARE s text; BEGIN FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information)' \
             LOOP EXECUTE format('GRANT USAGE ON SCHEMA %I TO {reader}; GRANT SELECT ON ALL TABLES IN SCHEMA %I TO {reader}', s, s); \
             END LOOP; END $$"
        );
        source.batch_execute(&grants).await.unwrap();
        Self { source, target, source_name, target_name, reader }
    }

    pub fn uri(&self) -> String {
        format!("postgres://{}:{PASSWORD}@127.0.0.1:{}/{}", self.reader, server().port, self.source_name)
    }

    pub fn target(&self) -> Target {
        Target {
            host: "127.0.0.1".into(),
            port: server().port,
            database: self.target_name.clone(),
            user: "admin".into(),
        }
    }

    pub fn request(&self, digest: &str, tables: &[Table]) -> CopyRequest {
        CopyRequest {
            source: "tests".into(),
            target: self.target(),
            tables: tables.to_vec(),
            digest: digest.into(),
        }
    }

    pub async fn copy(&self, digest: &str, tables: &[Table]) -> Result<CopySummary, Error> {
        data::copy(&self.request(digest, tables), &self.uri(), PASSWORD, &|_| {}).await
    }

    /// One value of the target, as text.
    pub async fn ask(&self, sql: &str) -> String {
        text(&self.target, sql).await
    }
}

/// One value, as text.
pub async fn text(client: &Client, sql: &str) -> String {
    let row = client.query_one(&format!("SELECT ({sql})::text"), &[]).await.unwrap();
    row.get::<_, Option<String>>(0).unwrap_or_else(|| "NULL".into())
}

/// A table with its columns and filter.
pub fn table(name: &str, columns: &[&str], filter: Option<&str>) -> Table {
    Table {
        table: name.into(),
        columns: (!columns.is_empty()).then(|| columns.iter().map(|c| (*c).into()).collect()),
        filter: filter.map(Into::into),
    }
}
