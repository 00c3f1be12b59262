//! Writes an object that was there: it is the one that the plan saw, or nothing happens.

use cluster::Lease;
use plan::{Action, Desired, DryRun, FIELD_MANAGER, Step, Taking};
use serde_json::{Value, json};
use spec::{Category, Diagnostic};

use crate::{Error, Result, Session, execute::located};

/// An update carries uid and resourceVersion: it hits the object the plan saw, or nothing.
pub(crate) async fn update(session: &Session, lease: &Lease, step: &Step, wanted: &Desired) -> Result<Value> {
    let resource = session.resource(&wanted.object).await?;
    let mut version = step.resource_version.clone();
    let mut repeated = false;
    for _ in 0..10 {
        lease.check()?;
        let mut manifest = wanted.manifest.clone();
        manifest["metadata"]["uid"] = json!(step.uid);
        manifest["metadata"]["resourceVersion"] = json!(version);
        let force = step.taken().next().is_some();
        match session.cluster.apply(&resource, &wanted.object, &manifest, force).await {
            // The server takes a list away with its last element; the next apply writes the empty one.
            Ok((_, live)) if !repeated && plan::lacks_empties(wanted, &live) => {
                repeated = true;
                version = plan::text(&live, &["metadata", "resourceVersion"]).map(str::to_owned);
            }
            Ok((_, live)) => return Ok(live),
            Err(cluster::Error::Api { code: 409, causes, .. }) if causes.is_empty() => {
                lease.verify().await?;
                version = Some(unchanged_version(session, &resource, step, wanted).await?);
            }
            Err(error) => return Err(located(error, wanted)),
        }
    }
    Err(moved(step, "it changes faster than it can be written"))
}

/// After a conflict: the new resourceVersion, if it is still the object the plan saw, with the same values in
/// the fields that mimeo owns, and nobody else has taken a field than the plan takes back.
async fn unchanged_version(
    session: &Session,
    resource: &cluster::Resource,
    step: &Step,
    wanted: &Desired,
) -> Result<String> {
    let Some(live) = session.cluster.get(resource, &step.object).await? else {
        return Err(moved(step, "it was deleted"));
    };
    if plan::uid(&live) != step.uid.as_deref() {
        return Err(moved(step, "it was deleted and made again"));
    }
    // Another run would have changed the epoch, which was read before this.
    if step.action == Action::Adopt {
        // It is not ours yet: only what was shown is taken over.
        if step.owned.as_deref() != Some(&plan::shown(&live)) {
            return Err(moved(step, "somebody changed what is to be adopted"));
        }
    } else {
        let owned = plan::owned_digest(&live, FIELD_MANAGER);
        if owned.is_none() {
            return Err(moved(step, "mimeo owns none of its fields any more"));
        }
        if owned != step.owned {
            return Err(moved(step, "somebody changed fields that mimeo owns"));
        }
    }
    // A forced write would take every field; the plan showed some.
    if step.taken().next().is_some() {
        let never = |_: &[String]| Taking::Refused;
        let answer = session.cluster.dry_run(resource, &step.object, &wanted.manifest, never).await;
        match answer.map_err(|error| located(error, wanted))? {
            DryRun::Conflict(fields) if fields.iter().eq(step.taken()) => {}
            DryRun::Conflict(_) => return Err(moved(step, "other fields belong to other managers now")),
            _ => return Err(moved(step, "nobody holds the fields any more that the plan takes")),
        }
    }
    tracing::debug!(object = %wanted.object, "somebody else wrote it; its owned fields are the same");
    Ok(plan::text(&live, &["metadata", "resourceVersion"]).unwrap_or_default().to_owned())
}

fn moved(step: &Step, cause: &str) -> Error {
    Diagnostic::new("PLN003", Category::Refused, format!("the world moved since the plan was made: {cause}"))
        .on(step.object.to_string())
        .help("Run the command again: it makes a new plan")
        .into()
}
