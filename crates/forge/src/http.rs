//! The transport: one request, one JSON answer, tried again where that is safe.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{self, HeaderMap, HeaderValue},
    redirect,
};
use serde_json::Value;
use url::Url;

use crate::{
    Error, Kind, Result, Timing, Token,
    dialect::{self, Access, Dialect},
    error::clean,
    place::authority,
    token::is_usable,
};

/// How often a request is sent at most.
const ATTEMPTS: u32 = 3;
/// Bytes of an answer that are read: 8 MiB.
const BODY_LIMIT: usize = 8 << 20;

/// One API base, and who asks.
pub(crate) struct Api {
    base: Url,
    client: Client,
    token: Option<Token>,
    authorization: Option<HeaderValue>,
    timing: Timing,
    pub(crate) dialect: &'static dyn Dialect,
}

/// A request in the making.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub method: Method,
    /// Below the API base, encoded, with a slash before it.
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    pub body: Option<Value>,
    /// What is asked for, for messages.
    pub what: String,
    pub access: Access,
}

impl Call {
    pub(crate) fn get(path: String, what: String, access: Access) -> Self {
        Self { method: Method::GET, path, query: Vec::new(), body: None, what, access }
    }

    pub(crate) fn with(mut self, query: &[(&'static str, &str)]) -> Self {
        self.query.extend(query.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self
    }

    pub(crate) fn sending(mut self, method: Method, body: Option<Value>) -> Self {
        (self.method, self.body) = (method, body);
        self
    }
}

/// What the API answered.
pub(crate) enum Answer {
    /// A success; the body is null when there is none.
    Found { headers: HeaderMap, body: Value },
    /// The API's own 404.
    Absent,
}

/// A failed attempt: why, and after which pause another may follow.
struct Failed {
    error: Error,
    again: Option<Duration>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, again: None }
    }
}

impl Api {
    pub(crate) fn new(kind: Kind, base: &Url, token: Option<Token>, timing: Timing) -> Result<Self> {
        let dialect = dialect::of(kind);
        let authorization = match &token {
            None => None,
            Some(token) => {
                let refused = || Error::Token { why: "it is not one line of visible ASCII".to_owned() };
                let usable = is_usable(token.expose()).then(|| dialect.authorization(token.expose()));
                let mut value = HeaderValue::try_from(usable.ok_or_else(refused)?).map_err(|_| refused())?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("mimeo/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timing.connect)
            .timeout(timing.request)
            .build()
            .map_err(|error| Error::Unreachable { server: authority(base), cause: chain(&error) })?;
        Ok(Self { base: base.clone(), client, token, authorization, timing, dialect })
    }

    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Host and port.
    pub(crate) fn server(&self) -> String {
        authority(&self.base)
    }

    /// Sends a request to its path below the API base.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer> {
        let base = self.base.as_str().trim_end_matches('/');
        let mut url = Url::parse(&format!("{base}{}", call.path))
            .map_err(|error| Error::Unexpected { what: call.what.clone(), why: error.to_string() })?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        self.call_at(&url, call).await
    }

    /// Sends a request whose answer is the API's own 404 only where that is an error.
    pub(crate) async fn found(&self, call: &Call) -> Result<(HeaderMap, Value)> {
        match self.call(call).await? {
            Answer::Found { headers, body } => Ok((headers, body)),
            Answer::Absent => Err(self.not_found(call)),
        }
    }

    pub(crate) fn not_found(&self, call: &Call) -> Error {
        let needed = self.dialect.needed(call.access);
        Error::NotFound { server: self.server(), what: call.what.clone(), needed }
    }

    /// Whether an address is below the API base, and so may see the token.
    pub(crate) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path().starts_with(&format!("{}/", self.base.path().trim_end_matches('/')))
    }

    /// Sends a request to an address below the API base, again where that is safe.
    pub(crate) async fn call_at(&self, url: &Url, call: &Call) -> Result<Answer> {
        let mut attempt = 1;
        loop {
            let failed = match self.send(url, call, attempt).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match failed.again {
                Some(pause) if attempt < ATTEMPTS && pause <= self.timing.patience => {
                    tracing::debug!(what = call.what, ?pause, attempt, "the forge is asked again");
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(failed.error),
            }
            attempt += 1;
        }
    }

    async fn send(&self, url: &Url, call: &Call, attempt: u32) -> Result<Answer, Failed> {
        let unreachable = |cause: String| Error::Unreachable { server: self.server(), cause };
        let pause = self.timing.pause * (1 << (attempt - 1));
        let repeatable = call.method != Method::POST;
        let mut request = self.client.request(call.method.clone(), url.clone());
        for (name, value) in self.dialect.headers() {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        if let Some(body) = &call.body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let response = request.send().await.map_err(|error| {
            // What was never sent can be sent again. After a whole request's time nobody waits twice more.
            let again = error.is_connect() || (repeatable && !error.is_timeout());
            Failed { error: unreachable(chain(&error)), again: again.then_some(pause) }
        })?;
        let status = response.status();
        if status.is_redirection() {
            let (server, what) = (self.server(), call.what.clone());
            return Err(Error::Moved { server, what, status: status.as_u16() }.into());
        }
        let headers = response.headers().clone();
        let body = match read(response).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                let why = format!("it is larger than {} MiB", BODY_LIMIT >> 20);
                return Err(Error::Unexpected { what: call.what.clone(), why }.into());
            }
            Err(error) => {
                let again = (repeatable && !error.is_timeout()).then_some(pause);
                return Err(Failed { error: unreachable(chain(&error)), again });
            }
        };
        self.judge(call, status, headers, &body, pause)
    }

    /// What an answer means.
    fn judge(
        &self,
        call: &Call,
        status: StatusCode,
        headers: HeaderMap,
        body: &[u8],
        pause: Duration,
    ) -> Result<Answer, Failed> {
        let json = is_json(&headers).then(|| serde_json::from_slice::<Value>(body).ok()).flatten();
        let message = json.as_ref().and_then(|json| json.get("message")).and_then(Value::as_str);
        let message = self.clean(message.or(status.canonical_reason()).unwrap_or_default());
        if self.dialect.is_rate_limit(status, &headers, &message) {
            let wait = wait(&headers);
            let until = wait.and_then(|wait| Timestamp::now().checked_add(wait).ok());
            let until = until.map(|at| format!("{at:.0}"));
            let error = Error::RateLimited { server: self.server(), until };
            return Err(Failed { error, again: Some(wait.unwrap_or(pause)) });
        }
        let (server, what) = (self.server(), call.what.clone());
        if status.is_server_error() {
            let passing = matches!(status.as_u16(), 502..=504) && call.method != Method::POST;
            let again = passing.then(|| wait(&headers).unwrap_or(pause));
            return Err(Failed {
                error: Error::Server { server, what, status: status.as_u16(), message },
                again,
            });
        }
        if status == StatusCode::NO_CONTENT {
            return Ok(Answer::Found { headers, body: Value::Null });
        }
        // Gitea refuses some writes with no body at all; nothing can be misread in that but an absence.
        let silent = body.is_empty() && status.is_client_error() && status != StatusCode::NOT_FOUND;
        let Some(json) = json.or(silent.then_some(Value::Null)) else {
            let found =
                if is_json(&headers) { "cut off or damaged".to_owned() } else { self.kind_of(&headers) };
            return Err(Error::NotJson { server, what, status: status.as_u16(), found }.into());
        };
        if status.is_success() {
            return Ok(Answer::Found { headers, body: json });
        }
        if status == StatusCode::NOT_FOUND && self.dialect.is_own_refusal(&json) {
            return Ok(Answer::Absent);
        }
        let status_code = status.as_u16();
        Err(Failed::from(match status {
            StatusCode::UNAUTHORIZED => Error::Unauthorized { server, what, message },
            StatusCode::FORBIDDEN => {
                Error::Forbidden { server, what, message, needed: self.dialect.needed(call.access) }
            }
            StatusCode::NOT_FOUND => {
                Error::Unexpected { what, why: "it is a 404, but not one of the forge's API".to_owned() }
            }
            _ => Error::Refused { server, what, status: status_code, message },
        }))
    }

    /// Text of the forge, fit for a message.
    pub(crate) fn clean(&self, text: &str) -> String {
        clean(text, self.token.as_ref().map(Token::expose))
    }

    fn kind_of(&self, headers: &HeaderMap) -> String {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        self.clean(kind.unwrap_or("of no content type"))
    }
}

/// The whole body; `None` when it is larger than the limit.
pub(crate) async fn read(mut response: Response) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// How long the forge asks to wait: `Retry-After` in seconds or as a date, else GitHub's `x-ratelimit-reset`, in
/// seconds since 1970, once nothing remains.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let until = |at: Timestamp| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
    if let Some(after) = text("retry-after") {
        if let Ok(seconds) = after.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(after).ok()?;
        return Some(until(date));
    }
    let reset = text("x-ratelimit-reset").filter(|_| text("x-ratelimit-remaining") == Some("0"))?;
    // One second more: the clocks differ, and the forge cuts off fractions.
    Some(until(Timestamp::from_second(reset.parse().ok()?).ok()?) + Duration::from_secs(1))
}

/// What failed, down to its first cause, without the address.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() { "no answer in time" } else { "the connection failed" };
    let mut text = kind.to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_forge_says_how_long_to_wait() {
        let seconds = |pairs: &[(&str, &str)]| wait(&headers(pairs)).map(|wait| wait.as_secs());
        assert_eq!(seconds(&[("retry-after", "7")]), Some(7));
        assert_eq!(seconds(&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]), Some(0));
        assert!(seconds(&[("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT")]).unwrap() > 1_000_000);
        assert_eq!(seconds(&[("retry-after", "soon")]), None);
        let reset = (Timestamp::now().as_second() + 20).to_string();
        let known = seconds(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)]);
        assert!((19..=21).contains(&known.unwrap()), "{known:?}");
        assert_eq!(seconds(&[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", &reset)]), None);
        assert_eq!(seconds(&[]), None);
    }

    #[test]
    fn only_json_is_json() {
        let json = |kind| is_json(&headers(&[("content-type", kind)]));
        assert!(json("application/json;charset=utf-8") && json("Application/JSON"));
        assert!(json("application/vnd.github+json; charset=utf-8"));
        assert!(
            !json("text/html")
                && !json("text/plain")
                && !json("application/jsonp")
                && !is_json(&HeaderMap::new())
        );
    }

    #[test]
    fn the_header_with_the_token_is_not_shown() {
        for kind in [Kind::Gitea, Kind::GitHub] {
            let base = Url::parse("https://forge.example.com/api").unwrap();
            let token = Some(Token::new("s3cret".to_owned()));
            let header = Api::new(kind, &base, token, Timing::default()).unwrap().authorization.unwrap();
            assert!(
                !format!("{header:?}").contains("s3cret") && header.to_str().unwrap().ends_with(" s3cret")
            );
        }
    }

    #[test]
    fn only_what_is_below_the_base_may_see_the_token() {
        let base = Url::parse("https://forge.example.com/api/v3").unwrap();
        let api = Api::new(Kind::GitHub, &base, None, Timing::default()).unwrap();
        for (url, owned) in [
            ("https://forge.example.com/api/v3/repositories/1/comments?page=2", true),
            ("https://forge.example.com:443/api/v3/x", true),
            ("http://forge.example.com/api/v3/x", false),
            ("https://forge.example.com:8443/api/v3/x", false),
            ("https://forge.example.com.evil.example/api/v3/x", false),
            ("https://a@forge.example.com/api/v3/x", false),
            ("https://forge.example.com/api/v33/x", false),
            ("https://forge.example.com/api/v3/../../x", false),
        ] {
            assert_eq!(api.owns(&Url::parse(url).unwrap()), owned, "{url}");
        }
    }
}
