//! Plays the steps of a history on a real API server, and compares.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::{Api, AuditMark, Case, Cut, Environment, GitRepo, Kubeconfig, Outcome, Relay};

use super::model::{Expected, Kind, Object, Ours, Step, Thing, World};
use crate::faults::carries_uids;

const LABEL: &str = "mimeo.dev/environment";

/// One history in progress.
pub(super) struct Player<'a> {
    case: &'a Case<'a>,
    repo: GitRepo,
    branch: String,
    /// The namespace, once it is known.
    namespace: Option<String>,
    dirty: bool,
    mark: AuditMark,
    /// What all runs together have created and deleted, by the model.
    created: usize,
    deleted: usize,
}

/// What the runs of one step sent that took effect, by object.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    creates: Vec<Object>,
    updates: Vec<Object>,
    deletes: Vec<(Object, String)>,
}

impl<'a> Player<'a> {
    pub(super) fn begin(case: &'a Case<'a>, number: u64, world: &mut World) -> Result<Self> {
        let repo = case.repo("histories")?;
        let branch = format!("h{number}");
        repo.branch(&branch)?;
        let namespace = (!world.owned).then(|| format!("{}-{branch}", case.spec()));
        if let Some(namespace) = &namespace {
            case.cluster.lend(namespace)?;
        }
        let mark = case.cluster.audit.mark()?;
        Ok(Self { case, repo, branch, namespace, dirty: true, mark, created: 0, deleted: 0 })
    }

    pub(super) fn play(&mut self, world: &mut World, step: &Step) -> Result<()> {
        if world.edit(step) {
            self.dirty = true;
            return Ok(());
        }
        match step {
            Step::Up => self.up(world, None),
            Step::KilledUp(write, cut) => self.up(world, Some((*write, *cut))),
            Step::Diff => self.diff(world),
            Step::Down => self.down(world, None),
            Step::KilledDown(write, cut) => self.down(world, Some((*write, *cut))),
            foreign => self.meddle(world, foreign),
        }
    }

    /// Nothing of the environment is left, and everything of somebody else is.
    pub(super) fn end(&mut self, world: &mut World) -> Result<()> {
        if world.up {
            self.down(world, None)?;
        }
        self.as_left(world)?;
        let Some(namespace) = &self.namespace else { return Ok(()) };
        // The second judge: the server's own log of what this account did to objects of this namespace.
        let calls = self.case.cluster.audit.since(&self.mark, self.api())?;
        let user = self.case.account.username();
        let kinds = Kind::ALL.map(Kind::plural);
        let did = |what: &str| {
            let own = calls.iter().filter(|call| call.user == user && call.namespace == *namespace);
            own.filter(|call| kinds.contains(&call.resource.as_str()) && call.existence() == Some(what))
                .count()
        };
        let (created, deleted) = (did("created"), did("deleted"));
        ensure!(
            (created, deleted) == (self.created, self.deleted),
            "the log has {created} creations and {deleted} deletions, not {} and {}",
            self.created,
            self.deleted
        );
        Ok(())
    }

    fn api(&self) -> &Api {
        &self.case.cluster.api
    }

    fn path(&self, object: &Object) -> Result<String> {
        let namespace = self.namespace.as_ref().context("there is no namespace yet")?;
        Ok(format!("/api/v1/namespaces/{namespace}/{}/{}", object.0.plural(), object.1))
    }

    fn read(&self, object: &Object) -> Result<Value> {
        self.api().get(&self.path(object)?)?.with_context(|| format!("{object:?} is not there"))
    }

    fn environment(&self) -> Result<Option<Environment>> {
        let part = format!("-{}-", self.branch);
        Ok(self.case.environments()?.into_iter().find(|one| one.name.contains(&part)))
    }

    fn commit(&mut self, world: &World) -> Result<()> {
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        let spec = self.case.spec();
        let policy = match &self.namespace {
            Some(namespace) if !world.owned => {
                format!("  policy: {{namespace: {{borrowed: {namespace}}}}}\n")
            }
            _ => String::new(),
        };
        let components: String = world
            .spec
            .iter()
            .map(|(name, text)| format!("    {name}: {{template: part, values: {{text: {text}}}}}\n"))
            .collect();
        let text = format!(
            "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {{name: {spec}}}\nspec:\n{policy}  components:\n{components}"
        );
        self.repo.write(&format!("environments/{spec}.yaml"), &text)?;
        self.repo.git(&["add", "--all"])?;
        self.repo.git(&["commit", "--quiet", "--allow-empty", "--message", "Another spec"])?;
        Ok(())
    }

