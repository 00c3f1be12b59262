//! What holds an object that was deleted and does not go: its finalizers, the controller behind each, and whether
//! that controller still runs. Only reads; no finalizer of anybody's is ever taken away.

mod namespace;
mod programs;

use std::time::Duration;

use cluster::Resource;
use plan::{
    Entry, ObjectRef,
    held::{Hold, Holder, holds},
    text,
};
use serde_json::Value;
use spec::{Category, Diagnostic};

use crate::{Event, Result, Session, read};

pub(crate) use programs::Programs;

/// When it is first said what is waited for: by then most objects are gone.
const FIRST: Duration = Duration::from_secs(8);
/// How often it is said after that.
const AGAIN: Duration = Duration::from_secs(20);
/// How long an explanation may take while something else is waited for.
const EXPLAINING: Duration = Duration::from_secs(10);
/// So many objects are named where there are many.
const NAMED: usize = 5;

/// Waits until the object with this uid is gone, and says what holds it as long as it is not; false when it is
/// still there after `patience`. `known` is what the environment is known to own.
///
/// # Errors
/// Any failure to watch it; that the session is to stop.
pub(crate) async fn wait_gone(
    session: &Session,
    resource: &Resource,
    object: &ObjectRef,
    uid: &str,
    patience: Duration,
    known: &[Entry],
) -> Result<bool> {
    let mut gone =
        std::pin::pin!(session.waiting(session.cluster.wait_gone(resource, object, uid, patience)));
    let mut pause = FIRST;
    loop {
        tokio::select! {
            done = &mut gone => return done,
            () = tokio::time::sleep(pause) => {}
        }
        pause = AGAIN;
        let told = tell(session, resource, object, uid, known);
        if tokio::time::timeout(EXPLAINING, told).await.is_err() {
            tracing::debug!(%object, "what holds it could not be found out in time");
        }
    }
}

async fn tell(session: &Session, resource: &Resource, object: &ObjectRef, uid: &str, known: &[Entry]) {
    let live = match session.cluster.get(resource, object).await {
        Ok(Some(live)) if plan::uid(&live) == Some(uid) => live,
        Ok(_) => return,
        Err(error) => {
            tracing::debug!(%object, %error, "what holds it cannot be read");
            return;
        }
    };
    let why = explain(session, object, &live, known).await;
    let mut text = format!("{object} to go, held by {}", why.held);
    for line in &why.detail {
        text.push_str("; ");
        text.push_str(line);
    }
    session.tell(Event::Waiting(vec![text]));
}

/// What holds an object that does not go.
pub(crate) async fn stuck(session: &Session, object: &ObjectRef, known: &[Entry]) -> Diagnostic {
    let live = match session.resource(object).await {
        Ok(resource) => session.cluster.get(&resource, object).await.ok().flatten(),
        Err(_) => None,
    };
    let why = match &live {
        Some(live) => explain(session, object, live, known).await,
        None => Why { held: "something that could not be read".to_owned(), detail: Vec::new() },
    };
    let cause = format!("it is deleted but does not go; held by: {}", why.held);
    let mut diagnostic = Diagnostic::new("DEL001", Category::Cluster, cause).on(object.to_string()).help(
        "Let the controller that is named finish, or start it; mimeo never removes a foreign finalizer. Then run the command again",
    );
    diagnostic.detail = why.detail;
    diagnostic
}

/// What holds an object.
pub(crate) struct Why {
    /// Its finalizers, or what stands for them.
    pub held: String,
    /// A line for each cause.
    pub detail: Vec<String>,
}

/// Reads what there is to say about an object on its way out.
pub(crate) async fn explain(session: &Session, object: &ObjectRef, live: &Value, known: &[Entry]) -> Why {
    let is_namespace = object.is("", "Namespace");
    // A namespace says itself what is left in it.
    let holds: Vec<Hold> =
        holds(live).into_iter().filter(|hold| !(is_namespace && hold.finalizer == "kubernetes")).collect();
    let names: Vec<&str> = holds.iter().map(|hold| hold.finalizer.as_str()).collect();
    let held = match names.join(", ") {
        names if !names.is_empty() => names,
        _ if is_namespace => "what is in it".to_owned(),
        _ => "nothing it says".to_owned(),
    };
    let mut detail = Vec::new();
    if is_namespace {
        detail.extend(namespace::causes(session, object, live, known).await);
    }
    for hold in &holds {
        detail.push(held_by(session, object, live, hold).await);
    }
    if plan::is_custom(object) && !holds.is_empty() {
        detail.extend(conversion(session, object).await);
    }
    if holds.is_empty() && object.is("", "Pod") {
        let node = text(live, &["spec", "nodeName"]).unwrap_or("no node");
        detail.push(format!("its containers have not ended; the kubelet of node {node} takes it away"));
    }
    if let Some(message) = text(live, &["status", "message"]) {
        detail.push(message.to_owned());
    }
    Why { held, detail }
}

