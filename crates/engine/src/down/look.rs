//! The sweep: live reads for everything the environment could have left. A read that fails is a finding.

use std::time::Duration;

use cluster::{Look, ReceiptSpec};
use kube::ResourceExt as _;
use plan::{Entry, Ownership, Provenance, ownership};
use serde_json::Value;
use spec::{Category, Diagnostic};

use super::{Run, definition, receipt_spec};
use crate::{Result, Session, read, stuck};

const KEPT: &str = "(kept: its reclaim policy is Retain)";
const KEPT_BY_ANNOTATION: &str = "(kept: its annotation asks for it)";
const KEPT_IN_USE: &str = "(kept: objects of its kind may be left)";

/// What a look for claims of the environment is called.
pub(crate) const CLAIMS: &str = "PersistentVolumeClaims of the environment";
/// How a look for volumes begins.
pub(crate) const VOLUMES: &str = "PersistentVolumes bound in";

/// Whether a finding of a look is something that stays on purpose.
pub(crate) fn is_kept(found: &str) -> bool {
    [KEPT, KEPT_BY_ANNOTATION, KEPT_IN_USE].iter().any(|kept| found.ends_with(kept))
}

impl Run<'_> {
    /// Looks for what is left, and writes the receipt when nothing is.
    pub(super) async fn prove(&self) -> Result<ReceiptSpec> {
        self.session.phase("looking for anything left");
        let looks = self.looks().await;
        let leftovers: Vec<String> = looks
            .iter()
            .flat_map(|look| look.found.iter().filter(|found| !is_kept(found)).cloned())
            .collect();
        if !leftovers.is_empty() {
            let cause = "the teardown is not proven: something is left, or could not be looked for";
            let mut diagnostic = Diagnostic::new("DEL002", Category::Cluster, cause)
                .on(self.record.name_any())
                .help("Remove what is listed, or its cause, and run `mimeo down` again");
            diagnostic.detail = leftovers;
            return Err(diagnostic.into());
        }
        let receipt = receipt_spec(self.session, &self.record, self.stored.inventory.entries.len(), looks);
        self.session.records.write_receipt(receipt.clone()).await?;
        Ok(receipt)
    }

    async fn looks(&self) -> Vec<Look> {
        let session = self.session;
        let (id, record_uid) = (self.record.spec.id.as_str(), self.record.uid().unwrap_or_default());
        let who = Provenance { environment: id, record_uid: &record_uid };
        let owned = self.owned_namespace();
        let mut looks = Vec::new();
        for entry in &self.stored.inventory.entries {
            let inside = owned.is_some() && entry.object.namespace.as_deref() == owned;
            if !inside {
                looks.push(look_for(session, who, owned, entry).await);
            }
        }
        looks.push(match owned {
            Some(namespace) => volumes(session, namespace, self.options.timeout).await,
            None => claims(session, &self.record.spec.namespace, id).await,
        });
        looks
    }
}

/// Looks for one object of the inventory. `owned` is the environment's own namespace.
pub(crate) async fn look_for(
    session: &Session,
    who: Provenance<'_>,
    owned: Option<&str>,
    entry: &Entry,
) -> Look {
    match read::live(session, &entry.object).await {
        Ok(None) => look_with(entry, None),
        Ok(Some((_, live))) => look_at(session, who, owned, entry, &live).await,
        Err(error) => {
            let causes: Vec<String> = error.diagnostics().into_iter().map(|found| found.cause).collect();
            look_with(
                entry,
                Some(format!("{}: could not be looked for: {}", entry.object, causes.join("; "))),
            )
        }
    }
}

