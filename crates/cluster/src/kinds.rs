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

impl Cluster {
    /// Why mimeo's own kinds are not there: nobody installed them, or this is no Kubernetes API at all. Everybody
    /// may ask an API server for its version.
    pub async fn not_installed(&self) -> Error {
        let subject = self.server().to_owned();
        let cause = "it answers, but is no Kubernetes API".to_owned();
        match self.discovery("/version", &subject).await {
            Ok(Some(version)) if version.get("gitVersion").is_some() => Error::NotInstalled,
            Ok(_) => Error::Answer { subject, cause },
            // Who refuses is an API server.
            Err(Error::Api { code: 401 | 403, .. }) => Error::NotInstalled,
            Err(error) => error,
        }
    }
}

/// Kinds looked up so far.
#[derive(Clone, Default)]
pub struct Kinds {
    discovered: Arc<Mutex<Discovered>>,
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
        let mut discovered = self.discovered.lock().await;
        let asked = ask(cluster, &mut discovered, &object.group, &object.version).await?;
        if let Some(resource) = find(asked, object) {
            return Ok(resource);
        }
        // That version may have gone while the objects stay: every version of a kind shows the same ones.
        for version in versions(cluster, &object.group).await? {
            let asked = ask(cluster, &mut discovered, &object.group, &version).await?;
            if let Some(resource) = find(asked, object) {
                return Ok(resource);
            }
            // Two answers that contradict each other: a proxy's page, or a server that lags behind.
            if asked.is_none() {
                discovered.remove(&group_version(&object.group, &version));
                return Err(Error::Answer {
                    subject: format!("the API {}", group_version(&object.group, &version)),
                    cause: "the list of API groups has it, and yet it is answered with 404".to_owned(),
                });
            }
        }
        Err(Error::UnknownKind { api_version: object.api_version(), kind: object.kind.clone() })
    }

    /// Finds a resource by its plural and group, as conditions of namespaces name it; `None` when the server
    /// does not have it.
    ///
    /// # Errors
    /// Any failure of the requests.
    pub async fn named(&self, cluster: &Cluster, plural: &str, group: &str) -> Result<Option<Resource>> {
        let known = BUILT_IN.iter().find(|(own, _, _, name, _)| *own == group && *name == plural);
        if let Some(known) = known {
            return Ok(Some(resource_of(known)));
        }
        let mut discovered = self.discovered.lock().await;
        let versions =
            if group.is_empty() { vec!["v1".to_owned()] } else { versions(cluster, group).await? };
        for version in versions {
            let asked = ask(cluster, &mut discovered, group, &version).await?;
            let found = asked.unwrap_or_default().iter().find(|resource| resource.plural == plural);
            if let Some(resource) = found {
                return Ok(Some(resource.clone()));
            }
        }
        Ok(None)
    }

    /// Of a kind, the wanted versions that the server serves; where it serves none of them, those it does serve.
    ///
    /// # Errors
    /// Any failure of a request.
    pub async fn served(
        &self,
        cluster: &Cluster,
        group: &str,
        kind: &str,
        wanted: &[String],
    ) -> Result<Vec<String>> {
        let mut discovered = self.discovered.lock().await;
        let mut served = Vec::new();
        for version in wanted {
            let asked = ask(cluster, &mut discovered, group, version).await?;
            if asked.unwrap_or_default().iter().any(|resource| resource.kind == kind) {
                served.push(version.clone());
            }
        }
        if !served.is_empty() {
            return Ok(served);
        }
        for version in versions(cluster, group).await? {
            let asked = ask(cluster, &mut discovered, group, &version).await?;
            if asked.unwrap_or_default().iter().any(|resource| resource.kind == kind)
                && !served.contains(&version)
            {
                served.push(version);
            }
        }
        Ok(served)
    }

    /// Whether a kind that discovery does not show has left the server, and every object of it too: the description
    /// of the whole API does not have it either, and nothing defines it. That description may lag behind, and it is
    /// silent about a definition none of whose versions is served: then the kind is not gone.
    ///
    /// # Errors
    /// Any failure of a request, as where the definitions may not be read; an answer that is no such description.
    pub async fn is_gone(&self, cluster: &Cluster, group: &str, kind: &str) -> Result<bool> {
        let subject = "the description of the API";
        let refuse = |cause: &str| Error::Answer { subject: subject.to_owned(), cause: cause.to_owned() };
        let index = cluster.discovery("/openapi/v3", subject).await?;
        let paths = index.as_ref().and_then(|index| index.get("paths")?.as_object());
        // What every server has is there, or this is nobody's API.
        let paths = paths
            .filter(|paths| paths.contains_key("apis/apps/v1"))
            .ok_or_else(|| refuse("it lacks what every API server has"))?;
        // Core kinds never leave.
        if group.is_empty() {
            return Ok(false);
        }
        let prefix = format!("apis/{group}/");
        for path in paths.keys().filter(|path| path.starts_with(&prefix)) {
            let version = cluster.discovery(&format!("/openapi/v3/{path}"), subject).await?;
            let schemas =
                version.as_ref().and_then(|version| version.pointer("/components/schemas")?.as_object());
            let schemas = schemas.ok_or_else(|| refuse("a version of it has no schemas"))?;
            let names = schemas
                .values()
                .filter_map(|schema| schema.get("x-kubernetes-group-version-kind")?.as_array());
            if names.flatten().any(|name| name["kind"] == kind && name["group"] == group) {
                return Ok(false);
            }
        }
        let defined = cluster.list(&definitions(), None, "").await?;
        Ok(!defined.items.iter().any(|definition| defines(definition, group, kind)))
    }

    /// Forgets what was discovered, for instance after CustomResourceDefinitions were applied.
    pub async fn forget(&self) {
        self.discovered.lock().await.clear();
    }
}

