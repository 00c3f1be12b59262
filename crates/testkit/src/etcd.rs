//! The raw keys of a throw-away control plane's etcd: what is there, whatever an API server says.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::{Api, Kubeconfig, inside_plane};

/// Where a plane's etcd listens, reachable from inside only.
const SERVER: &str = "http://127.0.0.1:2379";
/// Everything that Kubernetes keeps begins so; the end is exclusive.
const FROM: &str = "/registry/";
const TO: &str = "/registry0";
const PAGE: usize = 500;

/// What moves by itself in every cluster: Events that expire, Leases of the control plane and its node, addresses
/// that an API server renews.
const MOVES: [&str; 5] = [
    "/registry/events/",
    "/registry/leases/kube-",
    "/registry/masterleases/",
    "/registry/peerserverleases/",
    "/registry/endpointslices/kube-system/",
];

/// The etcd of the plane this process runs in, asked by its JSON gateway.
pub struct Etcd {
    api: Api,
}

impl Etcd {
    /// The plane's own.
    ///
    /// # Errors
    /// Outside a plane.
    pub fn of_plane() -> Result<Self> {
        ensure!(inside_plane(), "only the etcd of a throw-away control plane may be read");
        let config = Kubeconfig { server: SERVER.to_owned(), ca: Vec::new(), token: String::new() };
        Ok(Self { api: Api::new(config)? })
    }

    /// Every key but those that move by themselves.
    ///
    /// # Errors
    /// When etcd does not answer.
    pub fn keys(&self) -> Result<BTreeSet<String>> {
        let mut keys = BTreeSet::new();
        self.each(true, |key, _| {
            if !MOVES.iter().any(|moves| key.starts_with(moves)) {
                keys.insert(key);
            }
        })?;
        Ok(keys)
    }

    /// Keys whose name or content has one of these texts in it, but for those that move by themselves.
    ///
    /// # Errors
    /// When etcd does not answer.
    pub fn mentioning(&self, texts: &[&str]) -> Result<BTreeSet<String>> {
        let mut keys = BTreeSet::new();
        self.each(false, |key, value| {
            // Built-in kinds are kept as protobuf, in which texts stand as they are.
            let value = String::from_utf8_lossy(value);
            let said = |text: &&str| key.contains(*text) || value.contains(*text);
            if !MOVES.iter().any(|moves| key.starts_with(moves)) && texts.iter().any(said) {
                keys.insert(key);
            }
        })?;
        Ok(keys)
    }

    /// Waits until the keys that were not there before are those that are expected; controllers clear up behind
    /// what they made in their own time.
    ///
    /// # Errors
    /// Names what is left, or what is missing, when they do not get there.
    pub fn settles(
        &self,
        before: &BTreeSet<String>,
        limit: Duration,
        expected: impl Fn(&str) -> bool,
    ) -> Result<BTreeSet<String>> {
        let deadline = Instant::now() + limit;
        loop {
            let now = self.keys()?;
            let left: Vec<&String> = now.difference(before).filter(|key| !expected(key.as_str())).collect();
            let missing: Vec<&String> = before.difference(&now).collect();
            if left.is_empty() && missing.is_empty() {
                return Ok(now);
            }
            if Instant::now() > deadline {
                bail!("in etcd, left: {left:#?}\nno longer there: {missing:#?}");
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    fn each(&self, keys_only: bool, mut see: impl FnMut(String, &[u8])) -> Result<()> {
        let code = base64::engine::general_purpose::STANDARD;
        let mut from = FROM.as_bytes().to_vec();
        loop {
            let range = json!({
                "key": code.encode(&from), "range_end": code.encode(TO), "limit": PAGE, "keys_only": keys_only,
            });
            let answer = self.api.create("/v3/kv/range", &range)?;
            let items = answer["kvs"].as_array().map(Vec::as_slice).unwrap_or_default();
            for item in items {
                let bytes = |field: &str| code.decode(item[field].as_str().unwrap_or_default());
                let key = bytes("key").context("etcd's key is no base64")?;
                let value = bytes("value").context("etcd's value is no base64")?;
                see(String::from_utf8_lossy(&key).into_owned(), &value);
                from = key;
            }
            // The next key after one is that one with a zero byte.
            from.push(0);
            if answer["more"] != Value::Bool(true) {
                return Ok(());
            }
        }
    }
}
