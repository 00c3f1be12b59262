//! What the teardown tests play: a kind of their own with a controller, and a cloud with load balancers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::{Api, Case, Cluster, Environment, GitRepo, Mimeo, Outcome};

pub const FINALIZER: &str = "widgets.example.com/cleanup";
const BALANCER: &str = "service.kubernetes.io/load-balancer-cleanup";
/// Group of the accounts of all tests.
const USERS: &str = "system:serviceaccounts:mimeo-tests";

/// Makes the kind Widget, and gives the users of the tests what they need for it and for one cluster-scoped kind.
pub fn prepare(cluster: &Cluster) -> Result<()> {
    let api = &cluster.api;
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "metadata": {"name": "widgets.widgets.example.com"},
        "spec": {
            "group": "widgets.example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": any}}],
        },
    });
    api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition)?;
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
    let role = |name: &str, label: Value, group: &str, resource: &str| {
        let rules = json!([{"apiGroups": [group], "resources": [resource], "verbs": verbs}]);
        let role = json!({"metadata": {"name": name, "labels": label}, "rules": rules});
        api.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", &role)
    };
    role("tests-widgets", json!({"mimeo.dev/aggregate-to-env": "true"}), "widgets.example.com", "widgets")?;
    let wide = [
        ("tests-priorities", "scheduling.k8s.io", "priorityclasses"),
        ("tests-kinds", "apiextensions.k8s.io", "customresourcedefinitions"),
        ("tests-doodads", "*", "doodads"),
    ];
    for (name, group, resource) in wide {
        role(name, json!({}), group, resource)?;
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": USERS}],
        });
        api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding)?;
    }
    for _ in 0..100 {
        if api.get("/apis/widgets.example.com/v1/widgets")?.is_some() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    bail!("the kind Widget is not served")
}

/// What an environment of the fixture `teardown` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// A namespace of its own, and everything in it.
    Whole,
    /// The same, and a hook before the deletion.
    Hook,
    /// A namespace that somebody lent; `lent-NUMBER`.
    Borrowed(usize),
    /// Custom resources and their operator only.
    Widgets,
    /// A kind of the environment's own, and nothing of it.
    Kind,
}

/// A kind whose name has the environment's eight digits.
const KIND: &str = r#"apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: doodads.{{ env.name }}.example.com
spec:
  group: {{ env.name }}.example.com
  scope: Namespaced
  names: {plural: doodads, singular: doodad, kind: Doodad, listKind: DoodadList}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"#;

/// Commits a variant on a branch of its own.
pub fn branch(case: &Case<'_>, repo: &GitRepo, name: &str, variant: Variant) -> Result<()> {
    let spec = format!("environments/{}.yaml", case.spec());
    let whole = repo.git(&["show", &format!("main:{spec}")])?;
    repo.git(&["checkout", "--quiet", "-b", name, "main"])?;
    match variant {
        Variant::Whole => {}
        Variant::Hook => {
            let template = "templates/operator/template.yaml";
            let hook = "spec:\n  hooks:\n    - {job: \"{{ name }}-goodbye\", at: before-delete}";
            repo.edit(template, "spec:", hook)?;
            let job = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {{ name }}-goodbye\nspec:\n  backoffLimit: 0\n  template:\n    \
                       spec:\n      restartPolicy: Never\n      containers:\n        - {name: main, image: \"docker.io/library/busybox:1.36\"}\n";
            repo.write("templates/operator/manifests/goodbye.yaml", job)?;
        }
        Variant::Borrowed(number) => {
            let policy = format!("spec:\n  policy: {{namespace: {{borrowed: lent-{number}}}}}");
            repo.edit(&spec, "spec:\n", &format!("{policy}\n"))?;
        }
        Variant::Kind => {
            let kept = "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: SPEC}\nspec:\n  components:\n    kinds: {template: kinds}\n";
            repo.write(&spec, &kept.replace("SPEC", case.spec()))?;
            repo.write(
                "templates/kinds/template.yaml",
                "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: kinds}\nspec: {description: A kind of its own}\n",
            )?;
            repo.write("templates/kinds/manifests/kind.yaml", KIND)?;
        }
        Variant::Widgets => {
            let kept: Vec<&str> = whole
                .lines()
                .take_while(|line| !line.starts_with("  data:"))
                .filter(|line| !line.contains("{template: store}") && !line.contains("{template: edge}"))
                .collect();
            repo.write(&spec, &format!("{}\n", kept.join("\n")))?;
        }
    }
    repo.git(&["add", "--all"])?;
    repo.git(&["commit", "--quiet", "--allow-empty", "--message", "A variant"])?;
    repo.git(&["checkout", "--quiet", "main"])?;
    Ok(())
}

/// One environment on a branch of its own.
pub struct Stage<'a> {
    pub case: &'a Case<'a>,
    pub environment: Environment,
}

