//! Brings an environment to a rendering.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use cluster::{
    EnvironmentRecord, ForgeMark, InventoryMark, Lease, RecordSpec, RefKind, State, StoredInventory,
};
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use plan::{Key, ObjectRef, Plan, Provenance, Stage};
use render::{NamespacePolicy, Rendered};
use serde_json::Value;
use spec::{Category, Diagnostic};

use crate::{
    Error, Event, Result, Session, access,
    books::{Books, finish},
    compose::{before_delete, namespace},
    execute::{self, Run},
    health::{self, Patience, Rules},
    place,
    plan_file::PlanFile,
    preview::{Preview, preview},
    read,
    status::{ComponentStatus, components},
    stuck, write_ahead,
};

/// How `up` behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long to wait for everything to be healthy.
    pub timeout: Duration,
    /// Fail on the first sight of trouble instead of giving it time.
    pub fail_fast: bool,
    /// Digest of a plan that somebody approved.
    pub approve: Option<String>,
    /// Where the commit comes from, for the garbage collector to look at again.
    pub origin: Origin,
    /// How long to wait for another run that works on the environment.
    pub patience: Duration,
    /// When the command was given, by this machine's clock.
    pub given: Timestamp,
    /// The plan that somebody looked at: nothing else runs.
    pub shown: Option<PlanFile>,
}

/// Where a commit comes from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// What the ref is the name of; `None` when nobody says.
    pub ref_kind: Option<RefKind>,
    /// Network URL of the repository, without credentials.
    pub remote: Option<String>,
    /// The forge that knows the pull request.
    pub forge: Option<ForgeMark>,
}

/// How long `up` and `down` wait for another run: a killed one's lease runs out in that time.
pub const PATIENCE: Duration = Duration::from_secs(cluster::LEASE_DURATION.as_secs() + 5);

/// Whether what a run is making is still wanted. Asked before every wave of writes, and now and then
/// while a wave is waited for.
pub trait Wanted: Send + Sync {
    /// Says no by an error, with which the run stops.
    ///
    /// # Errors
    /// Why it is no longer wanted.
    fn still(&self) -> BoxFuture<'_, Result<()>>;
}

/// What `up` did.
#[derive(Debug, Clone)]
pub struct Report {
    /// Name of the environment.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The commit it is at.
    pub revision: String,
    /// The plan that ran.
    pub plan: Plan,
    /// When the environment becomes stale.
    pub expires_at: Option<String>,
    /// Every component, with its state.
    pub components: Vec<ComponentStatus>,
    /// Every gate that was asked, with its answer.
    pub gates: Vec<(String, Value)>,
}

/// Brings the environment to the rendering, waits until it is healthy and its gates pass.
///
/// # Guarantees
/// What is about to be created is in the inventory before it is sent. Every update and delete hits
/// the uid the plan saw, or nothing. Killed at any moment and called again, it ends in the same state.
///
/// # Errors
/// Refusals before anything is written; failures of components, data, gates and requests after that,
/// with the record saying `Failed` and why.
pub async fn up(
    session: &Session,
    rendered: &Rendered,
    options: &Options,
    wanted: Option<&dyn Wanted>,
) -> Result<Report> {
    let name = &rendered.env.name;
    let lease = lease(session, name, options.patience).await?;
    match run(session, rendered, options, wanted, &lease).await {
        Ok(report) => {
            lease
                .release()
                .await
                .unwrap_or_else(|error| tracing::debug!(%error, "the lease runs out by itself"));
            Ok(report)
        }
        Err(error) => {
            // A refusal before the first write leaves nothing, not even a lease.
            let known = session.records.get(name).await;
            let ended = match known {
                Ok(None) => lease.remove().await,
                _ => lease.release().await,
            };
            ended.unwrap_or_else(|error| tracing::debug!(%error, "the lease runs out by itself"));
            Err(place::placed(rendered, error))
        }
    }
}

pub(crate) async fn lease(session: &Session, name: &str, patience: Duration) -> Result<Lease> {
    let told = std::sync::atomic::AtomicBool::new(false);
    let waiting = |holder: &str| {
        if !told.swap(true, std::sync::atomic::Ordering::Relaxed) {
            session.tell(Event::Note(format!("another run works on {name}, waiting for it: {holder}")));
        }
    };
    let acquired = Lease::acquire(&session.cluster, session.records.namespace(), name, patience, waiting);
    match session.waiting(acquired).await {
        Err(Error::Cluster(cluster::Error::Api { code: 404, .. })) => {
            Err(session.cluster.not_installed().await.into())
        }
        other => other,
    }
}

