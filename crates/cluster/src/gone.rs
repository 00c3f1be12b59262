//! Waiting until an object is gone: by watch, and only the object with that uid counts.

use std::time::Duration;

use kube::{
    Api,
    api::{ApiResource, DynamicObject},
    runtime::wait::{await_condition, conditions::is_deleted},
};
use plan::ObjectRef;

use crate::{Cluster, Resource, Result};

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
        match tokio::time::timeout(patience, await_condition(api, &object.name, is_deleted(uid))).await {
            Err(_) => Ok(false),
            Ok(Ok(_)) => Ok(true),
            // A watch that breaks says nothing: one live read decides.
            Ok(Err(error)) => match self.get(resource, object).await {
                Ok(live) => Ok(live.as_ref().and_then(plan::uid) != Some(uid)),
                Err(_) => {
                    tracing::debug!(%error, "the watch broke");
                    Err(crate::Error::Unreachable {
                        server: self.server().to_owned(),
                        cause: crate::connect::chain(&error),
                    })
                }
            },
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
