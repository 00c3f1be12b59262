//! Rendered manifests to objects as they are sent: adds what belongs to the environment as a whole,
//! the Jobs that copy data, and the Jobs that ask the gates. Pure.

use std::collections::{BTreeMap, BTreeSet};

use cluster::HookMark;
use plan::{Declared, Desired, ENVIRONMENT_LABEL, Order, Origin, Rerun, Stage};
use render::{
    Component, DataStep, Gate, HookPoint, NamespacePolicy, Network, PostgresTarget, Rendered, RenderedObject,
};
use serde_json::{Value, json};
use spec::Diagnostic;

use crate::{
    access, definitions,
    read::{core, object},
};

/// The component of everything that belongs to no component.
pub const ENVIRONMENT: &str = "environment";
/// Annotation of a data Job: the Secret in the environment that holds its target's password.
pub(crate) const TARGET_SECRET: &str = "mimeo.dev/target-secret";
/// Name of the objects that the engine adds to a namespace.
pub(crate) const OWN_NAME: &str = "mimeo";

/// What composing needs to know besides the rendering.
#[derive(Debug, Clone)]
pub struct Surroundings<'a> {
    /// uid of the Environment record.
    pub record_uid: &'a str,
    /// Who is bound to the environment's role: subjects of a RoleBinding.
    pub subjects: Vec<Value>,
    /// Image of data and gate Jobs; needed only when the rendering has any.
    pub image: Option<&'a str>,
}

/// Every object of the environment, in order of apply.
///
/// # Errors
/// Names that Kubernetes itself uses, and data without an image.
pub fn compose(rendered: &Rendered, around: &Surroundings<'_>) -> Result<Vec<Desired>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let mut all: Vec<Desired> = environment(rendered, around);
    let levels: BTreeMap<&str, usize> =
        rendered.components.iter().map(|component| (component.name.as_str(), component.level)).collect();
    let level = |component: &str| levels.get(component).copied().unwrap_or_default();
    for rendered_object in rendered.objects.iter().filter(|object| !is_before_delete(object)) {
        match template_object(rendered, rendered_object, level(&rendered_object.component)) {
            Ok(desired) => all.push(desired),
            Err(diagnostic) => found.push(diagnostic),
        }
    }
    all.extend(rendered.generated.iter().map(|secret| {
        let manifest = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": metadata(rendered, &secret.component, namespace(rendered), &secret.secret),
        });
        Desired {
            object: core("Secret", Some(namespace(rendered)), &secret.secret),
            component: secret.component.clone(),
            order: Order { level: level(&secret.component), stage: Stage::Config },
            manifest,
            origin: Origin::Generated(secret.keys.clone()),
            reruns_after: Vec::new(),
            declared: Declared::default(),
        }
    }));
    let last = rendered.components.iter().map(|component| component.level).max().unwrap_or_default();
    match around.image {
        Some(image) => {
            all.extend(rendered.data.iter().map(|step| copy_job(rendered, step, level(&step.component), image)));
            all.extend(rendered.gates.iter().map(|gate| gate_job(rendered, gate, last + 1, image)));
        }
        None if rendered.data.is_empty() && rendered.gates.is_empty() => {}
        None => found.push(
            Diagnostic::new("DAT021", spec::Category::Cluster, "this cluster does not know the image of data Jobs")
                .help("An admin runs `mimeo install --image IMAGE` with an image of mimeo that the cluster can pull"),
        ),
    }
    found.extend(definitions::unscope(&mut all, &rendered.env.id));
    if !found.is_empty() {
        return Err(found);
    }
    let mut all: Vec<Desired> = all.into_iter().map(|desired| desired.owned_by(around.record_uid)).collect();
    all.sort_by(|a, b| (a.order, &a.object).cmp(&(b.order, &b.object)));
    Ok(all)
}

