//! Values of Secrets are shown nowhere: in every shape, by every command that speaks of the objects.

use anyhow::{Result, ensure};
use base64::Engine as _;
use serde_json::json;
use testkit::{Case, GitRepo, Outcome, in_plane};

use crate::program;

const MANIFESTS: &str = "templates/corpus/manifests/all.yaml";
/// What no output may hold, plain or encoded, begins like this.
const CANARY: &str = "canary-bird";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn encoded(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Secrets in every shape a template may have, of the given generation.
fn write(repo: &GitRepo, generation: usize) -> Result<()> {
    let value = format!("{CANARY}-{generation}");
    let secret = |name: &str, body: serde_json::Value| {
        let mut all = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        for (key, value) in body.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        all
    };
    let annotated =
        json!({"name": "annotated", "annotations": {LAST_APPLIED: format!("{{\"data\":\"{value}\"}}")}});
    let types = ["example.com/one", "example.com/two"];
    let documents = [
        secret("plain", json!({"data": {"a": encoded(&value)}})),
        secret("texts", json!({"stringData": {"a": value, "lines": format!("first\n{value}\nlast\n")}})),
        secret(
            "grows",
            json!({"data": (0..=generation).map(|n| (format!("key-{n}"), encoded(&value).into())).collect::<serde_json::Map<_, _>>()}),
        ),
        secret("binary", json!({"data": {"blob": encoded(&format!("\u{0}\u{1}{value}"))}})),
        json!({"apiVersion": "v1", "kind": "List", "items": [secret("listed", json!({"stringData": {"a": value}}))]}),
        secret("annotated", json!({"metadata": annotated, "data": {"a": encoded(&value)}})),
        // A type cannot change: the Secret is made again.
        secret("typed", json!({"type": types[generation % 2], "stringData": {"a": value}})),
    ];
    let text = documents.map(|document| document.to_string()).join("\n---\n");
    repo.write(MANIFESTS, &format!("{{% raw %}}{text}{{% endraw %}}\n"))?
        .commit(&format!("Generation {generation}"))?;
    Ok(())
}

#[test]
fn no_command_shows_a_value() -> Result<()> {
    in_plane("secrets::no_command_shows_a_value", program(), |cluster| Case::run(cluster, every_command))
}

fn every_command(case: &Case<'_>) -> Result<()> {
    let repo = case.repo("corpus")?;
    let mut said: Vec<Outcome> = Vec::new();
    for generation in 0..3 {
        write(&repo, generation)?;
        if generation == 2 {
            meddle(case)?;
        }
        let file = case.home().join(format!("{generation}.json")).display().to_string();
        for (command, more) in [
            ("diff", vec!["-vv"]),
            ("diff", vec!["-o", "json"]),
            ("plan", vec!["-o", "json"]),
            ("plan", vec!["-o", file.as_str()]),
            ("up", vec!["-vv", "--dry-run"]),
        ] {
            said.push(case.mimeo(case.on(command, &repo, "main")).args(more).run()?);
        }
        let kept = std::fs::read_to_string(&file)?;
        ensure!(is_clean(&kept), "a secret is in the plan file: {kept}");
        if generation == 1 {
            let changed =
                ["Secret/plain", "Secret/texts", "Secret/listed", "Secret/typed", "Secret/annotated"];
            for plan in said.iter().rev().take(5) {
                ensure!(
                    changed
                        .iter()
                        .all(|name| plan.stdout.contains(name.split_once('/').unwrap_or_default().1)),
                    "{plan}"
                );
            }
        }
        said.push(case.mimeo(case.on("up", &repo, "main")).args(["-vv"]).run()?.expect(0)?);
    }
    let environment = case.environment()?;
    for name in ["plain", "typed", "annotated"] {
        said.push(case.mimeo(["why", &environment.name, &format!("Secret/{name}")]).succeed()?);
        said.push(case.mimeo(["why", &environment.name, &format!("Secret/{name}"), "-o", "json"]).succeed()?);
    }
    said.push(case.mimeo(["status", &environment.name, "-o", "json"]).succeed()?);
    said.push(case.mimeo(["down", &environment.name, "--yes", "-vv"]).succeed()?);
    for outcome in &said {
        ensure!(is_clean(&outcome.all()), "a secret is shown by {outcome}");
    }
    Ok(())
}

/// Others change values and leave copies of them, as kubectl does.
fn meddle(case: &Case<'_>) -> Result<()> {
    let environment = case.environment()?;
    let text = format!("{CANARY}-theirs");
    let patch = json!({
        "metadata": {"annotations": {LAST_APPLIED: text}},
        "data": {"a": encoded(&text), "theirs": encoded(&text)},
    });
    for name in ["plain", "listed", "annotated"] {
        let path = format!("{}/{name}?fieldManager=kubectl", environment.core("secrets"));
        let answer = case.cluster.api.merge(&path, &patch)?;
        ensure!(answer.is_ok(), "{}", answer.message());
    }
    Ok(())
}

/// Whether neither the beginning of a value nor of its encoding is in a text, at any of the three offsets.
fn is_clean(text: &str) -> bool {
    let shifted = ["", "\u{0}", "\u{0}\u{1}"].map(|before| {
        let whole = encoded(&format!("{before}{CANARY}"));
        whole[4..12].to_owned()
    });
    !text.contains(CANARY) && !shifted.iter().any(|part| text.contains(part))
}
