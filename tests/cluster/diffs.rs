//! Diffs are true: on random changes of templates and of live objects, each object's diff is what the server's
//! own dry run says, `up` undoes what somebody did to fields of mimeo's, and leaves the rest.
//!
//! `make soak` makes 2,000 different changes, `make test` a fifth of them, chosen by `MIMEO_SEED`.

mod corpus;
mod judge;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use testkit::{Case, Environment, GitRepo, in_plane};

use self::{
    corpus::{Random, Thing, title},
    judge::{Verdict, content, judge},
};
use crate::program;

const MANIFESTS: &str = "templates/corpus/manifests/all.yaml";
/// So many disagreements end the test; fewer are all shown at its end.
const ENOUGH: usize = 12;

#[test]
fn agree_with_the_server() -> Result<()> {
    in_plane("diffs::agree_with_the_server", program(), |cluster| {
        Case::run(cluster, |case| {
            define(case)?;
            let mut walk = Walk::begin(case)?;
            let wanted = if std::env::var_os("MIMEO_SOAK").is_some() { 2000 } else { 400 };
            while walk.seen.len() < wanted && walk.found.len() < ENOUGH {
                walk.round()?;
            }
            eprintln!("{}", walk.summary());
            ensure!(
                walk.found.is_empty(),
                "{} disagreements:\n{}",
                walk.found.len(),
                walk.found.join("\n\n")
            );
            ensure!(walk.dry_runs * 3 < walk.each * 2, "it asks about nearly everything");
            Ok(())
        })
    })
}

/// The custom kind, and the right of every environment to it.
fn define(case: &Case<'_>) -> Result<()> {
    let text = include_str!("diffs/definition.yaml");
    let api = &case.cluster.api;
    let definition: Value = serde_saphyr::from_str(text)?;
    api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition)?;
    let role = json!({
        "metadata": {"name": "widgets", "labels": {"mimeo.dev/aggregate-to-env": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["*"]}],
    });
    api.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", &role)?;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
    for _ in 0..100 {
        let conditions = api.get(path)?.unwrap_or_default()["status"]["conditions"].clone();
        let established =
            |condition: &Value| condition["type"] == "Established" && condition["status"] == "True";
        if conditions.as_array().is_some_and(|conditions| conditions.iter().any(established)) {
            std::thread::sleep(std::time::Duration::from_secs(2));
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    bail!("the definition is not established")
}

/// One environment on its way through changes.
struct Walk<'a> {
    case: &'a Case<'a>,
    repo: GitRepo,
    environment: Environment,
    owner: String,
    things: Vec<Thing>,
    random: Random,
    rounds: usize,
    /// Every different change that was judged.
    seen: BTreeSet<String>,
    /// Changes of this round.
    fresh: Vec<String>,
    refusals: usize,
    requests: usize,
    dry_runs: usize,
    each: usize,
    found: Vec<String>,
}

