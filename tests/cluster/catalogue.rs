//! The shipped templates with their real software: each comes up and does what it is for.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use serde_json::{Value, json};
use testkit::{Case, Environment, GitRepo, Mimeo, checkout};

use crate::on_lab;

/// Software that starts in seconds alone takes longer beside other tests.
const LIMIT: Duration = Duration::from_secs(600);

/// A repository with the shipped templates and a spec of the test's name.
fn repo(case: &Case<'_>, spec: &str) -> Result<GitRepo> {
    let repo = GitRepo::new()?;
    repo.write("README.md", &format!("Made by a test, {}\n", case.spec()))?;
    for folder in ["templates", "pipelines/shop"] {
        repo.copy_below(&checkout().join(folder), folder)?;
    }
    write_spec(case, &repo, spec)?;
    Ok(repo)
}

fn write_spec(case: &Case<'_>, repo: &GitRepo, spec: &str) -> Result<()> {
    let head = format!(
        "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {{name: {}}}\n",
        case.spec()
    );
    repo.write(&format!("environments/{}.yaml", case.spec()), &(head + spec))?;
    repo.commit("An environment")?;
    Ok(())
}

fn mimeo(case: &Case<'_>, command: &str, repo: &GitRepo) -> Mimeo {
    case.mimeo(case.on(command, repo, "main")).args(["--image-map", &map()]).limit(LIMIT)
}

fn map() -> String {
    checkout().join("tests/lab/images.yaml").display().to_string()
}

fn down(case: &Case<'_>, environment: &Environment) -> Result<()> {
    case.mimeo(["down", &environment.name, "--yes"]).limit(LIMIT).succeed()?;
    case.is_gone(environment)
}

