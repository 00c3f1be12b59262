//! What is rendered comes from the commit: not from the work tree, the place or the machine.

use anyhow::{Result, ensure};
use testkit::Mimeo;

use crate::on_lab;

#[test]
fn two_clones_render_the_same_bytes() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("crash")?;
        repo.branch("feature/x")?;
        let (one, two) = (repo.clone_whole()?, repo.clone_whole()?);
        two.write("templates/app/manifests/app.yaml", "this: is not even a manifest")?;
        two.write("environments/more.yaml", "nor: this")?;
        let render = |directory: &std::path::Path, zone: &str| {
            let home = tempfile_home(case)?;
            Mimeo::new(case.cluster.program(), &home)
                .args(["render", case.spec(), "--rev", "feature/x", "--repository", "example.com/team/repo"])
                .inside(directory)
                .var("TZ", zone)
                .succeed()
        };
        let first = render(one.path(), "UTC")?;
        let second = render(&two.path().join("templates"), "Asia/Kathmandu")?;
        ensure!(first.stdout == second.stdout && first.stdout.len() > 1000, "{first}\n{second}");
        ensure!(second.stderr.contains("ignored"), "the dirty work tree is mentioned: {second}");
        ensure!(!first.stderr.contains("ignored"), "a clean one is not: {first}");
        Ok(())
    })
}

/// A home of its own for each run, as on two machines.
fn tempfile_home(case: &testkit::Case<'_>) -> Result<std::path::PathBuf> {
    let home = case.home().join(testkit::random_name());
    std::fs::create_dir(&home)?;
    Ok(home)
}

#[test]
fn a_dirty_work_tree_is_ignored_and_mentioned() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("config")?;
        let spec = format!("environments/{}.yaml", case.spec());
        repo.edit(&spec, "{template: notes}", "{template: notes, values: {text: not committed}}")?;
        let outcome = case.mimeo(case.on("up", &repo, "main")).succeed()?;
        ensure!(outcome.stderr.contains("ignored"), "the dirty work tree is mentioned: {outcome}");
        let environment = case.environment()?;
        let notes =
            case.cluster.api.get(&format!("{}/notes", environment.core("configmaps")))?.unwrap_or_default();
        ensure!(notes["data"]["text"] == "nothing", "the commit decides: {notes}");
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)
    })
}
