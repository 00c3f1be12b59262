//! Makes a plan and changes nothing: what `diff` shows and `up` starts from.

use std::collections::BTreeMap;

use cluster::{EnvironmentRecord, StoredInventory};
use kube::ResourceExt;
use plan::{Desired, Inputs, Inventory, Limits, ObjectRef, Observed, Plan, Provenance, Refusal};
use render::{NamespacePolicy, Rendered};
use serde_json::Value;
use spec::{Category, Diagnostic};

use crate::{
    Error, Result, Session, access,
    compose::{Surroundings, before_delete, compose, namespace},
    definitions, hooks,
    observe::{dry_runs, observe_but},
    place, read,
};

/// Everything that was read and decided for one environment.
pub struct Preview {
    /// The record, when the environment exists.
    pub record: Option<EnvironmentRecord>,
    /// What it owns.
    pub stored: StoredInventory,
    /// Objects as they are to be.
    pub desired: Vec<Desired>,
    /// What the cluster showed.
    pub observed: Observed,
    /// What would be done.
    pub plan: Plan,
    /// What is refused: with anything here, nothing of the plan is done.
    pub refused: Vec<Diagnostic>,
}

impl Preview {
    /// The same, if nothing is refused.
    ///
    /// # Errors
    /// Every refusal.
    pub fn allowed(self) -> Result<Self> {
        if self.refused.is_empty() { Ok(self) } else { Err(Error::Found(self.refused)) }
    }
}

/// Reads the record, the inventory and the live objects, and makes the plan.
///
/// # Errors
/// Every refusal of the planner; any failure of a request.
pub async fn preview(session: &Session, rendered: &Rendered) -> Result<Preview> {
    sketch(session, rendered).await?.allowed()
}

/// The same for somebody who only looks: refusals of the planner stand beside what would be done without them.
///
/// # Errors
/// What the policy of the environment does not allow; any failure of a request.
pub async fn sketch(session: &Session, rendered: &Rendered) -> Result<Preview> {
    let placed = |error| place::placed(rendered, error);
    let mut sketch = look(session, rendered).await.map_err(placed)?;
    sketch.refused = placed(Error::Found(sketch.refused)).diagnostics();
    Ok(sketch)
}

async fn look(session: &Session, rendered: &Rendered) -> Result<Preview> {
    // None of these waits for another.
    let reads = (session.records.get(&rendered.env.name), home(session, rendered), image(session, rendered));
    let (record, home, image) = futures::join!(reads.0, reads.1, reads.2);
    let record = record?;
    if let Some(record) = &record {
        same_environment(record, rendered)?;
    }
    let stored = match &record {
        Some(record) => session.records.inventory(record).await?,
        None => StoredInventory::default(),
    };
    let image = image?;
    let record_uid = record.as_ref().and_then(ResourceExt::uid).unwrap_or_default();
    // The subjects of the binding are settled once the binding has been read; its name is known now.
    let around = Surroundings { record_uid: &record_uid, subjects: Vec::new(), image: image.as_deref() };
    let composed = compose(rendered, &around).map_err(Error::Found)?;
    let served = definitions::served(session, &composed).await?;
    let own = composed.into_iter().filter(|desired| !desired.is_shared());
    let wanted: Vec<ObjectRef> = own.map(|desired| desired.object).collect();
    let id = &rendered.env.id;
    let mut observed = observe_but(session, id, &wanted, &stored.inventory, &served.coming, home?).await?;
    observed.served = served.versions;
    observed.in_use = definitions::in_use(session, &wanted, &stored.inventory, &observed).await?;
    let subjects = subjects(session, rendered, &observed).await?;
    let desired = compose(rendered, &Surroundings { subjects, ..around }).map_err(Error::Found)?;
    let who = Provenance { environment: &rendered.env.id, record_uid: &record_uid };
    let policy = &rendered.policy;
    let limits = Limits { namespace: namespace(rendered), quota: &policy.quota, deny: &policy.deny };
    let mut beyond = plan::beyond(&desired, &limits);
    // The hooks of the end are no part of what is applied, so they count towards no quota.
    let last = hooks::desired(&before_delete(rendered).map_err(Error::Found)?, &record_uid);
    beyond.extend(plan::beyond(&last, &Limits { quota: &BTreeMap::new(), ..limits }));
    if !beyond.is_empty() {
        return Err(Error::Found(beyond.iter().map(refused).collect()));
    }
    let looked = dry_runs(session, &inputs(rendered, who, &desired, &stored.inventory, &observed)).await?;
    looked.note(&mut observed);
    let (mut plan, refusals) = plan::sketch(&inputs(rendered, who, &desired, &stored.inventory, &observed));
    if let Some(record) = &record {
        plan.settings = settings(record, rendered)?;
    }
    let refused = refusals.iter().map(refused).collect();
    Ok(Preview { record, stored, desired, observed, plan, refused })
}

