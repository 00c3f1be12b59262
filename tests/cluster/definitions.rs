//! A rendering that carries CustomResourceDefinitions and resources of their kinds, from nothing.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Case, Environment, Fault, GitRepo, Relay, in_plane};

use crate::program;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn definition(version: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: topics.kafka.example.com}}\n\
         spec:\n  group: kafka.example.com\n  scope: Namespaced\n  names: {{kind: Topic, plural: topics, singular: topic}}\n  \
         versions:\n    - name: {version}\n      served: true\n      storage: true\n      \
         schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}\n"
    )
}

/// One component carries the definition, another one, without a wire to it, the resource.
fn repo(case: &Case<'_>) -> Result<GitRepo> {
    let repo = case.repo("config")?;
    let template = |name: &str| {
        format!("apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {{name: {name}}}\nspec: {{}}\n")
    };
    repo.write("templates/broker/template.yaml", &template("broker"))?;
    repo.write("templates/broker/manifests/crd.yaml", &definition("v1"))?;
    repo.write("templates/topic/template.yaml", &template("topic"))?;
    let topic = "apiVersion: kafka.example.com/v1\nkind: Topic\nmetadata: {name: \"{{ name }}\"}\nspec: {partitions: 3}\n";
    repo.write("templates/topic/manifests/topic.yaml", topic)?;
    let spec = format!("environments/{}.yaml", case.spec());
    repo.edit(
        &spec,
        "  components:",
        "  components:\n    a-topic: {template: topic}\n    broker: {template: broker}",
    )?;
    repo.commit("A kind of its own")?;
    Ok(repo)
}

/// What an admin gives for it: the resources in environments, and making definitions.
fn grant(case: &Case<'_>, resource: &str, verbs: &[&str], labels: &Value) -> Result<()> {
    let group = if resource == "topics" { "kafka.example.com" } else { "apiextensions.k8s.io" };
    let name = format!("test-{resource}");
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels},
        "rules": [{"apiGroups": [group], "resources": [resource], "verbs": verbs}],
    });
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    case.cluster.api.create(&format!("{rbac}/clusterroles"), &role)?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": case.account.username()}],
    });
    if resource != "topics" {
        case.cluster.api.create(&format!("{rbac}/clusterrolebindings"), &binding)?;
    }
    Ok(())
}

fn topics(case: &Case<'_>, environment: &Environment) -> Result<usize> {
    let path = format!("/apis/kafka.example.com/v1/namespaces/{}/topics", environment.name);
    Ok(case.cluster.api.list(&path)?.len())
}

#[test]
fn a_kind_comes_with_the_rendering_and_stays() -> Result<()> {
    in_plane("definitions::a_kind_comes_with_the_rendering_and_stays", program(), |cluster| {
        Case::run(cluster, |case| {
            let repo = repo(case)?;
            grant(case, "topics", &["*"], &json!({"mimeo.dev/aggregate-to-env": "true"}))?;
            let diff = case.mimeo(case.on("diff", &repo, "main")).run()?.expect(1)?;
            diff.says([
                "CustomResourceDefinition/topics.kafka.example.com",
                "Topic/a-topic",
                "does not know",
            ])?;
            // A mimeo user may not make definitions: it is said who may.
            case.mimeo(case.on("up", &repo, "main"))
                .run()?
                .expect(4)?
                .says(["CLU004", "An admin applies"])?;
            grant(case, "customresourcedefinitions", &["create", "patch"], &json!({}))?;
            case.mimeo(case.on("up", &repo, "main")).succeed()?;
            let first = case.environment()?;
            ensure!(topics(case, &first)? == 1, "the resource is there");
            let path = format!("{DEFINITIONS}/topics.kafka.example.com");
            let made = case.cluster.api.get(&path)?.context("no definition")?;
            ensure!(made["metadata"]["labels"].is_null(), "it is nobody's: {}", made["metadata"]);
            let again = case.mimeo(case.on("diff", &repo, "main")).succeed()?;
            again.says(["left alone", "nothing changes"])?;

            // A second environment neither changes it nor takes it away.
            repo.branch("second")?;
            case.mimeo(case.on("diff", &repo, "second")).run()?.expect(1)?.says(["left alone"])?;
            case.mimeo(case.on("up", &repo, "second")).succeed()?;
            let environments = case.environments()?;
            let second = environments.iter().find(|other| other.name != first.name).context("one only")?;
            case.mimeo(["down", &second.name, "--yes"]).succeed()?;
            case.is_gone(second)?;
            ensure!(topics(case, &first)? == 1, "the neighbour's resource stays");
            let after = case.cluster.api.get(&path)?.context("no definition")?;
            ensure!(after["metadata"]["uid"] == made["metadata"]["uid"], "the same definition");

            // Another version than the cluster's is the admin's to bring.
            repo.write("templates/broker/manifests/crd.yaml", &definition("v2"))?.commit("Newer")?;
            repo.git(&["branch", "-f", "newer"])?;
            case.mimeo(case.on("diff", &repo, "newer"))
                .run()?
                .expect(3)?
                .says(["OBJ027", "serves v1, but not v2"])?;

            case.mimeo(["down", &first.name, "--yes"]).succeed()?;
            case.is_gone(&first)?;
            ensure!(case.cluster.api.get(&path)?.is_some(), "the definition stays");
            Ok(())
        })
    })
}

