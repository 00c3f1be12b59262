//! Where a kind lives in the API: a table for the built-in kinds, discovery for all others.

use std::{collections::HashMap, sync::Arc};

use plan::ObjectRef;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{Cluster, Error, Result};

/// The resource behind a kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Plural name, as in the URL.
    pub plural: String,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
}

impl Resource {
    /// The URL path of the collection, in a namespace or across the cluster.
    #[must_use]
    pub fn collection(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    /// The URL path of one object.
    #[must_use]
    pub fn object(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}/{name}", self.collection(namespace))
    }

    /// `group/version`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Kinds looked up so far.
#[derive(Clone, Default)]
pub struct Kinds {
    discovered: Arc<Mutex<HashMap<String, Vec<Resource>>>>,
}

impl Kinds {
    /// Finds the resource of an object's kind: in the table, or by one discovery request per group
    /// and version, which is remembered.
    ///
    /// # Errors
    /// [`Error::UnknownKind`] when the server does not have it; any failure of the request.
    pub async fn resolve(&self, cluster: &Cluster, object: &ObjectRef) -> Result<Resource> {
        if let Some(resource) = built_in(object) {
            return Ok(resource);
        }
        let api_version = object.api_version();
        let mut discovered = self.discovered.lock().await;
        if !discovered.contains_key(&api_version) {
            let resources = discover(cluster, object).await?;
            discovered.insert(api_version.clone(), resources);
        }
        discovered
            .get(&api_version)
            .and_then(|resources| resources.iter().find(|resource| resource.kind == object.kind))
            .cloned()
            .ok_or(Error::UnknownKind { api_version, kind: object.kind.clone() })
    }

    /// Forgets what was discovered, for instance after CustomResourceDefinitions were applied.
    pub async fn forget(&self) {
        self.discovered.lock().await.clear();
    }
}

async fn discover(cluster: &Cluster, object: &ObjectRef) -> Result<Vec<Resource>> {
    let path = if object.group.is_empty() {
        format!("/api/{}", object.version)
    } else {
        format!("/apis/{}/{}", object.group, object.version)
    };
    let Some(list) = cluster.get_path(&path, &format!("the API {}", object.api_version())).await? else {
        return Err(Error::UnknownKind { api_version: object.api_version(), kind: object.kind.clone() });
    };
    let resources = list.get("resources").and_then(Value::as_array).into_iter().flatten();
    Ok(resources
        .filter_map(|resource| {
            let plural = resource.get("name")?.as_str()?;
            // Subresources such as `deployments/scale`.
            (!plural.contains('/')).then_some(())?;
            Some(Resource {
                group: object.group.clone(),
                version: object.version.clone(),
                kind: resource.get("kind")?.as_str()?.to_owned(),
                plural: plural.to_owned(),
                namespaced: resource.get("namespaced")?.as_bool()?,
            })
        })
        .collect())
}

/// Kinds that every supported server has at these versions.
const BUILT_IN: &[(&str, &str, &str, &str, bool)] = &[
    ("", "v1", "Namespace", "namespaces", false),
    ("", "v1", "ConfigMap", "configmaps", true),
    ("", "v1", "Secret", "secrets", true),
    ("", "v1", "Service", "services", true),
    ("", "v1", "ServiceAccount", "serviceaccounts", true),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("", "v1", "PersistentVolume", "persistentvolumes", false),
    ("", "v1", "Pod", "pods", true),
    ("", "v1", "Event", "events", true),
    ("", "v1", "LimitRange", "limitranges", true),
    ("", "v1", "ResourceQuota", "resourcequotas", true),
    ("apps", "v1", "Deployment", "deployments", true),
    ("apps", "v1", "StatefulSet", "statefulsets", true),
    ("apps", "v1", "DaemonSet", "daemonsets", true),
    ("apps", "v1", "ReplicaSet", "replicasets", true),
    ("batch", "v1", "Job", "jobs", true),
    ("batch", "v1", "CronJob", "cronjobs", true),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", true),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", true),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true),
    ("coordination.k8s.io", "v1", "Lease", "leases", true),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", true),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", false),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        false,
    ),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false),
    ("mimeo.dev", "v1alpha1", "Environment", "environments", true),
    ("mimeo.dev", "v1alpha1", "Inventory", "inventories", true),
    ("mimeo.dev", "v1alpha1", "Receipt", "receipts", true),
];

fn built_in(object: &ObjectRef) -> Option<Resource> {
    BUILT_IN
        .iter()
        .find(|(group, version, kind, _, _)| {
            *group == object.group && *version == object.version && *kind == object.kind
        })
        .map(|&(group, version, kind, plural, namespaced)| Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced,
        })
}