impl<'a> Walk<'a> {
    fn begin(case: &'a Case<'a>) -> Result<Self> {
        let repo = case.repo("corpus")?;
        let things = corpus::load()?;
        write(&repo, &things)?;
        case.mimeo(case.on("up", &repo, "main")).succeed()?;
        let environment = case.environment()?;
        let owner = case.record(&environment)?["metadata"]["uid"].as_str().context("a uid")?.to_owned();
        let seed = std::env::var("MIMEO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        Ok(Self {
            case,
            repo,
            environment,
            owner,
            things,
            random: Random(seed),
            rounds: 0,
            seen: BTreeSet::new(),
            fresh: Vec::new(),
            refusals: 0,
            requests: 0,
            dry_runs: 0,
            each: 0,
            found: Vec::new(),
        })
    }

    fn summary(&self) -> String {
        format!(
            "{} mutations of {} objects in {} rounds, {} conflicts refused: {} requests of ours, {} of them dry runs; {} if each object were dry-run",
            self.seen.len(),
            self.things.len(),
            self.rounds,
            self.refusals,
            self.requests,
            self.dry_runs,
            self.each
        )
    }

    /// Changes, a judgement, a diff, an `up`, and a look at what it left.
    fn round(&mut self) -> Result<()> {
        self.rounds += 1;
        self.fresh.clear();
        let collections = self.collections()?;
        self.change(&collections)?;
        let (verdicts, lives) = self.settle_conflicts(&collections)?;
        let (plan, _) = self.diff(&[0, 1])?;
        self.compare(&plan, &verdicts, &lives)?;
        let mut up = self.case.mimeo(self.case.on("up", &self.repo, "main"));
        if plan["at_stake"].as_array().is_some_and(|stake| !stake.is_empty()) {
            up = up.args(["--approve", plan["digest"].as_str().unwrap_or_default()]);
        }
        up.succeed().with_context(|| format!("after {}", self.fresh.join("\n")))?;
        self.look(&collections, &verdicts)?;
        let (rest, _) = self.diff(&[0, 1])?;
        if !steps(&rest).is_empty() {
            self.found.push(format!("round {}: after up there is still {rest}", self.rounds));
        }
        self.seen.append(&mut self.fresh.drain(..).collect());
        for thing in &mut self.things {
            thing.applied = thing.manifest.clone();
        }
        Ok(())
    }

    fn collections(&self) -> Result<BTreeMap<String, String>> {
        let kinds = self.case.cluster.api.kinds()?;
        let path = |thing: &Thing| {
            let version = thing.manifest["apiVersion"].as_str().unwrap_or_default();
            let group = version.split_once('/').map_or("", |(group, _)| group);
            let kind = kinds.iter().find(|kind| kind.kind == thing.manifest["kind"] && kind.group == group);
            let kind = kind.with_context(|| format!("nobody serves {}", thing.title()))?;
            Ok((thing.title(), kind.path(Some(&self.environment.name))))
        };
        self.things.iter().map(path).collect()
    }

    /// Every object's template, its live object, both, or neither.
    fn change(&mut self, collections: &BTreeMap<String, String>) -> Result<()> {
        for number in 0..self.things.len() {
            let dice = self.random.below(12);
            if dice < 6 {
                let (path, value) = self.random.edit(&self.things[number]);
                let thing = &mut self.things[number];
                let before = thing.manifest.clone();
                corpus::set(&mut thing.manifest, &path, value.as_ref());
                if before != thing.manifest {
                    let from = before.pointer(&path).map(Value::to_string).unwrap_or_default();
                    self.fresh.push(format!("template {} {path} {from} {value:?}", thing.title()));
                }
            }
            if (5..10).contains(&dice) {
                let (path, value) = self.random.edit(&self.things[number]);
                let way = self.random.below(4);
                let thing = &self.things[number];
                let place = &collections[&thing.title()];
                if self.meddle(thing, place, &path, value.as_ref(), way)? {
                    self.fresh.push(format!("live {way} {} {path} {value:?}", thing.title()));
                }
            }
        }
        Ok(())
    }

    /// Changes a live object as others do; whether the server took it and anything changed.
    fn meddle(
        &self,
        thing: &Thing,
        place: &str,
        path: &str,
        value: Option<&Value>,
        way: usize,
    ) -> Result<bool> {
        let api = &self.case.cluster.api;
        let name = thing.manifest["metadata"]["name"].as_str().unwrap_or_default();
        let place = format!("{place}/{name}");
        let before = api.get(&place)?.unwrap_or_default();
        let partial = value.and_then(|value| corpus::only(path, value));
        let scalable = matches!(thing.manifest["kind"].as_str(), Some("Deployment" | "StatefulSet"));
        let answer = match (way, partial) {
            (0, _) if scalable => {
                let patch = json!({"spec": {"replicas": 1 + self.rounds % 2}});
                api.merge(&format!("{place}/scale?fieldManager=kubectl"), &patch)?
            }
            (1, Some(patch)) => api.merge(&format!("{place}?fieldManager=kubectl-patch"), &patch)?,
            (2, Some(mut manifest)) => {
                for field in ["apiVersion", "kind"] {
                    manifest[field] = thing.manifest[field].clone();
                }
                manifest["metadata"]["name"] = json!(name);
                api.apply(&place, "other-tool", &manifest)?
            }
            _ => {
                let mut object = before.clone();
                corpus::set(&mut object, path, value);
                let path = format!("{place}?fieldManager=kubectl-edit");
                api.send("PUT", &path, "application/json", object.to_string().as_bytes())?
            }
        };
        Ok(answer.is_ok() && api.get(&place)?.is_some_and(|after| content(&after) != content(&before)))
    }

    /// Judges every object until none is refused; what is refused is what mimeo refuses.
    fn settle_conflicts(
        &mut self,
        collections: &BTreeMap<String, String>,
    ) -> Result<(BTreeMap<String, Verdict>, BTreeMap<String, Value>)> {
        loop {
            let (mut verdicts, mut lives) = (BTreeMap::new(), BTreeMap::new());
            let (mut refused, mut invalid) = (Vec::new(), false);
            let manifests = self.manifests()?;
            for thing in &mut self.things {
                let title = thing.title();
                let place = &collections[&title];
                let verdict = judge(&self.case.cluster.api, place, &manifests[&title])?;
                let own = thing.is_as_applied();
                if matches!(verdict, Verdict::Conflict(_)) && !own {
                    refused.push(title.clone());
                }
                if let Verdict::Invalid(why) = &verdict {
                    // What others did to it and the template do not go together: it is made anew.
                    ensure!(!own || !why.is_empty(), "{title}: {why}");
                    if own {
                        let name = thing.manifest["metadata"]["name"].as_str().unwrap_or_default();
                        let path = format!("{place}/{name}");
                        self.case.cluster.api.delete(&path)?;
                        self.case.cluster.api.wait_gone(&path, std::time::Duration::from_secs(30))?;
                        self.case.mimeo(self.case.on("up", &self.repo, "main")).run()?;
                    }
                    thing.manifest = thing.applied.clone();
                    invalid = true;
                }
                let name = manifests[&title]["metadata"]["name"].as_str().unwrap_or_default();
                lives.insert(
                    title.clone(),
                    self.case.cluster.api.get(&format!("{place}/{name}"))?.unwrap_or_default(),
                );
                verdicts.insert(title, verdict);
            }
            if !invalid && refused.is_empty() {
                return Ok((verdicts, lives));
            }
            if !invalid {
                self.refusal(&refused)?;
                let reverted = self.things.iter_mut().filter(|thing| refused.contains(&thing.title()));
                reverted.for_each(|thing| thing.manifest = thing.applied.clone());
            }
        }
    }

    fn refusal(&mut self, refused: &[String]) -> Result<()> {
        self.refusals += refused.len();
        let (_, said) = self.diff(&[3])?;
        let said_so = said.matches("OBJ017").count();
        for title in refused.iter().filter(|title| !said.contains(title.as_str())) {
            self.found
                .push(format!("round {}: the server refuses {title}, mimeo does not: {said}", self.rounds));
        }
        if said_so != refused.len() {
            self.found
                .push(format!("round {}: the server refuses {refused:?}, mimeo says {said}", self.rounds));
        }
        Ok(())
    }

    /// The manifests as they are sent: as rendered, with the owner.
    fn manifests(&self) -> Result<BTreeMap<String, Value>> {
        write(&self.repo, &self.things)?;
        let rendered = self.case.mimeo(self.case.on("render", &self.repo, "main")).args(["-o", "json"]);
        let rendered = rendered.succeed().with_context(|| self.fresh.join("\n"))?.json()?;
        let mut manifests = BTreeMap::new();
        for mut manifest in rendered.as_array().cloned().unwrap_or_default() {
            if !manifest["metadata"]["annotations"].is_object() {
                manifest["metadata"]["annotations"] = json!({});
            }
            manifest["metadata"]["annotations"]["mimeo.dev/owner"] = json!(self.owner);
            manifests.insert(title(&manifest), manifest);
        }
        Ok(manifests)
    }

    /// Runs `diff`; the plan, and what it said besides.
    fn diff(&mut self, codes: &[i32]) -> Result<(Value, String)> {
        let cluster = self.case.cluster;
        let mark = cluster.audit.mark()?;
        let diff = self.case.mimeo(self.case.on("diff", &self.repo, "main")).args(["-o", "json"]).run()?;
        ensure!(
            diff.code.is_some_and(|code| codes.contains(&code)),
            "{codes:?}: {diff}\n{}",
            self.fresh.join("\n")
        );
        ensure!(
            !diff.all().contains("canary") && !diff.all().contains("Y2FuYXJ5"),
            "a secret is shown: {diff}"
        );
        let user = self.case.account.username();
        let calls = cluster.audit.since(&mark, &cluster.api)?;
        let calls: Vec<_> = calls.iter().filter(|call| call.user == user).collect();
        self.requests += calls.len();
        self.dry_runs += calls.iter().filter(|call| call.uri.contains("dryRun=All")).count();
        self.each += self.things.len();
        let plan = if diff.code == Some(3) { Value::Null } else { diff.json()? };
        Ok((plan, diff.stderr))
    }

    /// mimeo's plan beside the server's answers.
    fn compare(
        &mut self,
        plan: &Value,
        verdicts: &BTreeMap<String, Verdict>,
        lives: &BTreeMap<String, Value>,
    ) -> Result<()> {
        let steps = steps(plan);
        for (title, verdict) in verdicts {
            let step = steps.get(title);
            let action = step.map_or("none", |step| step["action"].as_str().unwrap_or_default());
            let changes = step.and_then(|step| step["changes"].as_array().cloned()).unwrap_or_default();
            let agreed = match verdict {
                Verdict::Recreate if action == "recreate" => Ok(()),
                Verdict::Becomes(_) | Verdict::Conflict(_) if !["none", "update"].contains(&action) => {
                    Err(anyhow!("mimeo would {action}"))
                }
                Verdict::Becomes(after) => judge::agrees(&lives[title], after, &changes),
                Verdict::Conflict(after) => {
                    let taken = step.is_some_and(|step| step["takes_back"].is_array());
                    let agreed = judge::agrees(&lives[title], after, &changes);
                    if taken { agreed } else { agreed.and(Err(anyhow!("nothing is taken back: {step:?}"))) }
                }
                other => Err(anyhow!("the server says {other:?}, mimeo would {action}")),
            };
            if let Err(error) = agreed {
                let done: Vec<&String> = self.fresh.iter().filter(|line| line.contains(title)).collect();
                self.found.push(format!("round {}: {title} after {done:#?}: {error:#}", self.rounds));
            }
        }
        let known = |title: &&String| verdicts.contains_key(*title);
        ensure!(steps.keys().all(|title| known(&title)), "a step for something else: {plan}");
        Ok(())
    }

    /// After `up`, an object is what the server said it would be: what is ours is back, the rest untouched.
    fn look(
        &mut self,
        collections: &BTreeMap<String, String>,
        verdicts: &BTreeMap<String, Verdict>,
    ) -> Result<()> {
        for (title, verdict) in verdicts {
            let (Verdict::Becomes(wanted) | Verdict::Conflict(wanted)) = verdict else { continue };
            let name = title.split_once('/').map_or("", |(_, name)| name);
            let live =
                self.case.cluster.api.get(&format!("{}/{name}", collections[title]))?.unwrap_or_default();
            let (mut wanted, live) = (without_controllers(wanted), without_controllers(&live));
            // The server takes a list away with its last element, and the next apply writes the empty one:
            // `up` ends where a further apply changes nothing.
            if title.starts_with("Widget/")
                && wanted["spec"].get("tags").is_none()
                && live["spec"].get("tags") == Some(&json!([]))
            {
                wanted["spec"]["tags"] = json!([]);
            }
            if wanted != live {
                self.found.push(format!("round {}: {title} is\n{live}\nnot\n{wanted}", self.rounds));
            }
        }
        Ok(())
    }
}

