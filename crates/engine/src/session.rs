//! What every command that talks to a cluster has in hand.

use cluster::{Cluster, Kinds, Records};
use plan::ObjectRef;

use crate::{Event, Result};

/// A cluster, the place of the records, and somebody who is told what happens.
pub struct Session {
    /// The connection.
    pub cluster: Cluster,
    /// Records, inventories, receipts.
    pub records: Records,
    /// Kinds looked up so far.
    pub kinds: Kinds,
    listener: Box<dyn Fn(Event) + Send + Sync>,
}

impl Session {
    /// A session over a connection; records live in `record_namespace`.
    #[must_use]
    pub fn new(cluster: Cluster, record_namespace: &str, listener: Box<dyn Fn(Event) + Send + Sync>) -> Self {
        let records = Records::new(&cluster, record_namespace);
        Self { cluster, records, kinds: Kinds::default(), listener }
    }

    pub(crate) fn tell(&self, event: Event) {
        (self.listener)(event);
    }

    pub(crate) fn phase(&self, text: impl Into<String>) {
        self.tell(Event::Phase(text.into()));
    }

    pub(crate) async fn resource(&self, object: &ObjectRef) -> Result<cluster::Resource> {
        Ok(self.kinds.resolve(&self.cluster, object).await?)
    }
}
