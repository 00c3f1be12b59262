//! A component that was renamed is moved: nothing is made again, and no Job runs again.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::{Case, Environment, GitRepo, in_plane};

use crate::program;

/// uid of every object in the environment that is not made by a controller.
fn uids(case: &Case<'_>, environment: &Environment) -> Result<BTreeMap<String, String>> {
    let mut uids = BTreeMap::new();
    for (group, plurals) in [
        ("/api/v1", &["configmaps", "secrets", "services", "persistentvolumeclaims"][..]),
        ("/apis/apps/v1", &["statefulsets", "deployments"]),
        ("/apis/batch/v1", &["jobs"]),
    ] {
        for plural in plurals {
            let path = format!("{group}/namespaces/{}/{plural}", environment.name);
            for object in case.cluster.api.list(&path)? {
                let name = format!("{plural}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
                uids.insert(name, object["metadata"]["uid"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    Ok(uids)
}

fn actions(plan: &Value) -> BTreeMap<String, usize> {
    let mut actions = BTreeMap::new();
    let waves = plan["waves"].as_array().into_iter().flatten();
    let steps = waves.flat_map(|wave| wave["steps"].as_array().into_iter().flatten());
    for step in steps.chain(plan["prune"].as_array().into_iter().flatten()) {
        *actions.entry(step["action"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    actions
}

fn rename(case: &Case<'_>, repo: &GitRepo) -> Result<()> {
    let spec = format!("environments/{}.yaml", case.spec());
    repo.edit(&spec, "    store: {template: store,", "    db: {template: store,")?;
    repo.edit(&spec, "database: store", "database: db")?;
    repo.commit("Another name")?;
    Ok(())
}

#[test]
fn a_renamed_component_is_moved_and_not_made_again() -> Result<()> {
    in_plane("moved::a_renamed_component_is_moved_and_not_made_again", program(), |cluster| {
        Case::run(cluster, |case| {
            let repo = case.repo("crash")?;
            case.mimeo(case.on("up", &repo, "main")).succeed()?;
            let environment = case.environment()?;
            let before = uids(case, &environment)?;
            let secret = format!("{}/store-auth", environment.core("secrets"));
            let password = case.cluster.api.get(&secret)?.context("no Secret")?["data"].clone();

            rename(case, &repo)?;
            let diff = case.mimeo(case.on("diff", &repo, "main")).run()?.expect(1)?;
            diff.says(["PersistentVolumeClaim/store: its data is lost", "to create", "to delete"])?;
            case.mimeo(case.on("up", &repo, "main")).run()?.expect(3)?.says(["ENV010"])?;

            let spec = format!("environments/{}.yaml", case.spec());
            repo.edit(&spec, "  components:", "  moved: [{from: store, to: db}]\n  components:")?;
            repo.commit("It is the same one")?;
            let diff = case.mimeo(case.on("diff", &repo, "main")).run()?.expect(1)?;
            let diff = diff.says(["component db: moved from store", "store → db"])?;
            ensure!(!diff.all().contains("cannot be brought back"), "nothing is lost: {diff}");
            let json = case.mimeo(case.on("diff", &repo, "main")).args(["-o", "json"]).run()?.expect(1)?;
            let actions = actions(&serde_json::from_str(&json.stdout)?);
            ensure!(actions.keys().all(|action| action == "update"), "updates only: {actions:?}");

            case.mimeo(case.on("up", &repo, "main")).succeed()?;
            ensure!(uids(case, &environment)? == before, "the same objects");
            let live = case.cluster.api.get(&secret)?.context("no Secret")?;
            ensure!(live["data"] == password, "the same password");
            let claim = format!("{}/store", environment.core("persistentvolumeclaims"));
            let live = case.cluster.api.get(&claim)?.context("no claim")?;
            ensure!(live["metadata"]["labels"]["mimeo.dev/component"] == "db", "{live}");
            case.mimeo(case.on("diff", &repo, "main")).succeed()?.says(["nothing changes"])?;
            case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
            case.is_gone(&environment)
        })
    })
}