/// Takes components out of the spec.
fn without(case: &Case<'_>, repo: &GitRepo, components: &[&str]) -> Result<()> {
    let spec = format!("environments/{}.yaml", case.spec());
    let text = std::fs::read_to_string(repo.path().join(&spec))?;
    let named =
        |line: &&str| components.iter().any(|name| line.trim_start().starts_with(&format!("{name}: ")));
    let kept: Vec<&str> = text.lines().filter(|line| !named(line)).collect();
    repo.write(&spec, &format!("{}\n", kept.join("\n")))?.commit("Without").map(drop)
}

#[test]
fn a_kind_that_left_the_server_takes_its_entries_along() -> Result<()> {
    in_plane("definitions::a_kind_that_left_the_server_takes_its_entries_along", program(), |cluster| {
        Case::run(cluster, |case| {
            let repo = repo(case)?;
            grant(case, "topics", &["*"], &json!({"mimeo.dev/aggregate-to-env": "true"}))?;
            grant(case, "customresourcedefinitions", &["create", "patch"], &json!({}))?;
            case.mimeo(case.on("up", &repo, "main")).succeed()?;
            let environment = case.environment()?;
            let api = &case.cluster.api;
            let path = format!("{DEFINITIONS}/topics.kafka.example.com");
            ensure!(api.delete(&path)?.is_ok(), "somebody deletes the definition by hand");
            api.wait_gone(&path, Duration::from_secs(30))?;
            // What is still wanted is missed.
            without(case, &repo, &["broker"])?;
            case.mimeo(case.on("diff", &repo, "main")).run()?.expect(2)?.says(["OBJ002", "Topic"])?;
            // What is only owned went with its kind. The server's description of its API follows in a moment.
            without(case, &repo, &["a-topic"])?;
            let deadline = Instant::now() + Duration::from_secs(30);
            let told = "does not have the kind any more";
            while !case.mimeo(case.on("diff", &repo, "main")).run()?.expect(0)?.all().contains(told) {
                ensure!(Instant::now() < deadline, "the kind is gone, and nobody says so");
                thread::sleep(Duration::from_millis(300));
            }
            let account = case.mimeo(["why", &environment.name, "Topic/a-topic"]).succeed()?;
            account.says(["it is not there"])?;
            case.mimeo(case.on("up", &repo, "main")).succeed()?.says([told])?;
            case.mimeo(["why", &environment.name, "Topic/a-topic"]).run()?.expect(2)?.says(["ENV024"])?;
            let after = case.mimeo(case.on("diff", &repo, "main")).succeed()?;
            ensure!(!after.all().contains("Topic"), "it is forgotten: {after}");
            case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
            case.is_gone(&environment)
        })
    })
}

