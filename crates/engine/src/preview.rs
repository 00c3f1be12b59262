//! Makes a plan and changes nothing: what `diff` shows and `up` starts from.

use cluster::{EnvironmentRecord, StoredInventory};
use kube::ResourceExt;
use plan::{Desired, Inputs, ObjectRef, Observed, Plan, Provenance, Refusal};
use render::{NamespacePolicy, Rendered};
use serde_json::Value;
use spec::{Category, Diagnostic};

use crate::{
    Error, Result, Session, access,
    compose::{Surroundings, compose, namespace},
    observe::{dry_runs, observe},
    read,
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
}

/// Reads the record, the inventory and the live objects, and makes the plan.
///
/// # Errors
/// Every refusal of the planner; any failure of a request.
pub async fn preview(session: &Session, rendered: &Rendered) -> Result<Preview> {
    let record = session.records.get(&rendered.env.name).await?;
    if let Some(record) = &record {
        same_environment(record, rendered)?;
    }
    let stored = match &record {
        Some(record) => session.records.inventory(record).await?,
        None => StoredInventory::default(),
    };
    let image = image(session, rendered).await?;
    let record_uid = record.as_ref().and_then(ResourceExt::uid).unwrap_or_default();
    // The subjects of the binding are settled once the binding has been read; its name is known now.
    let around = Surroundings { record_uid: &record_uid, subjects: Vec::new(), image: image.as_deref() };
    let wanted: Vec<ObjectRef> =
        compose(rendered, &around).map_err(Error::Found)?.into_iter().map(|desired| desired.object).collect();
    let observed = observe(session, &rendered.env.id, &wanted, &stored.inventory).await?;
    let subjects = subjects(session, rendered, &observed).await?;
    let desired = compose(rendered, &Surroundings { subjects, ..around }).map_err(Error::Found)?;
    let who = Provenance { environment: &rendered.env.id, record_uid: &record_uid };
    let inputs = Inputs {
        environment: &rendered.env.name,
        who,
        revision: &rendered.env.revision,
        manifests: &rendered.lock.manifests,
        desired: &desired,
        inventory: &stored.inventory,
        observed: &observed,
    };
    let observed = dry_runs(session, &inputs).await?;
    let plan = plan::plan(&Inputs { observed: &observed, ..inputs })
        .map_err(|refusals| Error::Found(refusals.iter().map(refused).collect()))?;
    Ok(Preview { record, stored, desired, observed, plan })
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
