//! Runs a plan: one request per write, no choices left.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use cluster::{Deleted, Lease, Propagation};
use futures::{StreamExt as _, stream};
use plan::{Action, Desired, Inventory, Key, ObjectRef, Origin, Plan, Stage, Step, Wave};
use serde_json::{Value, json};
use spec::{Category, Diagnostic};

use crate::{
    Error, Event, Result, Session,
    books::Books,
    compose::TARGET_SECRET,
    create::create,
    definitions, down,
    health::{Patience, Rules, Watcher},
    observe::IN_FLIGHT,
    read, remake, stuck,
    up::Wanted,
    update, write_ahead,
};

/// How long a single object may take to go before the run says what holds it.
const GOING: Duration = Duration::from_secs(120);

/// One run of one plan.
pub(crate) struct Run<'a> {
    pub session: &'a Session,
    pub lease: &'a Lease,
    pub wanted: Option<&'a dyn Wanted>,
    pub desired: &'a [Desired],
    pub plan: &'a Plan,
    pub inventory: &'a mut Inventory,
    /// Where the inventory is written as soon as it is what it will be; `None` where the caller writes it.
    pub books: Option<Books<'a>>,
    pub namespace: &'a str,
    /// Component to how long its images may take (`waitForImage`).
    pub images: BTreeMap<String, Duration>,
    /// What templates say about the health of their kinds.
    pub rules: &'a Rules,
    pub patience: Patience,
}

