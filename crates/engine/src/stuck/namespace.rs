//! Why a namespace does not go: what its conditions say, with the objects behind them by name.

use plan::{
    Entry, ObjectRef,
    held::{self, Clues, NamespaceCause, holds, namespace_causes},
    text,
};
use serde_json::Value;

use super::{programs, some_of};
use crate::{Session, read};

pub(super) async fn causes(
    session: &Session,
    namespace: &ObjectRef,
    live: &Value,
    known: &[Entry],
) -> Vec<String> {
    let mut lines = Vec::new();
    for cause in namespace_causes(live) {
        match cause {
            NamespaceCause::Unanswered { group_versions, message } => {
                for group_version in &group_versions {
                    lines.push(unanswered(session, group_version).await);
                }
                if group_versions.is_empty() {
                    lines.push(message);
                }
            }
            NamespaceCause::Remaining { resources, message } => {
                lines.push(message);
                for (plural, group, _) in &resources {
                    lines.extend(remaining(session, &namespace.name, plural, group, known).await);
                }
            }
            NamespaceCause::Held { finalizers, message } => {
                lines.push(message);
                for (finalizer, _) in &finalizers {
                    if let Some(until) = held::until(finalizer) {
                        lines.push(format!("{finalizer}: held until {until}"));
                        continue;
                    }
                    let domain = finalizer.split_once('/').map_or(finalizer.as_str(), |(domain, _)| domain);
                    let clues = Clues { managers: Vec::new(), domains: vec![domain.to_owned()] };
                    let verdict = programs::controller(session, &clues, Some(&namespace.name)).await;
                    lines.push(format!("{finalizer}: {verdict}"));
                }
            }
            NamespaceCause::Other(message) => lines.push(message),
        }
    }
    lines
}

/// A part of the API that does not answer holds up every namespace of the cluster.
async fn unanswered(session: &Session, group_version: &str) -> String {
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    let name = format!("{version}.{group}");
    let object = read::object("apiregistration.k8s.io", "v1", "APIService", None, &name);
    let live = match session.resource(&object).await {
        Ok(resource) => session.cluster.get(&resource, &object).await,
        Err(error) => return format!("APIService {name} does not answer; it cannot be read: {error}"),
    };
    let why = match live {
        Ok(Some(live)) => service_of(&live),
        Ok(None) => "it is not there any more: the namespace controller will notice".to_owned(),
        Err(error) if error.status() == Some(403) => {
            "its service may not be read with these rights".to_owned()
        }
        Err(error) => format!("it cannot be read: {error}"),
    };
    format!(
        "APIService {name} does not answer ({why}): no namespace of the cluster goes until it answers or is removed"
    )
}

fn service_of(live: &Value) -> String {
    let service =
        match (text(live, &["spec", "service", "namespace"]), text(live, &["spec", "service", "name"])) {
            (Some(namespace), Some(name)) => format!("Service {namespace}/{name}"),
            _ => "served by the API server itself".to_owned(),
        };
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array);
    let available = conditions.into_iter().flatten().find(|condition| condition["type"] == "Available");
    match available.and_then(|condition| condition["message"].as_str()) {
        Some(message) => format!("{service}: {message}"),
        None => service,
    }
}

/// What is left of one kind, by name.
async fn remaining(
    session: &Session,
    namespace: &str,
    plural: &str,
    group: &str,
    known: &[Entry],
) -> Vec<String> {
    let Ok(Some(resource)) = session.kinds.named(&session.cluster, plural, group).await else {
        return Vec::new();
    };
    match session.cluster.list(&resource, Some(namespace), "").await {
        // The last of them went meanwhile.
        Ok(listing) if listing.items.is_empty() => Vec::new(),
        Ok(listing) => {
            let all: Vec<String> = listing.items.iter().map(|live| described(&resource.kind, live)).collect();
            let mut lines = vec![format!("left: {}", some_of(&all))];
            if let Some((live, hold)) =
                listing.items.iter().find_map(|live| Some((live, holds(live).into_iter().next()?)))
            {
                let object =
                    ObjectRef::of(live).unwrap_or_else(|| read::core(&resource.kind, Some(namespace), "?"));
                lines.push(super::held_by(session, &object, live, &hold).await);
            }
            lines
        }
        Err(error) => {
            let ours: Vec<String> = known
                .iter()
                .map(|entry| &entry.object)
                .filter(|object| {
                    object.kind == resource.kind
                        && object.group == group
                        && object.namespace.as_deref() == Some(namespace)
                })
                .map(ObjectRef::short)
                .collect();
            // The namespace takes its bindings away before it is done.
            let why = match error.status() {
                Some(403) => "the right to read them went with the namespace's bindings".to_owned(),
                _ => error.to_string(),
            };
            let ours = if ours.is_empty() {
                format!("none of the {plural} left is known to be the environment's")
            } else {
                format!("the environment had there: {}", some_of(&ours))
            };
            vec![format!("{ours} ({why})")]
        }
    }
}

fn described(kind: &str, live: &Value) -> String {
    let name = text(live, &["metadata", "name"]).unwrap_or_default();
    let finalizers: Vec<String> = holds(live).into_iter().map(|hold| hold.finalizer).collect();
    if finalizers.is_empty() {
        format!("{kind}/{name}")
    } else {
        format!("{kind}/{name} held by {}", finalizers.join(", "))
    }
}
