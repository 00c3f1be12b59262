//! The floor under a run: its own requests, ready to be sent, as fast as their order allows.
//!
//! A script is a list of stages. A stage begins when the one before it is answered; within it, at most
//! `window` requests are under way at once, on one connection. What a body has to say about an earlier answer
//! stands in it as `uid:PATH` or `version:PATH` between two U+0001.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde::Deserialize;
use serde_json::Value;
use testkit::Kubeconfig;

/// One request.
#[derive(Deserialize)]
struct Prepared {
    method: String,
    /// Path and query.
    target: String,
    content_type: String,
    body: String,
    /// Whether the answer may be that there is no such thing.
    may_miss: bool,
}

type Connector = hyper_rustls::HttpsConnector<HttpConnector>;

struct Replay {
    client: Client<Connector, Full<Bytes>>,
    server: String,
    token: String,
    /// uid and resourceVersion of each path that was answered.
    known: Mutex<HashMap<String, (String, String)>>,
}

/// How soon what is refused while a new binding settles is tried again, and how long.
const AGAIN: Duration = Duration::from_millis(5);
const SETTLING: Duration = Duration::from_secs(5);

/// Prints the milliseconds from before the connection is opened to the last answer.
pub fn run(config: &Path, script: &Path, window: usize) -> Result<()> {
    let config = Kubeconfig::read(config)?;
    let stages: Vec<Vec<Prepared>> = serde_json::from_slice(&std::fs::read(script)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let took = runtime.block_on(async {
        let replay = Arc::new(Replay::new(&config)?);
        let begun = Instant::now();
        for stage in &stages {
            let replay = &replay;
            stream::iter(stage)
                .map(|prepared| replay.send(prepared))
                .buffer_unordered(window)
                .try_collect::<Vec<()>>()
                .await?;
        }
        Ok::<_, anyhow::Error>(begun.elapsed())
    })?;
    println!("{:.3}", took.as_secs_f64() * 1000.0);
    Ok(())
}

impl Replay {
    fn new(config: &Kubeconfig) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&config.ca) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_all_versions()
            .wrap_connector(http);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(https),
            server: config.server.trim_end_matches('/').to_owned(),
            token: format!("Bearer {}", config.token),
            known: Mutex::default(),
        })
    }

    async fn send(&self, prepared: &Prepared) -> Result<()> {
        let begun = Instant::now();
        loop {
            let (status, answer) = self.once(prepared).await?;
            let settles = matches!(status, 403 | 404) && begun.elapsed() < SETTLING;
            match status {
                200..300 => {
                    self.note(prepared, &answer);
                    return Ok(());
                }
                404 if prepared.may_miss => return Ok(()),
                _ if settles => tokio::time::sleep(AGAIN).await,
                _ => bail!(
                    "{} {}: {status} {}",
                    prepared.method,
                    prepared.target,
                    String::from_utf8_lossy(&answer)
                ),
            }
        }
    }

    async fn once(&self, prepared: &Prepared) -> Result<(u16, Bytes)> {
        let request = http::Request::builder()
            .method(prepared.method.as_str())
            .uri(format!("{}{}", self.server, prepared.target))
            .header("authorization", &self.token)
            .header("accept", "application/json")
            .header("content-type", &prepared.content_type)
            .body(Full::new(Bytes::from(self.fill(&prepared.body)?)))?;
        let answer = self.client.request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    /// The body with what earlier answers said.
    fn fill(&self, body: &str) -> Result<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut filled = String::with_capacity(body.len());
        for (number, part) in body.split('\u{1}').enumerate() {
            let answer = part.split_once(':').filter(|_| number % 2 == 1);
            match answer {
                Some(("uid", path)) => filled += &known.get(path).with_context(|| format!("no {path}"))?.0,
                Some(("version", path)) => {
                    filled += &known.get(path).with_context(|| format!("no {path}"))?.1;
                }
                _ if number % 2 == 1 => bail!("a body has a mark that means nothing: {part}"),
                _ => filled += part,
            }
        }
        Ok(filled)
    }

    fn note(&self, prepared: &Prepared, answer: &[u8]) {
        let Ok(answer) = serde_json::from_slice::<Value>(answer) else { return };
        let text = |field: &str| answer["metadata"][field].as_str().map(str::to_owned);
        let (Some(uid), Some(version), Some(name)) = (text("uid"), text("resourceVersion"), text("name"))
        else {
            return;
        };
        let path = prepared.target.split('?').next().unwrap_or_default();
        let path = if prepared.method == "POST" { format!("{path}/{name}") } else { path.to_owned() };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(path, (uid, version));
    }
}