/// Without what controllers note in an object's annotations by the way, and the ports of nodes: a dry run names
/// ports that nobody gets.
fn without_controllers(object: &Value) -> Value {
    let mut object = content(object);
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.retain(|key, _| {
            !key.starts_with("deployment.kubernetes.io/") && !key.contains("daemonset.template")
        });
    }
    let ports = object.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        if let Some(fields) = port.as_object_mut() {
            fields.remove("nodePort");
        }
    }
    object
}

fn steps(plan: &Value) -> BTreeMap<String, Value> {
    let waves = plan["waves"].as_array().into_iter().flatten();
    let steps = waves.flat_map(|wave| wave["steps"].as_array().into_iter().flatten());
    let all = steps.chain(plan["prune"].as_array().into_iter().flatten());
    all.map(|step| {
        let text = |field: &str| step["object"][field].as_str().unwrap_or_default();
        (format!("{}/{}", text("kind"), text("name")), step.clone())
    })
    .collect()
}

/// Commits the manifests as they are now.
fn write(repo: &GitRepo, things: &[Thing]) -> Result<()> {
    let documents: Vec<String> = things.iter().map(|thing| thing.manifest.to_string()).collect();
    let text = format!("{{% raw %}}{}{{% endraw %}}\n", documents.join("\n---\n"));
    let text = text.replace("NAMESPACE", "{% endraw %}{{ namespace }}{% raw %}");
    repo.write(MANIFESTS, &text)?;
    repo.git(&["add", "--all"])?;
    repo.git(&["commit", "--quiet", "--allow-empty", "--message", "Change"])?;
    Ok(())
}