    /// Runs a command through a relay; with a death, until that if it comes so far.
    fn run(&self, command: &str, more: &[&str], death: Option<(usize, Cut)>) -> Result<(Relay, Outcome)> {
        let config: &Kubeconfig = self.api().config();
        let relay = Relay::start(config)?;
        if let Some((write, cut)) = death {
            relay.kill_at(write, cut);
        }
        let kubeconfig = self.case.home().join(format!("{}.kubeconfig", self.branch));
        config.with_token(&self.case.account.token).by_way_of(&relay.url()).write(&kubeconfig)?;
        let mimeo = self.case.mimeo(self.case.on(command, &self.repo, &self.branch)).args(more);
        let mimeo = mimeo.kubeconfig(&kubeconfig).limit(Duration::from_secs(120));
        let outcome = mimeo.start_through(&relay)?.wait().with_context(|| relay.transcript())?;
        carries_uids(&relay)?;
        Ok((relay, outcome))
    }

    fn diff(&mut self, world: &World) -> Result<()> {
        self.commit(world)?;
        let expected = world.expected();
        let code = match (expected.is_refused(), world.up && expected.is_nothing()) {
            (true, _) => 3,
            (_, true) => 0,
            _ => 1,
        };
        let (relay, outcome) = self.run("diff", &[], None)?;
        outcome.expect(code)?.says(expected.refusals.iter().copied())?;
        let wrote: Vec<_> = relay.log().into_iter().filter(testkit::Exchange::is_mutating).collect();
        ensure!(wrote.is_empty(), "diff writes: {wrote:?}");
        self.as_left(world)
    }

    fn up(&mut self, world: &mut World, death: Option<(usize, Cut)>) -> Result<()> {
        self.commit(world)?;
        let expected = world.expected();
        if expected.is_refused() {
            let (relay, outcome) = self.run("up", &[], None)?;
            outcome.expect(3)?.says(expected.refusals.iter().copied())?;
            ensure!(self.done(&[&relay])? == Done::default(), "refused, and done: {}", relay.transcript());
            return self.as_left(world);
        }
        let mut relays = Vec::new();
        let outcome = if expected.approval {
            let (relay, refused) = self.run("up", &[], None)?;
            let refused = refused.expect(3)?.says(["ENV010"])?;
            ensure!(
                self.done(&[&relay])? == Done::default(),
                "not approved, and done: {}",
                relay.transcript()
            );
            let all = refused.all();
            let digest = all.split("--approve ").nth(1).and_then(|rest| rest.split_whitespace().next());
            let (relay, outcome) = self.run("up", &["--approve", digest.context("no digest")?], None)?;
            relays.push(relay);
            outcome
        } else {
            let (relay, mut outcome) = self.run("up", &[], death)?;
            let cut = relay.has_cut();
            relays.push(relay);
            if cut {
                let (relay, again) = self.run("up", &[], None)?;
                relays.push(relay);
                outcome = again;
            }
            outcome
        };
        let told = || relays.iter().map(Relay::transcript).collect::<Vec<_>>().join("---\n");
        outcome.expect(0).with_context(told)?;
        self.namespace = match world.owned {
            true => Some(self.environment()?.context("there is no record")?.name),
            false => self.namespace.take(),
        };
        let done = self.done(&relays.iter().collect::<Vec<_>>())?;
        self.as_expected(world, &expected, &done).with_context(told)?;
        self.follow(world, &expected)?;
        self.converged(world).with_context(told)
    }

