//! Answers that a server gives on a bad day.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::http::Head;

/// What the relay does with matching requests instead of handing them on, or before, or after.
#[derive(Clone)]
pub struct Fault {
    method: Option<String>,
    parts: Vec<String>,
    without: Vec<String>,
    delay: Duration,
    first: Option<Arc<dyn Fn() + Send + Sync>>,
    how: How,
    spared: usize,
    left: usize,
}

/// What becomes of a request that is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It is handed on.
    Pass,
    /// The server never hears of it; this status is answered, as an API server words it.
    Status(u16),
    /// The server never hears of it; a proxy answers with its own page.
    Html(u16),
    /// 410: the state that is asked for was compacted.
    Expired,
    /// A watch that begins well, and says at once that its state was compacted.
    ExpiredWatch,
    /// The connection breaks before the server hears of it.
    Cut,
    /// The server does it; the connection breaks before the answer.
    Lost,
    /// Of a list of objects, kinds or groups, nothing is shown.
    Empty,
    /// Of a list, the first half is shown, and no word that there is more.
    Short,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, parts, without, how, left, .. } = self;
        write!(f, "{how:?} on {method:?} {parts:?} without {without:?}, {left} times")
    }
}

impl Fault {
    /// For requests whose path and query hold this text.
    #[must_use]
    pub fn on(part: &str) -> Self {
        Self {
            method: None,
            parts: vec![part.to_owned()],
            without: Vec::new(),
            delay: Duration::ZERO,
            first: None,
            how: How::Pass,
            spared: 0,
            left: usize::MAX,
        }
    }

    /// Only if path and query hold this text, too.
    #[must_use]
    pub fn and(mut self, part: &str) -> Self {
        self.parts.push(part.to_owned());
        self
    }

    /// Only if neither path nor query hold this text.
    #[must_use]
    pub fn but(mut self, part: &str) -> Self {
        self.without.push(part.to_owned());
        self
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

    /// Only after so many that are spared.
    #[must_use]
    pub fn after(mut self, spared: usize) -> Self {
        self.spared = spared;
        self
    }

    /// Answers with this status instead of asking the server.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.how(How::Status(status))
    }

    /// Answers with a page of a proxy instead of asking the server.
    #[must_use]
    pub fn html(self, status: u16) -> Self {
        self.how(How::Html(status))
    }

    /// Answers that the state which is asked for was compacted; to a watch, once it has begun.
    #[must_use]
    pub fn expired(self, watch: bool) -> Self {
        self.how(if watch { How::ExpiredWatch } else { How::Expired })
    }

    /// Breaks the connection instead of asking the server.
    #[must_use]
    pub fn cut(self) -> Self {
        self.how(How::Cut)
    }

    /// Lets the server do it, and breaks the connection instead of answering.
    #[must_use]
    pub fn lost(self) -> Self {
        self.how(How::Lost)
    }

    /// Shows nothing of a list.
    #[must_use]
    pub fn empty(self) -> Self {
        self.how(How::Empty)
    }

    /// Shows half of a list as if it were all.
    #[must_use]
    pub fn short(self) -> Self {
        self.how(How::Short)
    }

    /// Waits before anything else happens.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Does something of the test's own before anything else happens; the request waits for it.
    #[must_use]
    pub fn first(mut self, act: impl Fn() + Send + Sync + 'static) -> Self {
        self.first = Some(Arc::new(act));
        self
    }

    fn how(mut self, how: How) -> Self {
        self.how = how;
        self
    }

    /// Whether it strikes; then it is used up once.
    pub(crate) fn strikes(&mut self, method: &str, target: &str) -> bool {
        let strikes = self.left > 0
            && self.method.as_deref().is_none_or(|wanted| wanted == method)
            && self.parts.iter().all(|part| target.contains(part))
            && !self.without.iter().any(|part| target.contains(part));
        if strikes && self.spared > 0 {
            self.spared -= 1;
            return false;
        }
        if strikes {
            self.left -= 1;
        }
        strikes
    }

    /// Does what comes first, and says what becomes of the request.
    pub(crate) fn begin(&self) -> How {
        std::thread::sleep(self.delay);
        if let Some(act) = &self.first {
            act();
        }
        self.how
    }
}

impl How {
    /// The answer that is given without asking the server.
    pub(crate) fn answer(self) -> Option<(Head, Vec<u8>)> {
        let head = |status: u16, content_type: &str| Head {
            first: format!("HTTP/1.1 {status} Injected"),
            headers: vec![("Content-Type".into(), content_type.into())],
        };
        let failure = |status: u16, reason: &str, message: &str| {
            json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
                "reason": reason, "message": message,
            })
        };
        let expired = || failure(410, "Expired", "The resourceVersion that was asked for is too old.");
        match self {
            Self::Status(status) => {
                let reason = match status {
                    401 => "Unauthorized",
                    403 => "Forbidden",
                    404 => "NotFound",
                    _ => "Injected",
                };
                let body = failure(status, reason, &format!("the test answers {status}"));
                Some((head(status, "application/json"), body.to_string().into_bytes()))
            }
            Self::Html(status) => {
                Some((head(status, "text/html"), b"<html><h1>a proxy's page</h1></html>".to_vec()))
            }
            Self::Expired => Some((head(410, "application/json"), expired().to_string().into_bytes())),
            Self::ExpiredWatch => {
                let event = json!({"type": "ERROR", "object": expired()});
                Some((head(200, "application/json"), format!("{event}\n").into_bytes()))
            }
            Self::Pass | Self::Cut | Self::Lost | Self::Empty | Self::Short => None,
        }
    }

    /// What is shown of a list instead of all of it.
    pub(crate) fn shown(self, body: Vec<u8>) -> Vec<u8> {
        if !matches!(self, Self::Empty | Self::Short) {
            return body;
        }
        let Ok(mut list) = serde_json::from_slice::<Value>(&body) else { return body };
        for field in ["items", "resources", "groups"] {
            if let Some(items) = list.get_mut(field).and_then(Value::as_array_mut) {
                items.truncate(if self == Self::Empty { 0 } else { items.len() / 2 });
            }
        }
        for field in ["continue", "remainingItemCount"] {
            if let Some(metadata) = list["metadata"].as_object_mut() {
                metadata.shift_remove(field);
            }
        }
        list.to_string().into_bytes()
    }
}
