//! Branch names that people and robots really use just work.

use anyhow::{Result, ensure};

use crate::on_lab;

#[test]
fn any_branch_name_gives_an_environment() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("config")?;
        let long = "x".repeat(200);
        let branches = ["dependabot/npm_and_yarn/x-1.2.3", "feature/ÄÖÜ", long.as_str()];
        for branch in branches {
            repo.branch(branch)?;
            let up = case.mimeo(case.on("up", &repo, branch)).args(["-o", "json"]).succeed()?;
            let name = up.json()?["name"].as_str().unwrap_or_default().to_owned();
            ensure!(
                name.len() <= 50 && name.starts_with(&format!("{}-", case.spec())),
                "{branch} gives {name}"
            );
            let environments = case.environments()?;
            let Some(environment) = environments.iter().find(|one| one.name == name) else {
                anyhow::bail!("{name} is not among {environments:?}");
            };
            let made = case
                .cluster
                .api
                .get(&format!("{}/notes-where", environment.core("configmaps")))?
                .unwrap_or_default();
            ensure!(made["data"]["branch"] == branch, "the template sees the whole name: {made}");
        }
        for environment in case.environments()? {
            case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
            case.is_gone(&environment)?;
        }
        Ok(())
    })
}
