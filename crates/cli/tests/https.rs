//! `mimeo render` of a repository behind HTTPS: whose certificates are taken, and whose are not.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use testkit::{GitRepo, GitServer};

const SPEC: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: qa}\nspec:\n  components:\n    web: {template: web}\n";
const TEMPLATE: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec: {}\n";
const MANIFEST: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\n";
/// Base64 of `user:password`.
const BASIC: &str = "Basic dXNlcjpwYXNzd29yZA==";

/// A certificate authority of the test's own, in a folder.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let authority = Self(folder);
        authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem");
        authority
    }

    fn openssl(&self, arguments: &str) {
        let output =
            Command::new("openssl").args(arguments.split(' ')).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A server's configuration with a certificate for a name, good for a number of days.
    fn server(&self, name: &str, days: u32) -> Arc<rustls::ServerConfig> {
        let folder = self.0.path();
        std::fs::write(folder.join("names"), format!("subjectAltName=DNS:{name}\n")).unwrap();
        self.openssl("req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server -keyout server.key -out server.csr");
        self.openssl(&format!(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days {days} -extfile names -out server.pem"
        ));
        let certificate = CertificateDer::from_pem_file(folder.join("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into());
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![certificate], key).unwrap())
    }
}

fn repo() -> GitRepo {
    let repo = GitRepo::new().unwrap();
    repo.write("environments/qa.yaml", SPEC).unwrap();
    repo.write("templates/web/template.yaml", TEMPLATE).unwrap();
    repo.write("templates/web/manifests/all.yaml", MANIFEST).unwrap();
    repo.commit("Begin").unwrap();
    repo
}

/// Renders with nothing in the environment but a home and what is given.
fn render(home: &Path, url: &str, environment: &[(&str, &Path)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mimeo"))
        .args(["render", "qa", "--repo", url])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_known_authority_is_taken_from_a_file_or_a_folder() {
    let (repo, authority, home) = (repo(), Authority::new(), TempDir::new().unwrap());
    let server = GitServer::serve(repo.path(), Some(authority.server("localhost", 1)), BASIC).unwrap();
    let url = format!("{}/repo", server.base);
    let file = authority.0.path().join("ca.pem");
    let rendered = render(home.path(), &url, &[("SSL_CERT_FILE", &file)]);
    assert!(rendered.status.success(), "{}", stderr(&rendered));
    assert!(String::from_utf8_lossy(&rendered.stdout).contains("kind: ConfigMap"));
    assert!(server.requests().iter().any(|request| request == "POST /repo/git-upload-pack"));

    // As `openssl rehash` names it.
    let folder = authority.0.path().join("certs");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&file, folder.join("0123abcd.0")).unwrap();
    let rendered = render(home.path(), &url, &[("SSL_CERT_DIR", &folder)]);
    assert!(rendered.status.success(), "{}", stderr(&rendered));

    // The password that git's credential helper knows.
    let helper = "[credential]\n\thelper = \"!f() { echo username=user; echo password=password; }; f\"\n";
    let private = format!("{}/private", server.base);
    let refused = render(home.path(), &private, &[("SSL_CERT_FILE", &file)]);
    assert!(stderr(&refused).contains("GIT014"), "{}", stderr(&refused));
    std::fs::write(home.path().join(".gitconfig"), helper).unwrap();
    let rendered = render(home.path(), &private, &[("SSL_CERT_FILE", &file)]);
    assert!(rendered.status.success(), "{}", stderr(&rendered));

    // It stays with the server that asked for it: what led elsewhere afterwards is not followed.
    let other = GitServer::serve(repo.path(), Some(authority.server("localhost", 1)), BASIC).unwrap();
    let port = other.base.rsplit(':').next().unwrap();
    let away = format!("{}/away/{port}", server.base);
    let refused = render(home.path(), &away, &[("SSL_CERT_FILE", &file)]);
    assert!(!refused.status.success());
    assert!(server.requests().iter().any(|asked| asked.starts_with("GET /away/") && asked.ends_with('*')));
    assert_eq!(other.requests(), Vec::<String>::new());
}

#[test]
fn any_other_certificate_is_refused_before_anything_is_asked() {
    let (repo, home) = (repo(), TempDir::new().unwrap());
    let known = Authority::new();
    let other = Authority::new();
    let expired = known.server("localhost", 0);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let file = known.0.path().join("ca.pem");
    let trusted: &[(&str, &Path)] = &[("SSL_CERT_FILE", &file)];
    for (what, config, environment) in [
        ("expired", expired, trusted),
        ("another name", known.server("git.example.com", 1), trusted),
        ("another authority", other.server("localhost", 1), trusted),
        ("not one of the machine's", known.server("localhost", 1), &[]),
    ] {
        let server = GitServer::serve(repo.path(), Some(config), BASIC).unwrap();
        let refused = render(home.path(), &format!("{}/repo", server.base), environment);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{what}");
        assert!(stderr(&refused).contains("GIT013"), "{what}: {}", stderr(&refused));
        assert_eq!(server.requests(), Vec::<String>::new(), "{what}");
    }
}