/// The namespace the environment lives in.
#[must_use]
pub fn namespace(rendered: &Rendered) -> &str {
    match &rendered.policy.namespace {
        NamespacePolicy::Owned => &rendered.env.name,
        NamespacePolicy::Borrowed(name) => name,
    }
}

fn metadata(rendered: &Rendered, component: &str, namespace: &str, name: &str) -> Value {
    marked(&rendered.env.id, component, namespace, name)
}

/// Metadata with the labels of everything mimeo makes.
pub(crate) fn marked(environment: &str, component: &str, namespace: &str, name: &str) -> Value {
    json!({
        "name": name, "namespace": namespace,
        "labels": {
            "app.kubernetes.io/managed-by": "mimeo",
            "mimeo.dev/component": component,
            ENVIRONMENT_LABEL: environment,
        },
    })
}

fn own(object: plan::ObjectRef, stage: Stage, manifest: Value) -> Desired {
    Desired {
        object,
        component: ENVIRONMENT.to_owned(),
        order: Order { level: 0, stage },
        manifest,
        origin: Origin::Engine,
        reruns_after: Vec::new(),
        declared: Declared::default(),
    }
}

fn environment(rendered: &Rendered, around: &Surroundings<'_>) -> Vec<Desired> {
    if rendered.policy.namespace != NamespacePolicy::Owned {
        return Vec::new();
    }
    let name = namespace(rendered);
    let mut all = vec![
        own(
            core("Namespace", None, name),
            Stage::Namespace,
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {
                    "app.kubernetes.io/managed-by": "mimeo",
                    ENVIRONMENT_LABEL: rendered.env.id,
                    cluster::install::POD_SECURITY: cluster::install::ENVIRONMENT_LEVEL,
                }},
            }),
        ),
        own(
            access::binding(name),
            Stage::Access,
            access::binding_manifest(&rendered.env.id, name, &around.subjects),
        ),
    ];
    if !rendered.policy.quota.is_empty() {
        all.push(own(
            core("ResourceQuota", Some(name), OWN_NAME),
            Stage::Access,
            json!({
                "apiVersion": "v1", "kind": "ResourceQuota",
                "metadata": metadata(rendered, ENVIRONMENT, name, OWN_NAME),
                "spec": {"hard": rendered.policy.quota},
            }),
        ));
    }
    if rendered.policy.network == Network::Isolated {
        all.push(own(
            object("networking.k8s.io", "v1", "NetworkPolicy", Some(name), OWN_NAME),
            Stage::Access,
            isolation(rendered, name),
        ));
    }
    all
}

/// Pods of the environment reach each other and DNS; only data Jobs reach them from outside.
fn isolation(rendered: &Rendered, namespace: &str) -> Value {
    let data = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": cluster::DATA_NAMESPACE}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": metadata(rendered, ENVIRONMENT, namespace, OWN_NAME),
        "spec": {
            "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {}}, data]}],
            "egress": [
                {"to": [{"podSelector": {}}]},
                {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
            ],
        },
    })
}

fn is_before_delete(object: &RenderedObject) -> bool {
    object.hook == Some(HookPoint::BeforeDelete)
}

/// The Jobs that run before anything of the environment is deleted, as the record keeps them.
///
/// # Errors
/// What is wrong with them as Jobs.
pub fn before_delete(rendered: &Rendered) -> Result<Vec<HookMark>, Vec<Diagnostic>> {
    let (mut hooks, mut found) = (Vec::new(), Vec::new());
    for object in rendered.objects.iter().filter(|object| is_before_delete(object)) {
        if rendered.policy.namespace != NamespacePolicy::Owned {
            found.push(
                Diagnostic::error(
                    "TPL020",
                    "a hook before the deletion needs a namespace of the environment's own",
                )
                .at(object.file.clone(), object.line, 1)
                .help("Remove `policy.namespace` from the spec, or the hook from the template"),
            );
            continue;
        }
        let component = rendered.components.iter().find(|component| component.name == object.component);
        let level = component.map_or(0, |component| component.level);
        match template_object(rendered, object, level) {
            Ok(desired) => hooks.push(HookMark {
                component: desired.component,
                level,
                file: object.file.clone(),
                line: object.line,
                manifest: desired.manifest,
            }),
            Err(diagnostic) => found.push(diagnostic),
        }
    }
    if found.is_empty() { Ok(hooks) } else { Err(found) }
}

