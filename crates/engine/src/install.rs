//! Installs mimeo into a cluster, and takes it away again.

use std::time::{Duration, Instant};

use cluster::{
    Deleted, Propagation,
    install::{ABSENCE_GAP, Choices},
};
use kube::ResourceExt;
use plan::{Action, ObjectRef};
use serde_json::Value;
use spec::{Category, Diagnostic};

use crate::{Error, Event, Result, Session, read};

/// Applies everything `install` consists of; returns the number of objects.
///
/// # Errors
/// Any failure of a request; [`Category::Timeout`] when the kinds do not become available.
pub async fn install(session: &Session, choices: &Choices) -> Result<usize> {
    let mut known = read::config(session).await?;
    // A collector that runs stays, and follows the image.
    let schedule = schedule(session).await?;
    let choices = Choices {
        image: choices.image.clone().or_else(|| known.remove("image")),
        absence_gap: choices.absence_gap.clone().or_else(|| known.remove(ABSENCE_GAP)),
        gc: choices.gc || schedule.is_some(),
        gc_schedule: choices.gc_schedule.clone().or(schedule),
        grants: choices.grants.clone(),
    };
    has_image(&choices)?;
    let manifests = cluster::install::manifests(&choices);
    for manifest in &manifests {
        let Some(object) = ObjectRef::of(manifest) else { continue };
        let resource = session.resource(&object).await?;
        // An admin's install is the authority on its own objects.
        session.cluster.apply(&resource, &object, manifest, true).await?;
        session.tell(Event::Done { action: Action::Update, object, component: "install".to_owned() });
    }
    established(session).await?;
    Ok(manifests.len())
}

/// The collector is a pod of mimeo's own image.
///
/// # Errors
/// When it is to run and has none.
pub fn has_image(choices: &Choices) -> Result<()> {
    if !choices.gc || choices.image.is_some() {
        return Ok(());
    }
    Err(Diagnostic::error("ARG004", "the garbage collector has no image to run")
        .on("--gc")
        .help("Name the image of mimeo that the cluster can pull: mimeo install --gc --image IMAGE")
        .into())
}

/// When the collector that is installed runs.
async fn schedule(session: &Session) -> Result<Option<String>> {
    let system = Some(cluster::SYSTEM_NAMESPACE);
    let object = read::object("batch", "v1", "CronJob", system, cluster::install::GC_ACCOUNT);
    let resource = session.resource(&object).await?;
    let live = session.cluster.get(&resource, &object).await?;
    Ok(live.as_ref().and_then(|live| plan::text(live, &["spec", "schedule"])).map(str::to_owned))
}

/// Waits until the API server serves the kinds.
async fn established(session: &Session) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        match session.records.list().await {
            Ok(_) => return Ok(()),
            Err(cluster::Error::NotInstalled) => tokio::time::sleep(Duration::from_millis(200)).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Diagnostic::new("CLU009", Category::Timeout, "the API server does not serve mimeo's kinds yet")
        .help("Look at `kubectl get crd environments.mimeo.dev -o yaml`, then run `mimeo install` again")
        .into())
}

/// Removes everything `install` made, unless environments live; returns the number of objects.
///
/// # Errors
/// A refusal that names the environments; any failure of a request.
pub async fn uninstall(session: &Session) -> Result<usize> {
    match session.records.list_all().await {
        Ok((records, broken)) if !records.is_empty() || !broken.is_empty() => {
            return Err(alive(&records, &broken));
        }
        Ok(_) | Err(cluster::Error::NotInstalled) => {}
        Err(error) => return Err(error.into()),
    }
    let everything = Choices { gc: true, ..Choices::default() };
    let mut manifests = cluster::install::manifests(&everything);
    manifests.extend(grants(session).await?);
    manifests.reverse();
    let mut done = 0;
    let mut kinds = Vec::new();
    for manifest in &manifests {
        let Some(object) = ObjectRef::of(manifest) else { continue };
        if object.is("", "Namespace") && holds_secrets(session, &object.name).await? {
            session.tell(Event::Note(format!(
                "namespace {} stays: it holds Secrets that mimeo did not make",
                object.name
            )));
            continue;
        }
        let resource = session.resource(&object).await?;
        let Some(live) = session.cluster.get(&resource, &object).await? else { continue };
        let ours = plan::text(&live, &["metadata", "labels", "app.kubernetes.io/part-of"]) == Some("mimeo")
            || object.group == "apiextensions.k8s.io";
        let uid = plan::uid(&live).unwrap_or_default();
        if ours
            && session.cluster.delete(&resource, &object, uid, Propagation::Background).await?
                == Deleted::Accepted
        {
            done += 1;
            if object.group == "apiextensions.k8s.io" {
                kinds.push((resource, object.clone(), uid.to_owned()));
            }
            session.tell(Event::Done { action: Action::Delete, object, component: "install".to_owned() });
        }
    }
    for (resource, object, uid) in &kinds {
        withdrawn(session, resource, object, uid).await?;
    }
    Ok(done)
}

/// Waits until a kind is gone: before it goes, the API server deletes what there is of it.
async fn withdrawn(
    session: &Session,
    resource: &cluster::Resource,
    object: &ObjectRef,
    uid: &str,
) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        let live = session.cluster.get(resource, object).await?;
        if live.as_ref().and_then(plan::uid) != Some(uid) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(Diagnostic::new("CLU012", Category::Timeout, format!("{} is still being deleted", object.short()))
        .help(format!(
            "`kubectl get crd {} -o yaml` shows what holds it; run `mimeo uninstall` again",
            object.name
        ))
        .into())
}

fn alive(records: &[cluster::EnvironmentRecord], broken: &[String]) -> Error {
    let names: Vec<String> =
        records.iter().map(ResourceExt::name_any).chain(broken.iter().cloned()).collect();
    Diagnostic::new("ENV018", Category::Refused, format!("environments live: {}", names.join(", ")))
        .help("Take them down first, each with `mimeo down NAME`")
        .into()
}

/// Bindings made by `--grant`, which `manifests` does not know without their subjects.
async fn grants(session: &Session) -> Result<Vec<Value>> {
    let rbac = "rbac.authorization.k8s.io";
    let places = [
        ("ClusterRoleBinding", None),
        ("RoleBinding", Some(cluster::SYSTEM_NAMESPACE)),
        ("RoleBinding", Some(cluster::DATA_NAMESPACE)),
    ];
    let mut found = Vec::new();
    for (kind, namespace) in places {
        let object = read::object(rbac, "v1", kind, namespace, "");
        let resource = session.resource(&object).await?;
        let selector = "app.kubernetes.io/part-of=mimeo";
        found.extend(session.cluster.list(&resource, namespace, selector).await?.items);
    }
    Ok(found)
}

async fn holds_secrets(session: &Session, namespace: &str) -> Result<bool> {
    let object = read::core("Secret", Some(namespace), "");
    let resource = session.resource(&object).await?;
    Ok(!session.cluster.list(&resource, Some(namespace), "").await?.items.is_empty())
}
