//! `mimeo render` of a repository behind SSH: a real sshd, the machine's own `ssh`, keys as its configuration names them.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::GitRepo;

const SPEC: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: qa}\nspec:\n  components:\n    web: {template: web}\n";
const TEMPLATE: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec: {}\n";
const MANIFEST: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\n";

/// A server for one key, and what a client's configuration has to say to reach it as host `forge`.
struct Sshd {
    folder: TempDir,
    port: u16,
    process: Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Sshd {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        for key in ["host", "known", "unknown"] {
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", key])
                .current_dir(folder.path()));
        }
        // What the Debian package's own service makes.
        let _ = fs::create_dir_all("/run/sshd");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let of = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nPidFile none\nUsePAM no\nAcceptEnv GIT_PROTOCOL\n",
            of("host"),
            of("known.pub"),
        );
        fs::write(folder.path().join("sshd_config"), config).unwrap();
        let process =
            Command::new("/usr/sbin/sshd").args(["-D", "-q", "-f", &of("sshd_config")]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "sshd does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { folder, port, process }
    }

    /// `GIT_SSH_COMMAND` with a key, and with a server that is known or not.
    fn client(&self, key: &str, known: bool) -> String {
        let of = |name: &str| self.folder.path().join(name);
        let host = fs::read_to_string(of("host.pub")).unwrap();
        let hosts = if known { format!("[localhost]:{} {host}", self.port) } else { String::new() };
        fs::write(of("known_hosts"), hosts).unwrap();
        let config = format!(
            "Host *\n  BatchMode yes\n  IdentitiesOnly yes\n  IdentityFile {}\n  UserKnownHostsFile {}\n  StrictHostKeyChecking yes\nHost forge\n  HostName localhost\n  Port {}\n",
            of(key).display(),
            of("known_hosts").display(),
            self.port
        );
        fs::write(of("ssh_config"), config).unwrap();
        format!("ssh -F {}", of("ssh_config").display())
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn repo() -> GitRepo {
    let repo = GitRepo::new().unwrap();
    repo.write("environments/qa.yaml", SPEC).unwrap();
    repo.write("templates/web/template.yaml", TEMPLATE).unwrap();
    repo.write("templates/web/manifests/all.yaml", MANIFEST).unwrap();
    repo.commit("Begin").unwrap();
    repo
}

fn render(home: &Path, url: &str, ssh: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mimeo"));
    command.args(["render", "qa", "--repo", url]).env("HOME", home).env_remove("GIT_SSH_COMMAND");
    command.env_remove("XDG_CACHE_HOME");
    ssh.map(|ssh| command.env("GIT_SSH_COMMAND", ssh));
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn user() -> String {
    String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn a_repository_is_read_with_the_keys_and_hosts_of_ssh() {
    let (repo, sshd, home) = (repo(), Sshd::start(), TempDir::new().unwrap());
    let (path, user, port) = (repo.path().display().to_string(), user(), sshd.port);
    let known = sshd.client("known", true);
    for url in [format!("ssh://{user}@localhost:{port}{path}"), format!("{user}@forge:{path}")] {
        let rendered = render(home.path(), &url, Some(&known));
        assert!(rendered.status.success(), "{url}: {}", stderr(&rendered));
        assert!(String::from_utf8_lossy(&rendered.stdout).contains("kind: ConfigMap"));
    }
    // The same command from git's configuration, and a branch that moved.
    fs::write(home.path().join(".gitconfig"), format!("[core]\n\tsshCommand = {known}\n")).unwrap();
    repo.write("templates/web/manifests/all.yaml", &MANIFEST.replace("ConfigMap", "Secret")).unwrap();
    repo.commit("Another").unwrap();
    let rendered = render(home.path(), &format!("{user}@forge:{path}"), None);
    assert!(String::from_utf8_lossy(&rendered.stdout).contains("kind: Secret"), "{}", stderr(&rendered));
}

#[test]
fn what_ssh_refuses_is_told() {
    let (repo, sshd, home) = (repo(), Sshd::start(), TempDir::new().unwrap());
    let (path, user) = (repo.path().display().to_string(), user());
    let url = format!("{user}@forge:{path}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let fails = |what: &str, url: &str, ssh: &str, code: &str, words: &str| {
        let refused = render(home.path(), url, Some(ssh));
        let said = stderr(&refused);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{what}");
        assert!(said.contains(code) && said.contains(words), "{what}: {said}");
    };
    fails("another key", &url, &sshd.client("unknown", true), "GIT014", "Permission denied");
    fails("an unknown server", &url, &sshd.client("known", false), "GIT013", "Host key verification failed");
    let known = sshd.client("known", true);
    fails(
        "no repository",
        &format!("{user}@forge:{path}/none"),
        &known,
        "GIT014",
        "does not appear to be a git repository",
    );
    fails(
        "nobody there",
        &format!("ssh://{user}@localhost:{closed}{path}"),
        &known,
        "GIT019",
        "Connection refused",
    );
    fails("no such program", &url, "/no/such/ssh", "GIT019", "/no/such/ssh");
}