    /// That a run has done what it had to, and nothing else.
    fn as_expected(&mut self, world: &World, expected: &Expected, done: &Done) -> Result<()> {
        let once = |objects: &[Object]| -> Result<BTreeSet<Object>> {
            let set: BTreeSet<Object> = objects.iter().cloned().collect();
            ensure!(set.len() == objects.len(), "something is done twice: {objects:?}");
            Ok(set)
        };
        let creates = once(&done.creates)?;
        ensure!(creates == expected.creates, "creates {creates:?}, not {:?}", expected.creates);
        let updates: BTreeSet<Object> = done.updates.iter().cloned().collect();
        ensure!(updates == expected.updates, "updates {updates:?}, not {:?}", expected.updates);
        let deletes = once(&done.deletes.iter().map(|(object, _)| object.clone()).collect::<Vec<_>>())?;
        ensure!(deletes == expected.deletes, "deletes {deletes:?}, not {:?}", expected.deletes);
        for (object, uid) in &done.deletes {
            let ours = matches!(world.things.get(object), Some(Thing::Ours(ours)) if ours.uid == *uid);
            ensure!(ours, "{object:?} is deleted as {uid}, which is not ours");
        }
        self.created += creates.len();
        self.deleted += deletes.len();
        Ok(())
    }

    /// The model after a run that has done what it had to.
    fn follow(&self, world: &mut World, expected: &Expected) -> Result<()> {
        for object in &expected.deletes {
            world.things.remove(object);
        }
        let wanted: BTreeMap<Object, String> =
            world.wanted().into_iter().map(|(object, text)| (object, text.to_owned())).collect();
        for (object, text) in &wanted {
            let live = self.read(object)?;
            let uid = live["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            match world.things.get_mut(object) {
                Some(Thing::Ours(ours)) => {
                    ensure!(ours.uid == uid, "{object:?} was made anew");
                    (ours.text, ours.drifted, ours.stripped) = (text.clone(), false, false);
                }
                _ => {
                    let (text, uid) = (text.clone(), uid.clone());
                    let ours = Ours { uid, text, drifted: false, stripped: false, keep: false, theirs: None };
                    world.things.insert(object.clone(), Thing::Ours(ours));
                }
            }
            world.inventory.insert(object.clone(), uid);
        }
        let kept = |object: &Object| wanted.contains_key(object) || world.is_remembered(object);
        let inventory: BTreeMap<Object, String> = world
            .inventory
            .iter()
            .filter(|(object, _)| kept(object))
            .map(|(a, b)| (a.clone(), b.clone()))
            .collect();
        world.inventory = inventory;
        world.up = true;
        Ok(())
    }

    /// That everything is as the model has it, and another look finds nothing to do.
    fn converged(&mut self, world: &World) -> Result<()> {
        for (object, thing) in &world.things {
            let Thing::Ours(ours) = thing else { continue };
            let live = self.read(object)?;
            ensure!(live["metadata"]["uid"] == *ours.uid, "{object:?} is another one: {live}");
            let text = match object.0 {
                Kind::ConfigMap => &live["data"]["text"],
                Kind::ServiceAccount => &live["metadata"]["annotations"]["text"],
            };
            ensure!(ours.drifted || *text == ours.text, "{object:?} says {text}, not {}", ours.text);
            let theirs = &live["metadata"]["annotations"]["theirs"];
            ensure!(
                ours.theirs.as_ref().is_none_or(|known| theirs == known),
                "{object:?}: a field of somebody else is {theirs}"
            );
            ensure!(ours.stripped || !live["metadata"]["labels"][LABEL].is_null(), "{object:?} has no label");
        }
        let environment = self.environment()?.context("there is no record")?;
        let parts = format!(
            "/apis/mimeo.dev/v1alpha1/namespaces/mimeo-system/inventories?labelSelector=mimeo.dev/environment%3D{}",
            environment.id
        );
        let mut inventory = BTreeMap::new();
        for part in self.api().list(&parts)? {
            for entry in part["spec"]["entries"].as_array().into_iter().flatten() {
                let kind = match entry["object"]["kind"].as_str() {
                    Some("ConfigMap") => Kind::ConfigMap,
                    Some("ServiceAccount") => Kind::ServiceAccount,
                    _ => continue,
                };
                ensure!(entry["pending"].is_null(), "an entry is pending: {entry}");
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                inventory.insert((kind, text(&entry["object"]["name"])), text(&entry["uid"]));
            }
        }
        ensure!(inventory == world.inventory, "the inventory has {inventory:?}, not {:?}", world.inventory);
        self.diff(world).context("after `up`")
    }