async fn run(
    session: &Session,
    rendered: &Rendered,
    options: &Options,
    wanted: Option<&dyn Wanted>,
    lease: &Lease,
) -> Result<Report> {
    session.phase("reading the cluster");
    // Somebody has to be bound in a new namespace: who that is can be asked at the same time.
    let caller = async {
        if lease.is_new() && rendered.policy.namespace == NamespacePolicy::Owned {
            drop(session.caller().await);
        }
    };
    let (view, ()) = futures::join!(read_world(session, rendered, lease), caller);
    let mut view = view?;
    if let Some(record) = &view.record {
        refuse_deleting(record)?;
        refuse_older(session, record, rendered, options)?;
        refuse_other_namespace(record, rendered)?;
    }
    if let Some(shown) = &options.shown {
        shown.check(&lock(rendered), &view)?;
    }
    guard_stake(&view.plan, options)?;
    for note in &view.plan.notes {
        session.tell(Event::Note(format!("{}: {}", note.object, note.text)));
    }
    if let Some(wanted) = wanted {
        wanted.still().await?;
    }
    let begun = record(session, rendered, &view, lease, options).await?;
    let record_uid = begun.uid().unwrap_or_default();
    let begun_expiry = begun.spec.expires_at.clone();
    view.desired = view.desired.into_iter().map(|desired| desired.owned_by(&record_uid)).collect();
    let who = Provenance { environment: &rendered.env.id, record_uid: &record_uid };
    let (stored, inventory, outcome) = match note_ahead(session, &begun, &view, who).await {
        Ok(mut stored) => {
            let mut inventory = stored.inventory.clone();
            let books = Books { record: &begun, stored: &mut stored };
            let outcome =
                carry_out(session, rendered, options, (lease, wanted), &view, (&mut inventory, books)).await;
            (stored, inventory, outcome)
        }
        // Nothing was applied, and the record is to say why.
        Err(error) => (view.stored.clone(), view.stored.inventory.clone(), Err(error)),
    };
    finish(session, lease, begun, stored, inventory, &outcome).await?;
    let (components, gates) = outcome?;
    Ok(Report {
        name: rendered.env.name.clone(),
        namespace: namespace(rendered).to_owned(),
        revision: rendered.env.revision.clone(),
        plan: view.plan,
        expires_at: begun_expiry,
        components,
        gates,
    })
}

/// The inventory with everything the plan is about to create, as it is stored from now on.
async fn note_ahead(
    session: &Session,
    begun: &EnvironmentRecord,
    view: &Preview,
    who: Provenance<'_>,
) -> Result<StoredInventory> {
    let mut stored = view.stored.clone();
    let ahead = |stored: &mut StoredInventory| {
        write_ahead::write_ahead(&mut stored.inventory, &view.plan, &view.desired, &view.observed, who)
    };
    if ahead(&mut stored) {
        let fresh = stored.mark().shards == 0;
        match session.records.write_inventory(begun, &mut stored).await {
            // A record that somebody removed by hand left its inventory behind: it is taken over.
            Err(cluster::Error::Fenced { .. }) if fresh => {
                stored = session.records.inventory(begun).await?;
                ahead(&mut stored);
                session.records.write_inventory(begun, &mut stored).await?;
            }
            other => other?,
        }
    }
    Ok(stored)
}

/// Reads the world; binds the caller first when it may not look into the environment's namespace yet,
/// and waits for a namespace of an earlier life to be gone.
async fn read_world(session: &Session, rendered: &Rendered, lease: &Lease) -> Result<Preview> {
    match preview(session, rendered).await {
        Err(Error::Terminating { namespace, uid }) => {
            if let Some(record) = session.records.get(&rendered.env.name).await? {
                refuse_deleting(&record)?;
            }
            wait_for_old_namespace(session, &namespace, &uid).await?;
            preview(session, rendered).await
        }
        Err(refused @ Error::Cluster(cluster::Error::Api { code: 403, .. })) => {
            let Some(record) = session.records.get(&rendered.env.name).await? else { return Err(refused) };
            if access::gain(session, &record, lease).await? {
                preview(session, rendered).await
            } else {
                Err(refused)
            }
        }
        other => other,
    }
}

async fn wait_for_old_namespace(session: &Session, name: &str, uid: &str) -> Result<()> {
    session.phase(format!("waiting for the old namespace {name} to be gone"));
    let object = read::core("Namespace", None, name);
    let resource = session.resource(&object).await?;
    if stuck::wait_gone(session, &resource, &object, uid, Duration::from_secs(120), &[]).await? {
        return Ok(());
    }
    Err(stuck::stuck(session, &object, &[]).await.into())
}

