//! What rules of the cluster refuse: a policy is not got around, a quota is named.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Case, Environment, Fault, GitRepo, Relay, in_plane};

use crate::program;

fn uid(case: &Case<'_>, namespace: &str) -> Result<Value> {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/notes");
    let live = case.cluster.api.get(&path)?.context("the ConfigMap is there")?;
    Ok(live["metadata"]["uid"].clone())
}

/// A spec whose environments live in this namespace, or in one of their own.
fn declare(case: &Case<'_>, repo: &GitRepo, namespace: Option<&str>, text: &str) -> Result<()> {
    let policy = namespace.map(|name| format!("  policy: {{namespace: {{borrowed: {name}}}}}\n"));
    let spec = format!(
        "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {{name: {}}}\nspec:\n{}  components:\n    notes: {{template: notes, values: {{text: {text}}}}}\n",
        case.spec(),
        policy.unwrap_or_default()
    );
    repo.write(&format!("environments/{}.yaml", case.spec()), &spec)?;
    repo.commit(text).map(drop)
}

/// Waits until the API server knows what was just created: it says no, or changes nothing.
fn until_refused(case: &Case<'_>, path: &str) -> Result<()> {
    for _ in 0..100 {
        if !case.cluster.api.merge(path, &json!({"data": {"probe": "x"}}))?.is_ok() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    anyhow::bail!("the policy is not enforced")
}

#[test]
fn a_policy_that_says_immutable_is_not_got_around_by_making_again() -> Result<()> {
    in_plane(
        "policies::a_policy_that_says_immutable_is_not_got_around_by_making_again",
        program(),
        |cluster| {
            Case::run(cluster, |case| {
                let repo = case.repo("config")?;
                declare(case, &repo, None, "one")?;
                case.mimeo(case.on("up", &repo, "main")).succeed()?;
                let environment = case.environment()?;
                let before = uid(case, &environment.name)?;
                let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
                let name = format!("{}-frozen", case.spec());
                cluster.api.create(policies, &json!({
                "metadata": {"name": name},
                "spec": {
                    "matchConstraints": {"resourceRules": [{
                        "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["UPDATE"],
                    }]},
                    "validations": [{"expression": "false", "message": "data: field is immutable"}],
                },
            }))?;
                cluster.api.create(&format!("{policies}bindings").replace("policiesbindings", "policybindings"), &json!({
                "metadata": {"name": name},
                "spec": {
                    "policyName": name, "validationActions": ["Deny"],
                    "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": environment.name}}},
                },
            }))?;
                until_refused(case, &format!("/api/v1/namespaces/{}/configmaps/notes", environment.name))?;
                declare(case, &repo, None, "two")?;
                case.mimeo(case.on("up", &repo, "main"))
                    .run()?
                    .expect(7)?
                    .says(["CLU005", "field is immutable"])?;
                ensure!(uid(case, &environment.name)? == before, "it is the same object");
                cluster.api.delete(&format!("{policies}/{name}"))?;
                case.mimeo(["down", &environment.name, "--yes"]).succeed().map(drop)
            })
        },
    )
}

#[test]
fn a_quota_that_is_used_up_and_a_namespace_that_would_be_left_are_named() -> Result<()> {
    let name = "policies::a_quota_that_is_used_up_and_a_namespace_that_would_be_left_are_named";
    in_plane(name, program(), |cluster| {
        Case::run(cluster, |case| {
            let repo = case.repo("config")?;
            let lent = format!("{}-lent", case.spec());
            cluster.lend(&lent)?;
            let quotas = format!("/api/v1/namespaces/{lent}/resourcequotas");
            cluster.api.create(
                &quotas,
                &json!({
                    "metadata": {"name": "few"}, "spec": {"hard": {"count/configmaps": "0"}},
                }),
            )?;
            declare(case, &repo, Some(&lent), "lent")?;
            let begun = std::time::Instant::now();
            let refused = case.mimeo(case.on("up", &repo, "main")).run()?.expect(3)?;
            refused.says(["CLU013", "exceeded quota", "policy.quota"])?;
            ensure!(
                begun.elapsed() < std::time::Duration::from_secs(5),
                "a quota is not asked again and again"
            );
            case.mimeo(["down", &case.environment()?.name, "--yes"]).succeed()?;

            declare(case, &repo, None, "own")?;
            case.mimeo(case.on("up", &repo, "main")).succeed()?;
            let environment = case.environment()?;
            declare(case, &repo, Some(&lent), "elsewhere")?;
            case.mimeo(case.on("up", &repo, "main")).run()?.expect(3)?.says(["ENV026", &lent])?;
            case.mimeo(["down", &environment.name, "--yes"]).succeed().map(drop)
        })
    })
}

