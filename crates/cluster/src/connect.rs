//! The connection: kube's own TLS and authentication on a transport that also speaks HTTP/2.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::Timestamp;
use kube::{
    Client, Config,
    client::ConfigExt as _,
    config::{KubeConfigOptions, Kubeconfig},
};
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

use crate::{
    Error, Result,
    early::Early,
    flow::{self, Flow, Turn},
    silence::Silence,
};

/// Longest wait for one answer. Watches have their own.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to one cluster as one user: the only place where requests are made.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    server: String,
    context: Option<String>,
    /// Seconds by which the server's clock is ahead of this machine's.
    ahead: Arc<AtomicI64>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) silence: Arc<Silence>,
}

impl Cluster {
    /// Connects as `kubectl` would: `KUBECONFIG` or `~/.kube/config`, `--context`, else the pod's account.
    /// The connection is opened at once, and no request is sent yet.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no configuration, or the context does not exist.
    pub async fn connect(context: Option<&str>) -> Result<Self> {
        let (config, context) = configuration(context).await?;
        let server = config.cluster_url.to_string();
        let client = client(config)?;
        Ok(Self {
            client,
            server,
            context,
            ahead: Arc::default(),
            flow: Arc::default(),
            silence: Arc::default(),
        })
    }

    /// Who is told that the server has not answered for a while, and for how long.
    /// The first who asks is the one.
    pub fn when_silent(&self, tell: impl Fn(Duration) + Send + Sync + 'static) {
        self.silence.told_to(tell);
    }

    /// Waits until one more request may be in flight. Whoever sends many asks for it before each; what the server
    /// answers, 429 above all, decides how many that are.
    pub async fn turn(&self) -> Turn<'_> {
        self.flow.turn().await
    }

    /// More than this are never in flight at once.
    #[must_use]
    pub fn most_turns(&self) -> usize {
        flow::MOST
    }

    /// The time by the API server's clock, in whole seconds, as of its last answer. What is remembered in
    /// a cluster is compared with the clock of that cluster: a machine whose clock is wrong harms nothing.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = self.by_server(Timestamp::now());
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// A time of this machine's clock by the API server's.
    #[must_use]
    pub fn by_server(&self, local: Timestamp) -> Timestamp {
        let ahead = jiff::SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed));
        local.checked_add(ahead).unwrap_or(local)
    }

    /// Notes what time an answer was sent (RFC 9110, `Date`). A difference of a second is the way it took.
    pub(crate) fn note_time(&self, date: &str) {
        if let Ok(sent) = jiff::fmt::rfc2822::parse(date) {
            let ahead = sent.timestamp().as_second() - Timestamp::now().as_second();
            self.ahead.store(if ahead.abs() <= 1 { 0 } else { ahead }, Ordering::Relaxed);
        }
    }

    /// URL of the API server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Name of the kubeconfig context in use; `None` inside a pod.
    #[must_use]
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }
}

async fn configuration(context: Option<&str>) -> Result<(Config, Option<String>)> {
    let failed = |cause: String| Error::Config { cause };
    match Kubeconfig::read() {
        Ok(kubeconfig) => {
            let name = context.map(str::to_owned).or_else(|| kubeconfig.current_context.clone());
            let options = KubeConfigOptions { context: name.clone(), ..KubeConfigOptions::default() };
            let known: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
            if let Some(wanted) = &name
                && !known.contains(&wanted.as_str())
            {
                return Err(failed(format!(
                    "context {wanted:?} does not exist; there is {}",
                    known.join(", ")
                )));
            }
            let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(|error| failed(chain(&error)))?;
            config.connect_timeout = Some(Duration::from_secs(5));
            Ok((config, name))
        }
        Err(_) if context.is_none() && std::path::Path::new(SERVICE_ACCOUNT_TOKEN).exists() => {
            Config::incluster().map(|config| (config, None)).map_err(|error| failed(chain(&error)))
        }
        Err(error) => Err(failed(chain(&error))),
    }
}

const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Set to anything, it keeps this client to HTTP/1.1, as it does client-go and so `kubectl`.
const DISABLE_HTTP2: &str = "DISABLE_HTTP2";

/// kube speaks HTTP/1.1 only, one connection per request in flight. Its TLS configuration and
/// authentication are kept; the connector offers h2 by ALPN and falls back to HTTP/1.1.
fn client(config: Config) -> Result<Client> {
    let failed = |error: kube::Error| Error::Config { cause: chain(&error) };
    if config.proxy_url.is_some() {
        return Client::try_from(config).map_err(failed);
    }
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(config.connect_timeout);
    let tls = config.rustls_client_config().map_err(failed)?;
    let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    let https = match std::env::var_os(DISABLE_HTTP2).is_some_and(|value| !value.is_empty()) {
        true => https.enable_http1().wrap_connector(http),
        false => https.enable_all_versions().wrap_connector(http),
    };
    let http_client = HttpClient::builder(TokioExecutor::new())
        .pool_timer(hyper_util::rt::TokioTimer::new())
        .timer(hyper_util::rt::TokioTimer::new())
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .build(Early::to(&config.cluster_url, https));
    let auth = config.auth_layer().map_err(failed)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(auth)
        .map_err(BoxError::from)
        .service(http_client)
        .map_err(BoxError::from)
        .boxed();
    Ok(Client::new(service, config.default_namespace))
}

/// An error with all its sources, once each.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
