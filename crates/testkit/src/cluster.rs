//! The clusters of the tests: the lab, and throw-away control planes.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::json;

use crate::{Account, Api, AuditLog, Kubeconfig, Mimeo};

/// Namespace of the accounts of all tests.
const ACCOUNTS: &str = "mimeo-tests";

/// One cluster, seen as its administrator.
pub struct Cluster {
    /// The administrator's client.
    pub api: Api,
    /// The server's request log.
    pub audit: AuditLog,
    kubeconfig: PathBuf,
    program: PathBuf,
    installed: Mutex<bool>,
}

/// The root of the checkout.
#[must_use]
pub fn checkout() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().and_then(Path::parent).unwrap_or(own)
}

impl Cluster {
    /// The lab. A lab that does not run fails the test: there is no skipping.
    ///
    /// # Errors
    /// When it does not run.
    pub fn lab(program: &Path) -> Result<&'static Self> {
        static LAB: OnceLock<Result<Cluster, String>> = OnceLock::new();
        let lab = LAB.get_or_init(|| Self::find_lab(program).map_err(|error| format!("{error:#}")));
        lab.as_ref().map_err(|error| anyhow!("{error}"))
    }

    fn find_lab(program: &Path) -> Result<Self> {
        let kubeconfig = said(Command::new("make").args(["-s", "lab-kubeconfig"]))?;
        let audit = said(Command::new(checkout().join("tests/lab/lab")).arg("audit-log"))?;
        Self::new(program, Path::new(&kubeconfig), Path::new(&audit))
    }

    pub(crate) fn new(program: &Path, kubeconfig: &Path, audit: &Path) -> Result<Self> {
        Ok(Self {
            api: Api::new(Kubeconfig::read(kubeconfig)?)?,
            audit: AuditLog::new(audit),
            kubeconfig: kubeconfig.to_owned(),
            program: program.to_owned(),
            installed: Mutex::new(false),
        })
    }

    /// The program under test.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// `mimeo install`, once per test program: every account of the tests becomes a mimeo user by its
    /// group. The image that somebody has installed before stays.
    ///
    /// # Errors
    /// When the installation fails.
    pub fn install(&self) -> Result<()> {
        let mut installed = self.installed.lock().unwrap_or_else(PoisonError::into_inner);
        if *installed {
            return Ok(());
        }
        let namespace = json!({"metadata": {"name": ACCOUNTS}});
        let made = self.api.post("/api/v1/namespaces", &namespace)?;
        if !made.is_ok() && made.status != 409 {
            bail!("namespace {ACCOUNTS}: {}", made.message());
        }
        let known =
            self.api.get("/api/v1/namespaces/mimeo-system/configmaps/mimeo-config")?.unwrap_or_default();
        let image = known["data"]["image"].as_str().unwrap_or("localhost/mimeo/mimeo:dev");
        let home = tempfile::tempdir()?;
        let grant = format!("group:system:serviceaccounts:{ACCOUNTS}");
        let _ = Mimeo::new(&self.program, home.path())
            .kubeconfig(&self.kubeconfig)
            .args(["install", "--image", image, "--grant", &grant])
            .succeed()?;
        *installed = true;
        Ok(())
    }

    /// A new account. It has a mimeo user's rights once [`Self::install`] has run.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn account(&self, name: &str, home: &Path) -> Result<Account> {
        Account::create(self, ACCOUNTS, name, home)
    }

    /// Makes a namespace that somebody lends to every account of the tests, with the rights of a mimeo user in it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn lend(&self, namespace: &str) -> Result<()> {
        self.api.create("/api/v1/namespaces", &json!({"metadata": {"name": namespace}}))?;
        let binding = json!({
            "metadata": {"name": "lent"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "mimeo-env"},
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io", "kind": "Group",
                "name": format!("system:serviceaccounts:{ACCOUNTS}"),
            }],
        });
        let bindings = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
        self.api.create(&bindings, &binding).map(drop)
    }

    /// A new account without any rights, in a namespace that must exist.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn stranger(&self, namespace: &str, name: &str, home: &Path) -> Result<Account> {
        Account::create(self, namespace, name, home)
    }
}

/// What a command of the checkout prints.
fn said(command: &mut Command) -> Result<String> {
    let output = command
        .current_dir(checkout())
        .env_remove("KUBECONFIG")
        .output()
        .context("cannot ask for the lab")?;
    if !output.status.success() {
        bail!("the lab does not run: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
