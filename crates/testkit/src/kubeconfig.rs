//! Kubeconfigs: read the administrator's, write those of the accounts.

use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use serde_json::{Value, json};

/// Where an API server is, whom it trusts, and who asks.
#[derive(Debug, Clone)]
pub struct Kubeconfig {
    /// URL of the API server.
    pub server: String,
    /// PEM of the authority that signed its certificate; empty for plain HTTP.
    pub ca: Vec<u8>,
    /// Bearer token.
    pub token: String,
}

impl Kubeconfig {
    /// Reads the current context of a kubeconfig with a token.
    ///
    /// # Errors
    /// When the file lacks one of the three.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let config: Value =
            serde_saphyr::from_str(&text).with_context(|| format!("{} is no YAML", path.display()))?;
        let named = |list: &str, name: &str, field: &str| {
            let items = config[list].as_array()?;
            items.iter().find(|item| item["name"] == name).map(|item| item[field].clone())
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let read = || {
            let context = named("contexts", config["current-context"].as_str()?, "context")?;
            let cluster = named("clusters", context["cluster"].as_str()?, "cluster")?;
            let user = named("users", context["user"].as_str()?, "user")?;
            let ca = base64::engine::general_purpose::STANDARD
                .decode(cluster["certificate-authority-data"].as_str().unwrap_or_default())
                .ok()?;
            Some(Self { server: text(&cluster["server"]), ca, token: text(&user["token"]) })
        };
        read().with_context(|| format!("{} has no current context with server and token", path.display()))
    }

    /// The same cluster, asked by somebody else.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The same account, by way of another address without TLS.
    #[must_use]
    pub fn by_way_of(&self, server: &str) -> Self {
        Self { server: server.to_owned(), ca: Vec::new(), token: self.token.clone() }
    }

    /// Writes it as a kubeconfig with the one context `test`. JSON is YAML.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.write_for(path, None)
    }

    /// The same, for a server whose certificate bears another name than its address.
    pub(crate) fn write_for(&self, path: &Path, name: Option<&str>) -> Result<()> {
        let mut cluster = json!({"server": self.server});
        if let Some(name) = name {
            cluster["tls-server-name"] = json!(name);
        }
        if !self.ca.is_empty() {
            let ca = base64::engine::general_purpose::STANDARD.encode(&self.ca);
            cluster["certificate-authority-data"] = json!(ca);
        }
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        std::fs::write(path, config.to_string()).with_context(|| format!("cannot write {}", path.display()))
    }
}