/// A kind whose name has the environment's eight digits.
const OWN: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: \"doodads.{{ env.name }}.example.com\"}
spec:
  group: \"{{ env.name }}.example.com\"
  scope: Namespaced
  names: {plural: doodads, singular: doodad, kind: Doodad, listKind: DoodadList}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
";

#[test]
fn a_definition_is_not_pruned_while_somebody_uses_it() -> Result<()> {
    in_plane("definitions::a_definition_is_not_pruned_while_somebody_uses_it", program(), |cluster| {
        Case::run(cluster, |case| {
            let repo = repo(case)?;
            without(case, &repo, &["a-topic"])?;
            repo.write("templates/broker/manifests/crd.yaml", OWN)?.commit("A kind of its own")?;
            grant(case, "customresourcedefinitions", &["*"], &json!({}))?;
            case.mimeo(case.on("up", &repo, "main")).succeed()?;
            let environment = case.environment()?;
            let group = format!("{}.example.com", environment.name);
            let path = format!("{DEFINITIONS}/doodads.{group}");
            let doodads = format!("/apis/{group}/v1/namespaces/default/doodads");
            let api = case.cluster.api.clone();
            let doodad = json!({"apiVersion": format!("{group}/v1"), "kind": "Doodad", "metadata": {"name": "theirs"}});
            without(case, &repo, &["broker"])?;
            // Nobody may look: then it stays.
            case.mimeo(case.on("diff", &repo, "main")).succeed()?.says(["kept:", "may not be looked for"])?;
            see(case, &group)?;
            api.create(&doodads, &doodad)?;
            for command in ["diff", "up"] {
                let told = case.mimeo(case.on(command, &repo, "main")).succeed()?;
                told.says(["kept: 1 objects of its kind are left, such as Doodad/theirs"])?;
            }
            ensure!(api.get(&path)?.is_some(), "the definition stays");
            // The plan sees nothing of the kind; before the delete there is something.
            ensure!(api.delete(&format!("{doodads}/theirs"))?.is_ok());
            case.mimeo(case.on("diff", &repo, "main")).run()?.expect(1)?.says(["1 to delete"])?;
            let relay = Relay::start(case.cluster.api.config())?;
            let kubeconfig = case.home().join("relay.kubeconfig");
            case.cluster
                .api
                .config()
                .with_token(&case.account.token)
                .by_way_of(&relay.url())
                .write(&kubeconfig)?;
            let (own, place) = (api.clone(), doodads.clone());
            let make = move || drop(own.create(&place, &doodad));
            relay.inject(Fault::on("/v1/doodads?").method("GET").after(1).times(1).first(make));
            let late = case.mimeo(case.on("up", &repo, "main")).kubeconfig(&kubeconfig).succeed()?;
            late.says(["kept: 1 objects of its kind are left"])?;
            ensure!(api.get(&path)?.is_some(), "the definition stays");
            ensure!(api.delete(&format!("{doodads}/theirs"))?.is_ok());
            case.mimeo(case.on("up", &repo, "main")).succeed()?;
            api.wait_gone(&path, Duration::from_secs(30))?;
            case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
            case.is_gone(&environment)
        })
    })
}

/// Lets the user of the test look at a kind everywhere.
fn see(case: &Case<'_>, group: &str) -> Result<()> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let metadata = json!({"name": "test-doodads"});
    let rules = json!([{"apiGroups": [group], "resources": ["*"], "verbs": ["get", "list"]}]);
    case.cluster
        .api
        .create(&format!("{rbac}/clusterroles"), &json!({"metadata": metadata, "rules": rules}))?;
    let binding = json!({
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "test-doodads"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": case.account.username()}],
    });
    case.cluster.api.create(&format!("{rbac}/clusterrolebindings"), &binding).map(drop)?;
    // The authorizer learns of it in a moment.
    thread::sleep(Duration::from_secs(1));
    Ok(())
}
