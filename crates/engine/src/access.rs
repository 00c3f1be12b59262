//! Who may work in the namespace of an environment: everybody who brought it up, and the garbage
//! collector, through one RoleBinding to the role `mimeo-env`.

use std::time::Duration;

use cluster::{EnvironmentRecord, Lease, install};
use kube::ResourceExt as _;
use plan::{Desired, Entry, ObjectRef, Order, Origin, Stage};
use serde_json::{Value, json};

use crate::{Event, Result, Session, compose, read, write_ahead};

/// The binding of an owned namespace.
pub(crate) fn binding(namespace: &str) -> ObjectRef {
    read::object("rbac.authorization.k8s.io", "v1", "RoleBinding", Some(namespace), compose::OWN_NAME)
}

/// The binding as it is applied.
pub(crate) fn binding_manifest(environment: &str, namespace: &str, subjects: &[Value]) -> Value {
    let rbac = "rbac.authorization.k8s.io";
    json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding",
        "metadata": compose::marked(environment, compose::ENVIRONMENT, namespace, compose::OWN_NAME),
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": install::ENVIRONMENT_ROLE},
        "subjects": subjects,
    })
}

/// The caller and the garbage collector.
pub(crate) async fn subjects(session: &Session) -> Result<Vec<Value>> {
    let collector = install::Subject::ServiceAccount(
        cluster::SYSTEM_NAMESPACE.to_owned(),
        install::GC_ACCOUNT.to_owned(),
    );
    Ok(vec![caller(session).await?, collector.to_value()])
}

async fn caller(session: &Session) -> Result<Value> {
    Ok(install::Subject::from_username(session.caller().await?).to_value())
}

/// Binds the caller in the namespace of an environment that somebody else brought up, or whose first
/// `up` was killed before it bound anybody. False when the caller is bound already, or the namespace
/// is not the environment's: then that was not the reason for a refusal.
pub(crate) async fn gain(session: &Session, record: &EnvironmentRecord, lease: &Lease) -> Result<bool> {
    let namespace = record.spec.namespace.as_str();
    if !record.spec.namespace_owned || !is_environments(session, record).await? {
        return Ok(false);
    }
    let object = binding(namespace);
    let resource = session.resource(&object).await?;
    let live = session.cluster.get(&resource, &object).await?;
    let mut wanted = match &live {
        Some(live) => live.get("subjects").and_then(Value::as_array).cloned().unwrap_or_default(),
        None => subjects(session).await?,
    };
    let me = caller(session).await?;
    if live.is_some() && wanted.contains(&me) {
        return Ok(false);
    }
    if !wanted.contains(&me) {
        wanted.push(me);
    }
    session.tell(Event::Note(format!("binding the caller in {namespace}")));
    write(session, record, lease, object, &wanted, live.as_ref()).await?;
    settle(session, namespace).await?;
    Ok(true)
}

/// Whether the namespace with the environment's name carries its label and the uid of its record.
pub(crate) async fn is_environments(session: &Session, record: &EnvironmentRecord) -> Result<bool> {
    let object = read::core("Namespace", None, &record.spec.namespace);
    let resource = session.resource(&object).await?;
    let live = session.cluster.get(&resource, &object).await?;
    let text = |path: &[&str]| live.as_ref().and_then(|live| plan::text(live, path)).map(str::to_owned);
    Ok(text(&["metadata", "labels", plan::ENVIRONMENT_LABEL]).as_deref() == Some(record.spec.id.as_str())
        && text(&["metadata", "annotations", plan::OWNER_ANNOTATION]) == record.uid())
}

async fn write(
    session: &Session,
    record: &EnvironmentRecord,
    lease: &Lease,
    object: ObjectRef,
    subjects: &[Value],
    live: Option<&Value>,
) -> Result<()> {
    let namespace = record.spec.namespace.as_str();
    let desired = Desired {
        manifest: binding_manifest(&record.spec.id, namespace, subjects),
        component: compose::ENVIRONMENT.to_owned(),
        order: Order { level: 0, stage: Stage::Access },
        origin: Origin::Engine,
        reruns_after: Vec::new(),
        declared: plan::Declared::default(),
        object,
    }
    .owned_by(&record.uid().unwrap_or_default());
    let mut stored = session.records.inventory(record).await?;
    let key = desired.object.key();
    let mut entry = stored.inventory.get(&key).cloned().unwrap_or_else(|| Entry {
        object: desired.object.clone(),
        component: desired.component.clone(),
        order: desired.order,
        uid: None,
        pending: true,
        adopting: false,
        outside: false,
        desired: String::new(),
        owned: String::new(),
    });
    entry.pending |= live.is_none();
    stored.inventory.put(entry);
    lease.check()?;
    session.records.write_inventory(record, &mut stored).await?;
    let mut manifest = desired.manifest.clone();
    if let Some(uid) = live.and_then(plan::uid) {
        manifest["metadata"]["uid"] = json!(uid);
    }
    let resource = session.resource(&desired.object).await?;
    let (_, applied) = session.cluster.apply(&resource, &desired.object, &manifest, false).await?;
    write_ahead::settle(&mut stored.inventory, &desired, &applied);
    session.records.write_inventory(record, &mut stored).await?;
    Ok(())
}

/// Waits until the authorizer knows a fresh binding; after ten seconds whoever comes next says what
/// is still refused.
async fn settle(session: &Session, namespace: &str) -> Result<()> {
    let begun = std::time::Instant::now();
    let mut pause = Duration::from_millis(10);
    while begun.elapsed() < Duration::from_secs(10) {
        if session.cluster.may("patch", "", "configmaps", namespace).await? {
            break;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
    Ok(())
}