/// A Job that runs before the deletion, and nothing else of it is applied.
const HOOKS: &str = "apiVersion: mimeo.dev/v1alpha1
kind: Template
metadata: {name: notes}
spec:
  parameters: {text: {type: string}}
  hooks: [{job: bye, at: before-delete}]
";
const BYE: &str = "apiVersion: batch/v1
kind: Job
metadata: {name: bye}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: bye, image: \"busybox:1.36\"}]}}}
";

#[test]
fn what_the_policy_denies_is_neither_applied_nor_kept_for_the_end() -> Result<()> {
    let name = "policies::what_the_policy_denies_is_neither_applied_nor_kept_for_the_end";
    in_plane(name, program(), |cluster| {
        Case::run(cluster, |case| {
            let repo = case.repo("config")?;
            repo.write("templates/notes/template.yaml", HOOKS)?;
            repo.write("templates/notes/manifests/bye.yaml", BYE)?;
            let deny = |rule: &str| -> Result<()> {
                declare(case, &repo, None, rule)?;
                let path = format!("environments/{}.yaml", case.spec());
                let spec = std::fs::read_to_string(repo.path().join(&path))?;
                repo.write(&path, &format!("{spec}  policy: {{deny: [{rule}]}}\n"))?;
                repo.commit("deny").map(drop)
            };
            for (rule, object) in [("Job.batch", "Job/bye"), ("ConfigMap", "ConfigMap/notes")] {
                deny(rule)?;
                for command in ["plan", "up"] {
                    case.mimeo(case.on(command, &repo, "main"))
                        .run()?
                        .expect(3)?
                        .says(["POL001", rule, object])?;
                }
                ensure!(case.environments()?.is_empty(), "{rule}: something was made");
            }
            deny("Service/LoadBalancer")?;
            case.mimeo(case.on("up", &repo, "main")).succeed()?;
            case.mimeo(["down", &case.environment()?.name, "--yes"]).succeed().map(drop)
        })
    })
}

/// Three objects that have to be deleted and made again when WORD or ADDRESS changes; none needs a node. The port of
/// the Service is its old one's until that is gone.
const AGAIN: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: frozen, annotations: {note: NOTE}}
immutable: true
data: {a: WORD}
---
apiVersion: v1
kind: Service
metadata: {name: web, annotations: {note: NOTE}}
spec: {type: NodePort, clusterIP: 10.96.7.ADDRESS, selector: {app: web}, ports: [{port: 80, nodePort: 30911}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: runs, annotations: {note: NOTE}}
spec:
  template: {spec: {restartPolicy: Never, containers: [{name: main, image: "registry.example.com/app:WORD"}]}}
"#;

const MANIFEST: &str = "templates/notes/manifests/again.yaml";

/// An environment with these objects.
struct Again<'a> {
    case: &'a Case<'a>,
    repo: GitRepo,
    environment: Environment,
}

impl<'a> Again<'a> {
    fn begin(case: &'a Case<'a>) -> Result<Self> {
        let repo = case.repo("config")?;
        write(&repo, "one", 51, "fine")?;
        case.mimeo(case.on("up", &repo, "main")).succeed()?;
        Ok(Self { case, repo, environment: case.environment()? })
    }

    /// uids of ConfigMap, Service and Job.
    fn uids(&self) -> Result<Vec<Value>> {
        let uid = |(api, plural, name): (&str, &str, &str)| {
            let path = format!("/{api}/namespaces/{}/{plural}/{name}", self.environment.name);
            Ok(self.case.cluster.api.get(&path)?.context(path)?["metadata"]["uid"].clone())
        };
        [("api/v1", "configmaps", "frozen"), ("api/v1", "services", "web"), ("apis/batch/v1", "jobs", "runs")]
            .into_iter()
            .map(uid)
            .collect()
    }

    fn up(&self) -> Result<testkit::Mimeo> {
        Ok(self.case.mimeo(self.case.on("up", &self.repo, "main")))
    }

