//! Records, inventories and receipts: where an environment is remembered.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
};

use kube::{CustomResourceExt as _, ResourceExt as _};
use plan::{Entry, Inventory, ObjectRef};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    Cluster, Deleted, EnvironmentRecord, Error, InventoryMark, InventorySpec, Propagation, Receipt,
    ReceiptSpec, Resource, Result, api,
};

/// An Inventory object holds at most this many entries on average: about 250 KiB, far below what etcd takes.
const ENTRIES_PER_SHARD: usize = 500;

/// Access to the records in one namespace.
#[derive(Clone)]
pub struct Records {
    pub(crate) cluster: Cluster,
    namespace: String,
}

/// An inventory with what is needed to write it again.
#[derive(Debug, Clone, Default)]
pub struct StoredInventory {
    /// The entries.
    pub inventory: Inventory,
    /// Counts the writes.
    pub generation: u64,
    shards: Vec<Stored>,
}

#[derive(Debug, Clone, Default)]
struct Stored {
    uid: String,
    resource_version: String,
    entries: Vec<Entry>,
}

impl StoredInventory {
    /// What the record has to remember.
    #[must_use]
    pub fn mark(&self) -> InventoryMark {
        InventoryMark {
            shards: self.shards.len(),
            entries: self.inventory.entries.len(),
            generation: self.generation,
        }
    }
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
            None => Err(Error::NotInstalled),
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
            Err(Error::Api { code: 404, .. }) => Err(Error::NotInstalled),
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
            Err(Error::Api { code: 404, .. }) => Err(Error::NotInstalled),
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

    /// Reads the inventory that belongs to a record.
    ///
    /// # Errors
    /// [`Error::Inventory`] when less is there than the record remembers: nothing may be decided then.
    pub async fn inventory(&self, record: &EnvironmentRecord) -> Result<StoredInventory> {
        let resource = resource_of::<api::Inventory>();
        let incomplete = |cause: String| Error::Inventory { environment: record.name_any(), cause };
        let mut stored = StoredInventory::default();
        let mut entries: BTreeMap<plan::Key, (u64, Entry)> = BTreeMap::new();
        // All parts at once, not only as many as the record remembers: a run that was killed may have
        // written one more and not the record.
        let selector = format!("{}={}", plan::ENVIRONMENT_LABEL, record.spec.id);
        let listing = self.cluster.list(&resource, Some(&self.namespace), &selector).await?;
        let mut parts = Vec::new();
        for item in listing.items {
            let part: api::Inventory = parse(&self.shard(&record.spec.id, 0), item)?;
            parts.push(part);
        }
        parts.sort_by_key(|part| part.spec.shard);
        for (number, part) in parts.into_iter().enumerate() {
            if part.spec.shard != number || part.spec.environment != record.spec.id {
                return Err(incomplete(format!("part {number} is missing")));
            }
            stored.generation = stored.generation.max(part.spec.generation);
            for entry in &part.spec.entries {
                let known = entries.get(&entry.object.key()).map_or(0, |(generation, _)| *generation);
                if part.spec.generation >= known {
                    entries.insert(entry.object.key(), (part.spec.generation, entry.clone()));
                }
            }
            stored.shards.push(Stored {
                uid: part.uid().unwrap_or_default(),
                resource_version: part.resource_version().unwrap_or_default(),
                entries: part.spec.entries,
            });
        }
        let mark = &record.spec.inventory;
        if stored.shards.len() < mark.shards || stored.generation < mark.generation {
            return Err(incomplete(format!(
                "the record remembers {} parts at generation {}, the cluster has {} at {}",
                mark.shards,
                mark.generation,
                stored.shards.len(),
                stored.generation
            )));
        }
        stored.inventory.entries = entries.into_values().map(|(_, entry)| entry).collect();
        stored.inventory.sort();
        Ok(stored)
    }

    /// Writes the parts of an inventory that changed. New parts come first, so that at every moment
    /// the union of the parts holds everything.
    ///
    /// # Errors
    /// Any failure of the requests; 409 when another run wrote in between.
    pub async fn write_inventory(
        &self,
        record: &EnvironmentRecord,
        stored: &mut StoredInventory,
    ) -> Result<()> {
        let resource = resource_of::<api::Inventory>();
        stored.inventory.sort();
        let count =
            stored.inventory.entries.len().div_ceil(ENTRIES_PER_SHARD).max(stored.shards.len()).max(1);
        let mut parts: Vec<Vec<Entry>> = vec![Vec::new(); count];
        for entry in &stored.inventory.entries {
            parts[shard_of(entry, count)].push(entry.clone());
        }
        let generation = stored.generation + 1;
        let fresh = stored.shards.len();
        // New parts in ascending order, so that their numbers never have a gap; then the known ones.
        let order: Vec<usize> = (fresh..count).chain(0..fresh).collect();
        for shard in order {
            let entries = std::mem::take(&mut parts[shard]);
            let known = stored.shards.get(shard);
            if known.is_some_and(|known| known.entries == entries) {
                continue;
            }
            let object = self.shard(&record.spec.id, shard);
            let spec = InventorySpec {
                environment: record.spec.id.clone(),
                shard,
                generation,
                entries: entries.clone(),
            };
            let mut part = api::Inventory::new(&object.name, spec);
            part.metadata.namespace = Some(self.namespace.clone());
            part.metadata.labels =
                Some([(plan::ENVIRONMENT_LABEL.to_owned(), record.spec.id.clone())].into_iter().collect());
            let live = match known {
                None => self.cluster.create(&resource, &object, &to_value(&object, &part)?).await,
                Some(known) => {
                    part.metadata.resource_version = Some(known.resource_version.clone());
                    self.cluster.replace(&resource, &object, &to_value(&object, &part)?).await
                }
            };
            let live = live.map_err(|error| overtaken(error, &record.name_any()))?;
            let live: api::Inventory = parse(&object, live)?;
            let stored_part = Stored {
                uid: live.uid().unwrap_or_default(),
                resource_version: live.resource_version().unwrap_or_default(),
                entries,
            };
            match stored.shards.get_mut(shard) {
                Some(known) => *known = stored_part,
                None => stored.shards.push(stored_part),
            }
        }
        stored.generation = generation;
        Ok(())
    }

