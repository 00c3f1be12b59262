//! A new repository is right as it is written: `check` has nothing to say, and `up` brings it up.

use anyhow::{Result, ensure};
use testkit::GitRepo;

use crate::on_lab;

#[test]
fn a_starter_repository_comes_up() -> Result<()> {
    on_lab(|case| {
        let repo = GitRepo::new()?;
        repo.write("README.md", &format!("Made by a test, {}\n", case.spec()))?;
        case.mimeo(["init", &repo.arg(), "--ci", "github", "--ci", "gitea"]).succeed()?;
        // A second time nothing is in the way; a file that somebody changed is.
        case.mimeo(["init", &repo.arg()]).succeed()?;
        repo.write("jobs/seed/seed.sql", "select 1;\n")?;
        case.mimeo(["init", &repo.arg()]).run()?.expect(2)?.says(["ARG012", "jobs/seed/seed.sql"])?;
        case.mimeo(["init", &repo.arg(), "--force"]).succeed()?;
        repo.commit("Begin")?;
        let checked = case.mimeo(["check", "--repo", &repo.arg()]).succeed()?;
        checked.says(["0 errors, 0 warnings"])?;
        // The test's own spec, so that no two tests share an environment.
        repo.edit("environments/qa.yaml", "name: qa", &format!("name: {}", case.spec()))?;
        repo.git(&["mv", "environments/qa.yaml", &format!("environments/{}.yaml", case.spec())])?;
        repo.commit("Rename")?;
        case.mimeo(case.on("up", &repo, "main")).args(["--set", "rows=7"]).succeed()?;
        let environment = case.environment()?;
        let job = case
            .cluster
            .api
            .get(&format!("/apis/batch/v1/namespaces/{}/jobs/seed", environment.name))?
            .unwrap_or_default();
        ensure!(job["status"]["succeeded"] == 1, "the rows are there: {job}");
        case.mimeo(case.on("diff", &repo, "main")).args(["--set", "rows=7"]).succeed()?;
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)
    })
}
