//! Logs of an environment's pods, by component.

use std::collections::BTreeMap;

use cluster::{EnvironmentRecord, StoredInventory};
use futures::{AsyncBufReadExt as _, StreamExt as _, stream};
use serde_json::Value;

use crate::{Result, Session, read};

/// One container of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The component the pod belongs to.
    pub component: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
}

/// Every container of the environment's pods: init containers first, pods by name.
///
/// # Errors
/// Any failure of a request.
pub async fn containers(
    session: &Session,
    record: &EnvironmentRecord,
    stored: &StoredInventory,
) -> Result<Vec<Container>> {
    let namespace = record.spec.namespace.as_str();
    let list = async |group: &str, kind: &str| {
        let object = read::object(group, "v1", kind, Some(namespace), "");
        let resource = session.resource(&object).await?;
        Ok::<_, crate::Error>(session.cluster.list(&resource, Some(namespace), "").await?.items)
    };
    let (pods, replica_sets) = futures::try_join!(list("", "Pod"), list("apps", "ReplicaSet"))?;
    let mut owners: BTreeMap<String, String> = stored
        .inventory
        .entries
        .iter()
        .filter_map(|entry| Some((entry.uid.clone()?, entry.component.clone())))
        .collect();
    for set in &replica_sets {
        if let (Some(uid), Some(component)) = (plan::uid(set), owner(set).and_then(|owner| owners.get(owner)))
        {
            owners.insert(uid.to_owned(), component.clone());
        }
    }
    let mut found = Vec::new();
    for pod in &pods {
        let component =
            plan::uid(pod).and_then(|uid| owners.get(uid)).or(owner(pod).and_then(|owner| owners.get(owner)));
        let (Some(component), Some(name)) = (component, plan::text(pod, &["metadata", "name"])) else {
            continue;
        };
        for field in ["initContainers", "containers"] {
            for container in
                pod.pointer(&format!("/spec/{field}")).and_then(Value::as_array).into_iter().flatten()
            {
                found.push(Container {
                    component: component.clone(),
                    namespace: namespace.to_owned(),
                    pod: name.to_owned(),
                    container: plan::text(container, &["name"]).unwrap_or_default().to_owned(),
                });
            }
        }
    }
    found.sort_by(|a, b| (&a.component, &a.pod).cmp(&(&b.component, &b.pod)));
    Ok(found)
}

fn owner(object: &Value) -> Option<&str> {
    object.pointer("/metadata/ownerReferences/0/uid")?.as_str()
}

/// Hands every line to `show`; with `follow`, lines of all containers as they come.
///
/// # Errors
/// Any failure of a request; a container that has not started yet has no lines.
pub async fn print(
    session: &Session,
    containers: &[Container],
    tail: Option<u32>,
    follow: bool,
    show: &(dyn Fn(&Container, &str) + Sync),
) -> Result<()> {
    if !follow {
        for container in containers {
            let Container { namespace, pod, container: name, .. } = container;
            match session.cluster.logs(namespace, pod, Some(name), tail, false).await {
                Ok(text) => text.lines().for_each(|line| show(container, line)),
                Err(cluster::Error::Api { code: 400, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(());
    }
    stream::iter(containers)
        .map(|container| async move {
            let Container { namespace, pod, container: name, .. } = container;
            let Ok(reader) = session.cluster.follow_logs(namespace, pod, Some(name), tail).await else {
                return;
            };
            let mut lines = std::pin::pin!(reader.lines());
            while let Some(Ok(line)) = lines.next().await {
                show(container, &line);
            }
        })
        .buffer_unordered(64)
        .collect::<Vec<()>>()
        .await;
    Ok(())
}