/// Asks a Service of the environment, which the host reaches like a pod.
fn ask(
    case: &Case<'_>,
    environment: &Environment,
    service: &str,
    rest: &str,
    more: &[&str],
) -> Result<String> {
    let path = format!("/api/v1/namespaces/{}/services/{service}", environment.name);
    let service = case.cluster.api.get(&path)?.context("no Service")?;
    let address = service["spec"]["clusterIP"].as_str().context("no address")?;
    let url = format!("http://{address}:{}{rest}", service["spec"]["ports"][0]["port"]);
    let output = Command::new("curl")
        .args(["-sS", "--fail-with-body", "--noproxy", "*", "--max-time", "30"])
        .args(more)
        .arg(&url)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{url}: {text} {}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

fn ask_json(
    case: &Case<'_>,
    environment: &Environment,
    service: &str,
    rest: &str,
    token: &str,
    body: &Value,
) -> Result<Value> {
    let (body, token) = (body.to_string(), format!("Authorization: Bearer {token}"));
    let mut more = vec!["-H", "Content-Type: application/json", "-H", &token];
    if body != "null" {
        more.extend(["-d", &body]);
    }
    Ok(serde_json::from_str(&ask(case, environment, service, rest, &more)?)?)
}

fn secret(case: &Case<'_>, environment: &Environment, name: &str, key: &str) -> Result<String> {
    let path = format!("/api/v1/namespaces/{}/secrets/{name}", environment.name);
    let secret = case.cluster.api.get(&path)?.context("no Secret")?;
    let value =
        base64::engine::general_purpose::STANDARD.decode(secret["data"][key].as_str().unwrap_or(""))?;
    Ok(String::from_utf8(value)?)
}

/// PostgreSQL, S3, Kafka, dbt and Dagster: files and events become marts, which the gates count.
#[test]
fn the_full_stack_does_its_work() -> Result<()> {
    on_lab(|case| {
        let full = std::fs::read_to_string(checkout().join("environments/full.yaml"))?;
        let (_, spec) = full.split_once("metadata: {name: full}\n").context("its head")?;
        let repo = repo(case, spec)?;
        case.mimeo(["check", "--repo", &repo.arg(), "--image-map", &map()])
            .succeed()?
            .says(["0 errors, 0 warnings"])?;
        mimeo(case, "up", &repo).succeed()?.says(["every-order", "every-click"])?;
        let environment = case.environment()?;
        let query = json!({"query": "{ runsOrError { ... on Runs { results { status jobName } } } \
            schedulesOrError(repositorySelector: {repositoryLocationName: \"orchestrator\", repositoryName: \"__repository__\"}) \
            { ... on Schedules { results { name } } } instance { daemonHealth { allDaemonStatuses { daemonType healthy } } } }"});
        let shown = ask_json(case, &environment, "orchestrator", "/graphql", "", &query)?;
        let runs = &shown["data"]["runsOrError"]["results"];
        ensure!(runs == &json!([{"status": "SUCCESS", "jobName": "load"}]), "Dagster shows the run: {shown}");
        let daemons = shown["data"]["instance"]["daemonHealth"]["allDaemonStatuses"].as_array().cloned();
        let runs_by_itself = daemons.unwrap_or_default().iter().any(|daemon| daemon["healthy"] == true);
        ensure!(!runs_by_itself, "schedules rest: {shown}");
        mimeo(case, "diff", &repo).succeed()?;
        down(case, &environment)
    })
}

/// A web application reads a page that another component has, by its wire.
#[test]
fn a_service_answers() -> Result<()> {
    on_lab(|case| {
        let repo = repo(
            case,
            "spec:\n  components:\n    web:\n      template: service\n      values:\n        image: docker.io/library/busybox:1.36\n        \
             command: [sh, -c, 'echo \"hello $WHO\" >/tmp/index.html; exec httpd -f -p $PORT -h /tmp']\n        env: {WHO: world}\n        \
             host: \"web-{{ env.id }}.qa.example.org\"\n    fetch:\n      template: job\n      wires: {service: web}\n      values:\n        \
             image: docker.io/library/busybox:1.36\n        command: [sh, -c, 'echo $HTTP_URL | grep -q ^http://web.']\n",
        )?;
        mimeo(case, "up", &repo).succeed()?;
        let environment = case.environment()?;
        let answer = ask(case, &environment, "web", "/", &[])?;
        ensure!(answer == "hello world\n", "{answer}");
        let ingress = format!("/apis/networking.k8s.io/v1/namespaces/{}/ingresses/web", environment.name);
        let ingress = case.cluster.api.get(&ingress)?.context("no Ingress")?;
        let host = ingress["spec"]["rules"][0]["host"].as_str().unwrap_or_default();
        ensure!(host == format!("web-{}.qa.example.org", environment.id), "{host}");
        down(case, &environment)
    })
}

const DAG: &str = r#"
from datetime import datetime

from airflow.sdk import dag, task


@dag(schedule="@hourly", start_date=datetime(2026, 1, 1))
def count():
    @task
    def rows():
        import os

        import psycopg2

        with psycopg2.connect("") as connection, connection.cursor() as cursor:
            cursor.execute("create table if not exists counted as select 42 as rows")
            cursor.execute("select rows from counted")
            return cursor.fetchone()[0]

    rows()


count()
"#;

#[test]
fn airflow_runs_a_dag_of_the_commit_when_asked() -> Result<()> {
    on_lab(|case| {
        let repo =
            repo(case, "spec: {components: {warehouse: {template: postgres, values: {database: shop}}}}\n")?;
        repo.write("dags/count.py", DAG)?;
        write_spec(
            case,
            &repo,
            "spec:\n  components:\n    warehouse: {template: postgres, values: {database: shop}}\n    orchestrator:\n      \
             template: airflow\n      wires: {metadata: warehouse, warehouse: warehouse}\n      values: {dags: dags}\n",
        )?;
        mimeo(case, "up", &repo).succeed()?;
        let environment = case.environment()?;
        let password = secret(case, &environment, "orchestrator-auth", "password")?;
        let login = json!({"username": "admin", "password": password});
        let token = ask_json(case, &environment, "orchestrator", "/auth/token", "", &login)?;
        let token = token["access_token"].as_str().context("no token")?.to_owned();
        let airflow = |rest: &str, body: &Value| {
            ask_json(case, &environment, "orchestrator", &format!("/api/v2/{rest}"), &token, body)
        };
        let began = Instant::now();
        // The DAG processor looks every few seconds.
        let dag = loop {
            match airflow("dags/count", &Value::Null) {
                Ok(dag) => break dag,
                Err(error) if began.elapsed() > LIMIT => bail!("no DAG: {error:#}"),
                Err(_) => thread::sleep(Duration::from_secs(1)),
            }
        };
        ensure!(dag["is_paused"] == true, "it rests: {dag}");
        let runs = airflow("dags/count/dagRuns", &Value::Null)?;
        ensure!(runs["total_entries"] == 0, "and has not caught up: {runs}");
        ask(
            case,
            &environment,
            "orchestrator",
            "/api/v2/dags/count",
            &[
                "-X",
                "PATCH",
                "-H",
                &format!("Authorization: Bearer {token}"),
                "-H",
                "Content-Type: application/json",
                "-d",
                "{\"is_paused\": false}",
            ],
        )?;
        let run = airflow("dags/count/dagRuns", &json!({"logical_date": null}))?;
        let path = format!("dags/count/dagRuns/{}", run["dag_run_id"].as_str().context("no run")?);
        loop {
            let run = airflow(&path, &Value::Null)?;
            match run["state"].as_str() {
                Some("success") => break,
                Some("failed") => bail!("{run}"),
                _ if began.elapsed() > LIMIT => bail!("still {run}"),
                _ => thread::sleep(Duration::from_millis(500)),
            }
        }
        down(case, &environment)
    })
}

const WAREHOUSE: &str = "    warehouse: {template: postgres, values: {database: shop}}\n";
const LAKE: &str = "    lake: {template: s3, values: {bucket: landing}}\n";
const USE: &str = "    use:
      template: job
      wires: {database: warehouse, store: lake}
      values:
        image: \"mimeo/dagster:1.13\"
        command:
          - python
          - -c
          - |
            import os, boto3, psycopg2
            psycopg2.connect(\"\").cursor().execute(\"select 1\")
            boto3.client(\"s3\").put_object(Bucket=os.environ[\"S3_BUCKET\"], Key=\"seen\", Body=b\"1\")
";

/// The plan after a commit, its steps as `component kind/name`, and the digest that approves what is lost.
fn plan(case: &Case<'_>, repo: &GitRepo) -> Result<(Vec<String>, String)> {
    let shown = mimeo(case, "diff", repo).args(["-o", "json"]).run()?.expect(1)?.json()?;
    let waves = shown["waves"].as_array().into_iter().flatten();
    let steps = waves.flat_map(|wave| wave["steps"].as_array().into_iter().flatten());
    let steps = steps.chain(shown["prune"].as_array().into_iter().flatten());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut names: Vec<String> = steps
        .map(|step| {
            format!(
                "{} {} {}",
                text(&step["action"]),
                text(&step["component"]),
                text(&step["object"]["kind"])
            )
        })
        .collect();
    names.sort();
    Ok((names, text(&shown["digest"])))
}

/// The worked example of docs/templates.md: one line each, the consumer as it was, and the plan shows just that.
#[test]
fn a_provider_is_switched_by_one_line() -> Result<()> {
    on_lab(|case| {
        let repo = repo(case, &format!("spec:\n  components:\n{WAREHOUSE}{LAKE}{USE}"))?;
        // What is shared runs in an environment of its own.
        let shared = format!("{}-shared", case.spec());
        let head =
            format!("apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {{name: {shared}}}\n");
        repo.write(
            &format!("environments/{shared}.yaml"),
            &format!("{head}spec:\n  components:\n{WAREHOUSE}{LAKE}"),
        )?;
        repo.commit("What is shared")?;
        mimeo(case, "up", &repo).succeed()?;
        let own = case.environment()?;
        case.mimeo(["up", &shared, "--repo", &repo.arg(), "--rev", "main", "--image-map", &map()])
            .limit(LIMIT)
            .succeed()?;
        let shared = case.environments()?.into_iter().find(|one| one.name != own.name).context("no other")?;
        for (name, key) in [("warehouse-auth", "their-warehouse"), ("lake-auth", "their-lake")] {
            let secret = format!("/api/v1/namespaces/{}/secrets/{name}", shared.name);
            let secret = case.cluster.api.get(&secret)?.context("no Secret")?;
            let copy = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": key}, "data": secret["data"]});
            case.cluster.api.create(&format!("/api/v1/namespaces/{}/secrets", own.name), &copy)?;
        }

        let spec = format!("environments/{}.yaml", case.spec());
        let outside = format!(
            "    warehouse: {{template: external, values: {{sql: {{host: warehouse.{}.svc, port: 5432, database: shop, \
             auth: {{secretRef: their-warehouse}}}}}}}}\n",
            shared.name
        );
        repo.edit(&spec, WAREHOUSE, &outside)?.commit("Their warehouse")?;
        let (steps, digest) = plan(case, &repo)?;
        let gone = ["PersistentVolumeClaim", "Secret", "Service", "StatefulSet"]
            .map(|kind| format!("delete warehouse {kind}"));
        ensure!(steps == [&gone[..], &["recreate use Job".to_owned()]].concat(), "{steps:?}");
        mimeo(case, "up", &repo).args(["--approve", &digest]).succeed()?;

        let outside = format!(
            "    lake: {{template: external, values: {{s3: {{endpoint: \"http://lake.{}.svc:7070\", bucket: landing, \
             auth: {{secretRef: their-lake}}}}}}}}\n",
            shared.name
        );
        repo.edit(&spec, LAKE, &outside)?.commit("Their lake")?;
        let (steps, digest) = plan(case, &repo)?;
        let gone = ["PersistentVolumeClaim", "Secret", "Service", "StatefulSet"]
            .map(|kind| format!("delete lake {kind}"));
        ensure!(steps == [&gone[..], &["recreate use Job".to_owned()]].concat(), "{steps:?}");
        mimeo(case, "up", &repo).args(["--approve", &digest]).succeed()?;
        mimeo(case, "diff", &repo).succeed()?;
        // What is outside is not touched by the end of the environment.
        down(case, &own)?;
        let lake = format!("/apis/apps/v1/namespaces/{}/statefulsets/lake", shared.name);
        ensure!(case.cluster.api.get(&lake)?.is_some(), "the shared one lives");
        down(case, &shared)
    })
}
