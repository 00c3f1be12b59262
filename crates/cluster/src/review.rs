//! Questions to the server about the caller itself.

use http::Method;
use serde_json::{Value, json};

use crate::{Cluster, Error, Result, request::Call};

impl Cluster {
    /// The name under which the server knows the caller (SelfSubjectReview, KEP-3325).
    ///
    /// # Errors
    /// Any failure of the request.
    pub async fn whoami(&self) -> Result<String> {
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let answer =
            self.review("authentication.k8s.io/v1/selfsubjectreviews", "SelfSubjectReview", &body).await?;
        answer.pointer("/status/userInfo/username").and_then(Value::as_str).map(str::to_owned).ok_or_else(
            || Error::Answer { subject: "SelfSubjectReview".to_owned(), cause: "no user name".to_owned() },
        )
    }

    /// Whether the caller may do something in a namespace (SelfSubjectAccessReview).
    ///
    /// # Errors
    /// Any failure of the request.
    pub async fn may(&self, verb: &str, group: &str, resource: &str, namespace: &str) -> Result<bool> {
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource, "namespace": namespace}},
        });
        let answer = self
            .review("authorization.k8s.io/v1/selfsubjectaccessreviews", "SelfSubjectAccessReview", &body)
            .await?;
        Ok(answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or(false))
    }

    async fn review(&self, path: &str, subject: &str, body: &Value) -> Result<Value> {
        let call = Call {
            verb: "create",
            subject,
            method: Method::POST,
            path: format!("/apis/{path}"),
            content_type: "application/json",
            body: Some(body),
        };
        self.call(call).await.map(|(_, answer)| answer)
    }
}
