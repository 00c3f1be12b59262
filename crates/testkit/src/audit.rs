//! The API server's request log: who did what, counted where it cannot be talked away.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{Api, random_name};

/// The log of one API server.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

/// A place in the log. It holds the file open, so that a rotation loses nothing.
#[derive(Debug)]
pub struct AuditMark {
    file: File,
}

/// One request, as the server logged it at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Name of the user.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Plural of the kind, with a slash and the subresource where there is one.
    pub resource: String,
    /// Namespace, or nothing.
    pub namespace: String,
    /// Name, or nothing.
    pub name: String,
    /// Path and query.
    pub uri: String,
    /// HTTP status.
    pub code: u64,
    /// What the server or its policies noted about it.
    pub annotations: BTreeMap<String, String>,
    /// When it was answered, RFC 3339 with microseconds.
    pub at: String,
}

impl Call {
    fn parse(line: &str) -> Option<Self> {
        let event: Value = serde_json::from_str(line).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        let mut resource = text(&object["resource"]);
        if let Some(sub) = object["subresource"].as_str() {
            resource = format!("{resource}/{sub}");
        }
        Some(Self {
            user: text(&event["user"]["username"]),
            verb: text(&event["verb"]),
            resource,
            namespace: text(&object["namespace"]),
            name: text(&object["name"]),
            uri: text(&event["requestURI"]),
            code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
            annotations: serde_json::from_value(event["annotations"].clone()).unwrap_or_default(),
            at: text(&event["stageTimestamp"]),
        })
    }

    /// Whether it changed something for good: no dry run, no lease, no review, and not refused.
    #[must_use]
    pub fn is_write(&self) -> bool {
        let verbs = ["create", "update", "patch", "delete", "deletecollection"];
        verbs.contains(&self.verb.as_str())
            && (200..300).contains(&self.code)
            && !self.uri.contains("dryRun=")
            && self.resource != "leases"
            && !self.resource.ends_with("reviews")
    }

    /// `created`, `deleted` or nothing: what it did to the existence of an object.
    #[must_use]
    pub fn existence(&self) -> Option<&'static str> {
        match self.verb.as_str() {
            _ if !self.is_write() => None,
            "delete" | "deletecollection" => Some("deleted"),
            _ => (self.code == 201).then_some("created"),
        }
    }
}

impl AuditLog {
    /// The log in this file.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The present end.
    ///
    /// # Errors
    /// When there is no log.
    pub fn mark(&self) -> Result<AuditMark> {
        let mut file =
            File::open(&self.path).with_context(|| format!("no request log at {}", self.path.display()))?;
        file.seek(SeekFrom::End(0))?;
        Ok(AuditMark { file })
    }

    /// Everything since a mark. A request of its own shows when the log has caught up.
    ///
    /// # Errors
    /// When the log does not catch up.
    pub fn since(&self, mark: &AuditMark, api: &Api) -> Result<Vec<Call>> {
        let sign = format!("/version?sign={}", random_name());
        api.get(&sign)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        let start = (&mark.file).stream_position()?;
        loop {
            let mut calls = Vec::new();
            let mut file = mark.file.try_clone()?;
            file.seek(SeekFrom::Start(start))?;
            let rotated = std::fs::metadata(&self.path)?.ino() != file.metadata()?.ino();
            read(file, &mut calls)?;
            if rotated {
                read(File::open(&self.path)?, &mut calls)?;
            }
            // The clone shares its position with the mark: it must stay where it was.
            (&mark.file).seek(SeekFrom::Start(start))?;
            if let Some(end) = calls.iter().position(|call| call.uri == sign) {
                calls.truncate(end);
                return Ok(calls);
            }
            if Instant::now() > deadline {
                bail!("the request log {} does not catch up", self.path.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn read(file: File, calls: &mut Vec<Call>) -> Result<()> {
    for line in BufReader::new(file).lines() {
        calls.extend(Call::parse(&line?));
    }
    Ok(())
}

/// How often each `verb resource` occurs among calls.
#[must_use]
pub fn tally<'a>(calls: impl IntoIterator<Item = &'a Call>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(format!("{} {}", call.verb, call.resource)).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(verb: &str, resource: &str, code: u64, uri: &str) -> Call {
        let line = format!(
            r#"{{"verb":"{verb}","user":{{"username":"u"}},"objectRef":{{"resource":"{resource}"}},"requestURI":"{uri}","responseStatus":{{"code":{code}}}}}"#
        );
        Call::parse(&line).unwrap()
    }

    #[test]
    fn only_what_lasts_is_a_write() {
        assert!(call("patch", "configmaps", 200, "/x").is_write());
        assert!(!call("patch", "configmaps", 409, "/x").is_write());
        assert!(!call("patch", "configmaps", 200, "/x?dryRun=All").is_write());
        assert!(!call("create", "selfsubjectaccessreviews", 201, "/x").is_write());
        assert!(!call("get", "configmaps", 200, "/x").is_write());
    }

    #[test]
    fn an_apply_that_creates_is_a_creation() {
        assert_eq!(call("patch", "configmaps", 201, "/x").existence(), Some("created"));
        assert_eq!(call("patch", "configmaps", 200, "/x").existence(), None);
        assert_eq!(call("delete", "configmaps", 200, "/x").existence(), Some("deleted"));
        assert_eq!(call("delete", "configmaps", 404, "/x").existence(), None);
    }
}
