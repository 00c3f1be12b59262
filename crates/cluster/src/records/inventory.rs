//! What an environment owns, in parts that etcd takes.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
};

use kube::ResourceExt as _;
use plan::{Entry, Inventory, ObjectRef};

use super::{Records, overtaken, parse, resource_of, to_value};
use crate::{EnvironmentRecord, Error, InventoryMark, InventorySpec, Propagation, Result, api};

/// An Inventory object holds at most this many entries on average: about 250 KiB, far below what etcd takes.
const ENTRIES_PER_SHARD: usize = 500;

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
    name: String,
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
                name: part.name_any(),
                uid: part.uid().unwrap_or_default(),
                resource_version: part.resource_version().unwrap_or_default(),
                entries: part.spec.entries,
            });
        }
        stored.inventory.entries = entries.into_values().map(|(_, entry)| entry).collect();
        stored.inventory.sort();
        match lacks(&record.spec.inventory, &stored.mark()) {
            Some(cause) => Err(incomplete(format!("{cause}, in namespace {}", self.namespace))),
            None => Ok(stored),
        }
    }

    /// Whatever is left of an inventory, whole or not: for whoever only removes it.
    ///
    /// # Errors
    /// Any failure of the request.
    pub async fn inventory_remains(&self, id: &str) -> Result<StoredInventory> {
        let mut stored = StoredInventory::default();
        let selector = format!("{}={id}", plan::ENVIRONMENT_LABEL);
        let listing =
            self.cluster.list(&resource_of::<api::Inventory>(), Some(&self.namespace), &selector).await?;
        for item in listing.items {
            let part: api::Inventory = parse(&self.shard(id, 0), item)?;
            if part.spec.environment != id {
                continue;
            }
            stored.inventory.entries.extend(part.spec.entries.iter().cloned());
            stored.shards.push(Stored {
                name: part.name_any(),
                uid: part.uid().unwrap_or_default(),
                resource_version: part.resource_version().unwrap_or_default(),
                entries: part.spec.entries,
            });
        }
        Ok(stored)
    }

    /// Ids of environments that have an inventory and no record, as when somebody took the record's finalizer off:
    /// a teardown removes the inventory first.
    ///
    /// # Errors
    /// Any failure of the requests.
    pub async fn forsaken(&self) -> Result<BTreeSet<String>> {
        let listing = self.cluster.list(&resource_of::<api::Inventory>(), Some(&self.namespace), "").await?;
        let ids = listing.items.iter().filter_map(|part| plan::text(part, &["spec", "environment"]));
        let mut ids: BTreeSet<String> = ids.map(str::to_owned).collect();
        // In this order: a record comes before its inventory and goes after it.
        if !ids.is_empty() {
            let (records, broken) = self.list_all().await?;
            let living: BTreeSet<&str> = records.iter().map(|record| record.spec.id.as_str()).collect();
            // What a record says that cannot be read, nobody knows.
            ids.retain(|id| broken.is_empty() && !living.contains(id.as_str()));
        }
        Ok(ids)
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
                name: object.name.clone(),
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
    pub async fn remove_inventory(&self, stored: &StoredInventory) -> Result<()> {
        let resource = resource_of::<api::Inventory>();
        for part in stored.shards.iter().rev() {
            let object = self.object("Inventory", &part.name);
            self.cluster.delete(&resource, &object, &part.uid, Propagation::Background).await?;
        }
        Ok(())
    }

    fn shard(&self, id: &str, shard: usize) -> ObjectRef {
        self.object("Inventory", &format!("inv-{id}-{shard}"))
    }
}

/// Stable across versions of the program would be better than the standard hasher, but an entry that
/// moves to another part is only written once more: the union of the parts stays the same.
fn shard_of(entry: &Entry, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    entry.object.key().hash(&mut hasher);
    usize::try_from(hasher.finish() % count as u64).unwrap_or_default()
}

/// What a stored inventory lacks of what its record remembers. One that was written later may be smaller: a run was
/// killed before it wrote the record. At the same generation it is the same inventory, or somebody changed it.
fn lacks(remembered: &InventoryMark, stored: &InventoryMark) -> Option<String> {
    if stored.shards < remembered.shards || stored.generation < remembered.generation {
        return Some(format!(
            "the record remembers {} parts at generation {}, the cluster has {} at {}",
            remembered.shards, remembered.generation, stored.shards, stored.generation
        ));
    }
    (stored.generation == remembered.generation && stored.entries < remembered.entries).then(|| {
        format!(
            "the record remembers {} entries at generation {}, the cluster has {}",
            remembered.entries, remembered.generation, stored.entries
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(shards: usize, entries: usize, generation: u64) -> InventoryMark {
        InventoryMark { shards, entries, generation }
    }

    #[test]
    fn an_entry_that_somebody_removed_is_missed() {
        let remembered = mark(1, 2, 3);
        assert_eq!(lacks(&remembered, &mark(1, 2, 3)), None);
        let text = lacks(&remembered, &mark(1, 1, 3)).unwrap();
        assert_eq!(text, "the record remembers 2 entries at generation 3, the cluster has 1");
    }

    #[test]
    fn what_was_written_after_the_record_may_be_smaller() {
        assert_eq!(lacks(&mark(1, 2, 3), &mark(1, 1, 4)), None);
        assert_eq!(lacks(&mark(0, 0, 0), &mark(1, 5, 1)), None);
    }

    #[test]
    fn a_part_or_a_generation_that_is_lost_is_missed() {
        assert!(lacks(&mark(2, 2, 3), &mark(1, 2, 3)).is_some());
        assert!(lacks(&mark(1, 2, 3), &mark(1, 2, 2)).is_some());
        assert!(lacks(&mark(2, 2, 3), &mark(1, 2, 9)).is_some());
    }
}
