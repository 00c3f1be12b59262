//! `mimeo check` as a program: what it writes in each format, and its exit codes.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::process::{Command, Output};

use serde_json::{Value, json};
use testkit::GitRepo;

const SPEC: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: NAME}\nspec:\n  components:\n    one: {template: web}\n    two: {template: web}\n";
const TEMPLATE: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec: {}\n";

/// A repository with two specs that share one template, whose manifest is given.
fn repo(manifest: &str) -> GitRepo {
    let repo = GitRepo::new().unwrap();
    for name in ["dev", "qa"] {
        repo.write(&format!("environments/{name}.yaml"), &SPEC.replace("NAME", name)).unwrap();
    }
    repo.write("templates/web/template.yaml", TEMPLATE).unwrap();
    repo.write("templates/web/manifests/a b, c.yaml", manifest).unwrap();
    repo.commit("Begin").unwrap();
    repo
}

fn check(repo: &GitRepo, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mimeo"))
        .args(["check", "--repo", &repo.arg(), "--repository", "git.example.com/team/flights"])
        .args(arguments)
        .env_clear()
        .env("HOME", repo.path())
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// An error in a field, a warning, and a note.
const MANIFEST: &str = "apiVersion: v1
kind: Service
metadata: {name: \"{{ name }}\"}
spec:
  selector: {app: \"100%: a, b\"}
  port: [{port: 80}]
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: \"{{ name }}\"}
";

#[test]
fn people_see_each_fault_once_with_its_line() {
    let output = check(&repo(MANIFEST), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stdout(&output),
        "dev: 4 objects\nqa: 4 objects\n1 error, 1 warning, 1 note (Kubernetes 1.36)\n"
    );
    let told = String::from_utf8(output.stderr).unwrap();
    let wanted = "\
note[OBJ034]: Widget of example.org/v1 is a custom kind, so its fields are not checked
  --> templates/web/manifests/a b, c.yaml:8:13
   |
 8 | apiVersion: example.org/v1
   |             ^
  in  Widget/one
  | also in Widget/two
  help: the cluster must have its CustomResourceDefinition
warning[OBJ039]: no pod template has the labels app=100%: a, b
  --> templates/web/manifests/a b, c.yaml:5:3
   |
 5 |   selector: {app: \"100%: a, b\"}
   |   ^
  in  Service/one
  | also in Service/two
  help: give the pods these labels, or correct the selector
error[OBJ004]: Kubernetes 1.36 has no field `spec.port`
  --> templates/web/manifests/a b, c.yaml:6:3
   |
 6 |   port: [{port: 80}]
   |   ^
  in  Service/one
  | also in Service/two
  help: did you mean `ports`?
";
    assert_eq!(told, wanted);
}

#[test]
fn annotations_escape_what_ends_a_command() {
    let output = check(&repo(MANIFEST), &["-o", "github"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "::warning file=templates/web/manifests/a b%2C c.yaml,line=5,col=3,title=OBJ039 Service/one::no pod template has \
         the labels app=100%25: a, b%0Aalso in Service/two%0Ahelp: give the pods these labels, or correct the selector"
    );
    assert!(lines[1].starts_with("::error file=") && lines[2].starts_with("::notice file="), "{text}");
    assert_eq!(lines.len(), 6, "{text}");
}

#[test]
fn sarif_is_what_its_schema_says() {
    let schema: Value = serde_json::from_str(include_str!("sarif/sarif-schema-2.1.0.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for manifest in [MANIFEST, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\n"] {
        let output = check(&repo(manifest), &["-o", "sarif"]);
        let log: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let faults: Vec<String> = schema.iter_errors(&log).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
    let output = check(&repo(MANIFEST), &["-o", "sarif"]);
    let log: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let run = &log["runs"][0];
    let result = &run["results"][1];
    assert_eq!(result["ruleId"], "OBJ004");
    assert_eq!(result["level"], "error");
    let rule =
        &run["tool"]["driver"]["rules"][usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
    assert_eq!(rule["id"], "OBJ004");
    assert_eq!(rule["shortDescription"]["text"], "a field that the kind does not have");
    assert_eq!(rule["help"]["text"], "correct it, or remove it");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "templates/web/manifests/a%20b,%20c.yaml");
    assert_eq!(
        place["region"],
        json!({"startLine": 6, "startColumn": 3, "snippet": {"text": "  port: [{port: 80}]"}})
    );
    let levels: Vec<&Value> =
        run["results"].as_array().unwrap().iter().map(|result| &result["level"]).collect();
    assert_eq!(levels, ["warning", "error", "note"]);
}

#[test]
fn json_names_what_was_looked_at() {
    let output = check(&repo(MANIFEST), &["-o", "json", "--kubernetes-version", "1.34-1.35"]);
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["kubernetes"], json!(["1.34", "1.35"]));
    assert_eq!(document["specs"][1], json!({"name": "qa", "objects": 4, "complete": true}));
    let item = &document["items"][1];
    assert_eq!((&item["code"], &item["line"], &item["column"]), (&json!("OBJ004"), &json!(6), &json!(3)));
    assert_eq!(item["cause"], "Kubernetes 1.34 has no field `spec.port`");
}

#[test]
fn warnings_alone_are_no_failure() {
    let manifest = MANIFEST.replace("  port: [{port: 80}]", "  ports: [{port: 80}]");
    let output = check(&repo(&manifest), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_template_that_no_spec_uses_is_checked_too() {
    let repo = repo("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\n");
    repo.write("templates/idle/template.yaml", &TEMPLATE.replace("name: web", "name: idel")).unwrap();
    repo.commit("An idle template").unwrap();
    let output = check(&repo, &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("SPC006") && told.contains("templates/idle/template.yaml:3:18"), "{told}");
    assert_eq!(check(&repo, &["qa"]).status.code(), Some(0));
}

/// A template that nobody uses, with a mistake in every line.
const IDLE: &str = "apiVersion: mimeo.dev/v1alpha1
kind: Template
metadata: {name: idle}
spec:
  parameters: {size: {type: integer}, free: {type: object}, text: {type: string, default: \"{{ naem }}\"}}
  requires: {db: {contract: postgres/v1}, own: {contract: own/v1}}
  provides: {http/v1: {url: \"http://{{ name }}\", urll: x}, kafka/v1: {bootstrap: \"{{ params.sise }}\"}}
";

const IDLE_MANIFEST: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: \"{{ name }}\"}
data:
  a: \"{{ params.sise }}\"
  b: \"{{ wires.db.hots }} {{ wires.own.thing }}\"
  {% if params.free.deep or params.size > 2 %}
  c: \"{{ params.free.deep }}\"
  {% endif %}
  {% set mine = 1 %}{% include \"partials/p\" %}
";

/// Without values: names, contracts and their outputs, folders and files that nobody would read.
#[test]
fn what_no_spec_uses_is_looked_at_as_far_as_it_can_be() {
    let repo = repo("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\n");
    repo.write("templates/idle/template.yaml", IDLE).unwrap();
    repo.write("templates/idle/manifests/all.yaml", IDLE_MANIFEST).unwrap();
    repo.write("templates/idle/partials/p", "  d: {{ mine }}{{ yours }}\n").unwrap();
    repo.write(
        "templates/other/template.yaml",
        &TEMPLATE
            .replace("name: web", "name: other")
            .replace("{}", "{requires: {x: {contract: postgers/v1}}}"),
    )
    .unwrap();
    repo.write("templates/nearly/template.yml", TEMPLATE).unwrap();
    repo.write("templates/README.md", "Templates.\n").unwrap();
    let contract = |name: &str, outputs: &str| {
        format!(
            "apiVersion: mimeo.dev/v1alpha1\nkind: Contract\nmetadata: {{name: {name}}}\nspec:\n  outputs: {outputs}\n"
        )
    };
    repo.write("contracts/own-v1.yaml", &contract("own-v1", "{thing: {type: string}}")).unwrap();
    repo.write("contracts/bad-v1.yaml", &contract("bad-v1", "{port: {type: integer, default: x}}")).unwrap();
    repo.write("contracts/sql-v1.yaml", &contract("sql-v1", "{}")).unwrap();
    repo.write("contracts/versionless.yaml", &contract("versionless", "{}")).unwrap();
    repo.commit("What nobody uses").unwrap();
    let output = check(&repo, &["-o", "json"]);
    assert_eq!(output.status.code(), Some(2));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let told: Vec<String> = document["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            format!("{} {}:{} {}", text(item, "code"), text(item, "file"), item["line"], text(item, "cause"))
        })
        .collect();
    let wanted = [
        "CTR002 contracts/bad-v1.yaml:5 default of `port` is not an integer",
        "CTR003 contracts/sql-v1.yaml:1 the contract sql/v1 is built in, so the file is not read",
        "CTR003 contracts/versionless.yaml:1 the file's name is none of a contract, so it is not read",
        "TPL001 templates/idle/manifests/all.yaml:5 `params.sise` is undefined",
        "TPL001 templates/idle/manifests/all.yaml:6 `wires.db.hots` is undefined",
        "TPL001 templates/idle/partials/p:1 `yours` is undefined",
        "TPL001 templates/idle/template.yaml:5 `naem` is undefined",
        "CTR002 templates/idle/template.yaml:7 http/v1 has no output `urll`",
        "TPL001 templates/idle/template.yaml:7 `params.sise` is undefined",
        "SPC015 templates/nearly/template.yml:1 templates/nearly has no template.yaml",
        "CTR001 templates/other/template.yaml:4 there is no contract `postgers/v1`",
    ];
    assert_eq!(told, wanted, "{told:#?}");
}

#[test]
fn versions_without_tables_are_refused() {
    let repo = repo("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\n");
    for text in ["1.20", "1.36-1.33", "newest"] {
        let output = check(&repo, &["--kubernetes-version", text]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains("ARG010"), "{text}");
    }
}

/// The catalogue and the example of this repository, with the versions that are supported.
#[test]
fn what_is_shipped_is_clean() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let repo = GitRepo::new().unwrap();
    for folder in ["environments", "templates", "pipelines"] {
        let copied = Command::new("cp").arg("-r").arg(root.join(folder)).arg(repo.path()).status().unwrap();
        assert!(copied.success());
    }
    repo.commit("The catalogue").unwrap();
    let output = check(&repo, &["-o", "json", "--kubernetes-version", "1.33-1.36"]);
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["items"], json!([]));
    assert!(document["specs"][0]["objects"].as_u64().unwrap() > 3, "{document}");
}

/// What `mimeo init` writes is right as it is written, with the versions that are supported.
#[test]
fn the_starter_is_clean() {
    let repo = GitRepo::new().unwrap();
    let mimeo = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mimeo"));
        command.args(arguments).env_clear().env("HOME", repo.path()).env("NO_COLOR", "1").output().unwrap()
    };
    assert!(mimeo(&["init", &repo.arg(), "--ci", "github"]).status.success());
    repo.write("jobs/seed/seed.sql", "select 1;\n").unwrap();
    let output = mimeo(&["init", &repo.arg()]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("ARG012") && told.contains("jobs/seed/seed.sql"), "{told}");
    assert!(mimeo(&["init", &repo.arg(), "--force"]).status.success());
    repo.commit("Begin").unwrap();
    let output = check(&repo, &["-o", "json", "--kubernetes-version", "1.33-1.36"]);
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["items"], json!([]));
    assert!(document["specs"][0]["objects"].as_u64().unwrap() > 3, "{document}");
}

/// A commit that cannot be had is a finding to whoever reads findings, and an error to everybody else.
#[test]
fn what_ends_a_check_is_a_finding_in_every_format() {
    let repo = repo(MANIFEST);
    let items = |format| {
        let output = check(&repo, &["--rev", "nowhere", "-o", format]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr.clone()).unwrap().contains("GIT001"), "{format}");
        stdout(&output)
    };
    let json: Value = serde_json::from_str(&items("json")).unwrap();
    assert_eq!(json["items"][0]["code"], "GIT001");
    assert_eq!(json["revision"], Value::Null);
    let sarif: Value = serde_json::from_str(&items("sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "GIT001");
    let schema: Value = serde_json::from_str(include_str!("sarif/sarif-schema-2.1.0.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    assert!(schema.is_valid(&sarif), "{sarif:#}");
    let github = items("github");
    assert!(github.starts_with("::error title=GIT001::revision `nowhere` not found"), "{github}");
    assert_eq!(items("text"), "");
}

/// CI checks out a commit, not a branch.
#[test]
fn a_detached_head_needs_no_name() {
    let repo = repo(MANIFEST);
    let named = check(&repo, &["-o", "json"]);
    repo.git(&["checkout", "--quiet", "--detach"]).unwrap();
    let detached = check(&repo, &["-o", "json"]);
    assert_eq!(detached.status.code(), Some(2));
    assert_eq!(stdout(&detached), stdout(&named));
}

/// A workflow stands where the forge looks for it, whatever folder the specs are in.
#[test]
fn the_job_of_a_subfolder_stands_at_the_root() {
    let repo = GitRepo::new().unwrap();
    let folder = format!("{}/teams/shop", repo.arg());
    let output = Command::new(env!("CARGO_BIN_EXE_mimeo"))
        .args(["init", &folder, "--ci", "github"])
        .env_clear()
        .env("HOME", repo.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout(&output).contains("../../.github/workflows/mimeo.yml\n"), "{}", stdout(&output));
    let job = std::fs::read_to_string(repo.path().join(".github/workflows/mimeo.yml")).unwrap();
    assert!(job.contains("mimeo preview --spec qa --path teams/shop}"), "{job}");
    assert!(!repo.path().join("teams/shop/.github").exists());
}

#[test]
fn a_field_that_is_not_there_is_not_explained() {
    let repo = repo("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\n");
    let explain = |field: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_mimeo"))
            .args([
                "explain",
                "qa",
                field,
                "--repo",
                &repo.arg(),
                "--repository",
                "git.example.com/team/flights",
            ])
            .env_clear()
            .env("HOME", repo.path())
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for field in ["components", "components.one", "components.one.template", "gates", "components.one.values"]
    {
        assert_eq!(explain(field).0, Some(0), "{field}");
    }
    for (field, near) in [
        ("components.on", "`components.one`"),
        ("component", "`components`"),
        ("components.three.template", "`components.one.template`"),
        ("components.one.valeus", "did you mean `components.one.values`"),
        ("nothing.of.this", "known: "),
    ] {
        let (code, told) = explain(field);
        assert_eq!(code, Some(2), "{field}");
        assert!(told.contains("ARG016") && told.contains(near), "{field}: {told}");
    }
}
