//! What mimeo did not make: refused by name, and never touched.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Case, Environment, Fault, GitRepo, Relay};

use crate::on_lab;

const EXTRA: &str = "templates/notes/manifests/extra.yaml";

fn extra_manifest() -> &'static str {
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\ndata: {whose: mimeo}\n"
}

fn read(case: &Case<'_>, environment: &Environment, name: &str) -> Result<Option<Value>> {
    case.cluster.api.get(&format!("{}/{name}", environment.core("configmaps")))
}

fn up(case: &Case<'_>, repo: &GitRepo) -> Result<testkit::Outcome> {
    case.mimeo(case.on("up", repo, "main")).run()
}

#[test]
fn a_foreign_object_with_a_rendered_name_is_refused_and_untouched() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("config")?;
        up(case, &repo)?.expect(0)?;
        let environment = case.environment()?;
        let ours = read(case, &environment, "notes")?.context("no ConfigMap notes")?;
        // As a careless copy would have it: with every label and annotation of a neighbour.
        let mut metadata = json!({"name": "extra"});
        for field in ["labels", "annotations"] {
            metadata[field] = ours["metadata"][field].clone();
        }
        let foreign = case.cluster.api.create(
            &environment.core("configmaps"),
            &json!({"metadata": metadata, "data": {"whose": "theirs"}}),
        )?;
        repo.write(EXTRA, extra_manifest())?.commit("The same name")?;
        let diff = case.mimeo(case.on("diff", &repo, "main")).run()?.expect(3)?;
        diff.says(["OBJ019", "extra"])?;
        let refused = up(case, &repo)?.expect(3)?.says(["OBJ019", "ConfigMap/extra", "notes"])?;
        ensure!(!refused.all().contains("Ready"), "{refused}");
        ensure!(read(case, &environment, "extra")? == Some(foreign.clone()), "it is untouched");

        // The rendering forgets the name: what carries our labels and is not ours stays.
        repo.remove(EXTRA)?.commit("Another way")?;
        up(case, &repo)?.expect(0)?;
        ensure!(read(case, &environment, "extra")? == Some(foreign), "labels alone make nothing ours");
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)
    })
}

#[test]
fn somebody_who_is_quicker_keeps_what_is_theirs() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("config")?;
        up(case, &repo)?.expect(0)?;
        let environment = case.environment()?;
        let ours = read(case, &environment, "notes")?.context("no ConfigMap notes")?;
        repo.write(EXTRA, extra_manifest())?.commit("One more")?;
        // After the plan was made and before the write arrives: plain, and with every label of a neighbour.
        let plain = json!({"name": "extra"});
        let copied = json!({"name": "extra", "labels": ours["metadata"]["labels"], "annotations": ours["metadata"]["annotations"]});
        for metadata in [plain, copied] {
            let relay = Relay::start(case.cluster.api.config())?;
            let path = case.home().join("quicker.kubeconfig");
            case.cluster.api.config().with_token(&case.account.token).by_way_of(&relay.url()).write(&path)?;
            let (api, maps) = (case.cluster.api.clone(), environment.core("configmaps"));
            let theirs = json!({"metadata": metadata, "data": {"whose": "theirs"}});
            let make = move || drop(api.create(&maps, &theirs));
            relay.inject(Fault::on("/configmaps/extra?").method("PATCH").times(1).first(make));
            let refused = case.mimeo(case.on("up", &repo, "main")).kubeconfig(&path).run()?;
            refused.expect(3)?.says(["OBJ019", "ConfigMap/extra", "appeared"])?;
            let theirs = read(case, &environment, "extra")?.context("it is there")?;
            ensure!(theirs["data"]["whose"] == "theirs", "it is untouched: {theirs}");
            up(case, &repo)?.expect(3)?.says(["OBJ019"])?;
            ensure!(read(case, &environment, "extra")? == Some(theirs), "it stays untouched");
            let path = format!("{}/extra", environment.core("configmaps"));
            ensure!(case.cluster.api.delete(&path)?.is_ok(), "its owner removes it");
        }
        up(case, &repo)?.expect(0)?;
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)
    })
}

#[test]
fn an_object_made_again_by_somebody_else_is_not_deleted() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("config")?;
        repo.write(EXTRA, extra_manifest())?.commit("One more")?;
        up(case, &repo)?.expect(0)?;
        let environment = case.environment()?;
        let path = format!("{}/extra", environment.core("configmaps"));
        let ours = case.cluster.api.get(&path)?.context("no ConfigMap extra")?;
        ensure!(case.cluster.api.delete(&path)?.is_ok(), "somebody deletes it");
        let metadata = json!({"name": "extra", "labels": ours["metadata"]["labels"], "annotations": ours["metadata"]["annotations"]});
        let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"whose": "theirs"}});
        // Even under our field manager's name.
        ensure!(case.cluster.api.apply(&path, "mimeo", &theirs)?.is_ok(), "and makes another one");
        let theirs = case.cluster.api.get(&path)?;
        up(case, &repo)?.expect(3)?.says(["OBJ019", "extra"]).context("up does not take it over")?;
        repo.remove(EXTRA)?.commit("Not needed any more")?;
        up(case, &repo)?.expect(0)?;
        ensure!(case.cluster.api.get(&path)? == theirs, "it is not deleted");
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)
    })
}

#[test]
fn an_object_of_ours_that_the_rendering_forgets_is_deleted() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("config")?;
        repo.write(EXTRA, extra_manifest())?.commit("One more")?;
        up(case, &repo)?.expect(0)?;
        let environment = case.environment()?;
        ensure!(read(case, &environment, "extra")?.is_some(), "it is there");
        repo.remove(EXTRA)?.commit("Not needed any more")?;
        let diff = case.mimeo(case.on("diff", &repo, "main")).run()?.expect(1)?;
        diff.says(["ConfigMap/extra"])?;
        up(case, &repo)?.expect(0)?;
        ensure!(read(case, &environment, "extra")?.is_none(), "it is gone");
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)
    })
}

#[test]
fn a_foreign_namespace_of_the_environments_name_is_left_alone() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("config")?;
        up(case, &repo)?.expect(0)?;
        let environment = case.environment()?;
        let path = format!("/api/v1/namespaces/{}", environment.name);
        let labels = case.cluster.api.get(&path)?.context("no namespace")?["metadata"]["labels"].clone();
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)?;

        // Once with nothing on it, once with copies of our labels.
        for labels in [json!({}), labels] {
            let metadata = json!({"name": environment.name, "labels": labels});
            case.cluster.api.create("/api/v1/namespaces", &json!({"metadata": metadata}))?;
            let map = json!({"metadata": {"name": "treasure"}, "data": {"a": "b"}});
            case.cluster.api.create(&environment.core("configmaps"), &map)?;
            let refused = up(case, &repo)?;
            ensure!(matches!(refused.code, Some(3 | 4)), "refused: {refused}");
            refused.says([environment.name.as_str()])?;
            // There is nothing to take down: the receipt of the earlier life says so, and nothing is touched.
            case.mimeo(["down", &environment.name, "--yes"]).succeed()?.says(["gone already"])?;
            ensure!(read(case, &environment, "treasure")?.is_some(), "what is in it stays");
            let live = case.cluster.api.get(&path)?.unwrap_or_default();
            ensure!(live["metadata"]["deletionTimestamp"].is_null(), "it stays: {live}");
            let ours = case.environments()?;
            ensure!(ours.is_empty(), "no record of what was refused: {ours:?}");
            ensure!(case.cluster.api.delete(&path)?.is_ok(), "its owner removes it");
            environment.wait_gone(case.cluster)?;
        }
        Ok(())
    })
}
