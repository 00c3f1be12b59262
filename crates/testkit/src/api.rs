//! A small client of the API server for the tests themselves: it shares no code with the product.

use std::{
    io::BufReader,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{
    Kubeconfig,
    http::{self, Head},
    upstream::{Connection, Upstream},
};

/// An API server, asked by one account.
#[derive(Clone)]
pub struct Api {
    config: Kubeconfig,
    upstream: Upstream,
    idle: Arc<Mutex<Vec<BufReader<Connection>>>>,
    kinds: Arc<OnceLock<Vec<Kind>>>,
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON body; a string where it is none.
    pub body: Value,
}

/// A kind that can be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Its group; empty for the core.
    pub group: String,
    /// Its preferred version.
    pub version: String,
    /// Its name.
    pub kind: String,
    /// Its name in paths.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it.
    pub verbs: Vec<String>,
}

impl Kind {
    /// Path of the collection.
    #[must_use]
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match namespace {
            Some(namespace) if self.namespaced => format!("{root}/namespaces/{namespace}/{}", self.plural),
            _ => format!("{root}/{}", self.plural),
        }
    }
}

impl Answer {
    /// Whether the server did what was asked.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The message of a refusal.
    #[must_use]
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl Api {
    /// A client for a kubeconfig.
    ///
    /// # Errors
    /// When the server's URL or authority cannot be read.
    pub fn new(config: Kubeconfig) -> Result<Self> {
        let upstream = Upstream::new(&config)?;
        Ok(Self { config, upstream, idle: Arc::default(), kinds: Arc::default() })
    }

    /// Where it asks, and as whom.
    #[must_use]
    pub fn config(&self) -> &Kubeconfig {
        &self.config
    }

    /// The same server, asked by another account.
    ///
    /// # Errors
    /// When the server's authority cannot be read.
    pub fn as_token(&self, token: &str) -> Result<Self> {
        Self::new(self.config.with_token(token))
    }

    /// Sends one request.
    ///
    /// # Errors
    /// When no answer comes; a refusal is an answer.
    pub fn send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        let head = Head {
            first: format!("{method} {path} HTTP/1.1"),
            headers: vec![
                ("Host".into(), self.upstream.authority.clone()),
                ("Authorization".into(), format!("Bearer {}", self.config.token)),
                ("Accept".into(), "application/json".into()),
                ("User-Agent".into(), "mimeo-tests".into()),
                ("Content-Type".into(), content_type.into()),
            ],
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reused = kept.is_some();
            match self.exchange(kept, &head, body) {
                // A kind that was just defined, or a server that is busy.
                Ok(answer) if answer.status == 429 && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                Ok(answer) => return Ok(answer),
                // A kept connection may have been closed in the meantime: then another one is tried.
                Err(_) if reused => {}
                Err(error) => return Err(error).with_context(|| format!("{method} {path}")),
            }
        }
    }

    fn exchange(&self, kept: Option<BufReader<Connection>>, head: &Head, body: &[u8]) -> Result<Answer> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => BufReader::new(self.upstream.connect()?),
        };
        head.write(body, connection.get_mut())?;
        let answer = Head::read(&mut connection)?.context("the server closed the connection")?;
        let bytes = http::body(answer.answer_framing(), &mut connection)?;
        if answer.get("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer { status: answer.status(), body })
    }

    /// Reads; `None` when it is not there.
    ///
    /// # Errors
    /// Every answer but 200 and 404.
    pub fn get(&self, path: &str) -> Result<Option<Value>> {
        let answer = self.send("GET", path, "application/json", &[])?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            status => bail!("GET {path}: {status} {}", answer.body),
        }
    }

    /// The items of a collection; none where there is no such collection.
    ///
    /// # Errors
    /// Every answer but 200 and 404.
    pub fn list(&self, path: &str) -> Result<Vec<Value>> {
        let listed = self.get(path)?;
        Ok(listed.and_then(|mut list| list["items"].as_array_mut().map(std::mem::take)).unwrap_or_default())
    }

    /// Creates an object in a collection.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn post(&self, path: &str, object: &Value) -> Result<Answer> {
        self.send("POST", path, "application/json", object.to_string().as_bytes())
    }

    /// Creates an object that has to be made.
    ///
    /// # Errors
    /// Every answer but success.
    pub fn create(&self, path: &str, object: &Value) -> Result<Value> {
        let answer = self.post(path, object)?;
        if !answer.is_ok() {
            bail!("POST {path}: {} {}", answer.status, answer.message());
        }
        Ok(answer.body)
    }

    /// A JSON merge patch.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn merge(&self, path: &str, patch: &Value) -> Result<Answer> {
        self.send("PATCH", path, "application/merge-patch+json", patch.to_string().as_bytes())
    }

    /// A server-side apply under a field manager's name.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn apply(&self, path: &str, manager: &str, object: &Value) -> Result<Answer> {
        let path = format!("{path}?fieldManager={manager}&force=true");
        self.send("PATCH", &path, "application/apply-patch+yaml", object.to_string().as_bytes())
    }

    /// Deletes, without waiting.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        self.send("DELETE", path, "application/json", options.to_string().as_bytes())
    }

    /// Waits until something is gone.
    ///
    /// # Errors
    /// When it is still there after `limit`.
    pub fn wait_gone(&self, path: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while self.get(path)?.is_some() {
            if Instant::now() > deadline {
                bail!("{path} is still there after {limit:?}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Every kind that can be listed; asked once.
    ///
    /// # Errors
    /// When a part of the API does not answer.
    pub fn kinds(&self) -> Result<&[Kind]> {
        if let Some(known) = self.kinds.get() {
            return Ok(known);
        }
        let mut found = Vec::new();
        self.kinds_of("", "v1", "/api/v1", &mut found)?;
        for group in self.get("/apis")?.iter().flat_map(|groups| groups["groups"].as_array()).flatten() {
            let (name, version) = (&group["name"], &group["preferredVersion"]["version"]);
            let (Some(name), Some(version)) = (name.as_str(), version.as_str()) else { continue };
            self.kinds_of(name, version, &format!("/apis/{name}/{version}"), &mut found)?;
        }
        Ok(self.kinds.get_or_init(|| found))
    }

    fn kinds_of(&self, group: &str, version: &str, path: &str, found: &mut Vec<Kind>) -> Result<()> {
        let listed = self.get(path)?.unwrap_or_default();
        for resource in listed["resources"].as_array().into_iter().flatten() {
            let text = |field: &str| resource[field].as_str().unwrap_or_default().to_owned();
            let verbs: Vec<String> = resource["verbs"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|verb| verb.as_str().map(str::to_owned))
                .collect();
            if text("name").contains('/') || !verbs.iter().any(|verb| verb == "list") {
                continue;
            }
            found.push(Kind {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: text("kind"),
                plural: text("name"),
                namespaced: resource["namespaced"] == true,
                verbs,
            });
        }
        Ok(())
    }
}
