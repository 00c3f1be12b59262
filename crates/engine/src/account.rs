//! Accounts for one object of an environment: whose it is, who else writes it, and whether it is as it was
//! applied. From the record alone.

use cluster::{EnvironmentRecord, StoredInventory};
use kube::ResourceExt as _;
use plan::{
    Entry, FIELD_MANAGER, Ownership, Provenance,
    health::{self, Health, Surroundings, World},
    ownership,
};
use serde::Serialize;
use serde_json::Value;
use spec::Diagnostic;

use crate::{
    Error, Result, Session,
    health::{Rules, explaining},
    read, stuck,
};

/// What is known of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Kind, name and namespace.
    pub object: String,
    /// The component it belongs to.
    pub component: String,
    /// uid that the inventory has of it; absent while its creation is pending.
    pub uid: Option<String>,
    /// `ours`, or why it is not.
    pub ownership: String,
    /// `Healthy`, `Current (unverified)`, `Progressing`, `Trouble` or `Failed`; nothing where it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// What it waits for, what is wrong, or what is to be known of its health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether the fields that mimeo owns are as they were applied.
    pub as_applied: bool,
    /// Other field managers that own fields of it.
    pub other_managers: Vec<String>,
    /// Finalizers that a deletion waits for.
    pub finalizers: Vec<String>,
    /// Somebody has deleted it, and it is on its way out.
    pub going: bool,
    /// What keeps it from going, when it is on its way out: each finalizer with its controller.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<String>,
    /// What a teardown does with it.
    pub teardown: String,
}

/// Short names of kinds, as `kubectl api-resources` lists them.
const SHORT_NAMES: [(&str, &str); 16] = [
    ("cj", "CronJob"),
    ("cm", "ConfigMap"),
    ("crd", "CustomResourceDefinition"),
    ("deploy", "Deployment"),
    ("ds", "DaemonSet"),
    ("ep", "Endpoints"),
    ("ing", "Ingress"),
    ("netpol", "NetworkPolicy"),
    ("ns", "Namespace"),
    ("pdb", "PodDisruptionBudget"),
    ("po", "Pod"),
    ("pvc", "PersistentVolumeClaim"),
    ("rs", "ReplicaSet"),
    ("sa", "ServiceAccount"),
    ("sts", "StatefulSet"),
    ("svc", "Service"),
];

/// Whether a kind may be called so: by itself, in the plural, or by its short name, in any case.
fn is_called(kind: &str, word: &str) -> bool {
    let (kind, word) = (kind.to_lowercase(), word.to_lowercase());
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    };
    let short = SHORT_NAMES.iter().any(|(short, long)| *short == word && long.to_lowercase() == kind);
    word == kind || word == plural || short
}

/// Every object of the environment of this name: `Kind/name` or as kubectl takes it (`deploy/name`), or the name
/// alone.
///
/// # Errors
/// When the inventory has none of that name; any failure of a request.
pub async fn account(session: &Session, record: &EnvironmentRecord, wanted: &str) -> Result<Vec<Account>> {
    let stored = session.records.inventory(record).await?;
    let (kind, name) = wanted.split_once('/').map_or((None, wanted), |(kind, name)| (Some(kind), name));
    let matches = |entry: &&Entry| {
        entry.object.name == name && kind.is_none_or(|kind| is_called(&entry.object.kind, kind))
    };
    let entries: Vec<&Entry> = stored.inventory.entries.iter().filter(matches).collect();
    if entries.is_empty() {
        return Err(unknown(wanted, &stored).into());
    }
    let mut accounts = Vec::new();
    for entry in entries {
        accounts.push(one(session, record, entry).await?);
    }
    Ok(accounts)
}

fn unknown(wanted: &str, stored: &StoredInventory) -> Diagnostic {
    let known: Vec<String> = stored.inventory.entries.iter().map(|entry| entry.object.short()).collect();
    Diagnostic::error("ENV024", "the environment has no such object")
        .on(wanted.to_owned())
        .help(spec::near::hint(wanted, "object", known.iter().map(String::as_str)))
}

