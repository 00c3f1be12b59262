//! What a mimeo user may not do, really tried with its token.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Answer, Api, Case, random_name};

use crate::on_lab;

/// The answer is a refusal by the server's rules, not some mistake of the test.
fn refused(what: &str, answer: &Answer) -> Result<()> {
    let reason = answer.body["reason"].as_str().unwrap_or_default();
    let by_right = answer.status == 403 && reason == "Forbidden";
    let by_policy =
        matches!(answer.status, 403 | 422) && answer.message().contains("ValidatingAdmissionPolicy");
    ensure!(by_right || by_policy, "{what}: {} {}", answer.status, answer.body);
    Ok(())
}

fn binding(name: &str, role: &str, case: &Case<'_>) -> Value {
    json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "namespace": case.account.namespace, "name": case.account.name}],
    })
}

#[test]
fn a_mimeo_user_reaches_nothing_but_environments() -> Result<()> {
    on_lab(|case| {
        let user = case.cluster.api.as_token(&case.account.token)?;
        let admin = &case.cluster.api;
        let mark = random_name();
        let victim = format!("{}-victim", case.spec());
        admin.create("/api/v1/namespaces", &json!({"metadata": {"name": victim}}))?;

        let plain = json!({"metadata": {"name": format!("{}-plain", case.spec())}});
        refused("a namespace without label", &user.post("/api/v1/namespaces", &plain)?)?;
        let labels =
            json!({"mimeo.dev/environment": mark, "pod-security.kubernetes.io/enforce": "privileged"});
        let privileged = json!({"metadata": {"name": format!("{}-root", case.spec()), "labels": labels}});
        refused("a namespace for privileged pods", &user.post("/api/v1/namespaces", &privileged)?)?;
        for namespace in ["kube-system", "default", &victim] {
            let path = format!("/api/v1/namespaces/{namespace}");
            refused("deleting a foreign namespace", &user.delete(&path)?)?;
            // The way round: make it look like an environment first.
            let label = json!({"metadata": {"labels": {"mimeo.dev/environment": mark}}});
            refused("labelling a foreign namespace", &user.merge(&path, &label)?)?;
            let bindings = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
            refused(
                "binding mimeo-env elsewhere",
                &user.post(&bindings, &binding(&mark, "mimeo-env", case))?,
            )?;
            refused(
                "reading Secrets",
                &user.send("GET", &format!("{path}/secrets"), "application/json", &[])?,
            )?;
        }
        let clusterwide = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        refused("binding cluster-admin", &user.post(clusterwide, &binding(&mark, "cluster-admin", case))?)?;
        let tokens = "/api/v1/namespaces/mimeo-system/serviceaccounts/mimeo-gc/token";
        refused(
            "a token of the gc account",
            &user.post(tokens, &json!({"spec": {"expirationSeconds": 600}}))?,
        )?;
        let policy = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/mimeo-namespaces";
        refused("removing the policy", &user.delete(policy)?)?;

        // In an environment of its own it works, and cannot climb.
        let repo = case.repo("config")?;
        case.mimeo(case.on("up", &repo, "main")).succeed()?;
        let environment = case.environment()?;
        let maps = environment.core("configmaps");
        ensure!(
            user.post(&maps, &json!({"metadata": {"name": "own"}}))?.is_ok(),
            "in its own environment it may work"
        );
        let own = format!("/api/v1/namespaces/{}", environment.name);
        let level = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}});
        refused("raising the level of its own namespace", &user.merge(&own, &level)?)?;
        let label = json!({"metadata": {"labels": {"mimeo.dev/environment": Value::Null}}});
        refused("taking the label off its own namespace", &user.merge(&own, &label)?)?;
        let bindings =
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings", environment.name);
        refused(
            "cluster-admin in its own namespace",
            &user.post(&bindings, &binding(&mark, "cluster-admin", case))?,
        )?;
        let pods_of_others = format!("/api/v1/namespaces/{victim}/pods");
        refused("pods elsewhere", &user.send("GET", &pods_of_others, "application/json", &[])?)?;
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)?;
        ensure!(admin.delete(&format!("/api/v1/namespaces/{victim}"))?.is_ok(), "the victim goes");
        Ok(())
    })
}

#[test]
fn the_credentials_of_a_source_stay_where_they_are() -> Result<()> {
    on_lab(|case| {
        let admin = &case.cluster.api;
        let user = admin.as_token(&case.account.token)?;
        let secrets = "/api/v1/namespaces/mimeo-data/secrets";
        let name = format!("{}-source", case.spec());
        admin.create(
            secrets,
            &json!({"metadata": {"name": name}, "stringData": {"uri": "postgresql://secret@prod/db"}}),
        )?;
        let outcome = tried(case, &user, &name);
        ensure!(admin.delete(&format!("{secrets}/{name}"))?.is_ok(), "the Secret goes again");
        outcome
    })
}

