//! Hooks before anything goes.

use plan::Phase;

use super::{Run, phases::is_forbidden};
use crate::{Error, Result, access, hooks};

impl Run<'_> {
    /// Runs the hooks, unless there is nothing any more that they could be run in.
    pub(super) async fn say_goodbye(&mut self) -> Result<()> {
        if self.options.skip_hooks || self.record.spec.before_delete.is_empty() {
            return Ok(());
        }
        if self.namespace_goes().await? {
            return Ok(());
        }
        self.reach(Phase::Hooks).await?;
        match self.hooks().await {
            // The first `up` was killed before it bound anybody, or somebody else brought it up.
            Err(error)
                if is_forbidden(&error) && access::gain(self.session, &self.record, self.lease).await? =>
            {
                self.stored = self.session.records.inventory(&self.record).await?;
                self.hooks().await
            }
            Err(Error::Found(mut found)) => {
                for finding in &mut found {
                    finding.help = Some(
                        "Correct the cause and run `mimeo down` again, or leave the hooks out with --skip-hooks"
                            .to_owned(),
                    );
                }
                Err(Error::Found(found))
            }
            other => other,
        }
    }

    async fn hooks(&mut self) -> Result<()> {
        let timeout = self.options.timeout;
        hooks::before_delete(self.session, &self.record, self.lease, &mut self.stored, timeout).await
    }
}