impl<'a> Run<'a> {
    /// Stale Jobs go first, then wave by wave; returns the watcher with its last views.
    pub(crate) async fn waves(&mut self) -> Result<Watcher<'a>> {
        let stale: Vec<&Step> = self.plan.stale().collect();
        let wanted = by_key(self.desired);
        let again = stale.iter().filter_map(|step| Some((*step, *wanted.get(&step.object.key())?)));
        remake::rehearse_all(self.session, self.plan, again).await?;
        let (_, found) = self.delete_all(&stale, Propagation::Foreground).await;
        if !found.is_empty() {
            return Err(Error::Found(found));
        }
        let (session, namespace, desired) = (self.session, self.namespace, self.desired);
        let mut watcher = Watcher::new(session, namespace, desired, self.images.clone(), self.rules);
        let mut watching = false;
        let last = self.plan.waves.iter().rposition(|wave| !wave.steps.is_empty());
        for (number, wave) in self.plan.waves.iter().enumerate() {
            let own = matches!(wave.order.stage, Stage::Definitions | Stage::Namespace | Stage::Access);
            if !own && !watching {
                watcher.open(&self.plan.waves).await?;
                watching = true;
            }
            if let Some(wanted) = self.wanted
                && !wave.steps.is_empty()
            {
                wanted.still().await?;
            }
            for (key, live) in self.steps(&wave.steps).await? {
                watcher.expect(key, &live);
            }
            if wave.order.stage == Stage::Definitions && !wave.steps.is_empty() {
                self.session.phase("waiting: new kinds");
                definitions::wait(self.session, self.desired, &wave.steps).await?;
            }
            if wave.order.stage == Stage::Data {
                self.credentials(wave).await?;
            }
            if !own {
                self.phase_of(wave);
                let waiting = watcher.wait(wave, self.patience, self.lease, self.wanted);
                let (waited, noted) = match Some(number) == last {
                    true => futures::join!(waiting, self.note()),
                    false => (waiting.await, Ok(())),
                };
                waited.map_err(|error| explain_job(error, &watcher, wave)).and(noted)?;
            }
            if wave.order.stage == Stage::Data {
                self.tell_copies(&watcher, wave);
            }
        }
        // A program may have been up for a moment only, and earlier waves may have been hurt by later ones.
        watcher.settle(&self.plan.waves, self.patience, self.lease, self.wanted).await?;
        Ok(watcher)
    }

    /// Writes the inventory after the last write of a wave, while its objects become ready: then little is left to
    /// be written when they are. Where something is pruned it shrinks afterwards, and is written once, then.
    async fn note(&mut self) -> Result<()> {
        let Some(books) = self.books.as_mut().filter(|_| self.plan.prune.is_empty()) else { return Ok(()) };
        self.lease.check()?;
        books.write(self.session, self.inventory).await
    }

    /// Deletes what the rendering no longer has, and proves each gone.
    pub(crate) async fn prune(&mut self) -> Result<()> {
        if let Some(wanted) = self.wanted
            && !self.plan.prune.is_empty()
        {
            wanted.still().await?;
        }
        for group in plan::prune_groups(&self.plan.prune) {
            let mut free: Vec<&Step> = Vec::new();
            for step in group {
                match self.in_use(step).await? {
                    Some(why) => {
                        self.session.tell(Event::Note(format!("{}: kept: {why}", step.object)));
                    }
                    None => free.push(step),
                }
            }
            let group = free;
            let (gone, found) = self.delete_all(&group, Propagation::Background).await;
            // What did not go stays in the inventory: a later run deletes it.
            gone.iter().for_each(|step| self.inventory.remove(&step.object.key()));
            if !found.is_empty() {
                return Err(Error::Found(found));
            }
        }
        Ok(())
    }

    /// Why a definition is not deleted although the plan has it: somebody made an object of its kind meanwhile.
    async fn in_use(&self, step: &Step) -> Result<Option<String>> {
        if !step.object.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            return Ok(None);
        }
        let resource = self.session.resource(&step.object).await?;
        match self.session.cluster.get(&resource, &step.object).await? {
            Some(live) => down::in_use(self.session, &step.object, &live).await,
            None => Ok(None),
        }
    }

    /// How much was copied, and what the copy warns of.
    fn tell_copies(&self, watcher: &Watcher<'_>, wave: &Wave) {
        for step in &wave.steps {
            let Some(answer) = answer(watcher, &step.object) else { continue };
            let number = |field: &str| answer.get(field).and_then(Value::as_u64).unwrap_or_default();
            let tables = answer.get("tables").and_then(Value::as_array).map_or(0, Vec::len);
            self.session.tell(Event::Note(format!(
                "{}: {} rows in {tables} tables copied, {} MiB in {:.1} s",
                step.component,
                number("rows"),
                number("bytes") / (1024 * 1024),
                number("milliseconds") as f64 / 1000.0
            )));
            for warning in answer.get("warnings").and_then(Value::as_array).into_iter().flatten() {
                self.session.tell(Event::Note(warning.as_str().unwrap_or_default().to_owned()));
            }
        }
    }

    fn phase_of(&self, wave: &Wave) {
        let text = match wave.order.stage {
            Stage::Before => "hooks before",
            Stage::After => "hooks after",
            Stage::Data => "data",
            Stage::Gate => "gates",
            Stage::Config | Stage::Workload => "health",
            Stage::Definitions | Stage::Namespace | Stage::Access | Stage::Roles => return,
        };
        if !wave.wait_for.is_empty() {
            self.session.phase(format!("waiting: {text} (level {})", wave.order.level));
        }
    }

    async fn steps(&mut self, steps: &[Step]) -> Result<Vec<(Key, Value)>> {
        let (session, lease, plan, deadline) = (self.session, self.lease, self.plan, self.patience.deadline);
        let desired = by_key(self.desired);
        let desired = &desired;
        // Services take the server longest, because each is given an address: the others are written meanwhile.
        let (first, rest): (Vec<&Step>, Vec<&Step>) =
            steps.iter().partition(|step| step.object.is("", "Service"));
        // The wave finishes even when one of its steps fails; later waves do not start.
        let answers: Vec<Result<(Key, Value)>> = stream::iter(first.into_iter().chain(rest))
            .map(|step| async move {
                let key = step.object.key();
                let Some(wanted) = desired.get(&key) else {
                    return Err(Diagnostic::error(
                        "PLN001",
                        "the plan has a step for an object that is not wanted",
                    )
                    .on(step.object.to_string())
                    .into());
                };
                let _turn = session.cluster.turn().await;
                session.keep_going()?;
                let live = run_step(session, lease, plan, (step, wanted), deadline).await?;
                session.tell(Event::Done {
                    action: step.action,
                    object: step.object.clone(),
                    component: step.component.clone(),
                });
                Ok((key, live))
            })
            .buffer_unordered(session.cluster.most_turns())
            .collect()
            .await;
        let mut written = Vec::new();
        let mut found = Vec::new();
        for answer in answers {
            match answer {
                Ok((key, live)) => {
                    if let Some(wanted) = desired.get(&key).filter(|wanted| !wanted.is_shared()) {
                        write_ahead::settle(self.inventory, wanted, &live);
                    }
                    written.push((key, live));
                }
                Err(error) => found.extend(error.diagnostics()),
            }
        }
        if found.is_empty() { Ok(written) } else { Err(Error::Found(found)) }
    }

    /// Deletes objects side by side, each to its end, whatever becomes of the others. Returns the steps
    /// whose objects are proven gone, and what stands in the way of the rest.
    async fn delete_all<'s>(
        &self,
        steps: &[&'s Step],
        propagation: Propagation,
    ) -> (Vec<&'s Step>, Vec<Diagnostic>) {
        let (session, lease, deadline) = (self.session, self.lease, self.patience.deadline);
        let mut outcomes = stream::iter(steps.iter().copied())
            .map(|step| async move {
                let outcome = async {
                    let Some(uid) = step.uid.as_deref() else { return Ok(()) };
                    session.keep_going()?;
                    remove(session, lease, step, uid, propagation, deadline).await?;
                    session.tell(Event::Done {
                        action: Action::Delete,
                        object: step.object.clone(),
                        component: step.component.clone(),
                    });
                    Ok::<(), Error>(())
                };
                (step, outcome.await)
            })
            .buffer_unordered(IN_FLIGHT);
        let (mut gone, mut found) = (Vec::new(), Vec::new());
        while let Some((step, outcome)) = outcomes.next().await {
            match outcome {
                Ok(()) => gone.push(step),
                // That the run is to stop, or lost its lease, is said once.
                Err(error) => found.extend(
                    error.diagnostics().into_iter().filter(|one| !found.contains(one)).collect::<Vec<_>>(),
                ),
            }
        }
        (gone, found)
    }

    /// Gives every data Job that is not finished the password of its target: in a Secret that belongs
    /// to the Job and goes with it.
    async fn credentials(&self, wave: &Wave) -> Result<()> {
        for object in &wave.wait_for {
            let resource = self.session.resource(object).await?;
            let Some(job) = self.session.cluster.get(&resource, object).await? else { continue };
            let finished =
                job.pointer("/status/conditions").and_then(Value::as_array).is_some_and(|conditions| {
                    conditions
                        .iter()
                        .any(|condition| condition["type"] == "Complete" && condition["status"] == "True")
                });
            let Some(secret) = self.password_of(object) else { continue };
            if finished {
                continue;
            }
            self.lease.check()?;
            let password = read::secret_value(self.session, self.namespace, &secret, "password").await?;
            let own = read::core("Secret", object.namespace.as_deref(), &object.name);
            let manifest = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": {
                    "name": own.name, "namespace": own.namespace,
                    "labels": job.pointer("/metadata/labels").cloned().unwrap_or_default(),
                    // Blocking, so that a Job deleted in the foreground takes it along before the next one starts.
                    "ownerReferences": [{
                        "apiVersion": "batch/v1", "kind": "Job", "name": object.name,
                        "uid": plan::uid(&job), "blockOwnerDeletion": true,
                    }],
                },
                "stringData": {"password": password},
            });
            match self.session.cluster.create(&self.session.resource(&own).await?, &own, &manifest).await {
                Ok(_) | Err(cluster::Error::Api { code: 409, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The Secret that holds the password of a data Job's target: named by its gate or data step.
    fn password_of(&self, job: &ObjectRef) -> Option<String> {
        let desired = self.desired.iter().find(|desired| desired.object.same_object(job))?;
        desired.manifest.pointer("/metadata/annotations")?.get(TARGET_SECRET)?.as_str().map(str::to_owned)
    }
}

/// The wanted objects, to be found by what they are.
fn by_key(desired: &[Desired]) -> BTreeMap<Key, &Desired> {
    desired.iter().map(|desired| (desired.object.key(), desired)).collect()
}

async fn run_step(
    session: &Session,
    lease: &Lease,
    plan: &Plan,
    (step, wanted): (&Step, &Desired),
    deadline: Instant,
) -> Result<Value> {
    match step.action {
        Action::Create => create(session, lease, wanted).await,
        Action::Update | Action::Adopt => update::update(session, lease, step, wanted).await,
        Action::Recreate => {
            // Jobs went before the first wave, and what uses what is made again.
            if !wanted.is_job()
                && !step.ahead
                && let Some(uid) = &step.uid
            {
                remake::rehearse(session, plan, step, wanted).await?;
                remove(session, lease, step, uid, Propagation::Foreground, deadline).await?;
            }
            remake::create_again(session, lease, wanted).await
        }
        Action::Delete => Err(Diagnostic::error("PLN002", "a delete is no step of a wave").into()),
    }
}

/// Deletes one object by uid, unless it is on its way out already, and waits until it is gone, until the deadline at
/// most.
async fn remove(
    session: &Session,
    lease: &Lease,
    step: &Step,
    uid: &str,
    propagation: Propagation,
    deadline: Instant,
) -> Result<()> {
    lease.check()?;
    let object = &step.object;
    let resource = session.resource(object).await?;
    // Another object may have the name: then the one that is meant is gone already.
    let goes =
        step.going || session.cluster.delete(&resource, object, uid, propagation).await? == Deleted::Accepted;
    let left = deadline.saturating_duration_since(Instant::now());
    if !goes || stuck::wait_gone(session, &resource, object, uid, GOING.min(left), &[]).await? {
        return Ok(());
    }
    let mut found = stuck::stuck(session, object, &[]).await;
    if left < GOING {
        found.category = Category::Timeout;
    }
    Err(found.into())
}

/// Says which component and template an answer of the API server is about.
pub(crate) fn located(error: cluster::Error, wanted: &Desired) -> Error {
    let mut diagnostic = error.diagnostic();
    if let Origin::Template { file, line } = &wanted.origin {
        diagnostic = diagnostic.at(file.clone(), *line, 1);
    }
    diagnostic.object = Some(format!("component {}, {}", wanted.component, wanted.object));
    if wanted.is_shared() && diagnostic.code == "CLU004" {
        diagnostic.help = Some(
            "An admin applies this definition once (`mimeo render` prints it), or lets you create customresourcedefinitions"
                .to_owned(),
        );
    }
    diagnostic.into()
}

/// A data or gate Job leaves its answer as the termination message of its pod: that says more than
/// the Job's own status.
fn explain_job(error: Error, watcher: &Watcher<'_>, wave: &Wave) -> Error {
    let category = match wave.order.stage {
        Stage::Data => Category::Data,
        Stage::Gate => Category::Gate,
        _ => return error,
    };
    let Error::Found(mut found) = error else { return error };
    for diagnostic in found.iter_mut().filter(|diagnostic| diagnostic.category == Category::Component) {
        diagnostic.category = category;
        let job = wave.wait_for.iter().find(|job| Some(job.short()) == diagnostic.object);
        let Some(answer) = job.and_then(|job| answer(watcher, job)) else {
            if category == Category::Data && diagnostic.cause.contains("secret") {
                diagnostic.help = Some(
                    "Make the Secret of the source: kubectl -n mimeo-data create secret generic NAME --from-literal=uri=postgresql://…"
                        .to_owned(),
                );
            }
            continue;
        };
        let text = |field: &str| answer.get(field).and_then(Value::as_str).map(str::to_owned);
        if let Some(value) = text("value") {
            diagnostic.code = "GTE001";
            let expect = text("expect").unwrap_or_default();
            diagnostic.cause =
                format!("the gate did not pass: the query answers {value}, {expect} is expected");
            diagnostic.help =
                Some("Look at the rows behind the query in the environment's database".to_owned());
        } else if let Some(cause) = text("cause") {
            diagnostic.code = "DAT022";
            diagnostic.category = Category::Data;
            diagnostic.cause = format!("{}: {cause}", text("code").unwrap_or_default());
            diagnostic.help = text("help").or(diagnostic.help.take());
        }
    }
    Error::Found(found)
}

/// What a data or gate Job answered.
pub(crate) fn answer(watcher: &Watcher<'_>, job: &ObjectRef) -> Option<Value> {
    watcher.pods_of(job).iter().find_map(|pod| {
        let message = pod.pointer("/status/containerStatuses/0/state/terminated/message")?.as_str()?;
        serde_json::from_str(message).ok()
    })
}
