//! The record and the inventory, as a run leaves them.

use cluster::{EnvironmentRecord, Lease, State, StoredInventory};
use plan::Inventory;

use crate::{Error, Result, Session, up::Outcome};

/// The inventory of one record, as it is stored.
pub(crate) struct Books<'a> {
    pub record: &'a EnvironmentRecord,
    pub stored: &'a mut StoredInventory,
}

impl Books<'_> {
    /// Writes the inventory, if that changes it.
    ///
    /// # Errors
    /// Any failure of the requests; then what was written before counts as stored.
    pub(crate) async fn write(&mut self, session: &Session, inventory: &Inventory) -> Result<()> {
        let mut sorted = inventory.clone();
        sorted.sort();
        if self.stored.inventory == sorted {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.stored.inventory, sorted);
        let written = session.records.write_inventory(self.record, self.stored).await;
        if written.is_err() {
            self.stored.inventory = before;
        }
        Ok(written?)
    }
}

/// Writes what was reached, also when it is a failure: inventory first, then the record.
pub(crate) async fn finish(
    session: &Session,
    lease: &Lease,
    mut record: EnvironmentRecord,
    mut stored: StoredInventory,
    inventory: Inventory,
    outcome: &Result<Outcome>,
) -> Result<()> {
    let fenced = lease.check().is_err() || outcome.as_ref().err().is_some_and(Error::is_fenced);
    if fenced && outcome.is_err() {
        // The newer run writes from now on.
        return Ok(());
    }
    let written = async {
        Books { record: &record, stored: &mut stored }.write(session, &inventory).await?;
        record.spec.inventory = stored.mark();
        record.spec.state = if outcome.is_ok() { State::Ready } else { State::Failed };
        record.spec.message = outcome
            .as_ref()
            .err()
            .map(|error| error.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        session.records.replace(&record).await?;
        Ok::<(), Error>(())
    };
    match (written.await, outcome) {
        (Err(error), Err(_)) => {
            tracing::debug!(%error, "the failure could not be recorded");
            Ok(())
        }
        (result, _) => result,
    }
}
