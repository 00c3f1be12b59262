//! What an environment is, component by component.

use std::collections::BTreeMap;

use cluster::EnvironmentRecord;
use jiff::Timestamp;
use kube::ResourceExt as _;
use plan::{
    Key, ObjectRef,
    health::{Health, Surroundings, UNVERIFIED, World, assess},
};
use render::Rendered;
use serde::Serialize;
use serde_json::Value;

use crate::{
    Result, Session,
    down::{self, Progress},
    health::Rules,
    observe::observe,
    read,
};

/// One component of a live environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// The kind that runs it, such as `StatefulSet`.
    pub kind: String,
    /// `Healthy`, `Current (unverified)`, `Progressing`, `Trouble`, `Failed` or `Missing`.
    pub state: String,
    /// What it waits for or what is wrong; empty when healthy.
    pub cause: String,
    /// Seconds since its oldest workload was created.
    #[serde(skip)]
    pub age: Option<i64>,
    /// Where it listens, as `host:port`.
    pub endpoints: Vec<String>,
}

/// One environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Name of the environment spec.
    pub spec: String,
    /// Identity of the repository.
    pub repository: String,
    /// Branch, tag, `pr/<number>` or name.
    pub r#ref: String,
    /// Commit id.
    pub revision: String,
    /// Its namespace.
    pub namespace: String,
    /// State of the record.
    pub state: String,
    /// The phase that its teardown has reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// How far its teardown is, looked at live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teardown: Option<Progress>,
    /// Why, when the state is Failed or DeleteBlocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it becomes stale, RFC 3339.
    pub expires_at: Option<String>,
    /// Seconds since its record was created.
    #[serde(skip)]
    pub age: Option<i64>,
    /// Its components.
    pub components: Vec<ComponentStatus>,
}