fn tried(case: &Case<'_>, user: &Api, secret: &str) -> Result<()> {
    let data = "/api/v1/namespaces/mimeo-data";
    let get = |api: &Api, path: &str| api.send("GET", path, "application/json", &[]);
    refused("reading the Secret", &get(user, &format!("{data}/secrets/{secret}"))?)?;
    refused("listing Secrets", &get(user, &format!("{data}/secrets"))?)?;
    let pod =
        json!({"metadata": {"name": secret}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
    refused("a pod", &user.post(&format!("{data}/pods"), &pod)?)?;

    let config = case.cluster.api.get("/api/v1/namespaces/mimeo-system/configmaps/mimeo-config")?;
    let config = config.context("no image is installed")?;
    let image = config["data"]["image"].as_str().unwrap_or_default();
    let good = json!({
        "metadata": {"name": secret},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "main", "image": image, "args": ["data", "copy"],
                "env": [
                    {"name": "MIMEO_REQUEST", "value": "{\"where\": \"a = $$body$$\"}"},
                    {"name": "MIMEO_SOURCE_URI", "valueFrom": {"secretKeyRef": {"name": secret, "key": "uri"}}},
                    {"name": "MIMEO_TARGET_PASSWORD", "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}},
                ],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        }}},
    });
    let jobs = "/apis/batch/v1/namespaces/mimeo-data/jobs?dryRun=All";
    let allowed = user.post(jobs, &good)?;
    ensure!(allowed.is_ok(), "the Job that mimeo makes is allowed: {} {}", allowed.status, allowed.body);
    let with = |path: &str, value: Value| {
        let mut job = good.clone();
        let spec = &mut job["spec"]["template"]["spec"];
        match path.strip_prefix("container.") {
            Some(field) => spec["containers"][0][field] = value,
            None => spec[path] = value,
        }
        job
    };
    let volume = json!([{"name": "s", "secret": {"secretName": secret}}]);
    let source = json!({"secretKeyRef": {"name": secret, "key": "uri"}});
    let env = |request: Value, password: Value| json!([request, {"name": "MIMEO_SOURCE_URI", "valueFrom": source}, password]);
    let request = json!({"name": "MIMEO_REQUEST", "value": "{}"});
    let password = json!({
        "name": "MIMEO_TARGET_PASSWORD", "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}},
    });
    let echoed = json!({"name": "MIMEO_REQUEST", "value": "{\"$(MIMEO_SOURCE_URI)\": 1}"});
    let sent = json!({"name": "MIMEO_TARGET_PASSWORD", "valueFrom": source});
    let shell = json!({"exec": {"command": ["sh", "-c", "env"]}});
    for (what, job) in [
        ("another image", with("container.image", json!("docker.io/library/busybox:1.36"))),
        ("another command", with("container.command", json!(["sh", "-c", "env"]))),
        ("another entrypoint", with("container.args", json!(["render"]))),
        ("no arguments", with("container.args", Value::Null)),
        (
            "an init container",
            with("initContainers", json!([{"name": "first", "image": image, "args": ["data", "copy"]}])),
        ),
        ("a volume", with("volumes", volume)),
        ("an account's token", with("automountServiceAccountToken", json!(true))),
        ("a credential in an argument", with("container.args", json!(["data", "$(MIMEO_SOURCE_URI)"]))),
        ("a credential in the request", with("container.env", env(echoed, password.clone()))),
        ("a credential sent as a password", with("container.env", env(request.clone(), sent))),
        (
            "a variable more",
            with("container.env", json!([request, password, {"name": "X", "valueFrom": source}])),
        ),
        ("a whole Secret", with("container.envFrom", json!([{"secretRef": {"name": secret}}]))),
        ("a shell after the start", with("container.lifecycle", json!({"postStart": shell}))),
        ("a shell as a probe", with("container.startupProbe", shell.clone())),
        ("a host name of its own", with("hostAliases", json!([{"ip": "10.0.0.1", "hostnames": ["prod"]}]))),
        ("a resolver of its own", with("dnsConfig", json!({"nameservers": ["10.0.0.1"]}))),
    ] {
        refused(what, &user.post(jobs, &job)?)?;
    }

    // The accounts of an environment's pods see as little.
    let repo = case.repo("config")?;
    case.mimeo(case.on("up", &repo, "main")).succeed()?;
    let environment = case.environment()?;
    let token = format!("{}/default/token", environment.core("serviceaccounts"));
    let token = case.cluster.api.create(&token, &json!({"spec": {"expirationSeconds": 600}}))?;
    let pod = case.cluster.api.as_token(token["status"]["token"].as_str().unwrap_or_default())?;
    refused("a pod's account reads the Secret", &get(&pod, &format!("{data}/secrets/{secret}"))?)?;
    case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
    case.is_gone(&environment)
}

/// The right that `mimeo install --grant` gives to one account, and an account that has none.
#[test]
fn a_grant_is_what_makes_a_user() -> Result<()> {
    on_lab(|case| {
        let account = case.cluster.stranger("default", case.spec(), case.home())?;
        let repo = case.repo("config")?;
        let up = case.mimeo(case.on("up", &repo, "main")).kubeconfig(&account.kubeconfig);
        let before = up.run()?;
        let install =
            testkit::Mimeo::new(case.cluster.program(), case.home()).kubeconfig(case.cluster.kubeconfig());
        let granted = install.args(["install", "--grant", &account.subject()]).run()?;
        let after = up.run()?;
        let down = case
            .mimeo(case.on("down", &repo, "main"))
            .args(["--yes"])
            .kubeconfig(&account.kubeconfig)
            .run()?;
        revoke(case)?;
        before.expect(4)?;
        granted.expect(0)?;
        after.expect(0)?;
        down.expect(0)?;
        Ok(())
    })
}

fn revoke(case: &Case<'_>) -> Result<()> {
    let api = &case.cluster.api;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let collections = [
        format!("{rbac}/clusterrolebindings"),
        format!("{rbac}/namespaces/mimeo-system/rolebindings"),
        format!("{rbac}/namespaces/mimeo-data/rolebindings"),
    ];
    for collection in collections {
        for bound in api.list(&collection)? {
            if bound["subjects"][0]["name"] == case.spec() {
                api.delete(&format!(
                    "{collection}/{}",
                    bound["metadata"]["name"].as_str().unwrap_or_default()
                ))?;
            }
        }
    }
    api.delete(&format!("/api/v1/namespaces/default/serviceaccounts/{}", case.spec()))?;
    Ok(())
}
