//! Shows what is waited for, and what is in the way with its last log lines.

use plan::{
    Key, ObjectRef,
    health::{Finding, Health},
};
use spec::{Category, Diagnostic};

use super::Watcher;
use crate::{Error, Event, redact};

impl Watcher<'_> {
    pub(super) async fn show(&mut self, object: &ObjectRef, health: &Health) {
        let key = object.key();
        if self.shown.get(&key) == Some(health) {
            return;
        }
        let cause = match health {
            Health::Healthy { note } => note.clone().unwrap_or_default(),
            Health::Unverified => "no rule says when it is healthy".to_owned(),
            Health::Progressing { cause } => cause.clone(),
            Health::Trouble(finding) | Health::Failed(finding) => self.without_secrets(&finding.cause).await,
        };
        if self.shown.get(&key).is_some_and(Health::is_healthy) {
            let component = self.component(&key);
            self.session
                .tell(Event::Note(format!("{component}: {} is no longer healthy: {cause}", object.short())));
        }
        self.session.tell(Event::Health {
            object: object.clone(),
            component: self.component(&key),
            state: health.name(),
            cause,
        });
        if let Health::Trouble(finding) = health
            && let Some((from, lines)) = self.logs(object, finding).await
            && self.logged.insert(key.clone(), lines.join("\n")) != Some(lines.join("\n"))
        {
            self.session.tell(Event::Logs { from, lines });
        }
        self.shown.insert(key, health.clone());
    }

    /// What a program said may hold the secrets of its environment, and a terminal is often a CI log.
    async fn without_secrets(&self, text: &str) -> String {
        let values = self.secrets.get_or_init(|| async {
            // Whoever may not read them cannot strip them either; he sees what kubectl would show him.
            redact::values(self.session, &self.namespace).await.unwrap_or_default()
        });
        redact::without(text, values.await)
    }

    pub(super) fn component(&self, key: &Key) -> String {
        self.components.get(key).cloned().unwrap_or_default()
    }

    async fn logs(&self, object: &ObjectRef, finding: &Finding) -> Option<(String, Vec<String>)> {
        if !finding.trouble.leaves_logs() {
            return None;
        }
        let (pod, namespace) = (finding.pod.as_deref()?, object.namespace.as_deref()?);
        let container = finding.container.as_deref();
        let logs = |previous| self.session.cluster.logs(namespace, pod, container, Some(10), previous);
        let mut text = logs(finding.previous).await.unwrap_or_default();
        if text.trim().is_empty() {
            text = logs(!finding.previous).await.unwrap_or_default();
        }
        let text = self.without_secrets(&text).await;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let from = container.map_or(pod.to_owned(), |container| format!("{pod}/{container}"));
        (!lines.is_empty()).then_some((from, lines))
    }

    pub(super) async fn failed(&self, object: &ObjectRef, finding: &Finding) -> Error {
        let component = self.component(&object.key());
        let mut diagnostic = Diagnostic::new(
            "CMP001",
            Category::Component,
            format!("component {component} failed: {}", self.without_secrets(&finding.cause).await),
        )
        .on(object.short())
        .help("Correct the cause and run the same command again; what was done is kept and recorded");
        if let Some((from, lines)) = self.logs(object, finding).await {
            diagnostic.detail.push(format!("last log lines of {from}:"));
            diagnostic.detail.extend(lines.into_iter().map(|line| format!("  {line}")));
        }
        diagnostic.into()
    }

    pub(super) fn timed_out(&mut self, objects: &[&ObjectRef]) -> Error {
        let mut diagnostic =
            Diagnostic::new("CMP002", Category::Timeout, "not everything became healthy in time").help(
                "Run the same command again to go on waiting, with a longer --timeout if that is normal",
            );
        diagnostic.detail = self.late(objects);
        diagnostic.into()
    }

    /// What is not healthy yet, and why.
    pub(super) fn late(&mut self, objects: &[&ObjectRef]) -> Vec<String> {
        let mut late = Vec::new();
        for object in objects {
            let why = match self.judge(&object.key()) {
                Health::Healthy { .. } | Health::Unverified => continue,
                Health::Progressing { cause } => cause,
                Health::Trouble(finding) | Health::Failed(finding) => finding.cause,
            };
            late.push(format!("{}: {why}", object.short()));
        }
        late
    }
}
