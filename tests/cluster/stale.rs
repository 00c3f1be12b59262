//! What `gc` takes down, what it keeps, and what it says about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{
    AuditMark, Call, Case, Cut, Environment, GitRepo, Gitea, GiteaRepo, Mimeo, Outcome, Relay, checkout,
    in_plane, state,
};

use crate::{Quiet, on_lab, program};

/// Between two listings that count as two witnesses.
const GAP: Duration = Duration::from_secs(6);

const SYSTEM: &str = "/apis/mimeo.dev/v1alpha1/namespaces/mimeo-system";

fn spec_file(case: &Case<'_>) -> String {
    format!("environments/{}.yaml", case.spec())
}

/// The cheapest environment with this lifecycle, on a branch of its own.
fn branch(case: &Case<'_>, repo: &GitRepo, name: &str, lifecycle: &str) -> Result<()> {
    let file = spec_file(case);
    repo.checkout("main")?.branch(name)?;
    let notes = "    notes: {template: notes}\n";
    repo.edit(&file, notes, &format!("{notes}  lifecycle: {{{lifecycle}}}\n"))?;
    repo.commit(&format!("A lifecycle of {lifecycle}"))?;
    Ok(())
}

/// Brings a branch up; returns its environment.
fn up(case: &Case<'_>, repo: &GitRepo, name: &str) -> Result<Environment> {
    case.mimeo(case.on("up", repo, name)).succeed()?;
    of(case, name)
}

/// Brings branches up, all at once.
fn ups<const N: usize>(case: &Case<'_>, repo: &GitRepo, names: [&str; N]) -> Result<[Environment; N]> {
    let started: Vec<_> =
        names.iter().map(|name| case.mimeo(case.on("up", repo, name)).start()).collect::<Result<_>>()?;
    for run in started {
        run.wait()?.expect(0)?;
    }
    let all: Vec<Environment> = names.iter().map(|name| of(case, name)).collect::<Result<_>>()?;
    all.try_into().map_err(|all| anyhow::anyhow!("not {N}: {all:?}"))
}

fn of(case: &Case<'_>, name: &str) -> Result<Environment> {
    let all = case.environments()?;
    let found = all.iter().find(|one| one.name.starts_with(&format!("{}-{name}-", case.spec())));
    found.cloned().with_context(|| format!("no environment of {name} in {all:?}"))
}

/// One pass; its decisions by the name of the environment.
struct Pass {
    said: Outcome,
    items: BTreeMap<String, Value>,
}

impl Pass {
    fn of(mimeo: &Mimeo, code: i32) -> Result<Self> {
        let said = mimeo.clone().args(["-o", "json"]).run()?.expect(code)?;
        let listed = said.json()?;
        let mut items = BTreeMap::new();
        for item in listed["items"].as_array().with_context(|| format!("no items: {said}"))? {
            for field in ["environment", "decision", "rule", "inputs", "next"] {
                ensure!(item.get(field).is_some(), "no {field} in {item}");
            }
            ensure!(item["inputs"].is_object(), "no inputs in {item}");
            let name = item["environment"].as_str().unwrap_or_default();
            items.insert(name.to_owned(), item.clone());
        }
        Ok(Self { said, items })
    }

    /// What it decided about an environment, by which rule, for a cause with this text.
    fn decides(&self, environment: &Environment, decision: &str, rule: &str, cause: &str) -> Result<()> {
        let item = self.items.get(&environment.name);
        let item = item.with_context(|| format!("{} is not in {}", environment.name, self.said))?;
        let said = item["cause"].as_str().unwrap_or_default();
        ensure!(
            item["decision"] == decision && item["rule"] == rule && said.contains(cause),
            "expected {decision}, {rule}, {cause:?}: {item}"
        );
        Ok(())
    }

    /// Exactly these went.
    fn removed(&self, environments: &[&Environment]) -> Result<()> {
        let gone = self.items.values().filter(|item| item["outcome"] == "gone");
        let gone: BTreeSet<&str> = gone.filter_map(|item| item["environment"].as_str()).collect();
        let wanted: BTreeSet<&str> = environments.iter().map(|one| one.name.as_str()).collect();
        ensure!(gone == wanted, "it removed {gone:?}, not {wanted:?}: {}", self.said);
        Ok(())
    }
}

