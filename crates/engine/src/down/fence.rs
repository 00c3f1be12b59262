//! What the record says of a teardown: that it has begun, how far it is, what blocks it.

use cluster::{State, Teardown};
use plan::{Phase, teardown};

use super::Run;
use crate::{Error, Result};

impl Run<'_> {
    /// From here on nothing is applied any more: `up` refuses an environment in this state. The same write
    /// names the first phase.
    pub(super) async fn fence(&mut self) -> Result<()> {
        if self.record.spec.state == State::Deleting && self.record.spec.epoch == self.lease.epoch() {
            return Ok(());
        }
        self.lease.check()?;
        let first = self.first_phase();
        let spec = &mut self.record.spec;
        spec.state = State::Deleting;
        spec.epoch = self.lease.epoch();
        spec.message = None;
        let begun = spec.teardown.take().unwrap_or_else(|| Teardown {
            started: self.session.cluster.now().to_string(),
            ..Teardown::default()
        });
        spec.teardown = Some(Teardown {
            reason: begun.reason.or_else(|| self.options.reason.clone()),
            phase: begun.phase.or(first.map(|phase| phase.name().to_owned())),
            blocked: Vec::new(),
            started: begun.started,
        });
        self.record = self.session.records.replace(&self.record).await?;
        Ok(())
    }

    fn first_phase(&self) -> Option<Phase> {
        if !self.options.skip_hooks && !self.record.spec.before_delete.is_empty() {
            return Some(Phase::Hooks);
        }
        teardown(&self.stored.inventory, self.owned_namespace()).first().map(|phase| phase.phase)
    }

    /// Records that a phase begins; costs nothing where the record knows of it or of a later one.
    pub(super) async fn reach(&mut self, phase: Phase) -> Result<()> {
        self.session.phase(format!("deleting: {}", phase.name()));
        let Some(teardown) = &mut self.record.spec.teardown else { return Ok(()) };
        if teardown.phase.as_deref().and_then(Phase::named) >= Some(phase) {
            return Ok(());
        }
        self.lease.check()?;
        teardown.phase = Some(phase.name().to_owned());
        self.record = self.session.records.replace(&self.record).await?;
        Ok(())
    }

    /// Notes in the record what blocks the teardown. The record stays, and with it the environment's name.
    pub(super) async fn blocked(mut self, error: Error) -> Error {
        if error.is_fenced() || self.session.keep_going().is_err() {
            return error;
        }
        let findings = error.diagnostics();
        let spec = &mut self.record.spec;
        spec.state = State::DeleteBlocked;
        let causes: Vec<String> = findings.iter().map(ToString::to_string).collect();
        spec.message = Some(causes.join("; "));
        if let Some(teardown) = &mut spec.teardown {
            teardown.blocked = findings
                .into_iter()
                .flat_map(|finding| std::iter::once(finding.to_string()).chain(finding.detail))
                .collect();
        }
        if let Err(error) = self.session.records.replace(&self.record).await {
            tracing::debug!(%error, "what blocks the teardown could not be recorded");
        }
        error
    }
}