fn definitions() -> Resource {
    Resource {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
        namespaced: false,
    }
}

/// Whether a CustomResourceDefinition is that of this kind, also by the names that the server has accepted.
fn defines(definition: &Value, group: &str, kind: &str) -> bool {
    let names = ["/spec/names/kind", "/status/acceptedNames/kind"];
    definition.pointer("/spec/group").and_then(Value::as_str) == Some(group)
        && names.iter().any(|name| definition.pointer(name).and_then(Value::as_str) == Some(kind))
}

/// The kinds by group and version; none where the server said that it does not serve that.
type Discovered = HashMap<String, Option<Vec<Resource>>>;

fn group_version(group: &str, version: &str) -> String {
    format!("{group}/{version}")
}

fn find(asked: Option<&[Resource]>, object: &ObjectRef) -> Option<Resource> {
    asked?.iter().find(|resource| resource.kind == object.kind).cloned()
}

/// The kinds of one group and version; none when the server does not serve it.
async fn ask<'a>(
    cluster: &Cluster,
    discovered: &'a mut Discovered,
    group: &str,
    version: &str,
) -> Result<Option<&'a [Resource]>> {
    let key = group_version(group, version);
    if !discovered.contains_key(&key) {
        let resources = discover(cluster, group, version).await?;
        discovered.insert(key.clone(), resources);
    }
    Ok(discovered.get(&key).and_then(Option::as_deref))
}

/// The versions of a group that the server serves, the preferred one first. The list of groups is the
/// second witness that a kind is gone: anything but that list is an error.
async fn versions(cluster: &Cluster, group: &str) -> Result<Vec<String>> {
    let subject = "the list of API groups";
    let list = cluster.discovery("/apis", subject).await?.filter(|list| list["kind"] == "APIGroupList");
    let Some(list) = list else {
        return Err(Error::Answer {
            subject: subject.to_owned(),
            cause: "it is no list of groups".to_owned(),
        });
    };
    let groups = list.get("groups").and_then(Value::as_array).into_iter().flatten();
    let served = groups.filter(|served| served["name"] == group).flat_map(|served| {
        let others = served.get("versions").and_then(Value::as_array).into_iter().flatten();
        served.get("preferredVersion").into_iter().chain(others)
    });
    Ok(served.filter_map(|version| Some(version.get("version")?.as_str()?.to_owned())).collect())
}

async fn discover(cluster: &Cluster, group: &str, version: &str) -> Result<Option<Vec<Resource>>> {
    let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let subject = format!("the API {group}/{version}");
    let Some(list) = cluster.discovery(&path, &subject).await? else {
        return Ok(None);
    };
    let Some(resources) = list.get("resources").and_then(Value::as_array) else {
        return Err(Error::Answer { subject, cause: "it is no list of kinds".to_owned() });
    };
    let known = resources
        .iter()
        .filter_map(|resource| {
            let plural = resource.get("name")?.as_str()?;
            // Subresources such as `deployments/scale`.
            (!plural.contains('/')).then_some(())?;
            Some(Resource {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: resource.get("kind")?.as_str()?.to_owned(),
                plural: plural.to_owned(),
                namespaced: resource.get("namespaced")?.as_bool()?,
            })
        })
        .collect();
    Ok(Some(known))
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
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices", false),
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
        .map(resource_of)
}

fn resource_of(&(group, version, kind, plural, namespaced): &(&str, &str, &str, &str, bool)) -> Resource {
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        namespaced,
    }
}