/// `mimeo gc`, without a forge.
fn gc(case: &Case<'_>) -> Mimeo {
    case.mimeo(["gc"])
}

/// `mimeo gc` that may ask a forge.
fn gc_with(case: &Case<'_>, forge: &Gitea) -> Mimeo {
    gc(case).var("MIMEO_FORGE_URL", &forge.url()).var("MIMEO_FORGE_TOKEN", forge.token())
}

/// Gone, with a receipt for this reason.
fn gone_for(case: &Case<'_>, environment: &Environment, reason: &str) -> Result<()> {
    case.is_gone(environment)?;
    let receipts = state::receipts(&case.cluster.api, &environment.name)?;
    let said = receipts[0]["spec"]["reason"].as_str().unwrap_or_default();
    ensure!(said.contains(reason), "the receipt of {} says {said:?}, not {reason:?}", environment.name);
    case.mimeo(["why", &environment.name]).succeed()?.says(["gone since", reason]).map(|_| ())
}

/// It is there, whole and not going.
fn stays(case: &Case<'_>, environment: &Environment) -> Result<()> {
    let record = case.record(environment)?;
    ensure!(record["spec"]["state"] == "Ready", "{} does not stay: {record}", environment.name);
    let map = case.cluster.api.get(&format!("{}/notes", environment.core("configmaps")))?;
    ensure!(map.is_some(), "{} has lost its content", environment.name);
    let namespace = case.cluster.api.get(&format!("/api/v1/namespaces/{}", environment.name))?;
    let going = namespace.is_none_or(|namespace| namespace["metadata"]["deletionTimestamp"].is_string());
    ensure!(!going, "the namespace of {} goes", environment.name);
    Ok(())
}

/// What this test's account wrote since a mark.
fn writes(case: &Case<'_>, mark: &AuditMark) -> Result<Vec<Call>> {
    let calls = case.cluster.audit.since(mark, &case.cluster.api)?;
    let own = case.account.username();
    Ok(calls.into_iter().filter(|call| call.user == own && call.is_write()).collect())
}

/// A lifetime that is none is a mistake, found without a cluster.
#[test]
fn a_lifetime_that_is_none_is_refused() -> Result<()> {
    let home = tempfile::tempdir()?;
    for ttl in ["0h", "-1h", "99999999999999999999h", "forever"] {
        let repo = GitRepo::new()?;
        repo.copy(&checkout().join("tests/fixtures/config"), &[("SPEC", "qa")])?;
        let notes = "    notes: {template: notes}\n";
        repo.edit("environments/qa.yaml", notes, &format!("{notes}  lifecycle: {{ttl: \"{ttl}\"}}\n"))?
            .commit("Begin")?;
        let check = Mimeo::new(program(), home.path()).args(["check", "qa", "--repo", &repo.arg()]).run()?;
        check.expect(2)?.says(["ENV001", ttl, "environments/qa.yaml:8:20"])?;
    }
    Ok(())
}

