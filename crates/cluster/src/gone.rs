//! Waiting until an object is gone: by watch, and only the object with that uid counts.

use std::time::Duration;

use kube::{
    Api,
    api::{ApiResource, DynamicObject},
    runtime::wait::{await_condition, conditions::is_deleted},
};
use plan::ObjectRef;

use crate::{Cluster, Error, Resource, Result};

impl Cluster {
    /// Waits until the object with this uid is gone; false when it is still there after `patience`.
    ///
    /// # Errors
    /// Any failure to watch it.
    pub async fn wait_gone(
        &self,
        resource: &Resource,
        object: &ObjectRef,
        uid: &str,
        patience: Duration,
    ) -> Result<bool> {
        let api: Api<DynamicObject> = match object.namespace.as_deref().filter(|_| resource.namespaced) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &api_resource(resource)),
            None => Api::all_with(self.client.clone(), &api_resource(resource)),
        };
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let wait = await_condition(api.clone(), &object.name, is_deleted(uid));
            match tokio::time::timeout_at(deadline, wait).await {
                Err(_) => return Ok(false),
                Ok(Ok(_)) => return Ok(true),
                // A watch that breaks says nothing: a live read decides, and whether to watch again.
                Ok(Err(error)) => {
                    tracing::debug!(error = crate::connect::chain(&error), "the watch broke");
                    match self.get(resource, object).await {
                        Ok(live) if live.as_ref().and_then(plan::uid) != Some(uid) => return Ok(true),
                        Ok(_) | Err(Error::Unreachable { .. }) => {}
                        Err(error) => return Err(error),
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

/// The same resource as kube names it.
pub(crate) fn api_resource(resource: &Resource) -> ApiResource {
    ApiResource {
        group: resource.group.clone(),
        version: resource.version.clone(),
        api_version: resource.api_version(),
        kind: resource.kind.clone(),
        plural: resource.plural.clone(),
    }
}
