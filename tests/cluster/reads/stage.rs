//! Plays one outage: an environment of its own, an account of its own, a kind of its own.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::{Account, Api, Case, Environment, Fault, GitRepo, Kubeconfig, Mimeo, Outcome, Relay, state};

use super::{Act, Command, Expected, How, Script, Strike};
use crate::faults::carries_uids;

const SYSTEM: &str = "/apis/mimeo.dev/v1alpha1/namespaces/mimeo-system";
/// What the second commit no longer has.
const EXTRA: [&str; 3] = ["ConfigMap/extra", "ServiceAccount/extra", "Widget/extra"];

struct Stage<'a> {
    case: &'a Case<'a>,
    name: &'a str,
    script: &'a Script,
    repo: GitRepo,
    group: String,
    account: Mutex<Account>,
}

/// Plays a case from nothing to nothing.
pub(super) fn play(case: &Case<'_>, name: &str, script: &Script) -> Result<()> {
    let repo = case.repo("reads")?;
    let group = format!("{}.{}.example.com", name.replace('_', "-"), case.spec());
    repo.edit("templates/extra/manifests/extra.yaml", "GROUP", &group)?;
    repo.commit("A kind of its own")?;
    repo.branch(name)?;
    let account = case.cluster.account(&format!("{}-{name}", case.spec()), case.home())?;
    let stage = Stage { case, name, script, repo, group, account: Mutex::new(account) };
    stage.define()?;
    stage.mimeo(Command::Up, None)?.succeed()?;
    let environment = stage.environment()?;
    if script.runs.contains_key(&Command::Gc) {
        stage.gc(&environment)?;
    }
    if script.faults.iter().any(|strike| strike.and.as_deref() == Some("continue=")) {
        stage.crowd(&environment)?;
    }
    stage.diff_and_up(&environment)?;
    stage.down(&environment)
}

