//! A cluster on which nobody has installed mimeo.

use anyhow::{Result, ensure};
use testkit::{GitRepo, Mimeo, checkout, in_plane};

use crate::program;

#[test]
fn up_without_an_installation_says_what_to_do() -> Result<()> {
    in_plane("untouched::up_without_an_installation_says_what_to_do", program(), |cluster| {
        let repo = GitRepo::new()?;
        repo.copy(&checkout().join("tests/fixtures/config"), &[("SPEC", "qa")])?.commit("Begin")?;
        let home = tempfile::tempdir()?;
        let mimeo = || Mimeo::new(program(), home.path()).kubeconfig(cluster.kubeconfig());
        for command in ["up", "diff"] {
            let outcome = mimeo().args([command, "qa", "--repo", &repo.arg(), "--rev", "main"]).run()?;
            outcome.expect(4)?.says(["not installed", "mimeo install"])?;
        }
        mimeo().args(["list"]).run()?.expect(4)?.says(["mimeo install"])?;
        let namespaces = cluster.api.list("/api/v1/namespaces")?;
        ensure!(namespaces.len() == 4, "nothing was made: {namespaces:?}");

        // Installed twice, it is installed once; then it works, and goes again without a trace.
        cluster.install()?;
        mimeo().args(["install"]).succeed()?;
        let up = mimeo().args(["up", "qa", "--repo", &repo.arg(), "--rev", "main"]).succeed()?;
        let refused = mimeo().args(["uninstall", "--yes"]).run()?;
        ensure!(refused.code == Some(3), "not while environments live: {refused}");
        ensure!(up.took.as_secs() < 30, "{up}");
        mimeo().args(["down", "qa", "--repo", &repo.arg(), "--rev", "main", "--yes"]).succeed()?;
        mimeo().args(["uninstall", "--yes"]).succeed()?;
        let kinds = cluster.api.list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")?;
        let left: Vec<_> = kinds.iter().filter(|kind| kind["spec"]["group"] == "mimeo.dev").collect();
        ensure!(left.is_empty(), "kinds are left: {left:?}");
        Ok(())
    })
}