    fn down(&mut self, world: &mut World, death: Option<(usize, Cut)>) -> Result<()> {
        self.commit(world)?;
        let ours = |world: &World, with: &dyn Fn(&Ours) -> bool| -> BTreeSet<Object> {
            let things = world.things.iter().filter(|(object, _)| world.inventory.contains_key(*object));
            let ours = things.filter(|(_, thing)| matches!(thing, Thing::Ours(ours) if with(ours)));
            ours.map(|(object, _)| object.clone()).collect()
        };
        let stripped = ours(world, &|ours| ours.stripped);
        let mut relays = Vec::new();
        if !world.owned && !stripped.is_empty() {
            let (relay, outcome) = self.run("down", &["--yes"], None)?;
            outcome.expect(3)?.says(["DEL003"])?;
            relays.push(relay);
            for object in &stripped {
                ensure!(self.api().delete(&self.path(object)?)?.is_ok(), "its owner removes it");
            }
        } else if death.is_some() {
            let (relay, outcome) = self.run("down", &["--yes"], death)?;
            if !relay.has_cut() {
                outcome.expect(0).with_context(|| relay.transcript())?;
            }
            relays.push(relay);
        }
        let (relay, outcome) = self.run("down", &["--yes"], None)?;
        relays.push(relay);
        let told = || relays.iter().map(Relay::transcript).collect::<Vec<_>>().join("---\n");
        outcome.expect(0).with_context(told)?;
        ensure!(self.environment()?.is_none(), "the record is left");
        let done = self.done(&relays.iter().collect::<Vec<_>>())?;
        if world.owned {
            ensure!(done.deletes.is_empty(), "what goes with its namespace is deleted by itself: {done:?}");
            let path = format!("/api/v1/namespaces/{}", self.namespace.take().unwrap_or_default());
            ensure!(self.api().get(&path)?.is_none(), "the namespace is left");
            world.things.clear();
        } else {
            let deletes = ours(world, &|ours| !ours.keep && !ours.stripped);
            let expected = Expected { deletes, ..Expected::default() };
            self.as_expected(world, &expected, &done).with_context(told)?;
            world.things.retain(|object, _| !expected.deletes.contains(object) && !stripped.contains(object));
            // What was kept is nobody's environment's any more.
            for (object, thing) in &mut world.things {
                if matches!(thing, Thing::Ours(_)) {
                    let path = format!(
                        "/api/v1/namespaces/{}/{}/{}",
                        self.namespace.as_deref().unwrap_or_default(),
                        object.0.plural(),
                        object.1
                    );
                    *thing =
                        Thing::Foreign(self.case.cluster.api.get(&path)?.context("what was kept is gone")?);
                }
            }
        }
        (world.up, world.inventory) = (false, BTreeMap::new());
        self.as_left(world).with_context(told)
    }

    /// That what is somebody else's is as they left it, to the byte, and that there is nothing else.
    fn as_left(&self, world: &World) -> Result<()> {
        let Some(namespace) = &self.namespace else { return Ok(()) };
        let mut there = BTreeSet::new();
        for kind in Kind::ALL {
            for mut live in self.api().list(&format!("/api/v1/namespaces/{namespace}/{}", kind.plural()))? {
                let object = (kind, live["metadata"]["name"].as_str().unwrap_or_default().to_owned());
                if ["kube-root-ca.crt", "default"].contains(&object.1.as_str()) {
                    continue;
                }
                if let Some(Thing::Foreign(known)) = world.things.get(&object) {
                    for field in ["apiVersion", "kind"] {
                        live[field] = known[field].clone();
                    }
                    ensure!(live == *known, "{object:?} is somebody else's and was {known}, is {live}");
                }
                there.insert(object);
            }
        }
        let known: BTreeSet<Object> = world.things.keys().cloned().collect();
        ensure!(there == known, "there is {there:?}, not {known:?}");
        Ok(())
    }

