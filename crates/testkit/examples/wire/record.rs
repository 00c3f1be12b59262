//! Listens to one run, to know the bodies of its requests: the API server's log does not have them.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use testkit::{Kubeconfig, Relay};

/// Relays until standard input ends; then prints one JSON object for each request, in the order of arrival.
pub fn run(config: &Path, relayed: &Path) -> Result<()> {
    let config = Kubeconfig::read(config)?;
    let relay = Relay::start(&config)?;
    config.by_way_of(&relay.url()).write(relayed)?;
    crate::until_told()?;
    for exchange in relay.log() {
        let line = json!({
            "method": exchange.method, "path": exchange.path, "query": exchange.query,
            "body": exchange.body, "status": exchange.status,
        });
        println!("{line}");
    }
    Ok(())
}
