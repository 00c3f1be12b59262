//! Records, inventories and receipts: where an environment is remembered.

mod inventory;
mod receipt;

use kube::{CustomResourceExt as _, ResourceExt as _};
use plan::ObjectRef;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{Cluster, Deleted, EnvironmentRecord, Error, Propagation, Receipt, Resource, Result, api};

pub use inventory::StoredInventory;

/// Access to the records in one namespace.
#[derive(Clone)]
pub struct Records {
    pub(crate) cluster: Cluster,
    namespace: String,
}

impl Records {
    /// Records in a namespace, usually [`api::SYSTEM_NAMESPACE`].
    #[must_use]
    pub fn new(cluster: &Cluster, namespace: &str) -> Self {
        Self { cluster: cluster.clone(), namespace: namespace.to_owned() }
    }

    /// The namespace of the records.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Reads one record.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] when the cluster does not know the kind; any failure of the request.
    pub async fn get(&self, name: &str) -> Result<Option<EnvironmentRecord>> {
        // A spec's name may be no name of an object: nothing is asked for then.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        {
            return Ok(None);
        }
        let object = self.environment(name);
        let resource = resource_of::<EnvironmentRecord>();
        match self.cluster.get(&resource, &object).await {
            Ok(Some(live)) => parse(&object, live).map(Some),
            Ok(None) => Ok(None),
            Err(error @ Error::Api { code: 404, .. }) => {
                self.ensure_installed().await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Finds a record by the id of its environment; `None` for everything that is no id.
    ///
    /// # Errors
    /// Any failure of the request.
    pub async fn by_id(&self, id: &str) -> Result<Option<EnvironmentRecord>> {
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let resource = resource_of::<EnvironmentRecord>();
        let selector = format!("{}={id}", plan::ENVIRONMENT_LABEL);
        let listing = self.cluster.list(&resource, Some(&self.namespace), &selector).await?;
        listing.items.into_iter().next().map(|item| parse(&self.environment("?"), item)).transpose()
    }

    /// A 404 for a record can also mean that the kind does not exist: only then a second look is taken.
    async fn ensure_installed(&self) -> Result<()> {
        let path = "/apis/mimeo.dev/v1alpha1";
        match self.cluster.discovery(path, "the API mimeo.dev/v1alpha1").await? {
            Some(_) => Ok(()),
            None => Err(self.cluster.not_installed().await),
        }
    }

    /// All records.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] when the cluster does not know the kind; any failure of the request.
    pub async fn list(&self) -> Result<Vec<EnvironmentRecord>> {
        Ok(self.list_all().await?.0)
    }

    /// All records, and the names of those that cannot be read: one that somebody wrote by hand must not stop
    /// everybody's commands. A status that cannot be read counts as none.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn list_all(&self) -> Result<(Vec<EnvironmentRecord>, Vec<String>)> {
        let resource = resource_of::<EnvironmentRecord>();
        match self.cluster.list(&resource, Some(&self.namespace), "").await {
            Ok(listing) => {
                let (mut records, mut broken) = (Vec::new(), Vec::new());
                for mut item in listing.items {
                    let name = plan::text(&item, &["metadata", "name"]).unwrap_or("?").to_owned();
                    let object = self.environment(&name);
                    let whole = parse(&object, item.clone());
                    let read = whole.or_else(|_| {
                        item.as_object_mut().map(|fields| fields.remove("status"));
                        parse(&object, item)
                    });
                    match read {
                        Ok(record) => records.push(record),
                        Err(error) => broken.push(format!("{name}: {error}")),
                    }
                }
                Ok((records, broken))
            }
            Err(Error::Api { code: 404, .. }) => Err(self.cluster.not_installed().await),
            Err(error) => Err(error),
        }
    }

    /// Creates a record. The finalizer is part of it from the first write.
    ///
    /// # Errors
    /// 409 when it exists; [`Error::NotInstalled`].
    pub async fn create(&self, record: &EnvironmentRecord) -> Result<EnvironmentRecord> {
        let object = self.environment(&record.name_any());
        let manifest = to_value(&object, record)?;
        match self.cluster.create(&resource_of::<EnvironmentRecord>(), &object, &manifest).await {
            Ok(live) => parse(&object, live),
            Err(Error::Api { code: 404, .. }) => Err(self.cluster.not_installed().await),
            Err(error) => Err(error),
        }
    }

    /// Writes a record under its lease. What others wrote meanwhile that is not the record's own content,
    /// such as an annotation or the garbage collector's status, stays.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a newer run has written the record, or it is another one; any failure of the
    /// request.
    pub async fn replace(&self, record: &EnvironmentRecord) -> Result<EnvironmentRecord> {
        let object = self.environment(&record.name_any());
        let resource = resource_of::<EnvironmentRecord>();
        let mut next = record.clone();
        for _ in 0..5 {
            let error = match self.cluster.replace(&resource, &object, &to_value(&object, &next)?).await {
                Ok(live) => return parse(&object, live),
                Err(error @ Error::Api { code: 409, .. }) => overtaken(error, &object.name),
                Err(error) => return Err(error),
            };
            match self.get(&object.name).await? {
                Some(live) if live.uid() == record.uid() && live.spec.epoch <= record.spec.epoch => {
                    let kept = next.finalizers().iter().any(|name| name == api::TEARDOWN_FINALIZER);
                    next.metadata = live.metadata;
                    next.finalizers_mut().retain(|name| kept || name != api::TEARDOWN_FINALIZER);
                }
                _ => return Err(error),
            }
        }
        Err(Error::Fenced { environment: object.name })
    }

    /// Writes what the garbage collector remembers. No lease is needed: nobody else writes the status.
    ///
    /// # Errors
    /// 404 when the record is gone; any failure of the request.
    pub async fn write_status(&self, record: &EnvironmentRecord) -> Result<()> {
        let object = self.environment(&record.name_any());
        let status = to_value(&object, record)?["status"].take();
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": record.uid()},
            {"op": "add", "path": "/status", "value": status},
        ]);
        self.cluster.patch_status(&resource_of::<EnvironmentRecord>(), &object, &patch).await
    }

    /// Tells about a record in an Event, once for each `key`.
    ///
    /// # Errors
    /// Any failure of the request.
    pub async fn warn(
        &self,
        record: &EnvironmentRecord,
        reason: &str,
        message: &str,
        key: &str,
    ) -> Result<()> {
        let now = self.cluster.now().to_string();
        let about = self.environment(&record.name_any());
        let event = ObjectRef {
            group: String::new(),
            version: "v1".to_owned(),
            kind: "Event".to_owned(),
            namespace: about.namespace.clone(),
            name: format!("{}.{key}", about.name),
        };
        let manifest = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": event.name, "namespace": event.namespace},
            "involvedObject": {
                "apiVersion": about.api_version(), "kind": about.kind, "name": about.name,
                "namespace": about.namespace, "uid": record.uid(),
            },
            "type": "Warning", "reason": reason, "message": message.chars().take(1000).collect::<String>(),
            "source": {"component": "mimeo"}, "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        });
        let resource = Resource {
            group: String::new(),
            version: "v1".to_owned(),
            kind: "Event".to_owned(),
            plural: "events".to_owned(),
            namespaced: true,
        };
        match self.cluster.create(&resource, &event, &manifest).await {
            Ok(_) | Err(Error::Api { code: 409, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes a record by uid, then takes the teardown finalizer away: the last two writes of a teardown.
    ///
    /// # Errors
    /// Any failure of the requests.
    pub async fn remove(&self, record: &EnvironmentRecord) -> Result<()> {
        let resource = resource_of::<EnvironmentRecord>();
        let object = self.environment(&record.name_any());
        let uid = record.uid().unwrap_or_default();
        // A run that was killed may have deleted it already: once is enough.
        if record.metadata.deletion_timestamp.is_none() {
            match self.cluster.delete(&resource, &object, &uid, Propagation::Background).await? {
                Deleted::Absent | Deleted::Replaced => return Ok(()),
                Deleted::Accepted => {}
            }
        }
        let Some(mut live) = self.get(&record.name_any()).await? else { return Ok(()) };
        if live.uid() != record.uid() {
            return Ok(());
        }
        live.finalizers_mut().retain(|finalizer| finalizer != api::TEARDOWN_FINALIZER);
        match self.replace(&live).await {
            Ok(_) | Err(Error::Api { code: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn environment(&self, name: &str) -> ObjectRef {
        self.object("Environment", name)
    }

    pub(crate) fn object(&self, kind: &str, name: &str) -> ObjectRef {
        ObjectRef {
            group: "mimeo.dev".to_owned(),
            version: "v1alpha1".to_owned(),
            kind: kind.to_owned(),
            namespace: Some(self.namespace.clone()),
            name: name.to_owned(),
        }
    }
}

/// Only runs of mimeo write these objects: a conflict means that another one does.
fn overtaken(error: Error, environment: &str) -> Error {
    match error {
        Error::Api { code: 409, .. } => Error::Fenced { environment: environment.to_owned() },
        other => other,
    }
}

pub(crate) fn resource_of<K: kube::Resource<DynamicType = ()> + kube::CustomResourceExt>() -> Resource {
    let api = K::api_resource();
    Resource { group: api.group, version: api.version, kind: api.kind, plural: api.plural, namespaced: true }
}

pub(crate) fn parse<K: DeserializeOwned>(object: &ObjectRef, live: Value) -> Result<K> {
    serde_json::from_value(live)
        .map_err(|error| Error::Answer { subject: object.to_string(), cause: error.to_string() })
}

pub(crate) fn to_value<K: Serialize>(object: &ObjectRef, value: &K) -> Result<Value> {
    let mut value = serde_json::to_value(value)
        .map_err(|error| Error::Answer { subject: object.to_string(), cause: error.to_string() })?;
    value["apiVersion"] = json!(object.api_version());
    value["kind"] = json!(object.kind);
    Ok(value)
}

/// The CustomResourceDefinitions of mimeo's own kinds.
#[must_use]
pub fn definitions() -> Vec<Value> {
    [EnvironmentRecord::crd(), api::Inventory::crd(), Receipt::crd(), api::PullRequest::crd()]
        .iter()
        .filter_map(|crd| serde_json::to_value(crd).ok())
        .collect()
}