fn inputs<'a>(
    rendered: &'a Rendered,
    who: Provenance<'a>,
    desired: &'a [Desired],
    inventory: &'a Inventory,
    observed: &'a Observed,
) -> Inputs<'a> {
    Inputs {
        environment: &rendered.env.name,
        who,
        revision: &rendered.env.revision,
        manifests: &rendered.lock.manifests,
        desired,
        inventory,
        observed,
    }
}

/// What the record is to say otherwise than it does: it decides over the end of the environment.
fn settings(record: &EnvironmentRecord, rendered: &Rendered) -> Result<Vec<String>> {
    let known = &record.spec;
    let mut lines = Vec::new();
    let mut changed = |what: &str, before: String, after: String| {
        if before != after {
            lines.push(format!("{what}: {before} → {after}"));
        }
    };
    let yes = |value: bool| if value { "yes" } else { "no" }.to_owned();
    changed("protected", yes(known.protected), yes(rendered.lifecycle.protected));
    if known.extended_until.is_none() {
        changed("ttl", ttl(record), rendered.lifecycle.ttl_seconds.map_or("none".to_owned(), seconds));
    }
    let hooks = before_delete(rendered).map_err(Error::Found)?;
    let before: Vec<&cluster::HookMark> = known.before_delete.iter().collect();
    for hook in before.iter().filter(|hook| !hooks.contains(hook)) {
        changed("hook before the deletion", name_of(hook), "none".to_owned());
    }
    for hook in hooks.iter().filter(|hook| !before.contains(hook)) {
        changed("hook before the deletion", "none".to_owned(), name_of(hook));
    }
    for (name, input) in &rendered.parameters {
        let before = known.inputs.get(name).map_or("none".to_owned(), Value::to_string);
        changed(name, before, input.value.to_string());
    }
    Ok(lines)
}

fn name_of(hook: &cluster::HookMark) -> String {
    let object = ObjectRef::of(&hook.manifest).map(|object| object.short()).unwrap_or_default();
    format!("{object} ({})", &plan::digest(&hook.manifest)[..12])
}

/// The TTL that the record was written with.
fn ttl(record: &EnvironmentRecord) -> String {
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let end = record.spec.expires_at.as_deref().and_then(time);
    let length = end.zip(time(&record.spec.last_up)).map(|(end, begin)| end.duration_since(begin).as_secs());
    length.and_then(|length| u64::try_from(length).ok()).map_or("none".to_owned(), seconds)
}

fn seconds(seconds: u64) -> String {
    format!("{seconds}s")
}

/// A name is made from a hash of the identity, so two environments with one name are next to
/// impossible; should it happen, nobody's objects are mixed up.
fn same_environment(record: &EnvironmentRecord, rendered: &Rendered) -> Result<()> {
    if record.spec.id == rendered.env.id {
        return Ok(());
    }
    let cause = format!("the name belongs to {} of {} already", record.spec.r#ref, record.spec.repository);
    Err(Diagnostic::new("ENV003", Category::Refused, cause)
        .on(rendered.env.name.clone())
        .help("Choose another name with --name")
        .into())
}

/// The environment's own namespace, if it is to have one.
async fn home(session: &Session, rendered: &Rendered) -> Result<Observed> {
    let mut observed = Observed::default();
    if rendered.policy.namespace == NamespacePolicy::Owned {
        let object = read::core("Namespace", None, namespace(rendered));
        match session.cluster.get(&session.resource(&object).await?, &object).await? {
            Some(live) => observed.saw(object.key(), live),
            None => observed.missed(object.key()),
        }
    }
    Ok(observed)
}

async fn image(session: &Session, rendered: &Rendered) -> Result<Option<String>> {
    if rendered.data.is_empty() && rendered.gates.is_empty() {
        return Ok(None);
    }
    Ok(read::config(session).await?.remove("image"))
}

/// Who is bound in the namespace: whoever was, else the caller and the garbage collector.
async fn subjects(session: &Session, rendered: &Rendered, observed: &Observed) -> Result<Vec<Value>> {
    if rendered.policy.namespace != NamespacePolicy::Owned {
        return Ok(Vec::new());
    }
    let binding = access::binding(namespace(rendered));
    let live =
        observed.live.get(&binding.key()).and_then(|live| live.get("subjects")).and_then(Value::as_array);
    match live {
        Some(subjects) => Ok(subjects.clone()),
        None => access::subjects(session).await,
    }
}

pub(crate) fn refused(refusal: &Refusal) -> Diagnostic {
    let (cause, help) = refusal.explain();
    let diagnostic = Diagnostic::new(refusal.code(), Category::Refused, cause).help(help);
    match refusal.object() {
        Some(object) => diagnostic.on(object.to_string()),
        None => diagnostic,
    }
}