impl Stage<'_> {
    fn api(&self) -> &Api {
        &self.case.cluster.api
    }

    fn account(&self) -> Account {
        self.account.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The case's own kind, and the right to use it.
    fn define(&self) -> Result<()> {
        let group = &self.group;
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = json!({
            "metadata": {"name": format!("widgets.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": open}}],
            },
        });
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        self.api().create(definitions, &definition)?;
        let role = json!({
            "metadata": {
                "name": format!("{}-{}", self.case.spec(), self.name),
                "labels": {"mimeo.dev/aggregate-to-env": "true"},
            },
            "rules": [{"apiGroups": [group], "resources": ["widgets"], "verbs": ["*"]}],
        });
        self.api().create("/apis/rbac.authorization.k8s.io/v1/clusterroles", &role)?;
        let begun = Instant::now();
        while self.api().get(&format!("/apis/{group}/v1"))?.is_none_or(|list| list["resources"][0].is_null())
        {
            ensure!(begun.elapsed() < Duration::from_secs(20), "the kind is not served");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// More ConfigMaps than one page of a list shows, somebody else's, under copies of our label.
    fn crowd(&self, environment: &Environment) -> Result<()> {
        for number in 0..501 {
            let map = json!({"metadata": {
                "name": format!("crowd-{number}"), "labels": {"mimeo.dev/environment": environment.id},
            }});
            self.api().create(&environment.core("configmaps"), &map)?;
        }
        Ok(())
    }

    fn mimeo(&self, command: Command, relay: Option<&Relay>) -> Result<Mimeo> {
        let path = self.case.home().join(format!("{}.kubeconfig", self.name));
        let config = self.case.cluster.api.config().with_token(&self.account().token);
        let config = relay.map_or(config.clone(), |relay| config.by_way_of(&relay.url()));
        config.write(&path)?;
        let arguments = match command {
            Command::Diff => self.case.on("diff", &self.repo, self.name),
            Command::Up => self.case.on("up", &self.repo, self.name),
            Command::Down => [self.case.on("down", &self.repo, self.name), vec!["--yes".to_owned()]].concat(),
            Command::Gc => vec!["gc".to_owned()],
        };
        Ok(self.case.mimeo(arguments).kubeconfig(&path).limit(Duration::from_secs(150)))
    }

    fn environment(&self) -> Result<Environment> {
        // The name of one case may end like another's.
        let beginning = format!("{}-{}-", self.case.spec(), self.name);
        let all = self.case.environments()?;
        all.into_iter().find(|one| one.name.starts_with(&beginning)).context("there is no record")
    }

    /// Runs a command while the outage lasts; returns everything that was deleted, by path.
    fn suffer(&self, command: Command, expected: &Expected) -> Result<(Outcome, Vec<String>)> {
        let relay = Relay::start(self.case.cluster.api.config())?;
        for strike in &self.script.faults {
            relay.inject(self.fault(strike));
        }
        let outcome = self.mimeo(command, Some(&relay))?.run().with_context(|| relay.transcript())?;
        let struck = relay.log().iter().any(|exchange| exchange.note.contains("by the test"));
        ensure!(struck, "{command:?}: nothing was struck:\n{}", relay.transcript());
        let told = || format!("{command:?}\n{}", relay.transcript());
        let outcome = outcome.expect(expected.exit).with_context(told)?;
        let outcome = outcome.says(expected.says.iter().map(String::as_str)).with_context(told)?;
        carries_uids(&relay)?;
        let deleted =
            relay.log().into_iter().filter(|one| one.method == "DELETE" && !one.path.contains("/leases/"));
        Ok((outcome, deleted.map(|one| one.path).collect()))
    }

    fn fault(&self, strike: &Strike) -> Fault {
        let place = |text: &str| text.replace("GROUP", &self.group);
        let mut fault = Fault::on(&place(&strike.on)).after(strike.after);
        fault = fault.delay(Duration::from_millis(strike.delay_ms));
        if let Some(method) = &strike.method {
            fault = fault.method(method);
        }
        if let Some(and) = &strike.and {
            fault = fault.and(&place(and));
        }
        if let Some(but) = &strike.but {
            fault = fault.but(&place(but));
        }
        if let Some(times) = strike.times {
            fault = fault.times(times);
        }
        if let Some(act) = strike.first {
            let actor = Actor {
                api: self.api().clone(),
                user: self.api().config().with_token(&self.account().token),
                account: self.account(),
                group: self.group.clone(),
            };
            fault = fault.first(move || actor.act(act));
        }
        match strike.how {
            None => fault,
            Some(How::Status(status)) => fault.status(status),
            Some(How::Html(status)) => fault.html(status),
            Some(How::Expired) => fault.expired(false),
            Some(How::ExpiredWatch) => fault.expired(true),
            Some(How::Cut) => fault.cut(),
            Some(How::Lost) => fault.lost(),
            Some(How::Empty) => fault.empty(),
            Some(How::Short) => fault.short(),
        }
    }

    /// The outage is over: what was really done to the server is undone.
    fn heal(&self) -> Result<()> {
        for act in self.script.faults.iter().filter_map(|strike| strike.first) {
            match act {
                Act::Compact => {}
                Act::Revoke => {
                    // An account of the same name, as an admin would make it again.
                    let known = self.account();
                    let user = self.api().as_token(&known.token)?;
                    if user.send("GET", "/version", "application/json", &[])?.status == 401 {
                        let fresh = self.case.cluster.account(&known.name, self.case.home())?;
                        *self.account.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
                    }
                }
                Act::BreakApi => {
                    let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/v1.{}", self.group);
                    self.api().delete(&path)?;
                    answers(self.api(), &format!("/apis/{}/v1", self.group), 200)?;
                }
            }
        }
        Ok(())
    }

    /// What there is of the environment, by kind and name, with its uid. `extra` and `kept` only: the rest
    /// of a namespace is not the environment's.
    fn live(&self, environment: &Environment) -> Result<BTreeMap<String, String>> {
        let name = &environment.name;
        let mut live = BTreeMap::new();
        for (kind, path) in [
            ("ConfigMap", environment.core("configmaps")),
            ("ServiceAccount", environment.core("serviceaccounts")),
            ("Deployment", format!("/apis/apps/v1/namespaces/{name}/deployments")),
            ("Widget", format!("/apis/{}/v1/namespaces/{name}/widgets", self.group)),
        ] {
            // Kinds that other cases define just now can make a path fail for a moment.
            answers(self.api(), &path, 200)?;
            for object in self.api().list(&path)? {
                let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
                if ["kept", "extra"].contains(&text("name").as_str()) {
                    live.insert(format!("{kind}/{}", text("name")), text("uid"));
                }
            }
        }
        Ok(live)
    }

    /// What the inventory names, with its uid.
    fn inventory(&self, environment: &Environment) -> Result<BTreeMap<String, String>> {
        let path = format!("{SYSTEM}/inventories?labelSelector=mimeo.dev/environment%3D{}", environment.id);
        let parts = self.api().list(&path)?;
        let entries = parts.iter().flat_map(|part| part["spec"]["entries"].as_array()).flatten();
        Ok(entries
            .filter(|entry| ["kept", "extra"].contains(&entry["object"]["name"].as_str().unwrap_or_default()))
            .map(|entry| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let object = &entry["object"];
                (format!("{}/{}", text(&object["kind"]), text(&object["name"])), text(&entry["uid"]))
            })
            .collect())
    }

    fn gc(&self, environment: &Environment) -> Result<()> {
        let before = self.live(environment)?;
        let (outcome, deleted) = self.suffer(Command::Gc, &self.script.runs[&Command::Gc])?;
        ensure!(deleted.is_empty(), "gc deletes: {deleted:?}\n{outcome}");
        self.heal()?;
        self.mimeo(Command::Gc, None)?.succeed()?;
        ensure!(self.live(environment)? == before, "gc changes nothing");
        Ok(())
    }

    fn diff_and_up(&self, environment: &Environment) -> Result<()> {
        let before = self.live(environment)?;
        ensure!(before.len() == 5 && self.inventory(environment)? == before, "it is whole: {before:?}");
        self.repo.edit(
            &format!("environments/{}.yaml", self.case.spec()),
            "    extra: {template: extra}\n",
            "",
        )?;
        self.repo.write(
            "templates/kept/manifests/fresh.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: fresh\n",
        )?;
        self.repo.commit("One component goes, one object comes")?;
        if let Some(expected) = self.script.runs.get(&Command::Diff) {
            let (outcome, deleted) = self.suffer(Command::Diff, expected)?;
            ensure!(deleted.is_empty(), "diff deletes: {deleted:?}\n{outcome}");
            self.heal()?;
        }
        if let Some(expected) = self.script.runs.get(&Command::Up) {
            let (outcome, _) = self.suffer(Command::Up, expected)?;
            self.heal()?;
            let mut left = before.clone();
            left.retain(|object, _| !expected.gone.contains(object));
            let live = self.live(environment)?;
            ensure!(live == left, "other objects are left: {live:?}, not {left:?}\n{outcome}");
            let known = self.inventory(environment)?;
            let kept = left.iter().all(|(object, uid)| known.get(object) == Some(uid));
            ensure!(kept, "what is left is in the inventory: {left:?}, not {known:?}\n{outcome}");
            let state = self.case.record(environment)?["spec"]["state"].clone();
            let usual = state == "Ready" || (expected.exit != 0 && state == "Failed");
            let clear = expected.state.as_ref().map_or(usual, |said| state == **said);
            ensure!(clear, "the record says {state}\n{outcome}");
        }
        // By itself, and to the end.
        self.mimeo(Command::Up, None)?.succeed()?;
        self.mimeo(Command::Diff, None)?.succeed()?;
        let live = self.live(environment)?;
        ensure!(!EXTRA.iter().any(|extra| live.contains_key(*extra)), "what was to go is gone: {live:?}");
        ensure!(live == self.inventory(environment)?, "the inventory is what lives: {live:?}");
        Ok(())
    }

    fn down(&self, environment: &Environment) -> Result<()> {
        if let Some(expected) = self.script.runs.get(&Command::Down) {
            // With everything again that the outage may be about.
            self.repo.git(&["checkout", "--quiet", "HEAD~1", "--", "."])?;
            self.repo.commit("The component comes back")?;
            self.mimeo(Command::Up, None)?.succeed()?;
            let (outcome, deleted) = self.suffer(Command::Down, expected)?;
            self.heal()?;
            let receipts = state::receipts(self.api(), &environment.name)?;
            if expected.exit == 0 {
                ensure!(receipts.len() == 1, "one receipt: {receipts:?}");
            } else {
                ensure!(
                    receipts.len() == usize::from(expected.receipt),
                    "a receipt without proof: {receipts:?}\n{outcome}"
                );
                let record = self.case.record(environment)?;
                ensure!(!record.is_null(), "the record stays: {deleted:?}\n{outcome}");
            }
            if expected.exit == 0 {
                return self.case.is_gone(environment);
            }
        }
        self.mimeo(Command::Down, None)?.succeed()?;
        self.case.is_gone(environment)
    }
}