pub(crate) fn refuse_deleting(record: &EnvironmentRecord) -> Result<()> {
    let going = record.metadata.deletion_timestamp.is_some()
        || matches!(record.spec.state, State::Deleting | State::DeleteBlocked);
    if !going {
        return Ok(());
    }
    Err(Diagnostic::new("ENV006", Category::Refused, "the environment is being deleted, and that is final")
        .on(record.name_any())
        .help(format!("Finish it with `mimeo down {} --yes`, then run `up` again", record.name_any()))
        .into())
}

/// A run that slept, or waited for long, must not undo what somebody asked for after it.
fn refuse_older(
    session: &Session,
    record: &EnvironmentRecord,
    rendered: &Rendered,
    options: &Options,
) -> Result<()> {
    let same = record.spec.revision == rendered.env.revision
        && Some(&record.spec.lock) == lock(rendered).as_object();
    if same || !is_overtaken(session, record, options.given) {
        return Ok(());
    }
    let newer = match record.spec.revision.as_str() {
        revision if revision == rendered.env.revision => "other inputs",
        revision => revision.get(..12).unwrap_or(revision),
    };
    Err(overtaken(record, &format!("a newer run has brought it to {newer} meanwhile")))
}

/// Whether an `up` that was given later than this command has worked on the environment.
pub(crate) fn is_overtaken(session: &Session, record: &EnvironmentRecord, given: Timestamp) -> bool {
    let other = record.spec.given.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
    other.is_some_and(|other| other > session.cluster.by_server(given))
}

pub(crate) fn overtaken(record: &EnvironmentRecord, cause: &str) -> Error {
    Diagnostic::new("ENV023", Category::Refused, cause)
        .on(record.name_any())
        .help("Run the command again if it is still what is wanted")
        .into()
}

/// A namespace of its own goes with the environment only: nothing deletes it while the environment lives.
fn refuse_other_namespace(record: &EnvironmentRecord, rendered: &Rendered) -> Result<()> {
    if !record.spec.namespace_owned || rendered.policy.namespace == NamespacePolicy::Owned {
        return Ok(());
    }
    let cause = format!(
        "it has a namespace of its own, and `policy.namespace` asks it to leave that for {}",
        namespace(rendered)
    );
    Err(Diagnostic::new("ENV026", Category::Refused, cause)
        .on(record.name_any())
        .help(format!("Take it down with `mimeo down {}`, then run `up` again", record.name_any()))
        .into())
}

/// The lock as the record and a plan file hold it.
#[must_use]
pub fn lock(rendered: &Rendered) -> Value {
    serde_json::to_value(&rendered.lock).unwrap_or_default()
}

fn guard_stake(plan: &Plan, options: &Options) -> Result<()> {
    let digest = plan.digest();
    if plan.at_stake.is_empty() || options.approve.as_deref() == Some(&digest) {
        return Ok(());
    }
    let mut diagnostic =
        Diagnostic::new("ENV010", Category::Refused, "the plan destroys what cannot be brought back")
            .on(plan.environment.clone())
            .help(format!("Look at `mimeo diff`, then run the command again with --approve {digest}"));
    diagnostic.detail = plan.at_stake.clone();
    Err(diagnostic.into())
}

/// The TTL counts from this `up`; what `mimeo extend` promised is kept.
fn expires_at(rendered: &Rendered, known: Option<&EnvironmentRecord>, now: Timestamp) -> Option<String> {
    let seconds = i64::try_from(rendered.lifecycle.ttl_seconds?).ok()?;
    let over = now.checked_add(SignedDuration::from_secs(seconds)).ok()?;
    let promised = known.and_then(|record| record.spec.extended_until.as_ref()?.parse::<Timestamp>().ok());
    Some(promised.map_or(over, |promised| promised.max(over)).to_string())
}

