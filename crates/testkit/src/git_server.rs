//! A repository over HTTP or HTTPS: the answers are those of git's own `upload-pack`.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};

/// Serves one repository below `/repo`; `/moved` leads there, `/private` asks for the password first, and so does
/// `/away/<port>` before it leads to `/repo` of another server.
pub struct GitServer {
    /// Such as `https://localhost:1234`.
    pub base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

struct Service {
    folder: PathBuf,
    base: String,
    /// The one value of `Authorization` that opens `/private`.
    authorization: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl GitServer {
    /// Serves a repository until the process ends: with TLS, if there is a configuration for it.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn serve(folder: &Path, tls: Option<Arc<rustls::ServerConfig>>, authorization: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://localhost:{}", listener.local_addr()?.port());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let service = Arc::new(Service {
            folder: folder.to_owned(),
            base: base.clone(),
            authorization: authorization.to_owned(),
            requests: Arc::clone(&requests),
        });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (service, tls) = (Arc::clone(&service), tls.clone());
                std::thread::spawn(move || service.connected(stream, tls));
            }
        });
        Ok(Self { base, requests })
    }

    /// Method and path of every request so far, with a star behind those that brought credentials.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Service {
    /// One request, one answer. Who breaks off gets none.
    fn connected(&self, mut stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) -> Result<()> {
        match tls {
            None => self.answer(&mut stream),
            Some(tls) => {
                let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(tls)?, stream);
                let answered = self.answer(&mut stream);
                stream.conn.send_close_notify();
                stream.flush()?;
                answered
            }
        }
    }

    fn answer(&self, stream: &mut (impl Read + Write)) -> Result<()> {
        let (head, body) = read(stream)?;
        let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
        let (method, path) = line.split_once(' ').context("no request line")?;
        let mut parts = path.splitn(3, '/').skip(1);
        let (place, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let header = |wanted: &str| {
            head.lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        let brought = header("authorization").is_some();
        let noted = format!("{line}{}", if brought { " *" } else { "" });
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(noted);
        let known = header("authorization").is_some_and(|(_, value)| value == self.authorization);
        let protocol = header("git-protocol").map_or("", |(_, value)| value);
        let (status, headers, body) = match (place, method, rest) {
            ("moved", ..) => ("302 Found", format!("Location: {}/repo/{rest}\r\n", self.base), Vec::new()),
            ("private" | "away", ..) if !known => {
                ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"test\"\r\n".to_owned(), Vec::new())
            }
            ("away", ..) => {
                let (port, rest) = rest.split_once('/').context("no port")?;
                let scheme = self.base.split("://").next().unwrap_or_default();
                ("302 Found", format!("Location: {scheme}://localhost:{port}/repo/{rest}\r\n"), Vec::new())
            }
            ("repo" | "private", "GET", "info/refs?service=git-upload-pack") => {
                let refs = self.upload_pack(&["--advertise-refs"], protocol, &[])?;
                (
                    "200 OK",
                    kind("advertisement"),
                    [b"001e# service=git-upload-pack\n0000", &refs[..]].concat(),
                )
            }
            ("repo" | "private", "POST", "git-upload-pack") => {
                ("200 OK", kind("result"), self.upload_pack(&[], protocol, &body)?)
            }
            _ => ("404 Not Found", String::new(), Vec::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        Ok(stream.flush()?)
    }

    fn upload_pack(&self, arguments: &[&str], protocol: &str, input: &[u8]) -> Result<Vec<u8>> {
        let mut child = Command::new("git")
            .args(["upload-pack", "--stateless-rpc"])
            .args(arguments)
            .arg(&self.folder)
            .env("GIT_PROTOCOL", protocol)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        child.stdin.take().context("no stdin")?.write_all(input)?;
        Ok(child.wait_with_output()?.stdout)
    }
}

fn kind(of: &str) -> String {
    format!("Content-Type: application/x-git-upload-pack-{of}\r\n")
}

/// The head of a request, and as much after it as its `Content-Length` says.
fn read(stream: &mut impl Read) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec())?;
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
            });
            let length: usize = length.unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Ok((head, bytes.split_off(end + 4)));
            }
        }
        match stream.read(&mut buffer)? {
            0 => bail!("the request is cut off"),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
