//! A witness of deletes that shares nothing with who deletes: an admission policy that writes into the API
//! server's own request log which uid each DELETE asked for, and which the object had.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use crate::{AuditMark, Call, Cluster, random_name};

const NAME: &str = "deletes.tests.mimeo.dev";
/// How the server names the annotations of the policy: its name, a slash, the key.
const ASKED: &str = "deletes.tests.mimeo.dev/asked";
const HAD: &str = "deletes.tests.mimeo.dev/had";

/// Makes the policy, once per control plane, and waits until it is in force.
///
/// # Errors
/// When the server refuses it, or does not obey it.
pub fn witness_deletes(cluster: &Cluster) -> Result<()> {
    let group = "/apis/admissionregistration.k8s.io/v1";
    let asked = "has(request.options.preconditions) && has(request.options.preconditions.uid) \
                 ? string(request.options.preconditions.uid) : 'none'";
    let policy = json!({
        "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": "Ignore",
            "matchConstraints": {"resourceRules": [
                {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["DELETE"], "resources": ["*"]},
            ]},
            "auditAnnotations": [
                {"key": "asked", "valueExpression": asked},
                {"key": "had", "valueExpression": "oldObject != null ? string(oldObject.metadata.uid) : 'none'"},
            ],
        },
    });
    cluster.api.create(&format!("{group}/validatingadmissionpolicies"), &policy)?;
    let binding =
        json!({"metadata": {"name": NAME}, "spec": {"policyName": NAME, "validationActions": ["Audit"]}});
    cluster.api.create(&format!("{group}/validatingadmissionpolicybindings"), &binding)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mark = cluster.audit.mark()?;
        let name = format!("probe-{}", random_name());
        cluster.api.create("/api/v1/namespaces/default/configmaps", &json!({"metadata": {"name": name}}))?;
        let path = format!("/api/v1/namespaces/default/configmaps/{name}");
        ensure!(cluster.api.delete(&path)?.is_ok(), "the probe is deleted");
        let calls = cluster.audit.since(&mark, &cluster.api)?;
        if calls
            .iter()
            .any(|call| call.verb == "delete" && call.name == name && call.annotations.contains_key(ASKED))
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the server does not annotate its request log");
        }
        thread::sleep(Duration::from_millis(300));
    }
}

/// The deletes of an account since a mark, each of which asked for the uid that the object had.
///
/// # Errors
/// Names every delete that did not, and every one of a whole collection.
pub fn witnessed(cluster: &Cluster, mark: &AuditMark, user: &str) -> Result<Vec<Call>> {
    let calls = cluster.audit.since(mark, &cluster.api)?;
    let mut deletes = Vec::new();
    for call in calls.into_iter().filter(|call| call.user == user) {
        ensure!(call.verb != "deletecollection", "a delete of a collection: {call:?}");
        // A refused one touched nothing.
        if call.verb != "delete" || !(200..300).contains(&call.code) {
            continue;
        }
        let asked = call.annotations.get(ASKED).with_context(|| format!("no annotation: {call:?}"))?;
        let had = call.annotations.get(HAD).with_context(|| format!("no annotation: {call:?}"))?;
        ensure!(asked == had && asked != "none", "asked for uid {asked}, hit uid {had}: {call:?}");
        deletes.push(call);
    }
    Ok(deletes)
}