impl<'a> Stage<'a> {
    pub fn up(case: &'a Case<'a>, repo: &GitRepo, name: &str) -> Result<Self> {
        case.mimeo(case.on("up", repo, name)).succeed()?;
        let all = case.environments()?;
        let environment = all.into_iter().find(|one| one.name.contains(&format!("-{name}-")));
        Ok(Self { case, environment: environment.with_context(|| format!("no record of {name}"))? })
    }

    pub fn down(&self) -> Mimeo {
        self.case.mimeo(["down", &self.environment.name, "--yes"])
    }

    /// A command about this environment, as the cluster's administrator.
    pub fn as_admin(&self, command: &[&str]) -> Result<Outcome> {
        let words = [&[command[0], &self.environment.name], &command[1..]].concat();
        self.case.mimeo(words).kubeconfig(self.case.cluster.kubeconfig()).run()
    }

    pub fn path(&self, root: &str, plural: &str, name: &str) -> String {
        format!("{root}/namespaces/{}/{plural}/{name}", self.environment.name)
    }

    pub fn widget(&self) -> String {
        self.path("/apis/widgets.example.com/v1", "widgets", "one")
    }

    pub fn merge(&self, path: &str, patch: &Value) -> Result<()> {
        let answer = self.case.cluster.api.merge(path, patch)?;
        ensure!(answer.is_ok(), "{path}: {}", answer.message());
        Ok(())
    }

    /// Holds one widget with another finalizer, as a controller of this name would.
    pub fn hold(&self, finalizer: &str, manager: &str) -> Result<()> {
        let held = json!({"metadata": {"finalizers": [FINALIZER, finalizer]}});
        self.merge(&format!("{}?fieldManager={manager}", self.widget()), &held)
    }

    pub fn let_go(&self) -> Result<()> {
        self.merge(&self.widget(), &json!({"metadata": {"finalizers": null}}))
    }

    pub fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.case.cluster.api.get(path)?.is_some())
    }
}

/// Plays the controller of widgets and a cloud, as long as it lives.
pub struct Controllers {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Controllers {
    /// A widget is let go while the Deployment `operator` beside it runs, and not otherwise; a load balancer has
    /// an address at once, and is gone `slowness` after its Service was deleted.
    pub fn play(api: &Api, slowness: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (stop, api) = (Arc::clone(&over), api.clone());
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for widget in api.list("/apis/widgets.example.com/v1/widgets")? {
                    let_go(&api, &widget)?;
                }
                for service in api.list("/api/v1/services")? {
                    balance(&api, &service, slowness)?;
                }
                thread::sleep(Duration::from_millis(200));
            }
            Ok(())
        });
        Self { over, thread: Some(thread) }
    }

    /// Ends the play.
    pub fn end(mut self) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(played)) => played,
            _ => bail!("the played controllers panicked"),
        }
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Path of a namespaced object, by its kind's path.
fn place(object: &Value, root: &str, plural: &str) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    format!("{root}/namespaces/{}/{plural}/{}", text("namespace"), text("name"))
}

fn let_go(api: &Api, widget: &Value) -> Result<()> {
    let held = widget["metadata"]["finalizers"] == json!([FINALIZER]);
    if widget["metadata"]["deletionTimestamp"].is_null() || !held {
        return Ok(());
    }
    let namespace = widget["metadata"]["namespace"].as_str().unwrap_or_default();
    let operator = api.get(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/operator"))?;
    let runs = operator.is_some_and(|operator| {
        operator["metadata"]["deletionTimestamp"].is_null() && operator["status"]["readyReplicas"] == 1
    });
    if runs {
        let path = place(widget, "/apis/widgets.example.com/v1", "widgets");
        // It may be gone by now.
        api.merge(&path, &json!({"metadata": {"finalizers": null}}))?;
    }
    Ok(())
}

fn balance(api: &Api, service: &Value, slowness: Duration) -> Result<()> {
    if service["spec"]["type"] != "LoadBalancer" {
        return Ok(());
    }
    let path = place(service, "/api/v1", "services");
    let going = !service["metadata"]["deletionTimestamp"].is_null();
    if service["status"]["loadBalancer"]["ingress"].is_null() && !going {
        let held = api.merge(
            &format!("{path}?fieldManager=cloud-controller-manager"),
            &json!({"metadata": {"finalizers": [BALANCER]}}),
        )?;
        let address = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
        let told = api.merge(&format!("{path}/status"), &address)?;
        ensure!(held.status != 422 && told.status != 422, "{} {}", held.message(), told.message());
    } else if going && service["metadata"]["finalizers"] == json!([BALANCER]) {
        let (api, slowness) = (api.clone(), slowness);
        // Whoever is quicker lets it go; a second time changes nothing.
        thread::spawn(move || {
            thread::sleep(slowness);
            let _ = api.merge(&path, &json!({"metadata": {"finalizers": null}}));
        });
    }
    Ok(())
}
