//! Deletes phase by phase, each object by its uid after a live read, and proves it gone before the next.

use cluster::{Deleted, Propagation};
use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use plan::{Action, Entry, Ownership, Phase, Provenance, TeardownPhase, ownership, teardown};
use serde_json::Value;
use spec::{Category, Diagnostic};

use super::{Run, definition};
use crate::{Error, Event, Result, access, observe::IN_FLIGHT, read, stuck};

impl Run<'_> {
    pub(super) async fn phases(&mut self) -> Result<()> {
        for mut phase in teardown(&self.stored.inventory, self.owned_namespace()) {
            self.leave_to_namespace(&mut phase).await?;
            if phase.entries.is_empty() {
                continue;
            }
            self.reach(phase.phase).await?;
            let outcome = self.delete_phase(&phase).await;
            if !outcome.as_ref().is_err_and(is_forbidden) {
                outcome?;
                continue;
            }
            // Somebody deleted the namespace meanwhile, and the right to look went with its binding; or the
            // first `up` was killed before it bound anybody; or somebody else brought it up.
            let before = phase.entries.len();
            self.leave_to_namespace(&mut phase).await?;
            if phase.entries.len() == before {
                if !access::gain(self.session, &self.record, self.lease).await? {
                    return outcome;
                }
                self.stored = self.session.records.inventory(&self.record).await?;
            }
            self.delete_phase(&phase).await?;
        }
        Ok(())
    }

    /// Where the namespace is gone or going, nothing in it needs a look any more.
    async fn leave_to_namespace(&self, phase: &mut TeardownPhase) -> Result<()> {
        let inside = |entry: &Entry| {
            entry.object.namespace.is_some() && entry.object.namespace.as_deref() == self.owned_namespace()
        };
        if phase.entries.iter().any(inside) && self.namespace_goes().await? {
            phase.entries.retain(|entry| !inside(entry));
        }
        Ok(())
    }

    /// Whether the environment's own namespace is gone, or going with everything in it.
    pub(super) async fn namespace_goes(&self) -> Result<bool> {
        let Some(namespace) = self.owned_namespace() else { return Ok(false) };
        let object = read::core("Namespace", None, namespace);
        let resource = self.session.resource(&object).await?;
        let Some(live) = self.session.cluster.get(&resource, &object).await? else { return Ok(true) };
        let id = self.record.spec.id.as_str();
        let ours = plan::text(&live, &["metadata", "labels", plan::ENVIRONMENT_LABEL]) == Some(id);
        Ok(plan::is_terminating(&live) && ours)
    }

    async fn delete_phase(&self, phase: &TeardownPhase) -> Result<()> {
        for level in phase.levels() {
            let outcomes: Vec<Result<()>> = stream::iter(level)
                .map(|entry| self.delete_entry(phase.phase, entry))
                .buffer_unordered(IN_FLIGHT)
                .collect()
                .await;
            let found: Vec<Diagnostic> =
                outcomes.into_iter().filter_map(Result::err).flat_map(|error| error.diagnostics()).collect();
            if !found.is_empty() {
                return Err(Error::Found(found));
            }
        }
        Ok(())
    }

    /// Deletes one object if a live read shows that it is ours.
    async fn delete_entry(&self, phase: Phase, entry: &Entry) -> Result<()> {
        let (session, object) = (self.session, &entry.object);
        let Some((resource, live)) = read::live(session, object).await? else { return Ok(()) };
        if let Some(why) = self.stays(entry, &live).await? {
            session.tell(Event::Note(format!("{object} {why}")));
            return Ok(());
        }
        self.lease.check()?;
        session.keep_going()?;
        let uid = plan::uid(&live).unwrap_or_default();
        // A run that was killed may have deleted it already: then it is only waited for.
        let goes = plan::is_terminating(&live)
            || session.cluster.delete(&resource, object, uid, propagation(phase)).await? == Deleted::Accepted;
        let (patience, known) = (self.options.timeout, &self.stored.inventory.entries);
        if goes && !stuck::wait_gone(session, &resource, object, uid, patience, known).await? {
            return Err(stuck::stuck(session, object, known).await.into());
        }
        session.tell(Event::Done {
            action: Action::Delete,
            object: object.clone(),
            component: entry.component.clone(),
        });
        Ok(())
    }

    /// Why a live object is not deleted, if it is not.
    async fn stays(&self, entry: &Entry, live: &Value) -> Result<Option<String>> {
        let object = &entry.object;
        let record_uid = self.record.uid().unwrap_or_default();
        let who = Provenance { environment: &self.record.spec.id, record_uid: &record_uid };
        match ownership(live, Some(entry), who) {
            Ownership::Ours { marked: true } => {}
            Ownership::Ours { marked: false } => {
                return Err(Diagnostic::new(
                    "DEL003",
                    Category::Refused,
                    "somebody removed mimeo's label or field manager: it is not deleted",
                )
                .on(object.to_string())
                .help("Delete it yourself, or give it its label back, and run `mimeo down` again")
                .into());
            }
            Ownership::Foreign(why) => return Ok(Some(format!("is left alone: {why}"))),
        }
        // In a namespace that stays: what is in an owned one goes with it.
        if let Some(annotation) = plan::keeps(live)
            && (object.namespace.is_none() || object.namespace.as_deref() != self.owned_namespace())
        {
            return Ok(Some(format!("is kept: its annotation {annotation} asks for it")));
        }
        Ok(definition::in_use(self.session, object, live).await?.map(|why| format!("is kept: {why}")))
    }
}

/// The pods of a workload or a Job go first, so that the next phase finds none of them.
fn propagation(phase: Phase) -> Propagation {
    match phase {
        Phase::DataJobs | Phase::Workloads => Propagation::Foreground,
        Phase::Hooks
        | Phase::CustomResources
        | Phase::Network
        | Phase::Volumes
        | Phase::Rest
        | Phase::Namespace => Propagation::Background,
    }
}

pub(super) fn is_forbidden(error: &Error) -> bool {
    error.diagnostics().iter().any(|diagnostic| diagnostic.code == "CLU004")
}
