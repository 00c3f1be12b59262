//! Servers that are no Kubernetes API, or none that answers: the kubeconfig names the wrong one, or something stands
//! between.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const MIMEO: &str = env!("CARGO_BIN_EXE_mimeo");

type Answers = (&'static str, &'static str);

/// A server that answers everything the same, and the kubeconfig that names it.
struct Stranger {
    home: TempDir,
    url: String,
}

impl Stranger {
    /// `None` accepts connections and never answers.
    fn start(answers: Option<Answers>) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        thread::spawn(move || {
            let kept = Mutex::new(Vec::new());
            for connection in server.incoming().flatten() {
                match answers {
                    Some(answers) => drop(thread::spawn(move || serve(connection, answers))),
                    None => kept.lock().unwrap_or_else(PoisonError::into_inner).push(connection),
                }
            }
        });
        let home = TempDir::new().unwrap();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"{url}\"}}}}]\n\
             users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        );
        std::fs::write(home.path().join("kubeconfig"), kubeconfig).unwrap();
        Self { home, url }
    }

    fn mimeo(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(MIMEO);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("NO_COLOR", "1")
            .env("KUBECONFIG", self.home.path().join("kubeconfig"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }
}

/// Answers every request of a connection; only what is said of `/version` may be another answer.
fn serve(mut connection: TcpStream, (answer, version): Answers) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut line = String::new();
    loop {
        let (mut length, mut answer) = (0, answer);
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.starts_with("GET /version ") {
                answer = version;
            }
            let (name, value) = line.trim_end().split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
            if line.trim_end().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if std::io::Read::read_exact(&mut reader, &mut body).is_err()
            || connection.write_all(answer.as_bytes()).is_err()
        {
            return;
        }
    }
}

#[test]
fn a_server_that_is_no_kubernetes_is_not_taken_for_one_without_mimeo() {
    let answers = [
        (
            "a page, 404",
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        ),
        ("a page, 200", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"),
        // What an API server says of a path that it does not serve.
        (
            "text, 404",
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\n404 page not found",
        ),
        ("JSON, 200", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"),
        (
            "JSON, 404",
            "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        ),
        (
            "a login",
            "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        ),
    ];
    let other =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"version\":1}";
    let same = answers.map(|(what, answer)| (what, (answer, answer)));
    for (what, answers) in same.into_iter().chain([("another API", (answers[2].1, other))]) {
        let stranger = Stranger::start(Some(answers));
        for command in
            [&["list"] as &[&str], &["down", "qa-main-0123abcd", "--yes"], &["status", "qa-main-0123abcd"]]
        {
            let output = stranger.mimeo(command).wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(4), "{what}, {command:?}: {said}");
            assert!(
                said.contains("CLU007") && said.contains("is a Kubernetes API"),
                "{what}, {command:?}: {said}"
            );
        }
    }
}

#[test]
fn who_is_waited_for_is_said_after_ten_seconds() {
    let stranger = Stranger::start(None);
    let begun = Instant::now();
    let mut running = stranger.mimeo(&["list"]);
    let mut first = String::new();
    BufReader::new(running.stderr.take().unwrap()).read_line(&mut first).unwrap();
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(first.contains(&format!("waiting for {}", stranger.url)) && first.contains("(10 s)"), "{first}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}
