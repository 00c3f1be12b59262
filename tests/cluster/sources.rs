//! Further repositories: what is brought up is what the lock file pins, and the record says which commits.

use anyhow::{Result, ensure};
use serde_json::Value;
use testkit::{Case, Environment, GitRepo, in_plane};

use crate::program;

const TEMPLATE: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: code}\nspec: {}\n";
const MANIFEST: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: code}\ndata:\n  sql: {{ file(path=\"code:flights/a.sql\") | quote }}\n";

/// The environment's code, and the commit of the source that its record names.
fn live(case: &Case<'_>, environment: &Environment) -> Result<(String, String)> {
    let path = format!("{}/code", environment.core("configmaps"));
    let object = case.cluster.api.get(&path)?.unwrap_or_default();
    let record = case.record(environment)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((text(&object["data"]["sql"]), text(&record["spec"]["lock"]["sources"]["code"]["revision"])))
}

#[test]
fn what_is_pinned_is_what_is_brought_up() -> Result<()> {
    in_plane("sources::what_is_pinned_is_what_is_brought_up", program(), |cluster| {
        Case::run(cluster, |case| {
            let (specs, code) = (GitRepo::new()?, GitRepo::new()?);
            let first = code.write("flights/a.sql", "one")?.commit("Begin")?;
            specs.write("templates/code/template.yaml", TEMPLATE)?;
            specs.write("templates/code/manifests/code.yaml", MANIFEST)?;
            let spec = format!(
                "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {{name: {name}}}\nspec:\n  \
                 sources: [{{name: code, url: {url}, ref: main}}]\n  components: {{code: {{template: code}}}}\n",
                name = case.spec(),
                url = code.arg(),
            );
            specs.write(&format!("environments/{}.yaml", case.spec()), &spec)?.commit("Write the spec")?;

            // Not pinned: nothing is made, not even a record.
            case.mimeo(case.on("up", &specs, "main")).run()?.expect(2)?.says(["LCK001"])?;
            ensure!(case.environments()?.is_empty(), "there is a record");

            case.mimeo(case.on("up", &specs, "main"))
                .args(["--update-lock"])
                .succeed()?
                .says(["is written"])?;
            let environment = case.environment()?;
            ensure!(live(case, &environment)? == ("one".to_owned(), first.clone()));
            specs.commit("Lock")?;

            // The branch moves, the environment does not. A plan keeps what it was made with.
            let second = code.write("flights/a.sql", "two")?.commit("Move")?;
            case.mimeo(case.on("diff", &specs, "main")).run()?.expect(0)?;
            let plan = case.home().join("plan.json").display().to_string();
            case.mimeo(case.on("plan", &specs, "main")).args(["--update-lock", "-o", &plan]).succeed()?;
            code.write("flights/a.sql", "three")?.commit("Move on")?;
            case.mimeo(["up", "--plan", &plan, "--repo", &specs.arg()]).succeed()?;
            ensure!(live(case, &environment)? == ("two".to_owned(), second));

            // The record's lock is enough to make the bytes again.
            let lock = case.home().join("lock.json").display().to_string();
            std::fs::write(&lock, case.record(&environment)?["spec"]["lock"].to_string())?;
            let again = case.mimeo(["render", "--lock", &lock, "--repo", &specs.arg()]).succeed()?;
            ensure!(again.all().contains("sql: two"), "{}", again.all());

            // What is committed counts again.
            specs.git(&["checkout", "--quiet", "."])?;
            case.mimeo(case.on("up", &specs, "main")).succeed()?;
            ensure!(live(case, &environment)? == ("one".to_owned(), first));
            case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
            case.is_gone(&environment)
        })
    })
}
