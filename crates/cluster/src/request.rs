//! One request, one answer: every call to the API server but watches goes through here.

use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;

use crate::{
    Cluster, Error, Result,
    connect::{ANSWER_TIMEOUT, chain},
};

/// A request in the making.
pub(crate) struct Call<'a> {
    pub verb: &'static str,
    pub subject: &'a str,
    pub method: Method,
    pub path: String,
    pub content_type: &'static str,
    pub body: Option<&'a Value>,
}

/// How often a request is sent that the server asked to send again later (429, 503 with Retry-After),
/// or that never reached it.
const ATTEMPTS: u32 = 6;

impl Cluster {
    /// Sends a request; the answer is the status and the JSON body of a success.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<(StatusCode, Value)> {
        let mut attempt = 0;
        let since = tokio::time::Instant::now();
        loop {
            attempt += 1;
            match self.send_once(&call, since).await {
                Ok(answer) => return Ok(answer),
                Err(Attempt::Later(after, error)) => {
                    if attempt >= ATTEMPTS {
                        return Err(error);
                    }
                    tracing::debug!(subject = call.subject, ?after, attempt, "the server asks to come back");
                    tokio::time::sleep(after).await;
                }
                // A read can be repeated; a write may have happened and is judged by whoever sent it.
                Err(Attempt::Broken(error)) => {
                    if attempt >= 3 || call.method != Method::GET {
                        return Err(error);
                    }
                    tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                }
                Err(Attempt::Failed(error)) => return Err(error),
            }
        }
    }

    /// Sends it; `since` is when it was first sent.
    async fn send_once(
        &self,
        call: &Call<'_>,
        since: tokio::time::Instant,
    ) -> std::result::Result<(StatusCode, Value), Attempt> {
        let unreachable = |cause: String| Error::Unreachable { server: self.server().to_owned(), cause };
        let bytes = call.body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(call.method.clone())
            .uri(&call.path)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, call.content_type)
            .header(header::USER_AGENT, concat!("mimeo/", env!("CARGO_PKG_VERSION")))
            .body(Body::from(bytes))
            .map_err(|error| Attempt::Failed(unreachable(error.to_string())))?;
        let exchange = async {
            let response = self.client.send(request).await.map_err(|error| chain(&error))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| chain(&error))?.to_bytes();
            Ok::<_, String>((head, body))
        };
        let begun = Instant::now();
        let exchange = tokio::time::timeout(ANSWER_TIMEOUT, exchange);
        let (head, body) = match self.silence.until(since, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(cause)) => return Err(Attempt::Broken(unreachable(cause))),
            Err(_) => return Err(Attempt::Broken(unreachable("no answer within 30 s".to_owned()))),
        };
        match head.status {
            StatusCode::TOO_MANY_REQUESTS => self.flow.refused(),
            _ => self.flow.answered(begun.elapsed()),
        }
        if let Some(date) = head.headers.get(header::DATE).and_then(|date| date.to_str().ok()) {
            self.note_time(date);
        }
        let parsed = serde_json::from_slice::<Value>(&body);
        if head.status.is_success() {
            return match parsed {
                Ok(value) => Ok((head.status, value)),
                Err(_) => Err(Attempt::Failed(stranger(call, head.status, "it is not JSON"))),
            };
        }
        if is_page(head.status, &head.headers) {
            return Err(Attempt::Failed(stranger(call, head.status, "it is a page for a browser")));
        }
        let error = failure(call, head.status, parsed.ok().as_ref());
        let after = head
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse::<u64>().ok());
        match (head.status, after) {
            (StatusCode::TOO_MANY_REQUESTS, after) => {
                Err(Attempt::Later(Duration::from_secs(after.unwrap_or(1).min(10)), error))
            }
            (StatusCode::SERVICE_UNAVAILABLE, Some(after)) => {
                Err(Attempt::Later(Duration::from_secs(after.min(10)), error))
            }
            _ => Err(Attempt::Failed(error)),
        }
    }
}

/// Reason of a 404 by which the server says that the object does not exist.
pub(crate) const NOT_FOUND: &str = "NotFound";
/// Reason of a 404 by which the server says that it does not serve the path.
const NOT_SERVED: &str = "NotServed";

/// Whether somebody else answers than an API server: it sends nobody elsewhere, and no page for a browser where
/// something is not there. What a proxy says of a server that is down is another matter.
fn is_page(status: StatusCode, headers: &header::HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    status.is_redirection() || status == StatusCode::NOT_FOUND && kind.starts_with("text/html")
}

fn stranger(call: &Call<'_>, status: StatusCode, cause: &str) -> Error {
    Error::Answer { subject: call.subject.to_owned(), cause: format!("{cause} (HTTP {})", status.as_u16()) }
}

enum Attempt {
    Later(Duration, Error),
    Broken(Error),
    Failed(Error),
}

fn failure(call: &Call<'_>, status: StatusCode, body: Option<&Value>) -> Error {
    let text = |field: &str| body.and_then(|body| body.get(field)).and_then(Value::as_str).map(str::to_owned);
    let causes = body
        .and_then(|body| body.pointer("/details/causes"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|cause| {
            let field = cause.get("field").and_then(Value::as_str).unwrap_or_default();
            Some(format!("{field}: {}", cause.get("message")?.as_str()?))
        })
        .collect();
    let reason = text("reason");
    // Only the API server itself, naming the object, can say that it is not there. A proxy's page, or a
    // path that is not served, says nothing about the object.
    let names_it = body.and_then(|body| body.pointer("/details/name")).is_some();
    let reason = match reason {
        Some(reason) if reason == NOT_FOUND && !names_it => NOT_SERVED.to_owned(),
        Some(reason) => reason,
        None => status.canonical_reason().unwrap_or_default().to_owned(),
    };
    Error::Api {
        verb: call.verb,
        subject: call.subject.to_owned(),
        code: status.as_u16(),
        reason,
        message: text("message").unwrap_or_else(|| format!("HTTP {status}")),
        causes,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason(body: Option<&Value>) -> String {
        let call = Call {
            verb: "get",
            subject: "ConfigMap/c in n",
            method: Method::GET,
            path: String::new(),
            content_type: "",
            body: None,
        };
        match failure(&call, StatusCode::NOT_FOUND, body) {
            Error::Api { reason, .. } => reason,
            other => other.to_string(),
        }
    }

    #[test]
    fn only_a_status_that_names_the_object_says_that_it_is_absent() {
        let status = |details: Value| json!({"kind": "Status", "reason": "NotFound", "details": details});
        assert_eq!(reason(Some(&status(json!({"name": "c", "kind": "configmaps"})))), NOT_FOUND);
        for (what, body) in [
            ("a path that is not served", Some(status(json!({})))),
            ("a proxy's page", None),
            ("somebody else's JSON", Some(json!({"error": "not found"}))),
        ] {
            assert_ne!(reason(body.as_ref()), NOT_FOUND, "{what}");
        }
    }
}
