//! The two ends of a teardown: hooks before it, and the tombstone of one that is given up.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testkit::{Case, GitRepo, in_plane};

use crate::{on_lab, program};

/// The small fixture with a hook that says goodbye, or fails to.
fn repo(case: &Case<'_>, script: &str) -> Result<GitRepo> {
    let repo = case.repo("small")?;
    let template = "templates/notes/template.yaml";
    repo.edit(
        template,
        "  parameters:",
        "  hooks:\n    - {job: \"{{ name }}-goodbye\", at: before-delete}\n  parameters:",
    )?;
    let job = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {{{{ name }}}}-goodbye\nspec:\n  backoffLimit: 0\n  template:\n    spec:\n      \
         restartPolicy: Never\n      terminationGracePeriodSeconds: 0\n      containers:\n        - name: main\n          \
         image: docker.io/library/busybox:1.36\n          command: [sh, -c, \"{script}\"]\n"
    );
    repo.write("templates/notes/manifests/goodbye.yaml", &job)?;
    repo.commit("A hook before the deletion")?;
    Ok(repo)
}

#[test]
fn a_hook_runs_before_anything_goes() -> Result<()> {
    on_lab(|case| {
        let repo = repo(case, "echo goodbye")?;
        case.mimeo(case.on("up", &repo, "main")).succeed()?;
        let environment = case.environment()?;
        let job = format!("/apis/batch/v1/namespaces/{}/jobs/notes-goodbye", environment.name);
        ensure!(case.cluster.api.get(&job)?.is_none(), "it does not run with `up`");
        case.mimeo(case.on("diff", &repo, "main")).run()?.expect(0)?;
        let mark = case.cluster.audit.mark()?;
        // Neither repository nor templates are at hand.
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?.says(["Job/notes-goodbye"])?;
        let calls = case.cluster.audit.since(&mark, &case.cluster.api)?;
        let position = |verb: &str, resource: &str| {
            calls.iter().position(|call| {
                call.verb == verb && call.resource == resource && call.uri.contains(&environment.name)
            })
        };
        let made = position("patch", "jobs").context("the hook is made")?;
        let gone = position("delete", "namespaces").context("the namespace is deleted")?;
        ensure!(made < gone, "the hook comes first");
        // The Job's controller has written that it is complete before anything was deleted.
        let complete = calls[made..gone]
            .iter()
            .any(|call| call.resource == "jobs/status" && call.uri.contains("notes-goodbye"));
        ensure!(complete, "and it is waited for: {:?}", &calls[made..gone]);
        case.is_gone(&environment)
    })
}

#[test]
fn a_hook_that_fails_keeps_everything_until_it_is_left_out() -> Result<()> {
    on_lab(|case| {
        let repo = repo(case, "echo nobody answers; exit 3")?;
        case.mimeo(case.on("up", &repo, "main")).succeed()?;
        let environment = case.environment()?;
        let down = ["down", &environment.name, "--yes"];
        case.mimeo(down).run()?.expect(7)?.says(["nobody answers", "exit code 3", "--skip-hooks"])?;
        let web = format!("/apis/apps/v1/namespaces/{}/deployments/web", environment.name);
        ensure!(case.cluster.api.get(&web)?.is_some(), "nothing was deleted");
        ensure!(case.record(&environment)?["spec"]["state"] == "DeleteBlocked");
        // It runs again each time.
        case.mimeo(down).run()?.expect(7)?.says(["nobody answers"])?;
        case.mimeo(down).args(["--skip-hooks"]).succeed()?;
        case.is_gone(&environment)
    })
}

/// A finalizer that nobody serves: the environment goes, its leftovers stay listed, and a later pass finishes.
#[test]
fn an_abandoned_teardown_is_finished_later() -> Result<()> {
    in_plane("hooks::an_abandoned_teardown_is_finished_later", program(), |cluster| {
        Case::run(cluster, |case| {
            let repo = case.repo("small")?;
            case.mimeo(case.on("up", &repo, "main")).succeed()?;
            let environment = case.environment()?;
            let api = &case.cluster.api;
            let notes = format!("/api/v1/namespaces/{}/configmaps/notes", environment.name);
            let stuck =
                |finalizers: &[&str]| api.merge(&notes, &json!({"metadata": {"finalizers": finalizers}}));
            ensure!(stuck(&["example.com/stuck"])?.is_ok());
            let down = ["down", &environment.name, "--yes", "--timeout", "3s"];
            case.mimeo(down).run()?.expect(4)?.says(["DEL001"])?;
            ensure!(case.record(&environment)?["spec"]["state"] == "DeleteBlocked");
            case.mimeo(down).args(["--abandon"]).succeed()?.says(["abandoned", "mimeo gc"])?;
            ensure!(case.environments()?.is_empty(), "the record is gone");
            let receipts = case.mimeo(["receipts", &environment.name]).succeed()?;
            let receipts =
                receipts.says(["Proven:      no", "Namespace/", "Blocked by:", "example.com/stuck"])?;
            let listed = |name: &str| receipts.stdout.lines().any(|line| line.trim_start().starts_with(name));
            ensure!(listed("Namespace/") && !listed("ConfigMap/web"), "only what is left: {receipts}");
            // Nothing has changed: nothing is proven.
            case.mimeo(["gc"]).succeed()?;
            case.mimeo(["receipts", &environment.name]).succeed()?.says(["Proven:      no"])?;
            let look = || case.mimeo(["gc", "--dry-run"]).succeed();
            let left = format!("{} was abandoned, objects left: 1", environment.name);
            let namespace = format!("Namespace/{}: it is on its way out", environment.name);
            look()?.says([left.as_str(), &namespace])?;
            let json = case.mimeo(["gc", "--dry-run", "-o", "json"]).succeed()?.json()?;
            ensure!(json["abandoned"][0]["leftovers"].as_array().map(Vec::len) == Some(1), "{json}");
            ensure!(stuck(&[])?.is_ok());
            api.wait_gone(
                &format!("/api/v1/namespaces/{}", environment.name),
                std::time::Duration::from_secs(20),
            )?;
            ensure!(look()?.says(["objects left: 0"]).is_ok());
            case.mimeo(["receipts", &environment.name]).succeed()?.says(["Proven:      no"])?;
            case.mimeo(["gc"]).succeed()?.says(["nothing is left any more"])?;
            ensure!(!look()?.all().contains("was abandoned"), "it is finished");
            case.mimeo(["receipts", &environment.name]).succeed()?.says(["live reads"])?;
            Ok(())
        })
    })
}
