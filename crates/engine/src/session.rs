//! What every command that talks to a cluster has in hand.

use std::sync::Arc;

use cluster::{Cluster, Kinds, Records};
use plan::ObjectRef;
use spec::{Category, Diagnostic};
use tokio::sync::{OnceCell, watch};

use crate::{Error, Event, Result, stuck::Programs};

/// A cluster, the place of the records, and somebody who is told what happens.
pub struct Session {
    /// The connection.
    pub cluster: Cluster,
    /// Records, inventories, receipts.
    pub records: Records,
    /// Kinds looked up so far.
    pub kinds: Kinds,
    pub(crate) programs: Programs,
    caller: OnceCell<String>,
    listener: Arc<dyn Fn(Event) + Send + Sync>,
    stop: Option<watch::Receiver<bool>>,
}

impl Session {
    /// A session over a connection; records live in `record_namespace`.
    #[must_use]
    pub fn new(cluster: Cluster, record_namespace: &str, listener: Box<dyn Fn(Event) + Send + Sync>) -> Self {
        let records = Records::new(&cluster, record_namespace);
        let listener: Arc<dyn Fn(Event) + Send + Sync> = listener.into();
        let (told, server) = (Arc::clone(&listener), cluster.server().to_owned());
        cluster.when_silent(move |since| {
            told(Event::Waiting(vec![format!("{server} ({} s)", since.as_secs())]))
        });
        Self {
            cluster,
            records,
            kinds: Kinds::default(),
            programs: Programs::default(),
            caller: OnceCell::new(),
            listener,
            stop: None,
        }
    }

    /// The same session, for somebody who may want it to stop: writes under way are finished, no further one
    /// begins, and what was reached is recorded.
    #[must_use]
    pub fn stopped_by(mut self, stop: watch::Receiver<bool>) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Asked before every write.
    pub(crate) fn keep_going(&self) -> Result<()> {
        match self.stop.as_ref().is_some_and(|stop| *stop.borrow()) {
            false => Ok(()),
            true => Err(Diagnostic::new("RUN001", Category::Refused, "stopped before everything was done")
                .help("What was done is recorded: run the same command again to go on")
                .into()),
        }
    }

    /// Ends when somebody wants the session to stop.
    pub(crate) async fn stopped(&self) {
        let waited = match self.stop.clone() {
            Some(mut stop) => stop.wait_for(|stop| *stop).await.is_ok(),
            None => false,
        };
        if !waited {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for something that is no write, unless the session is to stop.
    pub(crate) async fn waiting<T, E: Into<Error>>(
        &self,
        work: impl Future<Output = std::result::Result<T, E>>,
    ) -> Result<T> {
        tokio::select! {
            done = work => done.map_err(Into::into),
            () = self.stopped() => self.keep_going().and_then(|()| Err(Error::Found(Vec::new()))),
        }
    }

    /// The name under which the server knows the caller, asked once.
    pub(crate) async fn caller(&self) -> Result<&str> {
        let name = self.caller.get_or_try_init(|| self.cluster.whoami()).await;
        Ok(name?)
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