/// TTLs, teardowns that were begun, and records that somebody deleted.
#[test]
fn what_is_over_is_announced_and_goes() -> Result<()> {
    in_plane("stale::what_is_over_is_announced_and_goes", program(), |cluster| {
        Case::run(cluster, |case| {
            let forge = Gitea::start(&case.home().join("gitea"))?;
            let remote = forge.repository(case.spec())?;
            let repo = case.repo("config")?;
            remote.push(&repo, "main")?;
            repo.git(&["remote", "add", "origin", &remote.url])?;
            for (name, lifecycle) in [
                ("short", "ttl: 1s"),
                ("late", "ttl: 1s"),
                ("extended", "ttl: 1s"),
                ("protected", "ttl: 1s, protected: true"),
                ("cut", "ttl: 100h"),
                ("asked", "ttl: 100h"),
            ] {
                branch(case, &repo, name, lifecycle)?;
            }
            repo.git(&["branch", "forever", "main"])?;
            let names = ["short", "late", "extended", "protected", "cut", "asked", "forever"];
            let [short, late, extended, protected, cut, asked, forever] = ups(case, &repo, names)?;
            extends(case, &repo, &extended)?;
            // So much more than a second after the last of them.
            thread::sleep(Duration::from_millis(1200));

            let mark = case.cluster.audit.mark()?;
            for _ in 0..2 {
                let dry = Pass::of(&gc(case).args(["--dry-run"]), 0)?;
                dry.decides(&short, "keep", "ttl", "announced now")?;
                dry.removed(&[])?;
            }
            case.mimeo(["why", &short.name]).succeed()?.says(["ttl", "announced now", "at the next pass"])?;
            let written = writes(case, &mark)?;
            ensure!(written.is_empty(), "a dry run writes: {written:?}");

            let first = Pass::of(&gc(case), 0)?;
            for environment in [&short, &late] {
                first.decides(environment, "keep", "ttl", "its TTL ended at")?;
                let next = &first.items[&environment.name]["next"];
                ensure!(next["rule"] == "ttl" && next["when"] == "at the next pass", "{next}");
            }
            first.decides(&protected, "keep", "protected", "it is protected")?;
            first.decides(&extended, "keep", "none", "its TTL ends at")?;
            first.decides(&forever, "keep", "none", "it has no TTL")?;
            // Its branch was never pushed: no listing can miss what none has had.
            first.decides(&forever, "keep", "none", "was never seen on")?;
            first.removed(&[])?;
            case.mimeo(["why", &forever.name]).succeed()?.says(["was never seen", "only its TTL counts"])?;

            let more = case.mimeo(["extend", &late.name, "2h"]).succeed()?;
            more.says(["stays until"])?;
            cut_short(case, &cut)?;
            for environment in [&asked, &protected] {
                let path = format!("{SYSTEM}/environments/{}", environment.name);
                ensure!(case.cluster.api.delete(&path)?.is_ok(), "somebody deletes the record");
            }
            let dry = Pass::of(&gc(case).args(["--dry-run"]), 0)?;
            dry.decides(&short, "delete", "ttl", "announced it")?;
            dry.removed(&[])?;
            stays(case, &short)?;

            let second = Pass::of(&gc(case), 0)?;
            second.decides(&short, "delete", "ttl", "announced it")?;
            second.decides(&late, "keep", "none", "its TTL ends at")?;
            second.decides(&cut, "delete", "teardown", "its teardown has begun")?;
            second.decides(&asked, "delete", "teardown", "its teardown has begun")?;
            second.decides(&protected, "keep", "protected", "it is protected")?;
            second.removed(&[&short, &cut, &asked])?;
            gone_for(case, &short, "its TTL ended at")?;
            case.is_gone(&cut)?;
            case.is_gone(&asked)?;
            for environment in [&late, &extended, &protected, &forever] {
                stays(case, environment)?;
            }
            let third = Pass::of(&gc(case), 0)?;
            third.removed(&[])?;
            meanwhile(case, &repo)
        })
    })
}

/// More time is not taken back by a later `up` with a shorter TTL; nothing is no time.
fn extends(case: &Case<'_>, repo: &GitRepo, environment: &Environment) -> Result<()> {
    let over = |record: &Value| record["spec"]["expiresAt"].as_str().map(str::to_owned);
    let before = over(&case.record(environment)?).context("no TTL")?;
    let said = case.mimeo(["extend", &environment.name, "2h", "-o", "json"]).succeed()?.json()?;
    let extended = over(&case.record(environment)?).context("no TTL")?;
    ensure!(said["expiresAt"] == extended.as_str() && extended > before, "{before} {extended} {said}");
    case.mimeo(case.on("up", repo, "extended")).succeed()?;
    let after = over(&case.record(environment)?);
    ensure!(after.as_ref() == Some(&extended), "`up` makes {extended} {after:?}");
    for nothing in ["0h", "-1h", "forever", "99999999999999999999h"] {
        case.mimeo(["extend", &environment.name, "--", nothing]).run()?.expect(2)?;
    }
    ensure!(over(&case.record(environment)?) == after, "a mistake changes nothing");
    Ok(())
}

