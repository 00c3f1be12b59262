//! What `mimeo check` says without a cluster, the API server says, too: the cases of `tests/cases/check`, object by
//! object, as dry runs of the apply that `up` would send.

#[path = "../../crates/check/tests/defaults/mod.rs"]
mod defaults;

use std::{thread, time::Duration};

use ::check::{Question, Version, check};
use anyhow::{Context as _, Result, ensure};
use render::RenderedObject;
use serde_json::{Value, json};
use spec::Diagnostic;
use testkit::{Answer, Api, CaseFile};

use crate::on_lab;

/// The codes that say: the server will refuse this object.
const REFUSALS: [&str; 13] = [
    "OBJ002", "OBJ003", "OBJ004", "OBJ012", "OBJ016", "OBJ030", "OBJ031", "OBJ032", "OBJ033", "OBJ036",
    "OBJ037", "OBJ038", "OBJ044",
];

#[test]
fn the_server_refuses_what_check_refuses_and_takes_the_rest() -> Result<()> {
    on_lab(|case| {
        let api = &case.cluster.api;
        let version = api.get("/version")?.unwrap_or_default();
        let text = format!("1.{}", version["minor"].as_str().unwrap_or_default());
        let versions = Version::range(&text).map_err(|finding| anyhow::anyhow!("{finding}"))?;
        let namespace = namespace(api, case.spec())?;
        let (mut taken, mut refused, mut wrong) = (0, 0, Vec::new());
        for file in CaseFile::all("check")? {
            let Some((objects, found)) = look(&file, &versions) else { continue };
            for object in &objects {
                let Some(answer) = dry_run(api, &namespace, object)? else { continue };
                let says = refusal(object, &found);
                match (answer.is_ok(), says) {
                    (true, None) => taken += 1,
                    (false, Some(_)) => refused += 1,
                    // The server cuts it to 32 bits without a word, and would make 705,032,704 pods.
                    (true, Some(says)) if says.contains("needs more than 32 bits") => refused += 1,
                    // An admin may have switched it on.
                    (false, None) if is_beta(object) => taken += 1,
                    (true, Some(says)) => wrong.push(format!("{}: taken, though {says}", file.name())),
                    (false, None) => wrong.push(format!("{}: {}", file.name(), answer.message())),
                }
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        ensure!(taken > 60 && refused > 30, "only {taken} taken, {refused} refused");
        Ok(())
    })
}

/// A namespace that enforces what those of environments do.
fn namespace(api: &Api, spec: &str) -> Result<String> {
    let name = format!("{spec}-check");
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline"});
    let object =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    api.create("/api/v1/namespaces", &object)?;
    // Without it, the server takes no pod.
    let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
    for _ in 0..100 {
        if api.get(&account)?.is_some() {
            return Ok(name);
        }
        thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("no service account in {name}")
}

/// The objects of a case and what is found in them; nothing for a case that cannot be rendered.
fn look(file: &CaseFile, versions: &[Version]) -> Option<(Vec<RenderedObject>, Vec<Diagnostic>)> {
    let survey = render::survey(&defaults::request(), &defaults::files(file));
    let rendered = survey.rendered.filter(|_| survey.complete)?;
    let found = check(&Question { rendered: &rendered, complete: true, twin: None, versions });
    Some((rendered.objects, found))
}

/// What is said about an object that means a refusal. Of pods that a controller makes, the server decides later.
fn refusal(object: &RenderedObject, found: &[Diagnostic]) -> Option<String> {
    let kind = object.manifest["kind"].as_str().unwrap_or_default();
    let title = format!("{kind}/{}", object.manifest["metadata"]["name"].as_str().unwrap_or_default());
    let means = |finding: &&Diagnostic| {
        finding.object.as_ref() == Some(&title)
            && REFUSALS.contains(&finding.code)
            && (finding.code != "OBJ012" || kind == "Pod")
    };
    found.iter().find(means).map(ToString::to_string)
}

/// Whether it is of an alpha or beta version.
fn is_beta(object: &RenderedObject) -> bool {
    let version = object.manifest["apiVersion"].as_str().unwrap_or_default();
    version.contains("alpha") || version.contains("beta")
}

/// The server's answer to the apply; `None` for a custom kind, whose definition it does not have.
fn dry_run(api: &Api, namespace: &str, object: &RenderedObject) -> Result<Option<Answer>> {
    let mut manifest = object.manifest.clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (api_version, kind, name) =
        (text(&manifest["apiVersion"]), text(&manifest["kind"]), text(&manifest["metadata"]["name"]));
    if api_version.contains("example.org") {
        return Ok(None);
    }
    let known = api.kinds()?.iter().find(|known| {
        let own = if known.group.is_empty() {
            known.version.clone()
        } else {
            format!("{}/{}", known.group, known.version)
        };
        own == api_version && known.kind == kind
    });
    let collection = match known {
        Some(known) => known.path(Some(namespace)),
        // The server has no such kind: it says so at any path of that group.
        None => format!("/apis/{}/namespaces/{namespace}/{}s", api_version, kind.to_lowercase()),
    };
    if manifest["metadata"]["namespace"].is_string() {
        manifest["metadata"]["namespace"] = json!(namespace);
    }
    let path = format!("{collection}/{name}?fieldManager=mimeo&dryRun=All&fieldValidation=Strict");
    let answer = api.send("PATCH", &path, "application/apply-patch+yaml", manifest.to_string().as_bytes());
    answer.context(name).map(Some)
}
