//! Answers that a server gives on a bad day.

use std::time::Duration;

use serde_json::json;

use crate::http::Head;

/// What the relay does with matching requests instead of handing them on, or before.
#[derive(Debug, Clone)]
pub struct Fault {
    method: Option<String>,
    path: String,
    delay: Duration,
    status: Option<u16>,
    left: usize,
}

impl Fault {
    /// For requests whose path and query hold this text.
    #[must_use]
    pub fn on(path: &str) -> Self {
        Self { method: None, path: path.to_owned(), delay: Duration::ZERO, status: None, left: usize::MAX }
    }

    /// Only for this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only so often.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.left = times;
        self
    }

    /// Answers with this status instead of asking the server.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Waits before anything else happens.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Whether it strikes; then it is used up once.
    pub(crate) fn strikes(&mut self, method: &str, target: &str) -> bool {
        let strikes = self.left > 0
            && self.method.as_deref().is_none_or(|wanted| wanted == method)
            && target.contains(&self.path);
        if strikes {
            self.left -= 1;
        }
        strikes
    }

    pub(crate) fn waits(&self) -> Duration {
        self.delay
    }

    /// The answer, as an API server words it.
    pub(crate) fn answer(&self) -> Option<(Head, Vec<u8>)> {
        let status = self.status?;
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
            "reason": "Injected", "message": format!("the test answers {status}"),
        });
        let head = Head {
            first: format!("HTTP/1.1 {status} Injected"),
            headers: vec![("Content-Type".into(), "application/json".into())],
        };
        Some((head, body.to_string().into_bytes()))
    }
}
