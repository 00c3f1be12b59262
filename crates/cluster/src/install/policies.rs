//! What roles cannot say: admission policies.

use serde_json::{Value, json};

use super::{POD_SECURITY, labels};
use crate::DATA_NAMESPACE;

/// Admins hold every verb, `ignore` too, and are left alone.
const OBEYS: &str = "authorizer.group('mimeo.dev').resource('guardrails').check('obey').allowed() \
                     && !authorizer.group('mimeo.dev').resource('guardrails').check('ignore').allowed()";

fn policy(name: &str, rule: &Value, data_only: bool, validations: &Value) -> [Value; 2] {
    let api_version = "admissionregistration.k8s.io/v1";
    let mut constraints = json!({"resourceRules": [rule]});
    if data_only {
        constraints["namespaceSelector"] =
            json!({"matchLabels": {"kubernetes.io/metadata.name": DATA_NAMESPACE}});
    }
    [
        json!({
            "apiVersion": api_version, "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name, "labels": labels()},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": constraints,
                "matchConditions": [{"name": "mimeo-user", "expression": OBEYS}],
                "validations": validations,
            },
        }),
        json!({
            "apiVersion": api_version, "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name, "labels": labels()},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }),
    ]
}

fn data_jobs(image: Option<&str>, rule: &Value) -> [Value; 2] {
    let mut policy = policy("mimeo-data-jobs", rule, true, &job_checks(image));
    policy[0]["spec"]["variables"] = json!([
        {"name": "pod", "expression": "object.spec.template.spec"},
        {"name": "c", "expression": "variables.pod.containers[0]"},
    ]);
    policy
}

/// What a Job in `mimeo-data` must look like: exactly what `up` makes for a copy. Its environment holds
/// the credentials of a source, so nothing may lead them anywhere but into mimeo's own process:
/// Kubernetes expands `$(NAME)` in arguments and values, a hook or probe runs a shell, another resolver
/// or host name leads to another server.
fn job_checks(image: Option<&str>) -> Value {
    let check = |expression: &str, message: &str| json!({"expression": expression, "message": message});
    let image = image.unwrap_or("none: run mimeo install --image").replace('\'', "");
    let absent = |parent: &str, fields: &[&str]| {
        fields.iter().map(|field| format!("!has({parent}.{field})")).collect::<Vec<_>>().join(" && ")
    };
    let off = |fields: &[&str]| {
        fields
            .iter()
            .map(|field| format!("(!has(variables.pod.{field}) || !variables.pod.{field})"))
            .collect::<Vec<_>>()
            .join(" && ")
    };
    json!([
        check(
            &format!(
                "variables.pod.containers.size() == 1 && !has(variables.pod.initContainers) && variables.c.image == '{image}' \
                 && !has(variables.c.command) && has(variables.c.args) && variables.c.args == ['data', 'copy']"
            ),
            "only mimeo's own image, with its data entrypoint, runs in mimeo-data"
        ),
        check(
            "has(variables.c.env) && variables.c.env.size() == 3 \
             && variables.c.env[0].name == 'MIMEO_REQUEST' && has(variables.c.env[0].value) \
             && !variables.c.env[0].value.replace('$$', '').contains('$(') \
             && variables.c.env[1].name == 'MIMEO_SOURCE_URI' && has(variables.c.env[1].valueFrom) \
             && has(variables.c.env[1].valueFrom.secretKeyRef) && variables.c.env[1].valueFrom.secretKeyRef.key == 'uri' \
             && variables.c.env[2].name == 'MIMEO_TARGET_PASSWORD' && has(variables.c.env[2].valueFrom) \
             && has(variables.c.env[2].valueFrom.secretKeyRef) \
             && variables.c.env[2].valueFrom.secretKeyRef.name == object.metadata.name \
             && variables.c.env[2].valueFrom.secretKeyRef.key == 'password'",
            "a data Job's environment is its request, the URI of its source, and the password of its own Secret"
        ),
        check(
            &format!(
                "{} && (!has(variables.c.terminationMessagePath) || variables.c.terminationMessagePath == '/dev/termination-log') \
                 && (!has(variables.c.stdin) || !variables.c.stdin) && (!has(variables.c.tty) || !variables.c.tty)",
                absent(
                    "variables.c",
                    &[
                        "envFrom",
                        "lifecycle",
                        "livenessProbe",
                        "readinessProbe",
                        "startupProbe",
                        "volumeMounts",
                        "volumeDevices",
                        "workingDir",
                    ]
                )
            ),
            "a data Job's container runs nothing beside its entrypoint and mounts nothing"
        ),
        check(
            &format!(
                "{} && {} && has(variables.pod.automountServiceAccountToken) && !variables.pod.automountServiceAccountToken \
                 && (!has(variables.pod.dnsPolicy) || variables.pod.dnsPolicy == 'ClusterFirst') \
                 && (!has(variables.pod.serviceAccountName) || variables.pod.serviceAccountName in ['', 'default'])",
                absent("variables.pod", &["volumes", "hostAliases", "dnsConfig", "hostname", "subdomain"]),
                off(&["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"])
            ),
            "a data Job's pod has no volumes, no account, no host's namespaces and no resolver of its own"
        ),
    ])
}

pub(super) fn policies(image: Option<&str>) -> Vec<Value> {
    let label = plan::ENVIRONMENT_LABEL;
    let operations = |group: &str, resource: &str, operations: &[&str]| json!({"apiGroups": [group], "apiVersions": ["*"], "operations": operations, "resources": [resource]});
    let labelled =
        |object: &str| format!("has({object}.metadata.labels) && '{label}' in {object}.metadata.labels");
    let check = |expression: String, message: &str| json!({"expression": expression, "message": message});
    [
        policy(
            "mimeo-namespaces",
            &operations("", "namespaces", &["CREATE", "UPDATE", "DELETE"]),
            false,
            &json!([
                check(
                    format!(
                        "request.operation == 'CREATE' ? ({}) : ({})",
                        labelled("object"),
                        labelled("oldObject")
                    ),
                    "a mimeo user touches only namespaces that carry the label of an environment"
                ),
                check(
                    format!(
                        "request.operation != 'UPDATE' || ({} && object.metadata.labels['{label}'] == oldObject.metadata.labels['{label}'])",
                        labelled("object")
                    ),
                    "the label of an environment stays as it is"
                ),
                check(
                    format!(
                        "request.operation == 'DELETE' || ('{POD_SECURITY}' in object.metadata.labels \
                         && object.metadata.labels['{POD_SECURITY}'] in ['baseline', 'restricted'])"
                    ),
                    "the namespace of an environment enforces Pod Security baseline or restricted"
                ),
            ]),
        ),
        policy(
            "mimeo-rolebindings",
            &operations("rbac.authorization.k8s.io", "rolebindings", &["CREATE", "UPDATE", "DELETE"]),
            false,
            &json!([check(
                labelled("namespaceObject"),
                "a mimeo user binds roles only in namespaces that carry the label of an environment"
            )]),
        ),
        data_jobs(image, &operations("batch", "jobs", &["CREATE", "UPDATE"])),
        policy(
            "mimeo-data-secrets",
            &operations("", "secrets", &["CREATE", "UPDATE"]),
            true,
            &json!([check(
                "has(object.metadata.ownerReferences) && object.metadata.ownerReferences.all(o, o.kind == 'Job')".to_owned(),
                "a Secret that a mimeo user makes in mimeo-data belongs to a Job and goes with it"
            )]),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
