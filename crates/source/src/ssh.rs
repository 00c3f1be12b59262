//! The program `ssh` on the way to a repository, run as git runs it: configuration, keys and known hosts are those of
//! whoever runs mimeo.
//!
//! Source: `GIT_SSH_COMMAND` in git(1), `core.sshCommand` in git-config(1), and git's `connect.c`.

use std::io::{self, Read as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use git2::{Error, ErrorClass, ErrorCode};
use gix::protocol::transport::{
    Protocol,
    client::git::{ConnectMode, blocking_io::Connection},
};
use gix::url::{ArgumentSafety, Scheme};

/// Asks nobody, and does not wait for ever.
const COMMAND: &str = "ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15";
/// How long a program that has nobody to talk to any more may take to end.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of what it says that are kept.
const SAID: u64 = 64 * 1024;

/// What is talked over.
pub(crate) type Pipes = Connection<ChildStdout, ChildStdin>;

/// A running `ssh`.
pub(crate) struct Ssh {
    child: Child,
    /// All that it says, once it has ended.
    said: Receiver<String>,
}

/// Whether a URL is one of SSH: with its scheme, or `user@host:path`.
pub(crate) fn is_ssh(url: &str) -> bool {
    url.split_once("://").is_none_or(|(scheme, _)| scheme.eq_ignore_ascii_case("ssh"))
}

/// `GIT_SSH_COMMAND`, else git's `core.sshCommand`, else `ssh` without questions.
pub(crate) fn command() -> String {
    let named = std::env::var("GIT_SSH_COMMAND").ok();
    let configured = || git2::Config::open_default().ok()?.get_string("core.sshCommand").ok();
    named.or_else(configured).filter(|command| !command.is_empty()).unwrap_or_else(|| COMMAND.to_owned())
}

impl Ssh {
    /// Runs a command line that reaches the other side of a URL, and there what git fetches from.
    pub(crate) fn start(url: &str, command: &str) -> Result<(Self, Pipes), Error> {
        let form = || Error::new(ErrorCode::Invalid, ErrorClass::Ssh, "not a URL of SSH");
        let parsed = gix::url::parse(url).map_err(|_| form())?;
        let path = parsed.path.to_string();
        // `/~user/path` is below that user's home.
        let path = if path.starts_with("/~") { &path[1..] } else { &path };
        if parsed.scheme != Scheme::Ssh || path.starts_with('-') {
            return Err(form());
        }
        let to = match (parsed.user_as_argument(), parsed.host_as_argument()) {
            (ArgumentSafety::Usable(user), ArgumentSafety::Usable(host)) => {
                format!("{user}@{}", spelled(url, host))
            }
            (ArgumentSafety::Absent, ArgumentSafety::Usable(host)) => spelled(url, host).to_owned(),
            _ => return Err(form()),
        };
        let mut ssh = Command::new("sh");
        ssh.args(["-c", &format!("{command} \"$@\""), "ssh", "-o", "SendEnv=GIT_PROTOCOL"]);
        if let Some(port) = parsed.port {
            ssh.args(["-p", &port.to_string()]);
        }
        ssh.arg(to).arg(format!("git-upload-pack '{}'", path.replace('\'', r"'\''")));
        ssh.env("GIT_PROTOCOL", "version=2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let failed =
            |error: io::Error| Error::new(ErrorCode::GenericError, ErrorClass::Os, format!("sh: {error}"));
        let mut child = ssh.spawn().map_err(failed)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(mut stderr)) = pipes else { return Err(form()) };
        let (send, said) = channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // What was read until then is as good, and whoever wanted to know may be gone.
            let _ = stderr.by_ref().take(SAID).read_to_end(&mut text);
            // Who writes into a closed pipe is ended.
            let _ = io::copy(&mut stderr, &mut io::sink());
            let _ = send.send(String::from_utf8_lossy(&text).into_owned());
        });
        let nowhere = None::<(String, Option<u16>)>;
        let pipes = Connection::new(stdout, stdin, Protocol::V2, path, nowhere, ConnectMode::Process, false);
        Ok((Self { child, said }, pipes.custom_url(Some(url.into()))))
    }

    /// Once nobody talks to it any more: why nothing came of it, in its own words or, without any, in `other`.
    pub(crate) fn why(mut self, other: &str) -> Error {
        let said = self.said.recv_timeout(PATIENCE).unwrap_or_default();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                status => break status.ok().flatten(),
            }
        };
        let line = said.lines().rev().map(telling).find(|line| !line.is_empty()).unwrap_or(other);
        let says = |words: &[&str]| words.iter().any(|words| line.contains(words));
        // 126 and 127 are the shell's: there is no such program.
        let ran = !matches!(status.and_then(|status| status.code()), Some(126 | 127));
        let code = match ran {
            true if says(&["Host key verification failed"]) => ErrorCode::Certificate,
            true if says(&["Permission denied (", "Permission to "]) => ErrorCode::Auth,
            true if says(&ABSENT) => ErrorCode::NotFound,
            _ => ErrorCode::GenericError,
        };
        Error::new(code, if ran { ErrorClass::Net } else { ErrorClass::Os }, line)
    }
}

/// How git and the forges call a repository that is not there, or not for everybody.
const ABSENT: [&str; 4] =
    ["does not appear to be a git repository", "not found", "could not be found", "access denied"];

/// What a line says, without the frames that forges draw and the advice that follows what went wrong.
fn telling(line: &str) -> &str {
    let text = line.trim().trim_start_matches("remote:").trim().trim_matches('=');
    let advice =
        ["Please make sure you have", "and the repository exists.", "fatal: Could not read from remote"];
    if advice.iter().any(|words| text.starts_with(words)) { "" } else { text }
}

/// The host as the URL spells it: to `ssh` it may be a name of its configuration, and there case counts.
fn spelled<'a>(url: &'a str, host: &'a str) -> &'a str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest.split('/').next().unwrap_or_default());
    let begin = rest.split_once(':').map_or(rest, |(before, _)| before).rfind('@').map_or(0, |at| at + 1);
    rest.get(begin..begin + host.len()).filter(|found| found.eq_ignore_ascii_case(host)).unwrap_or(host)
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_keeps_its_spelling() {
        for (url, host, expected) in [
            ("git@MyForge:a/b.git", "myforge", "MyForge"),
            ("ssh://git@MyForge/a", "myforge", "MyForge"),
            ("ssh://MyForge:22/a@b", "myforge", "MyForge"),
            ("ssh://git@[::1]:22/a", "::1", "::1"),
            ("git@h:a@b", "h", "h"),
        ] {
            assert_eq!(spelled(url, host), expected, "{url}");
        }
    }

    #[test]
    fn frames_and_advice_tell_nothing() {
        let said = "remote: \nremote: ====\nremote: ERROR: It could not be found\nremote: ====\nremote: \nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n";
        let line = said.lines().rev().map(telling).find(|line| !line.is_empty());
        assert_eq!(line, Some("ERROR: It could not be found"));
    }
}