/// A `down` that dies as soon as it has begun.
fn cut_short(case: &Case<'_>, environment: &Environment) -> Result<()> {
    let config = case.cluster.api.config();
    let relay = Relay::start(config)?;
    // The lease, the state of the record, the first deletion.
    relay.kill_at(3, Cut::BeforeSend);
    let kubeconfig = case.home().join("cut.kubeconfig");
    config.with_token(&case.account.token).by_way_of(&relay.url()).write(&kubeconfig)?;
    let down = case.mimeo(["down", &environment.name, "--yes"]).kubeconfig(&kubeconfig);
    let killed = down.start_through(&relay)?.wait()?;
    ensure!(killed.code.is_none(), "it was not killed: {killed}");
    let record = case.record(environment)?;
    ensure!(record["spec"]["state"] == "Deleting", "its teardown has begun: {record}");
    Ok(())
}

/// `gc` writes into the status of a record while `up` works under its lease: neither harms the other.
fn meanwhile(case: &Case<'_>, repo: &GitRepo) -> Result<()> {
    branch(case, repo, "busy", "ttl: 1s")?;
    let file = "templates/notes/manifests/pod.yaml";
    repo.write(
        file,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: waits}\nspec:\n  nodeSelector: {mimeo-tests: later}\n  containers: [{name: main, image: \"docker.io/library/busybox:1.36\"}]\n",
    )?;
    repo.commit("A pod that waits for its node")?;
    let running = case.mimeo(case.on("up", repo, "busy")).start()?;
    running.wait_for("+ notes: Pod/waits", Duration::from_secs(30))?;
    let environment = of(case, "busy")?;
    thread::sleep(Duration::from_millis(1200));
    let pass = Pass::of(&gc(case), 0)?;
    pass.decides(&environment, "keep", "ttl", "announced now")?;
    let known = case.record(&environment)?;
    ensure!(known["status"]["memory"]["announced"].is_object(), "gc has written while up runs: {known}");
    let node = "/api/v1/nodes/played";
    let labels = json!({"metadata": {"labels": {"mimeo-tests": "later"}}});
    ensure!(case.cluster.api.merge(node, &labels)?.is_ok(), "its node comes");
    running.wait()?.expect(0).context("up beside gc")?;
    let record = case.record(&environment)?;
    ensure!(record["spec"]["state"] == "Ready", "{record}");
    ensure!(record["status"] == known["status"], "up leaves what gc remembers: {record}");
    // The clock of an API server has whole seconds, and a pass does not announce for itself.
    thread::sleep(Duration::from_millis(1200));
    Pass::of(&gc(case), 0)?.removed(&[&environment])?;
    case.is_gone(&environment)
}

/// Branches: two witnesses, the budget, and what cannot be seen.
#[test]
fn a_branch_is_gone_where_two_witnesses_miss_it() -> Result<()> {
    in_plane("stale::a_branch_is_gone_where_two_witnesses_miss_it", program(), |cluster| {
        Case::run(cluster, |case| {
            let admin = Mimeo::new(program(), case.home()).kubeconfig(cluster.kubeconfig());
            admin.args(["install", "--absence-gap", &format!("{}s", GAP.as_secs())]).succeed()?;
            let forge = Gitea::start(&case.home().join("gitea"))?;
            let remote = forge.repository(case.spec())?;
            let repo = case.repo("config")?;
            remote.push(&repo, "main")?;
            repo.git(&["remote", "add", "origin", &remote.url])?;
            let names = ["one", "two", "kept", "a", "b", "c", "d", "e", "f"];
            for name in names {
                repo.checkout("main")?.branch(name)?;
                remote.push(&repo, name)?;
            }
            let environments = BTreeMap::from_iter(names.into_iter().zip(ups(case, &repo, names)?));
            let environment = |name: &str| &environments[name];
            // Seen, all of them, by a pass that asks no forge.
            let seen = Pass::of(&gc(case), 0)?;
            for environment in environments.values() {
                seen.decides(environment, "keep", "none", "its branch")?;
            }
            two_listings(case, &remote, environment("one"))?;
            // The forge is the second witness: one pass is enough.
            remote.delete_branch("two")?;
            let pass = Pass::of(&gc_with(case, &forge), 0)?;
            pass.decides(environment("two"), "delete", "branch-gone", "its forge says so too")?;
            pass.removed(&[environment("two")])?;
            gone_for(case, environment("two"), "its branch two is gone")?;

            let many: Vec<&Environment> =
                ["a", "b", "c", "d", "e", "f"].into_iter().map(environment).collect();
            for name in ["a", "b", "c", "d", "e", "f"] {
                remote.delete_branch(name)?;
            }
            held(case, &forge, &many)?;
            stays(case, environment("kept"))?;
            cannot_be_seen(case, &forge, &remote, environment("kept"))
        })
    })
}

/// Missing once is not enough, nor missing twice within the gap.
fn two_listings(case: &Case<'_>, remote: &GiteaRepo<'_>, environment: &Environment) -> Result<()> {
    remote.delete_branch("one")?;
    let began = Instant::now();
    let first = Pass::of(&gc(case), 0)?;
    let missed = Instant::now();
    first.decides(environment, "keep", "none", "one witness is not enough")?;
    let next = &first.items[&environment.name]["next"];
    ensure!(next["rule"] == "branch-gone" && next["at"].is_string(), "it says when: {next}");
    let record = case.record(environment)?;
    ensure!(record["status"]["memory"]["absence"]["anchor"].is_string(), "remembered: {record}");
    let second = Pass::of(&gc(case), 0)?;
    // The clock of an API server has whole seconds: between two times it may be off by one.
    ensure!(began.elapsed() < GAP - Duration::from_secs(1), "two passes take longer than the gap");
    second.decides(environment, "keep", "none", "one witness is not enough")?;
    stays(case, environment)?;
    thread::sleep((GAP + Duration::from_millis(1200)).saturating_sub(missed.elapsed()));
    let third = Pass::of(&gc(case), 0)?;
    third.decides(environment, "delete", "branch-gone", "missing from two complete listings")?;
    third.removed(&[environment])?;
    gone_for(case, environment, "its branch one is gone")
}

/// More than a fifth at once: none goes, and everybody can see why, until exactly this list is approved.
fn held(case: &Case<'_>, forge: &Gitea, many: &[&Environment]) -> Result<()> {
    let refused = |pass: &Pass| -> Result<String> {
        pass.removed(&[])?;
        for environment in many {
            pass.decides(environment, "held", "branch-gone", "held: 6 of 7 environments")?;
            stays(case, environment)?;
        }
        ensure!(pass.said.stderr.contains("ENV022"), "{}", pass.said);
        let held = pass.said.json()?["held"].as_str().map(str::to_owned);
        let digest = held.filter(|digest| digest.len() == 12).context("no digest")?;
        ensure!(pass.said.stderr.contains(&format!("mimeo gc --approve {digest}")), "{}", pass.said);
        Ok(digest)
    };
    let digest = refused(&Pass::of(&gc_with(case, forge), 3)?)?;
    for environment in many {
        let record = case.record(environment)?;
        let conditions = record["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let [condition] = conditions.as_slice() else { anyhow::bail!("one condition: {conditions:?}") };
        ensure!(condition["type"] == "DeletionHeld" && condition["status"] == "True", "{condition}");
        ensure!(condition["message"].as_str().is_some_and(|text| text.contains(&digest)), "{condition}");
    }
    let events = case.cluster.api.list("/api/v1/namespaces/mimeo-system/events")?;
    let told: BTreeSet<&str> = events
        .iter()
        .filter(|event| event["reason"] == "DeletionHeld" && event["type"] == "Warning")
        .filter_map(|event| event["involvedObject"]["name"].as_str())
        .collect();
    let wanted: BTreeSet<&str> = many.iter().map(|one| one.name.as_str()).collect();
    ensure!(told == wanted, "an event of each: {told:?}");

    let other = if digest.starts_with('0') { "1".repeat(12) } else { "0".repeat(12) };
    let wrong = Pass::of(&gc_with(case, forge).args(["--approve", &other]), 3)?;
    ensure!(refused(&wrong)? == digest, "the same list has the same digest");
    let dry = Pass::of(&gc_with(case, forge).args(["--approve", &digest, "--dry-run"]), 0)?;
    dry.removed(&[])?;
    let approved = Pass::of(&gc_with(case, forge).args(["--approve", &digest]), 0)?;
    approved.removed(many)?;
    many.iter()
        .try_for_each(|environment| gone_for(case, environment, &format!("the list {digest} is approved")))
}

/// A repository that is not there is not a branch that is not there.
fn cannot_be_seen(
    case: &Case<'_>,
    forge: &Gitea,
    remote: &GiteaRepo<'_>,
    environment: &Environment,
) -> Result<()> {
    remote.delete()?;
    Pass::of(&gc(case), 0)?.removed(&[])?;
    let since = unknown_since(case, environment)?;
    thread::sleep(GAP + Duration::from_millis(1200));
    for mimeo in [gc(case), gc_with(case, forge)] {
        let pass = Pass::of(&mimeo, 0)?;
        pass.decides(environment, "keep", "none", "")?;
        pass.removed(&[])?;
    }
    stays(case, environment)?;
    ensure!(unknown_since(case, environment)? == since, "since the first pass that could not see");
    case.mimeo(["why", &environment.name]).succeed()?.says(["since", since.as_str()])?;

    // Another repository under its name: the forge itself says that it has no such branch.
    let wanted = json!({"name": remote.name, "default_branch": "trunk"});
    forge.done("POST", "/user/repos", Some(&wanted))?;
    let other = GitRepo::new()?;
    other.write("README.md", "Another one\n")?.commit("Begin")?;
    remote.push(&other, "trunk")?;
    for _ in 0..2 {
        let pass = Pass::of(&gc_with(case, forge), 0)?;
        pass.decides(environment, "keep", "none", "another repository may stand")?;
        pass.removed(&[])?;
    }
    stays(case, environment)
}

fn unknown_since(case: &Case<'_>, environment: &Environment) -> Result<String> {
    let record = case.record(environment)?;
    let since = record["status"]["memory"]["unknown"]["since"].as_str().context("not remembered")?;
    Ok(since.get(..19).context("no time")?.to_owned())
}

/// In the cluster, as the collector's own account: a Job of the CronJob deletes what is over, and the
/// account can delete no namespace that is not an environment's.
#[test]
fn the_collector_in_the_cluster() -> Result<()> {
    on_lab(|case| {
        let _alone = Quiet::gc();
        let api = &case.cluster.api;
        let image = Command::new(checkout().join("tests/lab/lab")).arg("image-mimeo").output()?;
        ensure!(image.status.success(), "no image: {}", String::from_utf8_lossy(&image.stderr));
        let image = String::from_utf8_lossy(&image.stdout).trim().to_owned();
        let config = "/api/v1/namespaces/mimeo-system/configmaps/mimeo-config";
        let before = api.get(config)?.unwrap_or_default()["data"]["image"].clone();
        let admin = Mimeo::new(program(), case.home()).kubeconfig(case.cluster.kubeconfig());
        let install = |image: &str| admin.clone().args(["install", "--image", image]);
        // Once a year: the test makes the Jobs.
        install(&image).args(["--gc", "--gc-schedule", "0 0 1 1 *"]).succeed()?;
        let outcome = collector(case);
        let cron = "/apis/batch/v1/namespaces/mimeo-system/cronjobs/mimeo-gc";
        let removed = api.delete(cron)?;
        if let Some(before) = before.as_str().filter(|before| *before != image) {
            install(before).succeed()?;
        }
        outcome?;
        ensure!(removed.is_ok(), "there was a CronJob: {}", removed.message());
        Ok(())
    })
}

fn collector(case: &Case<'_>) -> Result<()> {
    let api = &case.cluster.api;
    let repo = case.repo("config")?;
    branch(case, &repo, "short", "ttl: 1s")?;
    branch(case, &repo, "long", "ttl: 100h")?;
    let (short, long) = (up(case, &repo, "short")?, up(case, &repo, "long")?);
    thread::sleep(Duration::from_millis(1200));
    let mark = case.cluster.audit.mark()?;
    job(case, "first")?;
    let record = case.record(&short)?;
    ensure!(record["status"]["memory"]["announced"].is_object(), "the first pass announces: {record}");
    job(case, "second")?;
    gone_for(case, &short, "its TTL ended at")?;
    stays(case, &long)?;
    let account = "system:serviceaccount:mimeo-system:mimeo-gc";
    let calls = case.cluster.audit.since(&mark, api)?;
    let deleted: Vec<&Call> = calls
        .iter()
        .filter(|call| call.verb == "delete" && call.resource == "namespaces" && call.name == short.name)
        .collect();
    ensure!(
        deleted.len() == 1 && deleted[0].user == account && deleted[0].code == 200,
        "the collector's account deletes it: {deleted:?}"
    );

    let tokens = "/api/v1/namespaces/mimeo-system/serviceaccounts/mimeo-gc/token";
    let token = api.create(tokens, &json!({"spec": {"expirationSeconds": 600}}))?;
    let own = api.as_token(token["status"]["token"].as_str().context("no token")?)?;
    let foreign = format!("{}-foreign", case.spec());
    api.create("/api/v1/namespaces", &json!({"metadata": {"name": foreign}}))?;
    for namespace in ["kube-system", "mimeo-system", &foreign] {
        let path = format!("/api/v1/namespaces/{namespace}");
        let answer = own.delete(&path)?;
        // Kubernetes itself protects its own namespace before any policy is asked.
        let by_policy = answer.message().contains("ValidatingAdmissionPolicy") || namespace == "kube-system";
        ensure!(
            matches!(answer.status, 403 | 422) && by_policy,
            "deleting {namespace}: {} {}",
            answer.status,
            answer.body
        );
        let live = api.get(&path)?.with_context(|| format!("{namespace} is gone"))?;
        ensure!(live["metadata"]["deletionTimestamp"].is_null(), "{namespace} goes");
    }
    Ok(())
}

/// `kubectl create job --from=cronjob/mimeo-gc`, to its good end.
fn job(case: &Case<'_>, name: &str) -> Result<()> {
    let api = &case.cluster.api;
    let jobs = "/apis/batch/v1/namespaces/mimeo-system/jobs";
    let cron = api.get("/apis/batch/v1/namespaces/mimeo-system/cronjobs/mimeo-gc")?.context("no CronJob")?;
    let name = format!("{}-{name}", case.spec());
    let template = &cron["spec"]["jobTemplate"];
    let metadata = json!({"name": name, "labels": template["metadata"]["labels"]});
    api.create(jobs, &json!({"metadata": metadata, "spec": template["spec"]}))?;
    let path = format!("{jobs}/{name}");
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let job = api.get(&path)?.context("the Job is gone")?;
        if job["status"]["succeeded"] == 1 {
            break;
        }
        if job["status"]["failed"].as_u64() > Some(0) || Instant::now() > deadline {
            let selector = format!("labelSelector=batch.kubernetes.io%2Fjob-name%3D{name}");
            let pods = api.list(&format!("/api/v1/namespaces/mimeo-system/pods?{selector}"))?;
            let pod = pods.first().cloned().unwrap_or_default();
            let log = pod["metadata"]["name"].as_str().map(|pod| {
                let path = format!("/api/v1/namespaces/mimeo-system/pods/{pod}/log");
                api.send("GET", &path, "application/json", &[]).map(|answer| answer.body)
            });
            anyhow::bail!("the Job {name} did not get there: {} {} {log:?}", job["status"], pod["status"]);
        }
        thread::sleep(Duration::from_millis(200));
    }
    api.delete(&path)?;
    Ok(())
}