fn template_object(rendered: &Rendered, from: &RenderedObject, level: usize) -> Result<Desired, Diagnostic> {
    let at = |diagnostic: Diagnostic| from.mark(&["metadata".to_owned(), "name".to_owned()], diagnostic);
    let Some(object) = plan::ObjectRef::of(&from.manifest) else {
        return Err(at(Diagnostic::error("OBJ001", "apiVersion, kind or metadata.name is missing")));
    };
    if object.is("", "ServiceAccount") && object.name == "default"
        || object.is("", "ConfigMap") && object.name == "kube-root-ca.crt"
    {
        return Err(at(Diagnostic::error(
            "OBJ025",
            "Kubernetes makes an object of this name in every namespace",
        )
        .help("Choose another name and refer to it from the pods")));
    }
    if object.is("batch", "Job") && from.manifest.pointer("/spec/ttlSecondsAfterFinished").is_some() {
        let finding =
            Diagnostic::error("OBJ026", "a Job that removes itself cannot be told from one that never ran")
                .help("remove ttlSecondsAfterFinished: the Job goes with the environment");
        return Err(from.mark_key(&["spec".to_owned(), "ttlSecondsAfterFinished".to_owned()], finding));
    }
    let stage = match from.hook {
        Some(HookPoint::Before) => Stage::Before,
        Some(HookPoint::After) => Stage::After,
        Some(HookPoint::BeforeDelete) => Stage::Before,
        None if object.is("apiextensions.k8s.io", "CustomResourceDefinition") => Stage::Definitions,
        None if runs(&object) => Stage::Workload,
        None if matches!(object.kind.as_str(), "Role" | "ClusterRole") => Stage::Roles,
        None => Stage::Config,
    };
    let reruns_after = if object.is("batch", "Job") {
        upstream(&rendered.components, &from.component).into_iter().map(Rerun::AfterDataOf).collect()
    } else {
        Vec::new()
    };
    Ok(Desired {
        object,
        component: from.component.clone(),
        // Definitions come before everything, whichever component carries them.
        order: Order { level: if stage == Stage::Definitions { 0 } else { level }, stage },
        manifest: from.manifest.clone(),
        origin: Origin::Template { file: from.file.clone(), line: from.line },
        reruns_after,
        declared: Declared { adopt: from.adopt, overrides: from.overrides.clone() },
    })
}

/// Whether the object runs something, now or later; custom resources do, through their controller.
fn runs(object: &plan::ObjectRef) -> bool {
    matches!(object.group.as_str(), "apps" | "batch")
        || object.is("", "Pod")
        || (object.group.contains('.') && !object.group.ends_with(".k8s.io"))
}

/// Every component that a component needs, directly or through others.
fn upstream(components: &[Component], name: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut next = vec![name.to_owned()];
    while let Some(current) = next.pop() {
        for need in components
            .iter()
            .filter(|component| component.name == current)
            .flat_map(|component| &component.needs)
        {
            if seen.insert(need.clone()) {
                next.push(need.clone());
            }
        }
    }
    seen
}

/// Name of the Job, and of its Secret, that copies data into a component. One that was moved keeps it.
fn copy_name(rendered: &Rendered, component: &str) -> String {
    let short = rendered.env.id.get(..8).unwrap_or(&rendered.env.id);
    let known = rendered.components.iter().find(|known| known.name == component);
    let origin = known.and_then(|known| known.moved_from.as_deref()).unwrap_or(component);
    bounded(&format!("copy-{short}-{origin}"))
}

