//! Makes an object that was not there: nothing that exists is hit.

use std::time::{Duration, Instant};

use cluster::Lease;
use plan::{Desired, Origin};
use rand::RngExt as _;
use serde_json::{Value, json};
use spec::{Category, Diagnostic};

use crate::{Result, Session, execute::located};

/// How long the authorizer may take to learn of a fresh binding or role.
const SETTLING: Duration = Duration::from_secs(5);
/// It learns of them within milliseconds, and under load later.
const ASK_AGAIN: Duration = Duration::from_millis(4);
const ASK_AGAIN_AT_MOST: Duration = Duration::from_millis(100);

/// Creates an object, with the random values that are made once; waits for rights that are new.
pub(crate) async fn create(session: &Session, lease: &Lease, wanted: &Desired) -> Result<Value> {
    let resource = session.resource(&wanted.object).await?;
    let mut manifest = wanted.manifest.clone();
    if let Origin::Generated(keys) = &wanted.origin {
        let values: serde_json::Map<String, Value> =
            keys.iter().map(|(key, length)| (key.clone(), json!(random(*length)))).collect();
        manifest["stringData"] = values.into();
    }
    let created = settled(wanted, async || {
        lease.check()?;
        session.cluster.apply_new(&resource, &wanted.object, &manifest).await
    });
    match created.await {
        Ok(Some(live)) => Ok(live),
        // Another environment was quicker.
        Ok(None) if wanted.is_shared() => Ok(json!({})),
        Ok(None) => appeared(session, lease, &resource, wanted).await,
        Err(error @ cluster::Error::Fenced { .. }) => Err(error.into()),
        Err(error) => Err(located(error, wanted)),
    }
}

/// Sends a request again while rights that are new may not be known everywhere.
pub(crate) async fn settled<T>(
    wanted: &Desired,
    send: impl AsyncFn() -> cluster::Result<T>,
) -> cluster::Result<T> {
    let begun = Instant::now();
    let mut pause = ASK_AGAIN;
    loop {
        match send().await {
            Err(error) if may_settle(&error, wanted) && begun.elapsed() < SETTLING => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ASK_AGAIN_AT_MOST);
            }
            answer => return answer,
        }
    }
}

/// It was not there when the plan was made, and nobody but this run may write under the lease. Unless it is
/// ours: a run that was killed may have sent it, and the server have worked on it still. Then it is what an
/// entry that is pending stands for.
async fn appeared(
    session: &Session,
    lease: &Lease,
    resource: &cluster::Resource,
    wanted: &Desired,
) -> Result<Value> {
    lease.verify().await?;
    let live = session.cluster.get(resource, &wanted.object).await?;
    let Some(live) = live.filter(|live| plan::is_sent_by(live, wanted)) else {
        return Err(Diagnostic::new(
            "OBJ019",
            Category::Refused,
            "an object of this name appeared while mimeo was about to create it; it was not touched",
        )
        .on(wanted.object.to_string())
        .help("Look at who made it, remove it if nobody needs it, and run the command again")
        .into());
    };
    // Random values are made once.
    if matches!(wanted.origin, Origin::Generated(_)) {
        return Ok(live);
    }
    let mut manifest = wanted.manifest.clone();
    for field in ["uid", "resourceVersion"] {
        manifest["metadata"][field] = live["metadata"][field].clone();
    }
    let applied = session.cluster.apply(resource, &wanted.object, &manifest, false).await;
    applied.map(|(_, live)| live).map_err(|error| located(error, wanted))
}

/// The authorizer learns of fresh bindings and roles with a moment's delay: until then it answers 403,
/// or 404 for the role that a binding names.
fn may_settle(error: &cluster::Error, wanted: &Desired) -> bool {
    let diagnostic = error.diagnostic();
    match error.status() {
        // A quota or a policy says no for good.
        Some(403) => diagnostic.code == "CLU004" && diagnostic.cause.contains(" cannot "),
        Some(404) => matches!(wanted.object.kind.as_str(), "RoleBinding" | "ClusterRoleBinding"),
        _ => false,
    }
}

/// A random value of letters and digits: 5.9 bits a character, safe in URLs and shells.
fn random(length: usize) -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(length).map(char::from).collect()
}
