//! Hooks that run before an environment is deleted: Jobs that the record keeps, run in its namespace while
//! everything else is still there.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use cluster::{EnvironmentRecord, HookMark, Lease, StoredInventory};
use kube::ResourceExt as _;
use plan::{Desired, Inputs, ObjectRef, Order, Origin, Provenance, Stage};
use spec::{Category, Diagnostic};

use crate::{
    Error, Result, Session, access,
    execute::Run,
    health::{Patience, Rules},
    observe::{dry_runs, observe},
    write_ahead,
};

/// Runs the hooks and waits for each to complete. One that has completed already does not run again, one
/// that failed does.
pub(crate) async fn before_delete(
    session: &Session,
    record: &EnvironmentRecord,
    lease: &Lease,
    stored: &mut StoredInventory,
    timeout: Duration,
) -> Result<()> {
    if record.spec.before_delete.is_empty() {
        return Ok(());
    }
    session.phase("hooks before the deletion");
    let record_uid = record.uid().unwrap_or_default();
    let who = Provenance { environment: &record.spec.id, record_uid: &record_uid };
    trusted(session, record).await?;
    let desired = desired(&record.spec.before_delete, &record_uid);
    let wanted: Vec<ObjectRef> = desired.iter().map(|hook| hook.object.clone()).collect();
    // Only the hooks are looked at: nothing else may be made, changed or pruned.
    let mut own = stored.inventory.clone();
    own.entries.retain(|entry| wanted.contains(&entry.object));
    let observed = observe(session, &record.spec.id, &wanted, &own).await?;
    let name = record.name_any();
    let inputs = Inputs {
        environment: &name,
        who,
        revision: &record.spec.revision,
        manifests: "",
        desired: &desired,
        inventory: &own,
        observed: &observed,
    };
    let looked = dry_runs(session, &inputs).await?;
    let mut observed = observed.clone();
    looked.note(&mut observed);
    let plan = plan::plan(&Inputs { observed: &observed, ..inputs })
        .map_err(|refusals| Error::Found(refusals.iter().map(crate::preview::refused).collect()))?;
    if write_ahead::write_ahead(&mut stored.inventory, &plan, &desired, &observed, who) {
        session.records.write_inventory(record, stored).await?;
    }
    let mut inventory = stored.inventory.clone();
    let patience = Patience { deadline: Instant::now() + timeout, fail_fast: false };
    let rules = Rules::default();
    let mut run = Run {
        session,
        lease,
        wanted: None,
        desired: &desired,
        plan: &plan,
        inventory: &mut inventory,
        books: None,
        namespace: &record.spec.namespace,
        images: BTreeMap::new(),
        rules: &rules,
        patience,
    };
    run.waves().await.map(|_| ())
}

/// A record can be written by every mimeo user, and a teardown may run with the rights of somebody who may do
/// more: only what the user could have run in the environment itself is run, Jobs in its own namespace.
async fn trusted(session: &Session, record: &EnvironmentRecord) -> Result<()> {
    let spec = &record.spec;
    let refused = |cause: &str| {
        Diagnostic::new("DEL004", Category::Refused, cause)
            .on(record.name_any())
            .help("Look at spec.beforeDelete of the record, then leave the hooks out with `mimeo down --skip-hooks`")
    };
    for hook in &spec.before_delete {
        let object =
            ObjectRef::of(&hook.manifest).ok_or_else(|| refused("a hook of the record is no object"))?;
        let label =
            hook.manifest.pointer("/metadata/labels").and_then(|labels| labels.get(plan::ENVIRONMENT_LABEL));
        if !object.is("batch", "Job")
            || object.namespace.as_ref() != Some(&spec.namespace)
            || label.and_then(serde_json::Value::as_str) != Some(spec.id.as_str())
        {
            return Err(refused("a hook of the record is no Job of the environment").into());
        }
    }
    if !spec.namespace_owned {
        return Err(refused(
            "hooks run in a namespace of the environment's own only, and this one is borrowed",
        )
        .into());
    }
    if !access::is_environments(session, record).await? {
        return Err(refused("the namespace of the record is not the environment's").into());
    }
    Ok(())
}

/// Components that need others say goodbye before those do.
pub(crate) fn desired(hooks: &[HookMark], record_uid: &str) -> Vec<Desired> {
    let top = hooks.iter().map(|hook| hook.level).max().unwrap_or_default();
    hooks
        .iter()
        .filter_map(|hook| {
            let desired = Desired {
                object: ObjectRef::of(&hook.manifest)?,
                component: hook.component.clone(),
                order: Order { level: top - hook.level, stage: Stage::Before },
                manifest: hook.manifest.clone(),
                origin: Origin::Template { file: hook.file.clone(), line: hook.line },
                reruns_after: Vec::new(),
                declared: plan::Declared::default(),
            };
            Some(desired.owned_by(record_uid))
        })
        .collect()
}