async fn one(session: &Session, record: &EnvironmentRecord, entry: &Entry) -> Result<Account> {
    let object = &entry.object;
    let live = match session.resource(object).await {
        Ok(resource) => session.cluster.get(&resource, object).await?,
        // The kind is gone, and with it every object of the kind.
        Err(Error::Cluster(cluster::Error::UnknownKind { .. })) => None,
        Err(error) => return Err(error),
    };
    let record_uid = record.uid().unwrap_or_default();
    let who = Provenance { environment: &record.spec.id, record_uid: &record_uid };
    let verdict = match &live {
        None => "it is not there".to_owned(),
        Some(live) => match ownership(live, Some(entry), who) {
            Ownership::Ours { marked: true } => "ours".to_owned(),
            Ownership::Ours { marked: false } => {
                "ours, but somebody removed mimeo's label or field manager".to_owned()
            }
            Ownership::Foreign(why) => why,
        },
    };
    let owned = live.as_ref().and_then(|live| plan::owned_digest(live, FIELD_MANAGER));
    let finalizers = live.as_ref().and_then(|live| live.pointer("/metadata/finalizers")?.as_array().cloned());
    let held_by = match live.as_ref().filter(|live| plan::is_terminating(live)) {
        Some(live) => stuck::explain(session, object, live, &[]).await.detail,
        None => Vec::new(),
    };
    let health = match &live {
        Some(live) => Some(judged(session, record, entry, live).await?),
        None => None,
    };
    let summary = health.as_ref().map(health::summary);
    Ok(Account {
        health: summary.map(|(state, _)| state.to_owned()),
        message: summary.and_then(|(_, message)| message).map(str::to_owned),
        held_by,
        object: object.to_string(),
        component: entry.component.clone(),
        uid: entry.uid.clone(),
        teardown: teardown(record, entry, &verdict, live.as_ref().and_then(plan::keeps)),
        ownership: verdict,
        as_applied: owned.is_some_and(|owned| owned == entry.owned),
        other_managers: live
            .as_ref()
            .map(|live| plan::other_managers(live, FIELD_MANAGER))
            .unwrap_or_default(),
        finalizers: finalizers
            .into_iter()
            .flatten()
            .filter_map(|finalizer| finalizer.as_str().map(str::to_owned))
            .collect(),
        going: live.as_ref().is_some_and(plan::is_terminating),
    })
}

/// The verdict on one live object, with what explains it.
async fn judged(
    session: &Session,
    record: &EnvironmentRecord,
    entry: &Entry,
    live: &Value,
) -> Result<Health> {
    let object = &entry.object;
    let mut around = vec![live.clone()];
    if let Some(namespace) = object.namespace.as_deref() {
        for (group, kind) in explaining(object) {
            let any = read::object(group, "v1", kind, Some(namespace), "");
            let resource = session.resource(&any).await?;
            around.extend(session.cluster.list(&resource, Some(namespace), "").await?.items);
        }
    }
    let world = World::of(&around);
    let rules = Rules::of(&record.spec.health);
    let rule = rules.get(&entry.component, &object.key());
    Ok(health::assess(live, &Surroundings::new(&world).rule(rule.map(AsRef::as_ref))))
}

fn teardown(record: &EnvironmentRecord, entry: &Entry, verdict: &str, keeps: Option<&str>) -> String {
    let spec = &record.spec;
    let owned = spec.namespace_owned.then_some(spec.namespace.as_str());
    let inside = owned.is_some() && entry.object.namespace.as_deref() == owned;
    match (verdict, keeps, plan::phase_of(entry, owned)) {
        ("ours", Some(annotation), _) if !inside => format!("stays: its annotation {annotation} asks for it"),
        ("ours", _, Some(phase)) => format!("is deleted by its uid, in the phase {}", phase.name()),
        _ if inside => "goes with the namespace".to_owned(),
        _ => "is left alone".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_called_as_kubectl_calls_it() {
        for (kind, words) in [
            ("Deployment", vec!["deployment", "Deployments", "deploy"]),
            ("NetworkPolicy", vec!["networkpolicies", "netpol"]),
            ("Ingress", vec!["ingresses", "ing"]),
        ] {
            assert!(words.iter().all(|word| is_called(kind, word)), "{kind}");
        }
        assert!(!is_called("DaemonSet", "deploy"));
        assert!(!is_called("Service", "s"));
    }
}