    /// Refuses every new object with the annotation `note: unwanted`, and waits until the server does.
    fn refuse_unwanted(&self) -> Result<()> {
        let (api, name) = (&self.case.cluster.api, format!("{}-unwanted", self.case.spec()));
        let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
        let expression = "!has(object.metadata.annotations) || !('note' in object.metadata.annotations) \
            || object.metadata.annotations['note'] != 'unwanted'";
        api.create(policies, &json!({
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": ["", "batch"], "apiVersions": ["v1"], "resources": ["*"], "operations": ["CREATE"],
                }]},
                "validations": [{"expression": expression, "message": "nobody wants this"}],
            },
        }))?;
        api.create("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings", &json!({
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.environment.name}},
            }},
        }))?;
        let path = format!("/api/v1/namespaces/{}/configmaps?dryRun=All", self.environment.name);
        let probe = json!({"metadata": {"name": "probe", "annotations": {"note": "unwanted"}}});
        until("the policy", || Ok(!api.post(&path, &probe)?.is_ok()))
    }

    /// Allows so many Services, and waits until they are counted.
    fn allow_services(&self, many: &str) -> Result<()> {
        let (api, quotas) =
            (&self.case.cluster.api, format!("/api/v1/namespaces/{}/resourcequotas", self.environment.name));
        let path = format!("{quotas}/few");
        drop(api.delete(&path)?);
        api.create(&quotas, &json!({"metadata": {"name": "few"}, "spec": {"hard": {"services": many}}}))?;
        until("the quota", || {
            Ok(api.get(&path)?.is_some_and(|quota| quota["status"]["used"]["services"] == "1"))
        })
    }
}

/// Commits the objects.
fn write(repo: &GitRepo, word: &str, address: u8, note: &str) -> Result<()> {
    let text = AGAIN.replace("WORD", word).replace("ADDRESS", &address.to_string()).replace("NOTE", note);
    repo.write(MANIFEST, &text)?;
    repo.commit(&format!("{word} {address}")).map(drop)
}

fn until(what: &str, is: impl Fn() -> Result<bool>) -> Result<()> {
    for _ in 0..100 {
        if is()? {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    anyhow::bail!("{what} is not in force")
}

#[test]
fn nothing_is_deleted_to_be_made_again_that_would_be_refused() -> Result<()> {
    let name = "policies::nothing_is_deleted_to_be_made_again_that_would_be_refused";
    in_plane(name, program(), |cluster| {
        Case::run(cluster, |case| {
            let again = Again::begin(case)?;
            let first = again.uids()?;
            again.refuse_unwanted()?;
            // A Job goes before everything else, so it is asked about first.
            write(&again.repo, "two", 52, "unwanted")?;
            let job = again.up()?.run()?.expect(7)?;
            let words = [
                "CLU005",
                "templates/notes/manifests/again.yaml:",
                "Job/runs",
                "nobody wants this",
                "nothing was deleted",
            ];
            job.says(words)?;
            ensure!(again.uids()? == first, "nothing was deleted");
            again.repo.edit(MANIFEST, "app:two", "app:one")?.commit("The Job is as it was")?;
            let rest = again.up()?.run()?.expect(7)?;
            rest.says(["ConfigMap/frozen", "Service/web", "nobody wants this", "nothing was deleted"])?;
            ensure!(again.uids()? == first, "nothing was deleted");

            // What the old one holds is no reason: its port, its place in a full quota.
            again.allow_services("1")?;
            write(&again.repo, "three", 53, "fine")?;
            again.up()?.succeed()?;
            let second = again.uids()?;
            ensure!(first.iter().zip(&second).all(|(first, second)| first != second), "all are new");
            again.allow_services("0")?;
            write(&again.repo, "three", 54, "fine")?;
            again.up()?.run()?.expect(3)?.says([
                "CLU013",
                "Service/web",
                "exceeded quota",
                "nothing was deleted",
            ])?;
            ensure!(again.uids()? == second, "nothing was deleted");
            case.mimeo(["down", &again.environment.name, "--yes"]).succeed().map(drop)
        })
    })
}

#[test]
fn what_was_deleted_and_could_not_be_made_again_is_told_and_comes_with_the_next_run() -> Result<()> {
    let name = "policies::what_was_deleted_and_could_not_be_made_again_is_told_and_comes_with_the_next_run";
    in_plane(name, program(), |cluster| {
        Case::run(cluster, |case| {
            let again = Again::begin(case)?;
            let first = again.uids()?;
            write(&again.repo, "two", 52, "fine")?;
            // A server that changes its mind between the question and the create.
            let relay = Relay::start(cluster.api.config())?;
            let creates =
                |plural: &str| Fault::on(&format!("/{plural}?")).method("PATCH").but("dryRun=").status(422);
            for one in ["configmaps/frozen", "services/web", "jobs/runs"] {
                relay.inject(creates(one));
            }
            let path = case.home().join("relay.kubeconfig");
            cluster.api.config().with_token(&case.account.token).by_way_of(&relay.url()).write(&path)?;
            let told = again.up()?.kubeconfig(&path).run()?.expect(7)?;
            told.says([
                "CLU005",
                "was deleted, and could not be made again",
                "`mimeo up` makes it",
                "ConfigMap/frozen",
            ])?;
            again.up()?.succeed()?;
            let second = again.uids()?;
            ensure!(first.iter().zip(&second).all(|(first, second)| first != second), "all are new");
            case.mimeo(["down", &again.environment.name, "--yes"]).succeed().map(drop)
        })
    })
}
