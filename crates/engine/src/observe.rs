//! Live reads for one plan: one LIST per kind, and one GET for every object a list did not show.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use plan::{Desired, ENVIRONMENT_LABEL, Inputs, Inventory, ObjectRef, Observed, needs_dry_run, was_applied};

use crate::{Result, Session, definitions::Kinds};

/// Requests in flight at once; the API server's own flow control answers 429 when that is too many.
pub(crate) const IN_FLIGHT: usize = 16;

/// Reads every object that is wanted or owned. What neither a list nor its own GET shows is absent.
pub(crate) async fn observe(
    session: &Session,
    environment: &str,
    wanted: &[ObjectRef],
    inventory: &Inventory,
) -> Result<Observed> {
    observe_but(session, environment, wanted, inventory, &Kinds::new()).await
}

/// The same where the server does not know some kinds yet: of those, nothing is there.
pub(crate) async fn observe_but(
    session: &Session,
    environment: &str,
    wanted: &[ObjectRef],
    inventory: &Inventory,
    coming: &Kinds,
) -> Result<Observed> {
    let mut observed = Observed::default();
    let owned = inventory.entries.iter().map(|entry| &entry.object);
    let all: BTreeMap<plan::Key, &ObjectRef> =
        wanted.iter().chain(owned).map(|object| (object.key(), object)).collect();
    // Namespaces first: in one that is not there, nothing has to be looked for.
    let (namespaces, rest): (Vec<&ObjectRef>, Vec<&ObjectRef>) =
        all.values().partition(|object| object.is("", "Namespace"));
    get_each(session, namespaces, &mut observed).await?;
    // Where nothing is wanted, somebody only looks.
    if !wanted.is_empty()
        && let Some((key, live)) = observed.live.iter().find(|(_, live)| plan::is_terminating(live))
    {
        let uid = plan::uid(live).unwrap_or_default().to_owned();
        return Err(crate::Error::Terminating { namespace: key.name.clone(), uid });
    }
    let gone: BTreeSet<String> =
        observed.absent.iter().filter(|key| key.kind == "Namespace").map(|key| key.name.clone()).collect();
    let (absent, rest): (Vec<&ObjectRef>, Vec<&ObjectRef>) = rest.into_iter().partition(|object| {
        object.namespace.as_ref().is_some_and(|name| gone.contains(name))
            || coming.contains(&(object.group.clone(), object.kind.clone()))
    });
    for object in absent {
        observed.missed(object.key());
    }
    list_kinds(session, environment, &rest, &mut observed).await?;
    let unseen: Vec<&ObjectRef> = rest.into_iter().filter(|object| !observed.knows(&object.key())).collect();
    get_each(session, unseen, &mut observed).await?;
    Ok(observed)
}

/// Asks the server what each object would become of which that is not plain.
pub(crate) async fn dry_runs(session: &Session, inputs: &Inputs<'_>) -> Result<Observed> {
    let mut observed = inputs.observed.clone();
    let keys: BTreeSet<plan::Key> = needs_dry_run(inputs).into_iter().collect();
    let asked: Vec<&Desired> =
        inputs.desired.iter().filter(|desired| keys.contains(&desired.object.key())).collect();
    let answers: Vec<(plan::Key, plan::DryRun)> = stream::iter(asked)
        .map(|desired| async move {
            let resource = session.resource(&desired.object).await?;
            let applied = was_applied(desired, inputs.inventory);
            let answer = session
                .cluster
                .dry_run(&resource, &desired.object, &desired.manifest, applied)
                .await
                .map_err(|error| crate::execute::located(error, desired))?;
            Ok::<_, crate::Error>((desired.object.key(), answer))
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await?;
    observed.dry_runs.extend(answers);
    Ok(observed)
}

async fn list_kinds(
    session: &Session,
    environment: &str,
    objects: &[&ObjectRef],
    observed: &mut Observed,
) -> Result<()> {
    let mut collections = BTreeMap::new();
    for object in objects {
        let place = (object.group.clone(), object.kind.clone(), object.namespace.clone());
        collections.entry(place).or_insert_with(|| (*object).clone());
    }
    let selector = format!("{ENVIRONMENT_LABEL}={environment}");
    let selector = &selector;
    let listings: Vec<cluster::Listing> = stream::iter(collections.into_values())
        .map(|object| async move {
            let resource = session.resource(&object).await?;
            Ok::<_, crate::Error>(
                session.cluster.list(&resource, object.namespace.as_deref(), selector).await?,
            )
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await?;
    for item in listings.into_iter().flat_map(|listing| listing.items) {
        if let Some(object) = ObjectRef::of(&item) {
            observed.saw(object.key(), item);
        }
    }
    Ok(())
}

async fn get_each(session: &Session, objects: Vec<&ObjectRef>, observed: &mut Observed) -> Result<()> {
    let answers: Vec<(plan::Key, Option<serde_json::Value>)> = stream::iter(objects)
        .map(|object| async move {
            let resource = session.resource(object).await?;
            let live = session.cluster.get(&resource, object).await?;
            Ok::<_, crate::Error>((object.key(), live))
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await?;
    for (key, live) in answers {
        match live {
            Some(live) => observed.saw(key, live),
            None => observed.missed(key),
        }
    }
    Ok(())
}
