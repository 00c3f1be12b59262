//! Read, list, apply, delete: one request each.

use http::{Method, StatusCode};
use plan::{DryRun, FIELD_MANAGER, ObjectRef, Taking};
use serde_json::{Value, json};

use crate::{
    Cluster, Error, Resource, Result,
    request::{Call, NOT_FOUND},
};

/// A complete list, and the resourceVersion at which it was complete.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The objects, with apiVersion and kind.
    pub items: Vec<Value>,
    /// resourceVersion of the list.
    pub resource_version: String,
}

/// What became of a delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// The server accepted it; the object goes once its finalizers are done.
    Accepted,
    /// Nothing of that name is there.
    Absent,
    /// An object of that name is there with another uid: it was not touched.
    Replaced,
}

impl Cluster {
    async fn get_path(&self, path: &str, subject: &str) -> Result<Value> {
        let call = Call {
            verb: "get",
            subject,
            method: Method::GET,
            path: path.to_owned(),
            content_type: "application/json",
            body: None,
        };
        self.call(call).await.map(|(_, value)| value)
    }

    /// Reads a discovery document; `None` when the server does not serve that path.
    pub(crate) async fn discovery(&self, path: &str, subject: &str) -> Result<Option<Value>> {
        match self.get_path(path, subject).await {
            Ok(value) => Ok(Some(value)),
            Err(Error::Api { code: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads one object live; `None` is the server's own 404 for that name.
    ///
    /// # Errors
    /// Every answer but 200 and 404.
    pub async fn get(&self, resource: &Resource, object: &ObjectRef) -> Result<Option<Value>> {
        let path = resource.object(object.namespace.as_deref(), &object.name);
        match self.get_path(&path, &object.to_string()).await {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists a kind completely, page by page. A page that cannot be had is an error, never a shorter list.
    /// Where the server has forgotten the state that the first page showed (410, etcd was compacted), the
    /// list begins anew.
    ///
    /// # Errors
    /// Every answer but 200.
    pub async fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<Listing> {
        let subject = match namespace {
            Some(namespace) => format!("{} in {namespace}", resource.plural),
            None => resource.plural.clone(),
        };
        let base = format!("{}?limit=500&labelSelector={}", resource.collection(namespace), encode(selector));
        let mut items: Vec<Value> = Vec::new();
        let mut next = base.clone();
        let mut restarts = 0;
        loop {
            let call = Call {
                verb: "list",
                subject: &subject,
                method: Method::GET,
                path: next.clone(),
                content_type: "application/json",
                body: None,
            };
            let mut page = match self.call(call).await {
                Ok((_, page)) => page,
                Err(Error::Api { code: 410, .. }) if next != base && restarts < RESTARTS => {
                    restarts += 1;
                    items.clear();
                    next.clone_from(&base);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) else {
                return Err(Error::Answer { subject, cause: "it is no list".to_owned() });
            };
            for mut item in found {
                item["apiVersion"] = json!(resource.api_version());
                item["kind"] = json!(resource.kind);
                items.push(item);
            }
            let metadata = |field: &str| page.pointer(&format!("/metadata/{field}")).and_then(Value::as_str);
            match metadata("continue").filter(|token| !token.is_empty()) {
                Some(token) => next = format!("{base}&continue={}", encode(token)),
                None => {
                    let resource_version = metadata("resourceVersion").unwrap_or_default().to_owned();
                    return Ok(Listing { items, resource_version });
                }
            }
        }
    }

    /// Server-side apply. The manifest may carry `metadata.uid` and `metadata.resourceVersion` as
    /// preconditions: with a uid a deleted object is not made again. Returns whether the object was
    /// created, and how the server stores it. `force` takes fields from other managers; only a step
    /// that showed those fields may ask for it.
    ///
    /// # Errors
    /// Every answer but 200 and 201; 409 is a conflict with another field manager, or the world moved.
    pub async fn apply(
        &self,
        resource: &Resource,
        object: &ObjectRef,
        manifest: &Value,
        force: bool,
    ) -> Result<(bool, Value)> {
        self.apply_with(resource, object, manifest, if force { "&force=true" } else { "" })
            .await
            .map(|(status, live)| (status == StatusCode::CREATED, live))
    }

    /// Creates an object by server-side apply, so that its fields are owned as those of every later apply.
    /// `None` when an object of that name exists already: it is not touched.
    ///
    /// # Errors
    /// Every answer but 201 and that conflict.
    pub async fn apply_new(
        &self,
        resource: &Resource,
        object: &ObjectRef,
        manifest: &Value,
    ) -> Result<Option<Value>> {
        let mut manifest = manifest.clone();
        manifest["metadata"]["resourceVersion"] = json!(NEVER);
        match self.apply(resource, object, &manifest, false).await {
            Ok((_, live)) => Ok(Some(live)),
            // Fields of somebody else are compared before the resourceVersion: that, too, says that it exists.
            Err(Error::Api { code: 409, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What an apply would make of a live object. `taking` says by what right fields that others own are
    /// taken, given the fields as the server names them.
    ///
    /// # Errors
    /// Every refusal but a conflict and the one of an immutable field.
    pub async fn dry_run(
        &self,
        resource: &Resource,
        object: &ObjectRef,
        manifest: &Value,
        taking: impl Fn(&[String]) -> Taking,
    ) -> Result<DryRun> {
        let answer = match self.apply_with(resource, object, manifest, "&dryRun=All").await {
            Err(Error::Api { code: 409, causes, .. }) if !causes.is_empty() => {
                let taking = taking(&causes);
                if taking == Taking::Refused {
                    return Ok(DryRun::Conflict(causes));
                }
                let forced = self.apply_with(resource, object, manifest, "&dryRun=All&force=true").await;
                forced.map(|(_, live)| match taking {
                    Taking::Declared => DryRun::Takes(live, causes),
                    Taking::Back | Taking::Refused => DryRun::TakesBack(live, causes),
                })
            }
            other => other.map(|(_, live)| DryRun::Becomes(live)),
        };
        match answer {
            Err(Error::Api { code: 422 | 403, message, .. })
                if is_immutable(&message) && !is_policy(&message) =>
            {
                Ok(DryRun::Immutable(message))
            }
            answer => answer,
        }
    }

    async fn apply_with(
        &self,
        resource: &Resource,
        object: &ObjectRef,
        manifest: &Value,
        query: &str,
    ) -> Result<(StatusCode, Value)> {
        let path = resource.object(object.namespace.as_deref(), &object.name);
        self.call(Call {
            verb: "apply",
            subject: &object.to_string(),
            method: Method::PATCH,
            path: format!("{path}?fieldManager={FIELD_MANAGER}{query}"),
            content_type: "application/apply-patch+yaml",
            body: Some(manifest),
        })
        .await
    }

    /// Creates an object that must not exist.
    ///
    /// # Errors
    /// 409 when it exists; every other answer but 201.
    pub async fn create(&self, resource: &Resource, object: &ObjectRef, manifest: &Value) -> Result<Value> {
        let path = resource.collection(object.namespace.as_deref());
        let call = Call {
            verb: "create",
            subject: &object.to_string(),
            method: Method::POST,
            path: format!("{path}?fieldManager={FIELD_MANAGER}"),
            content_type: "application/json",
            body: Some(manifest),
        };
        self.call(call).await.map(|(_, live)| live)
    }

    /// Asks whether an object that is there could be made again, without storing anything. The registry looks for
    /// the name last (`registry/store.go`, `Create`): who is told that it exists has passed admission and validation.
    ///
    /// # Errors
    /// Every answer but 201 and that conflict.
    pub async fn rehearse(&self, resource: &Resource, object: &ObjectRef, manifest: &Value) -> Result<()> {
        let path = resource.collection(object.namespace.as_deref());
        let call = Call {
            verb: "create",
            subject: &object.to_string(),
            method: Method::POST,
            path: format!("{path}?fieldManager={FIELD_MANAGER}&dryRun=All&fieldValidation=Strict"),
            content_type: "application/json",
            body: Some(manifest),
        };
        match self.call(call).await {
            Ok(_) => Ok(()),
            Err(Error::Api { code: 409, reason, .. }) if reason == "AlreadyExists" => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Replaces an object; the manifest carries the resourceVersion that was read.
    ///
    /// # Errors
    /// 409 when it changed in between; every other answer but 200.
    pub async fn replace(&self, resource: &Resource, object: &ObjectRef, manifest: &Value) -> Result<Value> {
        let path = resource.object(object.namespace.as_deref(), &object.name);
        let call = Call {
            verb: "update",
            subject: &object.to_string(),
            method: Method::PUT,
            path: format!("{path}?fieldManager={FIELD_MANAGER}"),
            content_type: "application/json",
            body: Some(manifest),
        };
        self.call(call).await.map(|(_, live)| live)
    }

    /// Patches the status of an object (RFC 6902).
    ///
    /// # Errors
    /// Every answer but 200.
    pub(crate) async fn patch_status(
        &self,
        resource: &Resource,
        object: &ObjectRef,
        patch: &Value,
    ) -> Result<()> {
        let path = resource.object(object.namespace.as_deref(), &object.name);
        let call = Call {
            verb: "update",
            subject: &object.to_string(),
            method: Method::PATCH,
            path: format!("{path}/status?fieldManager={FIELD_MANAGER}"),
            content_type: "application/json-patch+json",
            body: Some(patch),
        };
        self.call(call).await.map(|_| ())
    }

    /// Deletes the object with this uid and no other.
    ///
    /// # Errors
    /// Every answer but success, 404 and the conflict of another uid.
    pub async fn delete(
        &self,
        resource: &Resource,
        object: &ObjectRef,
        uid: &str,
        propagation: Propagation,
    ) -> Result<Deleted> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": propagation.as_str(),
        });
        let call = Call {
            verb: "delete",
            subject: &object.to_string(),
            method: Method::DELETE,
            path: resource.object(object.namespace.as_deref(), &object.name),
            content_type: "application/json",
            body: Some(&options),
        };
        match self.call(call).await {
            Ok(_) => Ok(Deleted::Accepted),
            Err(error) if is_absent(&error) => Ok(Deleted::Absent),
            Err(Error::Api { code: 409, message, .. }) if message.contains("Precondition failed: UID") => {
                Ok(Deleted::Replaced)
            }
            // A namespace that is already going answers a second delete with a conflict.
            Err(Error::Api { code: 409, reason, .. })
                if reason == "Conflict" && object.is("", "Namespace") =>
            {
                Ok(Deleted::Accepted)
            }
            Err(error) => Err(error),
        }
    }

    /// The last lines of a container's log.
    ///
    /// # Errors
    /// Every answer but 200.
    pub async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        lines: Option<u32>,
        previous: bool,
    ) -> Result<String> {
        let params = kube::api::LogParams {
            container: container.map(str::to_owned),
            tail_lines: lines.map(i64::from),
            previous,
            ..kube::api::LogParams::default()
        };
        let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
            kube::Api::namespaced(self.client.clone(), namespace);
        pods.logs(pod, &params)
            .await
            .map_err(|error| self.translate("get", &format!("log of Pod/{pod} in {namespace}"), error))
    }

    /// Follows a container's log until it ends.
    ///
    /// # Errors
    /// Every answer but 200.
    pub async fn follow_logs(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        lines: Option<u32>,
    ) -> Result<impl futures::AsyncBufRead + use<>> {
        let params = kube::api::LogParams {
            container: container.map(str::to_owned),
            tail_lines: lines.map(i64::from),
            follow: true,
            ..Default::default()
        };
        let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
            kube::Api::namespaced(self.client.clone(), namespace);
        pods.log_stream(pod, &params)
            .await
            .map_err(|error| self.translate("get", &format!("log of Pod/{pod} in {namespace}"), error))
    }

    pub(crate) fn translate(&self, verb: &'static str, subject: &str, error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => Error::Api {
                verb,
                subject: subject.to_owned(),
                code: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
                causes: Vec::new(),
            },
            other => {
                Error::Unreachable { server: self.server().to_owned(), cause: crate::connect::chain(&other) }
            }
        }
    }
}

/// How often a list begins anew before the compaction is an error.
const RESTARTS: usize = 3;

/// A resourceVersion that no object has: etcd counts up from 1 before the first write. The registry
/// compares it only with an object that exists (`registry/store.go`, `Update`), so that an apply which
/// carries it either creates the object or conflicts. Server-side apply has no other "must not exist".
const NEVER: &str = "1";

/// Whether the server itself says that the object of that name does not exist.
fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Api { code: 404, reason, .. } if reason == NOT_FOUND)
}

/// What happens to what an object owns when it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// It goes afterwards.
    Background,
    /// It goes first; the object stays until then.
    Foreground,
}

impl Propagation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
        }
    }
}

/// The API server has no machine-readable reason for this; these are the two phrases of
/// `apimachinery/pkg/api/validation` and of the StatefulSet strategy.
fn is_immutable(message: &str) -> bool {
    message.contains("field is immutable")
        || message.contains("Forbidden: updates to ")
        || message.contains("is immutable after creation")
        || message.contains("spec is immutable")
        || message.contains("cannot change roleRef")
        || message.contains("may not change once set")
        || message.contains("field can not be less than")
        || message.contains("must support resize")
}

/// Whether a policy of the cluster speaks, whatever it says: nothing is deleted to get around it.
fn is_policy(message: &str) -> bool {
    message.contains("ValidatingAdmissionPolicy ") || message.contains("admission webhook ")
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