async fn held_by(session: &Session, object: &ObjectRef, live: &Value, hold: &Hold) -> String {
    let finalizer = &hold.finalizer;
    match &hold.holder {
        Holder::Foreign(clues) => {
            let verdict = programs::controller(session, clues, object.namespace.as_deref()).await;
            format!("{finalizer}: {verdict}")
        }
        Holder::BuiltIn { controller, program, until } => {
            let mut line = format!("{finalizer}: {controller} holds it until {until}");
            if let Some(those) = dependents(session, object, live, finalizer).await {
                line.push_str(&format!(" ({those})"));
            }
            if let Some(program) = program {
                line.push_str(&format!("; {}", programs::built_in(session, program).await));
            }
            line
        }
    }
}

/// The pods for whose sake Kubernetes keeps an object.
async fn dependents(session: &Session, object: &ObjectRef, live: &Value, finalizer: &str) -> Option<String> {
    let namespace = object.namespace.as_deref()?;
    let claims = finalizer == "kubernetes.io/pvc-protection";
    if !claims && finalizer != "foregroundDeletion" {
        return None;
    }
    let pod = read::core("Pod", Some(namespace), "");
    let resource = session.resource(&pod).await.ok()?;
    let pods = match session.cluster.list(&resource, Some(namespace), "").await {
        Ok(listing) => listing.items,
        Err(error) => return Some(format!("which pods that are could not be read: {error}")),
    };
    let uid = plan::uid(live);
    let concerned = |pod: &&Value| if claims { uses(pod, &object.name) } else { belongs(pod, object, uid) };
    let found: Vec<String> = pods.iter().filter(concerned).map(described).collect();
    (!found.is_empty()).then(|| some_of(&found))
}

/// A pod that has ended keeps its claims, too, as long as it is there.
fn uses(pod: &Value, claim: &str) -> bool {
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let mut volumes = volumes.into_iter().flatten();
    volumes.any(|volume| text(volume, &["persistentVolumeClaim", "claimName"]) == Some(claim))
}

/// Whether a pod is the object's own, or that of a ReplicaSet or Job the object made, which have a suffix behind
/// its name.
fn belongs(pod: &Value, object: &ObjectRef, uid: Option<&str>) -> bool {
    let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| {
        let child = match object.kind.as_str() {
            "Deployment" => "ReplicaSet",
            "CronJob" => "Job",
            _ => return owner["uid"].as_str() == uid,
        };
        let suffix = text(owner, &["name"])
            .and_then(|name| name.strip_prefix(object.name.as_str())?.strip_prefix('-'));
        let of_child =
            text(owner, &["kind"]) == Some(child) && suffix.is_some_and(|suffix| !suffix.contains('-'));
        owner["uid"].as_str() == uid || of_child
    })
}

fn described(pod: &Value) -> String {
    let name = text(pod, &["metadata", "name"]).unwrap_or_default();
    let node = text(pod, &["spec", "nodeName"]).unwrap_or("no node");
    let finalizers: Vec<String> = holds(pod).into_iter().map(|hold| hold.finalizer).collect();
    let held =
        if finalizers.is_empty() { String::new() } else { format!(", held by {}", finalizers.join(", ")) };
    let ended = match text(pod, &["status", "phase"]) {
        Some("Succeeded" | "Failed") => ", which has ended: delete it if nothing needs it",
        _ => "",
    };
    format!("Pod/{name} on {node}{held}{ended}")
}

/// The first few, and how many more there are.
fn some_of(all: &[String]) -> String {
    let shown = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > NAMED { format!("{shown} and {} more", all.len() - NAMED) } else { shown }
}

/// An object of a kind whose versions a webhook converts can be written in its stored version only while that
/// does not answer, and its controller may ask for another.
async fn conversion(session: &Session, object: &ObjectRef) -> Option<String> {
    let resource = session.resource(object).await.ok()?;
    let name = format!("{}.{}", resource.plural, resource.group);
    let definition = read::object("apiextensions.k8s.io", "v1", "CustomResourceDefinition", None, &name);
    let definitions = session.resource(&definition).await.ok()?;
    let live = session.cluster.get(&definitions, &definition).await.ok()??;
    let service = live.pointer("/spec/conversion/webhook/clientConfig/service")?;
    let (namespace, name) = (service["namespace"].as_str()?, service["name"].as_str()?);
    let slice = read::object("discovery.k8s.io", "v1", "EndpointSlice", Some(namespace), "");
    let slices = session.resource(&slice).await.ok()?;
    let selector = format!("kubernetes.io/service-name={name}");
    let listing = session.cluster.list(&slices, Some(namespace), &selector).await;
    let state = match &listing {
        Ok(listing) if listing.items.iter().any(has_ready_endpoint) => return None,
        Ok(_) => "has no ready endpoint",
        Err(_) => "may not be looked at",
    };
    Some(format!(
        "versions of {} are converted by a webhook of Service {namespace}/{name}, which {state}: its controller may not be able to write it",
        object.kind
    ))
}

fn has_ready_endpoint(slice: &Value) -> bool {
    let endpoints = slice.get("endpoints").and_then(Value::as_array);
    endpoints.into_iter().flatten().any(|endpoint| endpoint["conditions"]["ready"] != false)
}
