//! Looks for the program behind a finalizer, as far as the caller may look.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use plan::{
    held::{Clues, Found, find, leader_lease},
    text,
};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{Session, read};

/// How long what was seen is good for: many objects may be stuck at once.
const FRESH: Duration = Duration::from_secs(5);

/// The programs of the cluster as they were seen last.
#[derive(Default)]
pub(crate) struct Programs {
    seen: Mutex<Option<Arc<Seen>>>,
}

struct Seen {
    when: Instant,
    /// The namespace that was looked at where the caller may see no more.
    namespace: Option<String>,
    programs: Vec<Value>,
    leases: Vec<Value>,
    /// What was looked at, such as `Deployments of all namespaces`.
    looked_at: Vec<String>,
    /// What could not be, and why.
    unseen: Vec<String>,
}

const KINDS: [(&str, &str); 5] = [
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("", "Pod"),
    ("coordination.k8s.io", "Lease"),
];

/// Says who takes a finalizer away, and whether it runs: `its controller runs: Deployment ops/x, 1/1 ready`.
pub(crate) async fn controller(session: &Session, clues: &Clues, namespace: Option<&str>) -> String {
    let seen = see(session, namespace).await;
    match verdict(session, clues, &seen) {
        Some(verdict) => format!("its controller {verdict}"),
        None => not_found(clues, &seen),
    }
}

/// Whether a program of Kubernetes itself runs, by its Lease or its pods.
pub(crate) async fn built_in(session: &Session, program: &str) -> String {
    let clues = Clues { managers: vec![program.to_owned()], domains: Vec::new() };
    let seen = see(session, Some("kube-system")).await;
    match verdict(session, &clues, &seen) {
        Some(verdict) => format!("{program} {verdict}"),
        None => format!("whether {program} runs cannot be seen from here"),
    }
}

/// `runs: …` or `does not run: …`; `None` when no clue leads to a program or a Lease.
fn verdict(session: &Session, clues: &Clues, seen: &Seen) -> Option<String> {
    let found = find(clues, &seen.programs);
    let best = found.iter().find(|found| found.runs()).or(found.first());
    let lease = leader_lease(clues, best.map(|best| best.name.as_str()), &seen.leases, session.cluster.now());
    let led = match &lease {
        Some(lease) if lease.is_fresh() => {
            format!("Lease {} was renewed {} s ago by {}", lease.name, lease.age, lease.holder)
        }
        Some(lease) => format!("Lease {} was not renewed for {} s", lease.name, lease.age),
        None => String::new(),
    };
    let word = |runs: bool| if runs { "runs" } else { "does not run" };
    let Some(best) = best else {
        return lease.map(|lease| format!("{}: {led}", word(lease.is_fresh())));
    };
    let mut because = best.because.clone();
    if found.len() > 1 {
        because.push_str(&format!(", the likeliest of {}", found.len()));
    }
    let led = if led.is_empty() { led } else { format!(", {led}") };
    Some(format!("{}: {}{}{led} ({because})", word(best.runs()), best.name, readiness(best)))
}

fn readiness(found: &Found) -> String {
    let (ready, wanted) = found.ready;
    let state = if found.going {
        ", being deleted itself"
    } else if wanted == 0 {
        ", scaled to 0"
    } else {
        ""
    };
    format!(", {ready}/{wanted} ready{state}")
}

fn not_found(clues: &Clues, seen: &Seen) -> String {
    let mut by: Vec<String> = clues.managers.iter().map(|name| format!("field manager {name}")).collect();
    by.extend(clues.domains.iter().cloned());
    let by = if by.is_empty() { "nothing names it".to_owned() } else { format!("for {}", by.join(", ")) };
    let unseen = seen.unseen.join(", ");
    if seen.looked_at.is_empty() {
        return format!("its controller could not be looked for, {by}: not allowed to see {unseen}");
    }
    let looked_at = seen.looked_at.join(", ");
    let but = if unseen.is_empty() { unseen } else { format!("; not allowed to see {unseen}") };
    format!("its controller was not found: looked at {looked_at}, {by}{but}")
}

/// Everything that may be a controller, in all namespaces, or in one where the caller may see no more.
async fn see(session: &Session, namespace: Option<&str>) -> Arc<Seen> {
    let mut slot = session.programs.seen.lock().await;
    if let Some(seen) = slot.as_ref()
        && seen.when.elapsed() < FRESH
        && seen.namespace.as_deref() == namespace
    {
        return Arc::clone(seen);
    }
    let looks = KINDS.map(|(group, kind)| look(session, group, kind, namespace));
    let mut seen = Seen {
        when: Instant::now(),
        namespace: namespace.map(str::to_owned),
        programs: Vec::new(),
        leases: Vec::new(),
        looked_at: Vec::new(),
        unseen: Vec::new(),
    };
    for (kind, look) in KINDS.map(|(_, kind)| kind).into_iter().zip(join_all(looks).await) {
        match look {
            Ok((items, place)) => {
                seen.looked_at.push(format!("{kind}s of {place}"));
                if kind == "Lease" {
                    // Those beside the records are held by runs of mimeo, and named after environments.
                    let own = |lease: &Value| {
                        text(lease, &["metadata", "namespace"]) == Some(session.records.namespace())
                    };
                    seen.leases = items.into_iter().filter(|lease| !own(lease)).collect();
                } else {
                    seen.programs.extend(items.into_iter().filter(is_whole));
                }
            }
            Err(why) if why.is_empty() => seen.unseen.push(format!("{kind}s")),
            Err(why) => seen.unseen.push(format!("{kind}s ({why})")),
        }
    }
    let seen = Arc::new(seen);
    *slot = Some(Arc::clone(&seen));
    seen
}

/// A pod that a workload owns is counted with it; one of the kubelet's own belongs to its node.
fn is_whole(program: &Value) -> bool {
    let owners = program.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().all(|owner| owner["kind"] == "Node")
}

/// The objects of a kind and where they were looked for; why not, or nothing where the caller may not.
async fn look(
    session: &Session,
    group: &str,
    kind: &str,
    namespace: Option<&str>,
) -> Result<(Vec<Value>, String), String> {
    let object = read::object(group, "v1", kind, namespace, "");
    let resource = session.resource(&object).await.map_err(|error| error.to_string())?;
    match session.cluster.list(&resource, None, "").await {
        Ok(listing) => return Ok((listing.items, "all namespaces".to_owned())),
        Err(error) if error.status() == Some(403) => {}
        Err(error) => return Err(error.to_string()),
    }
    let Some(namespace) = namespace else { return Err(String::new()) };
    match session.cluster.list(&resource, Some(namespace), "").await {
        Ok(listing) => Ok((listing.items, format!("{namespace} only, there is no right to look further"))),
        Err(error) if error.status() == Some(403) => Err(String::new()),
        Err(error) => Err(error.to_string()),
    }
}