/// The same of an object that has been read already.
pub(crate) async fn look_at(
    session: &Session,
    who: Provenance<'_>,
    owned: Option<&str>,
    entry: &Entry,
    live: &Value,
) -> Look {
    let object = &entry.object;
    // In its own namespace nothing is kept: it goes with that.
    let inside = owned.is_some() && object.namespace.as_deref() == owned;
    let found = match ownership(live, Some(entry), who) {
        Ownership::Ours { .. } if !inside && plan::keeps(live).is_some() => {
            Some(format!("{object} {KEPT_BY_ANNOTATION}"))
        }
        Ownership::Ours { .. } => Some(match definition::in_use(session, object, live).await {
            Ok(Some(_)) => format!("{object} {KEPT_IN_USE}"),
            _ => format!("{object}: still there"),
        }),
        Ownership::Foreign(_) => None,
    };
    look_with(entry, found)
}

/// A look at one object that found this.
pub(crate) fn look_with(entry: &Entry, found: Option<String>) -> Look {
    let object = &entry.object;
    Look {
        what: object.short(),
        place: object.namespace.clone().unwrap_or_else(|| "cluster".to_owned()),
        uid: entry.uid.clone(),
        found: found.into_iter().collect(),
        resource_version: None,
    }
}

/// Claims that a StatefulSet of the environment made in a namespace that stays: the controller keeps them,
/// and with them their data.
pub(crate) async fn claims(session: &Session, namespace: &str, id: &str) -> Look {
    let claim = read::core("PersistentVolumeClaim", Some(namespace), "");
    let mut look = list_look(CLAIMS.to_owned(), namespace);
    let selector = format!("{}={id}", plan::ENVIRONMENT_LABEL);
    let listing = match session.resource(&claim).await {
        Ok(resource) => session.cluster.list(&resource, Some(namespace), &selector).await,
        Err(_) => return look,
    };
    match listing {
        Ok(listing) => {
            let names = listing.items.iter().filter_map(|live| plan::text(live, &["metadata", "name"]));
            look.found = names
                .map(|name| {
                    format!("PersistentVolumeClaim/{name}: still there; delete it if its data may go")
                })
                .collect();
            look.resource_version = Some(listing.resource_version);
        }
        Err(error) => look.found.push(format!("PersistentVolumeClaims: could not be looked for: {error}")),
    }
    look
}

/// Volumes that were bound to claims of the namespace. Their removal follows that of the claim.
pub(crate) async fn volumes(session: &Session, namespace: &str, timeout: Duration) -> Look {
    let mut look = list_look(format!("{VOLUMES} {namespace}"), "cluster");
    let volume = read::core("PersistentVolume", None, "");
    let listing = match session.resource(&volume).await {
        Ok(resource) => session.cluster.list(&resource, None, "").await.map(|listing| (resource, listing)),
        Err(_) => return look,
    };
    let (resource, listing) = match listing {
        Ok(answer) => answer,
        Err(error) => {
            look.found.push(format!("PersistentVolumes: could not be looked for: {error}"));
            return look;
        }
    };
    look.resource_version = Some(listing.resource_version);
    for live in &listing.items {
        if plan::text(live, &["spec", "claimRef", "namespace"]) != Some(namespace) {
            continue;
        }
        let name = plan::text(live, &["metadata", "name"]).unwrap_or_default();
        if plan::text(live, &["spec", "persistentVolumeReclaimPolicy"]) == Some("Retain") {
            look.found.push(format!("PersistentVolume/{name} {KEPT}"));
            continue;
        }
        let object = read::core("PersistentVolume", None, name);
        let uid = plan::uid(live).unwrap_or_default();
        match stuck::wait_gone(session, &resource, &object, uid, timeout, &[]).await {
            Ok(true) => {}
            Ok(false) => {
                let why = stuck::stuck(session, &object, &[]).await;
                let why: Vec<String> = std::iter::once(why.cause).chain(why.detail).collect();
                look.found.push(format!("PersistentVolume/{name}: still there: {}", why.join("; ")));
            }
            Err(error) => {
                look.found.push(format!("PersistentVolume/{name}: could not be looked for: {error}"));
            }
        }
    }
    look
}

fn list_look(what: String, place: &str) -> Look {
    Look { what, place: place.to_owned(), uid: None, found: Vec::new(), resource_version: None }
}