/// Does to the server what a case asks for, in the middle of a request.
struct Actor {
    api: Api,
    user: Kubeconfig,
    account: Account,
    group: String,
}

impl Actor {
    fn act(&self, act: Act) {
        let done = match act {
            Act::Compact => self.compact(),
            Act::Revoke => self.revoke(),
            Act::BreakApi => self.break_api(),
        };
        // The case fails by what follows: a request that was to fail does not.
        if let Err(error) = done {
            let _ =
                std::io::Write::write_all(&mut std::io::stderr(), format!("{act:?}: {error:#}\n").as_bytes());
        }
    }

    /// By etcd's own JSON gateway; the API server itself compacts every five minutes.
    fn compact(&self) -> Result<()> {
        // The state that was listed is the newest one: it must not be.
        let map = json!({"metadata": {"name": testkit::random_name()}});
        self.api.create("/api/v1/namespaces/default/configmaps", &map)?;
        let etcd =
            Kubeconfig { server: "http://127.0.0.1:2379".into(), ca: Vec::new(), token: String::new() };
        let etcd = Api::new(etcd)?;
        let status = etcd.create("/v3/maintenance/status", &json!({}))?;
        etcd.create(
            "/v3/kv/compaction",
            &json!({"revision": status["header"]["revision"], "physical": true}),
        )?;
        Ok(())
    }

