//! What rules of the cluster refuse: a policy is not got around, a quota is named.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Case, GitRepo, in_plane};

use crate::program;

fn uid(case: &Case<'_>, namespace: &str) -> Result<Value> {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/notes");
    let live = case.cluster.api.get(&path)?.context("the ConfigMap is there")?;
    Ok(live["metadata"]["uid"].clone())
}

/// A spec whose environments live in this namespace, or in one of their own.
fn declare(case: &Case<'_>, repo: &GitRepo, namespace: Option<&str>, text: &str) -> Result<()> {
    let policy = namespace.map(|name| format!("  policy: {{namespace: {{borrowed: {name}}}}}\n"));
    let spec = format!(
        "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {{name: {}}}\nspec:\n{}  components:\n    notes: {{template: notes, values: {{text: {text}}}}}\n",
        case.spec(),
        policy.unwrap_or_default()
    );
    repo.write(&format!("environments/{}.yaml", case.spec()), &spec)?;
    repo.commit(text).map(drop)
}

/// Waits until the API server knows what was just created: it says no, or changes nothing.
fn until_refused(case: &Case<'_>, path: &str) -> Result<()> {
    for _ in 0..100 {
        if !case.cluster.api.merge(path, &json!({"data": {"probe": "x"}}))?.is_ok() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    anyhow::bail!("the policy is not enforced")
}

#[test]
fn a_policy_that_says_immutable_is_not_got_around_by_making_again() -> Result<()> {
    in_plane(
        "policies::a_policy_that_says_immutable_is_not_got_around_by_making_again",
        program(),
        |cluster| {
            Case::run(cluster, |case| {
                let repo = case.repo("config")?;
                declare(case, &repo, None, "one")?;
                case.mimeo(case.on("up", &repo, "main")).succeed()?;
                let environment = case.environment()?;
                let before = uid(case, &environment.name)?;
                let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
                let name = format!("{}-frozen", case.spec());
                cluster.api.create(policies, &json!({
                "metadata": {"name": name},
                "spec": {
                    "matchConstraints": {"resourceRules": [{
                        "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["UPDATE"],
                    }]},
                    "validations": [{"expression": "false", "message": "data: field is immutable"}],
                },
            }))?;
                cluster.api.create(&format!("{policies}bindings").replace("policiesbindings", "policybindings"), &json!({
                "metadata": {"name": name},
                "spec": {
                    "policyName": name, "validationActions": ["Deny"],
                    "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": environment.name}}},
                },
            }))?;
                until_refused(case, &format!("/api/v1/namespaces/{}/configmaps/notes", environment.name))?;
                declare(case, &repo, None, "two")?;
                case.mimeo(case.on("up", &repo, "main"))
                    .run()?
                    .expect(7)?
                    .says(["CLU005", "field is immutable"])?;
                ensure!(uid(case, &environment.name)? == before, "it is the same object");
                cluster.api.delete(&format!("{policies}/{name}"))?;
                case.mimeo(["down", &environment.name, "--yes"]).succeed().map(drop)
            })
        },
    )
}

#[test]
fn a_quota_that_is_used_up_and_a_namespace_that_would_be_left_are_named() -> Result<()> {
    let name = "policies::a_quota_that_is_used_up_and_a_namespace_that_would_be_left_are_named";
    in_plane(name, program(), |cluster| {
        Case::run(cluster, |case| {
            let repo = case.repo("config")?;
            let lent = format!("{}-lent", case.spec());
            cluster.lend(&lent)?;
            let quotas = format!("/api/v1/namespaces/{lent}/resourcequotas");
            cluster.api.create(
                &quotas,
                &json!({
                    "metadata": {"name": "few"}, "spec": {"hard": {"count/configmaps": "0"}},
                }),
            )?;
            declare(case, &repo, Some(&lent), "lent")?;
            let begun = std::time::Instant::now();
            let refused = case.mimeo(case.on("up", &repo, "main")).run()?.expect(3)?;
            refused.says(["CLU013", "exceeded quota", "policy.quota"])?;
            ensure!(
                begun.elapsed() < std::time::Duration::from_secs(5),
                "a quota is not asked again and again"
            );
            case.mimeo(["down", &case.environment()?.name, "--yes"]).succeed()?;

            declare(case, &repo, None, "own")?;
            case.mimeo(case.on("up", &repo, "main")).succeed()?;
            let environment = case.environment()?;
            declare(case, &repo, Some(&lent), "elsewhere")?;
            case.mimeo(case.on("up", &repo, "main")).run()?.expect(3)?.says(["ENV026", &lent])?;
            case.mimeo(["down", &environment.name, "--yes"]).succeed().map(drop)
        })
    })
}