/// Every environment of the cluster, from the records alone.
///
/// # Errors
/// Any failure of the request.
pub async fn list(session: &Session, now: Timestamp) -> Result<Vec<EnvironmentStatus>> {
    let mut all: Vec<EnvironmentStatus> =
        session.records.list().await?.iter().map(|record| summary(record, now)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// One environment with its components, judged live.
///
/// # Errors
/// Any failure of a request.
pub async fn status(
    session: &Session,
    record: &EnvironmentRecord,
    now: Timestamp,
) -> Result<EnvironmentStatus> {
    let mut result = summary(record, now);
    result.teardown = down::progress(session, record).await?;
    match judged(session, record, now).await {
        Ok(components) => result.components = components,
        // The namespace takes its bindings away before it is gone, and the inventory goes before the record.
        Err(error) if result.teardown.is_some() => tracing::debug!(%error, "its components cannot be seen"),
        Err(error) => return Err(error),
    }
    Ok(result)
}

async fn judged(
    session: &Session,
    record: &EnvironmentRecord,
    now: Timestamp,
) -> Result<Vec<ComponentStatus>> {
    let stored = session.records.inventory(record).await?;
    let observed = observe(session, &record.spec.id, &[], &stored.inventory).await?;
    let namespace = record.spec.namespace.as_str();
    let all = async |group: &str, kind: &str| {
        let object = read::object(group, "v1", kind, Some(namespace), "");
        let resource = session.resource(&object).await?;
        Ok::<_, crate::Error>(session.cluster.list(&resource, Some(namespace), "").await?.items)
    };
    let (pods, replica_sets, endpoint_slices, events) = futures::try_join!(
        all("", "Pod"),
        all("apps", "ReplicaSet"),
        all("discovery.k8s.io", "EndpointSlice"),
        all("", "Event"),
    )?;
    let workloads = observed.live.iter().filter(|(key, _)| key.group == "apps").map(|(_, live)| live);
    let around = [&pods, &replica_sets, &endpoint_slices, &events].into_iter().flatten();
    let world = World::of(workloads.chain(around));
    let rules = Rules::of(&record.spec.health);
    let entries: Vec<(String, &ObjectRef)> =
        stored.inventory.entries.iter().map(|entry| (row_of(entry), &entry.object)).collect();
    Ok(judge(&entries, &observed.live, now, &|component, object, live| {
        let rule = rules.get(component, &object.key());
        assess(live, &Surroundings::new(&world).rule(rule.map(AsRef::as_ref)))
    }))
}

/// A gate or a copy that fails says nothing against the component it is about: each has its own row.
fn row_of(entry: &plan::Entry) -> String {
    match entry.order.stage {
        plan::Stage::Data | plan::Stage::Gate => entry.object.name.clone(),
        _ => entry.component.clone(),
    }
}

fn summary(record: &EnvironmentRecord, now: Timestamp) -> EnvironmentStatus {
    let spec = &record.spec;
    EnvironmentStatus {
        id: spec.id.clone(),
        name: record.name_any(),
        spec: spec.spec.clone(),
        repository: spec.repository.clone(),
        r#ref: spec.r#ref.clone(),
        revision: spec.revision.clone(),
        namespace: spec.namespace.clone(),
        state: spec.state.as_str().to_owned(),
        phase: spec.teardown.as_ref().and_then(|teardown| teardown.phase.clone()),
        teardown: None,
        message: spec.message.clone(),
        expires_at: spec.expires_at.clone(),
        age: record.creation_timestamp().map(|time| now.as_second() - time.0.as_second()),
        components: Vec::new(),
    }
}

/// Components of a rendering that has just been waited for.
pub(crate) fn components(
    rendered: &Rendered,
    live: &BTreeMap<Key, Value>,
    rules: &Rules,
    now: Timestamp,
) -> Vec<ComponentStatus> {
    let objects: Vec<(String, ObjectRef)> = rendered
        .objects
        .iter()
        .filter(|object| object.hook != Some(render::HookPoint::BeforeDelete))
        .filter(|object| object.manifest["kind"] != "CustomResourceDefinition")
        .filter_map(|object| Some((object.component.clone(), ObjectRef::of(&object.manifest)?)))
        .collect();
    let entries: Vec<(String, &ObjectRef)> =
        objects.iter().map(|(component, object)| (component.clone(), object)).collect();
    let alone = World::default();
    judge(&entries, live, now, &|component, object, live| {
        let rule = rules.get(component, &object.key());
        match assess(live, &Surroundings::new(&alone).rule(rule.map(AsRef::as_ref))) {
            Health::Unverified => Health::Unverified,
            // It was waited for, with all that explains it at hand; here only its objects are.
            _ => Health::healthy(),
        }
    })
}

/// The verdict on an object of a component.
type Verdict<'a> = &'a dyn Fn(&str, &ObjectRef, &Value) -> Health;

fn judge(
    entries: &[(String, &ObjectRef)],
    live: &BTreeMap<Key, Value>,
    now: Timestamp,
    verdict: Verdict<'_>,
) -> Vec<ComponentStatus> {
    let mut by_name: BTreeMap<&str, Vec<&ObjectRef>> = BTreeMap::new();
    for (component, object) in entries {
        if component != crate::compose::ENVIRONMENT {
            by_name.entry(component).or_default().push(object);
        }
    }
    by_name.into_iter().map(|(name, objects)| component(name, &objects, live, now, verdict)).collect()
}

fn component(
    name: &str,
    objects: &[&ObjectRef],
    live: &BTreeMap<Key, Value>,
    now: Timestamp,
    verdict: Verdict<'_>,
) -> ComponentStatus {
    let mut worst: (u8, &str, String) = (0, "Healthy", String::new());
    let mut endpoints = Vec::new();
    let mut age: Option<i64> = None;
    let mut main: Option<&ObjectRef> = None;
    for object in objects {
        if matches!(object.group.as_str(), "apps" | "batch") && main.is_none_or(|main| main.kind == "Job") {
            main = Some(object);
        }
        let Some(seen) = live.get(&object.key()) else {
            worst = worst.max((5, "Missing", format!("{} is not there", object.short())));
            continue;
        };
        worst = match verdict(name, object, seen) {
            Health::Healthy { .. } => worst,
            Health::Unverified => {
                let cause = format!("no rule says when {} is healthy", object.short());
                worst.max((1, UNVERIFIED, cause))
            }
            Health::Progressing { cause } => worst.max((2, "Progressing", cause)),
            Health::Trouble(finding) => worst.max((3, "Trouble", finding.cause)),
            Health::Failed(finding) => worst.max((4, "Failed", finding.cause)),
        };
        endpoints.extend(service_endpoints(seen));
        if matches!(object.group.as_str(), "apps" | "batch") || objects.len() == 1 {
            let created = plan::text(seen, &["metadata", "creationTimestamp"])
                .and_then(|time| time.parse::<Timestamp>().ok());
            age = age.max(created.map(|created| now.as_second() - created.as_second()));
        }
    }
    endpoints.sort();
    ComponentStatus {
        name: name.to_owned(),
        kind: main.or(objects.first().copied()).map(|object| object.kind.clone()).unwrap_or_default(),
        state: worst.1.to_owned(),
        cause: worst.2,
        age,
        endpoints,
    }
}

fn service_endpoints(object: &Value) -> Vec<String> {
    let is_service = object.get("kind").and_then(Value::as_str) == Some("Service");
    let (Some(name), Some(namespace)) =
        (plan::text(object, &["metadata", "name"]), plan::text(object, &["metadata", "namespace"]))
    else {
        return Vec::new();
    };
    object
        .pointer("/spec/ports")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|_| is_service)
        .filter_map(|port| Some(format!("{name}.{namespace}.svc:{}", port.get("port")?.as_i64()?)))
        .collect()
}