/// The record as it is before the first write: a new one, or the known one with what is about to be
/// done. An unchanged environment gets its one write at the end.
async fn record(
    session: &Session,
    rendered: &Rendered,
    view: &Preview,
    lease: &Lease,
    options: &Options,
) -> Result<EnvironmentRecord> {
    lease.check()?;
    let env = &rendered.env;
    let spec = RecordSpec {
        id: env.id.clone(),
        spec: env.spec.clone(),
        repository: env.repository.clone(),
        r#ref: env.r#ref.clone(),
        ref_kind: options.origin.ref_kind,
        remote: options.origin.remote.clone(),
        forge: options.origin.forge.clone(),
        revision: env.revision.clone(),
        namespace: namespace(rendered).to_owned(),
        namespace_owned: rendered.policy.namespace == NamespacePolicy::Owned,
        state: State::Applying,
        message: None,
        epoch: lease.epoch(),
        inputs: rendered.parameters.iter().map(|(name, input)| (name.clone(), input.value.clone())).collect(),
        lock: lock(rendered).as_object().cloned().unwrap_or_default(),
        protected: rendered.lifecycle.protected,
        last_up: session.cluster.now().to_string(),
        given: Some(session.cluster.by_server(options.given).to_string()),
        expires_at: expires_at(rendered, view.record.as_ref(), session.cluster.now()),
        extended_until: view.record.as_ref().and_then(|record| record.spec.extended_until.clone()),
        before_delete: before_delete(rendered).map_err(Error::Found)?,
        health: health::marks(rendered),
        inventory: view
            .record
            .as_ref()
            .map_or_else(InventoryMark::default, |record| record.spec.inventory.clone()),
        teardown: None,
    };
    match &view.record {
        Some(known) => {
            let mut next = known.clone();
            next.spec = spec;
            if view.plan.is_empty() { Ok(next) } else { Ok(session.records.replace(&next).await?) }
        }
        None => {
            let mut new = EnvironmentRecord::new(&env.name, spec);
            new.metadata.namespace = Some(session.records.namespace().to_owned());
            new.metadata.finalizers = Some(vec![cluster::TEARDOWN_FINALIZER.to_owned()]);
            new.metadata.labels =
                Some([(plan::ENVIRONMENT_LABEL.to_owned(), env.id.clone())].into_iter().collect());
            Ok(session.records.create(&new).await?)
        }
    }
}

/// Components whose images may still be on their way, and for how long.
fn image_patience(rendered: &Rendered) -> BTreeMap<String, Duration> {
    rendered
        .components
        .iter()
        .filter_map(|component| {
            Some((component.name.clone(), Duration::from_secs(component.wait_for_image_seconds?)))
        })
        .collect()
}

pub(crate) type Outcome = (Vec<ComponentStatus>, Vec<(String, Value)>);

async fn carry_out(
    session: &Session,
    rendered: &Rendered,
    options: &Options,
    (lease, wanted): (&Lease, Option<&dyn Wanted>),
    view: &Preview,
    (inventory, books): (&mut plan::Inventory, Books<'_>),
) -> Result<Outcome> {
    write_ahead::remember(inventory, &view.plan, &view.desired, &view.observed, lease.overtook());
    let mut live: BTreeMap<Key, Value> = view.observed.live.clone();
    let mut gates = Vec::new();
    let rules = Rules::of(&health::marks(rendered));
    let unchanged = view.plan.is_empty() && is_settled(session, rendered, view, &rules).await?;
    if !unchanged {
        let changes = view.plan.steps().count();
        session.phase(format!("applying {changes} change{}", if changes == 1 { "" } else { "s" }));
        let patience = Patience { deadline: Instant::now() + options.timeout, fail_fast: options.fail_fast };
        let mut run = Run {
            session,
            lease,
            wanted,
            desired: &view.desired,
            plan: &view.plan,
            inventory,
            books: Some(books),
            namespace: namespace(rendered),
            images: image_patience(rendered),
            rules: &rules,
            patience,
        };
        let watcher = run.waves().await?;
        run.prune().await?;
        for desired in &view.desired {
            if let Some(seen) = watcher.live(&desired.object.key()) {
                live.insert(desired.object.key(), seen);
            }
            if desired.order.stage == Stage::Gate
                && let Some(answer) = execute::answer(&watcher, &desired.object)
            {
                gates.push((desired.object.name.clone(), answer));
            }
        }
    }
    Ok((components(rendered, &live, &rules, session.cluster.now()), gates))
}

async fn is_settled(session: &Session, rendered: &Rendered, view: &Preview, rules: &Rules) -> Result<bool> {
    let live = &view.observed.live;
    let settled = |slices: &[Value]| health::settled(&view.desired, &view.plan.waves, live, slices, rules);
    if settled(&[]) {
        return Ok(true);
    }
    // Only Services need one more look: at the endpoints behind them.
    let services = view.desired.iter().any(|desired| desired.object.is("", "Service"));
    if !services {
        return Ok(false);
    }
    let slice: ObjectRef =
        read::object("discovery.k8s.io", "v1", "EndpointSlice", Some(namespace(rendered)), "");
    let resource = session.resource(&slice).await?;
    let listing = session.cluster.list(&resource, Some(namespace(rendered)), "").await?;
    Ok(settled(&listing.items))
}