    /// What took effect in the namespace, by what the server answered.
    fn done(&self, relays: &[&Relay]) -> Result<Done> {
        let mut done = Done::default();
        for exchange in relays.iter().flat_map(|relay| relay.log()) {
            if !exchange.is_mutating() || !exchange.status.is_some_and(|status| (200..300).contains(&status))
            {
                continue;
            }
            let parts: Vec<&str> = exchange.path.split('/').collect();
            let ["", "api", "v1", "namespaces", namespace, plural, name] = parts[..] else { continue };
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.plural() == plural) else { continue };
            if self.namespace.as_deref().is_some_and(|own| own != namespace) {
                bail!("a write in another namespace: {exchange}");
            }
            let object = (kind, name.to_owned());
            match (exchange.method.as_str(), exchange.status) {
                ("PATCH", Some(201)) => done.creates.push(object),
                ("PATCH", _) => done.updates.push(object),
                ("DELETE", _) => {
                    let uid = exchange.body["preconditions"]["uid"].as_str().unwrap_or_default();
                    done.deletes.push((object, uid.to_owned()));
                }
                _ => bail!("an unexpected write: {exchange}"),
            }
        }
        Ok(done)
    }

    /// Somebody else does something.
    fn meddle(&self, world: &mut World, step: &Step) -> Result<()> {
        let api = self.api();
        let merge = |object: &Object, patch: Value| -> Result<()> {
            let answer = api.merge(&self.path(object)?, &patch)?;
            ensure!(answer.is_ok(), "{object:?}: {}", answer.body);
            Ok(())
        };
        let delete = |object: &Object| -> Result<()> {
            ensure!(api.delete(&self.path(object)?)?.is_ok(), "{object:?} cannot be deleted");
            Ok(())
        };
        let mut ours = |object: &Object, change: &dyn Fn(&mut Ours)| {
            if let Some(Thing::Ours(ours)) = world.things.get_mut(object) {
                change(ours);
            }
        };
        match step {
            Step::Drift(object) => {
                merge(
                    object,
                    match object.0 {
                        Kind::ConfigMap => json!({"data": {"text": "by hand"}}),
                        Kind::ServiceAccount => json!({"metadata": {"annotations": {"text": "by hand"}}}),
                    },
                )?;
                ours(object, &|ours| ours.drifted = true);
            }
            Step::Annotate(object, text) => {
                merge(object, json!({"metadata": {"annotations": {"theirs": text}}}))?;
                ours(object, &|ours| ours.theirs = Some(text.clone()));
            }
            Step::Strip(object) => {
                merge(object, json!({"metadata": {"labels": {LABEL: null}}}))?;
                ours(object, &|ours| ours.stripped = true);
            }
            Step::Keep(object) => {
                merge(object, json!({"metadata": {"annotations": {"helm.sh/resource-policy": "keep"}}}))?;
                ours(object, &|ours| ours.keep = true);
            }
            Step::Delete(object) | Step::Clear(object) => {
                delete(object)?;
                world.things.remove(object);
            }
            Step::Replace(object, as_us) => {
                let old = self.read(object)?;
                delete(object)?;
                self.plant(world, object, Some(&old), *as_us)?;
            }
            Step::Plant(object, copied) => {
                let of = world.things.iter().find(|(_, thing)| matches!(thing, Thing::Ours(_)));
                let of = of.map(|(object, _)| self.read(object)).transpose()?.filter(|_| *copied);
                self.plant(world, object, of.as_ref(), false)?;
            }
            other => bail!("{other:?} is nothing that somebody else does"),
        }
        Ok(())
    }

    fn plant(&self, world: &mut World, object: &Object, like: Option<&Value>, as_us: bool) -> Result<()> {
        let mut metadata = json!({"name": object.1});
        for field in ["labels", "annotations"] {
            if let Some(value) = like.map(|like| like["metadata"][field].clone()) {
                metadata[field] = value;
            }
        }
        let kind = match object.0 {
            Kind::ConfigMap => "ConfigMap",
            Kind::ServiceAccount => "ServiceAccount",
        };
        let manifest = json!({"apiVersion": "v1", "kind": kind, "metadata": metadata});
        let path = self.path(object)?;
        if as_us {
            ensure!(self.api().apply(&path, "mimeo", &manifest)?.is_ok(), "{object:?} cannot be made");
        } else {
            let (collection, _) = path.rsplit_once('/').context("no path")?;
            self.api().create(collection, &manifest)?;
        }
        world.things.insert(object.clone(), Thing::Foreign(self.read(object)?));
        Ok(())
    }
}