    fn revoke(&self) -> Result<()> {
        let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", self.account.namespace);
        self.api.delete(&format!("{accounts}/{}", self.account.name))?;
        // The API server remembers for some seconds whom it has let in.
        answers(&Api::new(self.user.clone())?, "/version", 401)
    }

    fn break_api(&self) -> Result<()> {
        let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/v1.{}", self.group);
        let mut service = self.api.get(&path)?.context("no APIService")?;
        // Without this label it is nobody's but an admin's.
        service["metadata"]["labels"] = json!({});
        service["spec"]["service"] = json!({"namespace": "default", "name": "nobody", "port": 443});
        service["spec"]["insecureSkipTLSVerify"] = json!(true);
        let answer = self.api.send("PUT", &path, "application/json", service.to_string().as_bytes())?;
        ensure!(answer.is_ok(), "{}", answer.body);
        answers(&self.api, &format!("/apis/{}/v1", self.group), 503)
    }
}

/// Waits until a path is answered with this status.
fn answers(api: &Api, path: &str, status: u16) -> Result<()> {
    let begun = Instant::now();
    loop {
        let answer = api.send("GET", path, "application/json", &[])?;
        if answer.status == status {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(30) {
            bail!("{path} is answered with {}, not {status}: {}", answer.status, answer.body);
        }
        thread::sleep(Duration::from_millis(100));
    }
}