/// At most 52 characters: Jobs add a suffix to the names of their pods.
fn bounded(name: &str) -> String {
    if name.len() <= 52 {
        return name.to_owned();
    }
    let digest = plan::digest(&json!(name));
    format!("{}-{}", name.get(..45).unwrap_or(name).trim_end_matches('-'), &digest[..6])
}

fn target(target: &PostgresTarget) -> Value {
    json!({"host": target.host, "port": target.port, "database": target.database, "user": target.user})
}

/// A value of an environment variable that Kubernetes passes on as it is: it would take `$$` and
/// `$(NAME)`, which SQL may hold, as its own.
fn literal(request: &Value) -> String {
    request.to_string().replace('$', "$$")
}

fn copy_job(rendered: &Rendered, step: &DataStep, level: usize, image: &str) -> Desired {
    let tables: Vec<Value> = step
        .tables
        .iter()
        .map(|table| json!({"table": table.table, "columns": table.columns, "where": table.filter}))
        .collect();
    let mut request = json!({"source": step.source, "target": target(&step.target), "tables": tables});
    request["digest"] = json!(plan::digest(&request));
    let name = copy_name(rendered, &step.component);
    let env = json!([
        {"name": "MIMEO_REQUEST", "value": literal(&request)},
        {"name": "MIMEO_SOURCE_URI", "valueFrom": {"secretKeyRef": {"name": step.source, "key": "uri"}}},
        {"name": "MIMEO_TARGET_PASSWORD", "valueFrom": {"secretKeyRef": {"name": name, "key": "password"}}},
    ]);
    let namespace = cluster::DATA_NAMESPACE;
    let mut own = metadata(rendered, &step.component, namespace, &name);
    own["annotations"] = json!({TARGET_SECRET: step.target.secret});
    let mut manifest = job(own, "copy", image, &env, 2);
    // What the copy itself reports (exit code 5) fails again when it is tried again; a lost pod is retried.
    manifest["spec"]["podFailurePolicy"] = json!({"rules": [{
        "action": "FailJob", "onExitCodes": {"containerName": "copy", "operator": "In", "values": [5]},
    }]});
    Desired {
        object: object("batch", "v1", "Job", Some(namespace), &name),
        component: step.component.clone(),
        order: Order { level, stage: Stage::Data },
        manifest,
        origin: Origin::Engine,
        reruns_after: vec![Rerun::AfterStorageOf(step.component.clone())],
        declared: Declared::default(),
    }
}

fn gate_job(rendered: &Rendered, gate: &Gate, level: usize, image: &str) -> Desired {
    let request =
        json!({"name": gate.name, "sql": gate.sql, "expect": gate.expect, "target": target(&gate.target)});
    let name = bounded(&format!("gate-{}", gate.name));
    let env = json!([
        {"name": "MIMEO_REQUEST", "value": literal(&request)},
        {"name": "MIMEO_TARGET_PASSWORD",
         "valueFrom": {"secretKeyRef": {"name": gate.target.secret, "key": "password"}}},
    ]);
    Desired {
        object: object("batch", "v1", "Job", Some(namespace(rendered)), &name),
        component: gate.on.clone(),
        order: Order { level, stage: Stage::Gate },
        manifest: job(metadata(rendered, &gate.on, namespace(rendered), &name), "gate", image, &env, 0),
        origin: Origin::Engine,
        reruns_after: vec![Rerun::AfterAnything],
        declared: Declared::default(),
    }
}

/// A Job of mimeo's own image that fits the restricted Pod Security level.
fn job(metadata: Value, verb: &str, image: &str, env: &Value, retries: u32) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
        "spec": {
            "backoffLimit": retries,
            "template": {"spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 10001, "runAsGroup": 10001,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [{
                    "name": verb, "image": image, "imagePullPolicy": "IfNotPresent",
                    "args": ["data", verb], "env": env,
                    "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }],
            }},
        },
    })
}