    /// Deletes every part of an inventory, each by its uid.
    ///
    /// # Errors
    /// Any failure of the requests.
    pub async fn remove_inventory(&self, record: &EnvironmentRecord, stored: &StoredInventory) -> Result<()> {
        let resource = resource_of::<api::Inventory>();
        for (shard, part) in stored.shards.iter().enumerate().rev() {
            let object = self.shard(&record.spec.id, shard);
            self.cluster.delete(&resource, &object, &part.uid, Propagation::Background).await?;
        }
        Ok(())
    }

    /// Writes a receipt. Its name follows from the record, so that a teardown that was cut short and
    /// started again writes one receipt, not two.
    ///
    /// # Errors
    /// Any failure of the request but that the receipt exists.
    pub async fn write_receipt(&self, spec: ReceiptSpec) -> Result<Receipt> {
        let resource = resource_of::<Receipt>();
        let name = receipt_name(&spec.environment, &spec.record_uid);
        let object = self.object("Receipt", &name);
        let mut receipt = Receipt::new(&name, spec);
        receipt.metadata.namespace = Some(self.namespace.clone());
        match self.cluster.create(&resource, &object, &to_value(&object, &receipt)?).await {
            Ok(live) => parse(&object, live),
            // One that proves nothing yields to one that does.
            Err(Error::Api { code: 409, .. }) => match self.cluster.get(&resource, &object).await? {
                Some(live) => {
                    let known: Receipt = parse(&object, live)?;
                    if receipt.spec.proven && !known.spec.proven {
                        self.replace_receipt(&Receipt { metadata: known.metadata, ..receipt.clone() })
                            .await?;
                    }
                    Ok(receipt)
                }
                None => Ok(receipt),
            },
            Err(error) => Err(error),
        }
    }

    /// Writes a receipt that was read; 409 when somebody else wrote in between.
    ///
    /// # Errors
    /// Any failure of the request.
    pub async fn replace_receipt(&self, receipt: &Receipt) -> Result<()> {
        let object = self.object("Receipt", &receipt.name_any());
        let manifest = to_value(&object, receipt)?;
        self.cluster.replace(&resource_of::<Receipt>(), &object, &manifest).await.map(|_| ())
    }

    /// All receipts, oldest first.
    ///
    /// # Errors
    /// Any failure of the request.
    pub async fn receipts(&self) -> Result<Vec<Receipt>> {
        let listing = self.cluster.list(&resource_of::<Receipt>(), Some(&self.namespace), "").await?;
        let object = self.object("Receipt", "?");
        let mut all: Vec<Receipt> =
            listing.items.into_iter().map(|item| parse(&object, item)).collect::<Result<_>>()?;
        all.sort_by(|a, b| a.spec.finished.cmp(&b.spec.finished));
        Ok(all)
    }

    /// The receipt of a record, when its teardown came that far.
    ///
    /// # Errors
    /// Any failure of the request.
    pub async fn receipt_of(&self, record: &EnvironmentRecord) -> Result<Option<Receipt>> {
        let object =
            self.object("Receipt", &receipt_name(&record.name_any(), &record.uid().unwrap_or_default()));
        match self.cluster.get(&resource_of::<Receipt>(), &object).await? {
            Some(live) => parse(&object, live).map(Some),
            None => Ok(None),
        }
    }

    fn environment(&self, name: &str) -> ObjectRef {
        self.object("Environment", name)
    }

    fn shard(&self, id: &str, shard: usize) -> ObjectRef {
        self.object("Inventory", &format!("inv-{id}-{shard}"))
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

fn receipt_name(environment: &str, record_uid: &str) -> String {
    format!("{environment}-{}", record_uid.get(..8).unwrap_or("record"))
}

/// Stable across versions of the program would be better than the standard hasher, but an entry that
/// moves to another part is only written once more: the union of the parts stays the same.
fn shard_of(entry: &Entry, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    entry.object.key().hash(&mut hasher);
    usize::try_from(hasher.finish() % count as u64).unwrap_or_default()
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
