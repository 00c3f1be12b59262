//! A volume that has to be made again, under a workload that runs on it and a hook that fills it.

use anyhow::{Context as _, Result, ensure};
use testkit::{Case, GitRepo};

use crate::on_lab;

const MANIFEST: &str = r#"apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 64Mi}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: fills}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - {name: main, image: "docker.io/library/busybox:1.36", command: [sh, -c, "date > /data/filled"], volumeMounts: [{name: data, mountPath: /data}]}
      volumes: [{name: data, persistentVolumeClaim: {claimName: files}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reads}
spec:
  selector: {matchLabels: {app: reads}}
  template:
    metadata: {labels: {app: reads}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: main
          image: docker.io/library/busybox:1.36
          command: [sleep, infinity]
          # Ready is who finds what the hook wrote.
          readinessProbe: {exec: {command: [test, -s, /data/filled]}, periodSeconds: 1}
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: files}}]
"#;

fn repo(case: &Case<'_>) -> Result<GitRepo> {
    let repo = case.repo("config")?;
    let template = "templates/notes/template.yaml";
    repo.edit(template, "spec:", "spec:\n  hooks:\n    - {job: fills, at: before}")?;
    repo.write("templates/notes/manifests/files.yaml", MANIFEST)?;
    repo.commit("A volume, a hook that fills it, a workload that reads it")?;
    Ok(repo)
}

#[test]
fn what_uses_a_volume_makes_way_for_a_new_one_and_finds_it_filled() -> Result<()> {
    on_lab(|case| {
        let repo = repo(case)?;
        case.mimeo(case.on("up", &repo, "main")).succeed()?;
        let environment = case.environment()?;
        let claims = format!("/api/v1/namespaces/{}/persistentvolumeclaims/files", environment.name);
        let uid = || -> Result<String> {
            let live = case.cluster.api.get(&claims)?.context("the claim is there")?;
            Ok(live["metadata"]["uid"].as_str().unwrap_or_default().to_owned())
        };
        let first = uid()?;
        repo.edit("templates/notes/manifests/files.yaml", "storage: 64Mi", "storage: 32Mi")?;
        repo.commit("A smaller volume")?;
        let refused = case.mimeo(case.on("up", &repo, "main")).run()?.expect(3)?;
        let refused = refused.says(["ENV010", "PersistentVolumeClaim/files: its data is lost"])?;
        ensure!(uid()? == first, "nothing is deleted without approval");
        let digest = refused.all();
        let digest = digest.split("--approve ").nth(1).context("a digest")?;
        let digest: String = digest.chars().take_while(char::is_ascii_hexdigit).collect();
        let diff = case.mimeo(case.on("diff", &repo, "main")).run()?.expect(1)?;
        diff.says(["Deployment/reads", "Job/fills", "it mounts PersistentVolumeClaim/files"])?;
        case.mimeo(case.on("up", &repo, "main")).args(["--approve", &digest]).succeed()?;
        ensure!(uid()? != first, "it is another volume");
        case.mimeo(case.on("diff", &repo, "main")).run()?.expect(0)?;
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)
    })
}
