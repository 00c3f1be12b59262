//! Accounts: every test asks as a service account of its own, with a mimeo user's rights and no more.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::Cluster;

/// A service account with a kubeconfig.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its token, valid for two hours.
    pub token: String,
    /// Its kubeconfig.
    pub kubeconfig: PathBuf,
}

impl Account {
    pub(crate) fn create(cluster: &Cluster, namespace: &str, name: &str, home: &Path) -> Result<Self> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        let labels = json!({"mimeo-tests": "account"});
        cluster.api.create(&path, &json!({"metadata": {"name": name, "labels": labels}}))?;
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200},
        });
        let answer = cluster.api.create(&format!("{path}/{name}/token"), &request)?;
        let token = answer["status"]["token"].as_str().context("the server gave no token")?;
        let kubeconfig = home.join(format!("{name}.kubeconfig"));
        cluster.api.config().with_token(token).write(&kubeconfig)?;
        Ok(Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            token: token.to_owned(),
            kubeconfig,
        })
    }

    /// Its name as the API server logs it.
    #[must_use]
    pub fn username(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// How `mimeo install --grant` names it.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("serviceaccount:{}/{}", self.namespace, self.name)
    }
}
