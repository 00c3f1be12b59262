//! A rendering that carries CustomResourceDefinitions and resources of their kinds, from nothing.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Case, Environment, GitRepo, in_plane};

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
