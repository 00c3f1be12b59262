//! Live reads for one plan: one LIST per kind, and one GET for every object a list did not show.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use plan::{Desired, ENVIRONMENT_LABEL, Inputs, Inventory, ObjectRef, Observed, compare, was_applied};

use crate::{Error, Event, Result, Session, definitions::Kinds};

/// Reads and deletes in flight at once. They are few; writes take turns ([`cluster::Cluster::turn`]).
pub(crate) const IN_FLIGHT: usize = 16;

/// Reads every object that is wanted or owned. What neither a list nor its own GET shows is absent.
///
/// What is wanted must be seen. Of a kind that is only owned, because the rendering no longer has it, a
/// failure is told and nothing more: its objects are neither live nor absent, so they stay as they are and
/// stay in the inventory.
pub(crate) async fn observe(
    session: &Session,
    environment: &str,
    wanted: &[ObjectRef],
    inventory: &Inventory,
) -> Result<Observed> {
    observe_but(session, environment, wanted, inventory, &Kinds::new(), Observed::default()).await
}

/// The same where the server does not know some kinds yet: of those, nothing is there; and where a namespace
/// has just been read.
pub(crate) async fn observe_but(
    session: &Session,
    environment: &str,
    wanted: &[ObjectRef],
    inventory: &Inventory,
    coming: &Kinds,
    mut observed: Observed,
) -> Result<Observed> {
    let owned = inventory.entries.iter().map(|entry| &entry.object);
    let all: BTreeMap<plan::Key, &ObjectRef> =
        wanted.iter().chain(owned).map(|object| (object.key(), object)).collect();
    // Namespaces first: in one that is not there, nothing has to be looked for.
    let (namespaces, rest): (Vec<&ObjectRef>, Vec<&ObjectRef>) =
        all.values().partition(|object| object.is("", "Namespace"));
    let mut unread = Unread::of(wanted);
    let unread_yet = namespaces.into_iter().filter(|object| !observed.knows(&object.key())).collect();
    get_each(session, unread_yet, &mut observed, &mut unread).await?;
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
    list_kinds(session, environment, &rest, &mut observed, &mut unread).await?;
    let unseen: Vec<&ObjectRef> =
        rest.into_iter().filter(|object| !observed.knows(&object.key()) && !unread.holds(object)).collect();
    get_each(session, unseen, &mut observed, &mut unread).await?;
    unread.tell(session);
    Ok(observed)
}

/// Group, kind and namespace: what one LIST shows.
type Place = (String, String, Option<String>);

fn place(object: &ObjectRef) -> Place {
    (object.group.clone(), object.kind.clone(), object.namespace.clone())
}

/// What could not be read, and did not have to be.
struct Unread {
    wanted: BTreeSet<Place>,
    failed: BTreeMap<Place, String>,
}

impl Unread {
    fn of(wanted: &[ObjectRef]) -> Self {
        Self { wanted: wanted.iter().map(place).collect(), failed: BTreeMap::new() }
    }

    /// Notes a failure to read; returns it where it cannot be passed over: something of the kind is wanted,
    /// or the caller is nobody (401), who will be refused everything else, too.
    fn note(&mut self, object: &ObjectRef, error: Error) -> Result<()> {
        let nobody = matches!(&error, Error::Cluster(error) if error.status() == Some(401));
        if nobody || self.wanted.contains(&place(object)) {
            return Err(error);
        }
        let cause = error.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        self.failed.entry(place(object)).or_insert(cause);
        Ok(())
    }

    fn holds(&self, object: &ObjectRef) -> bool {
        self.failed.contains_key(&place(object))
    }

    fn tell(self, session: &Session) {
        for ((group, kind, namespace), cause) in self.failed {
            let kind = if group.is_empty() { kind } else { format!("{kind}.{group}") };
            let within = namespace.map(|name| format!(" in {name}")).unwrap_or_default();
            session.tell(Event::Note(format!(
                "{kind}{within} could not be read, so nothing of it is deleted; the next run looks again: {cause}"
            )));
        }
    }
}

/// What the digests say of every object, and of each of which that is not plain, what the server would make
/// of it. The answer is to be noted with [`Looked::note`].
pub(crate) async fn dry_runs(session: &Session, inputs: &Inputs<'_>) -> Result<Looked> {
    let compared = compare(inputs);
    let asked: Vec<&Desired> =
        inputs.desired.iter().filter(|desired| compared.unclear.contains(&desired.object.key())).collect();
    let answers: Vec<(plan::Key, plan::DryRun)> = stream::iter(asked)
        .map(|desired| async move {
            let resource = session.resource(&desired.object).await?;
            let _turn = session.cluster.turn().await;
            let applied = was_applied(desired, inputs.inventory);
            let answer = session
                .cluster
                .dry_run(&resource, &desired.object, &desired.manifest, applied)
                .await
                .map_err(|error| crate::execute::located(error, desired))?;
            Ok::<_, crate::Error>((desired.object.key(), answer))
        })
        .buffer_unordered(session.cluster.most_turns())
        .try_collect()
        .await?;
    Ok(Looked { settled: compared.settled, answers })
}

/// What is known of the objects beyond their live state.
pub(crate) struct Looked {
    settled: BTreeSet<plan::Key>,
    answers: Vec<(plan::Key, plan::DryRun)>,
}

impl Looked {
    pub(crate) fn note(self, observed: &mut Observed) {
        observed.settled = self.settled;
        observed.dry_runs.extend(self.answers);
    }
}

async fn list_kinds(
    session: &Session,
    environment: &str,
    objects: &[&ObjectRef],
    observed: &mut Observed,
    unread: &mut Unread,
) -> Result<()> {
    let mut collections = BTreeMap::new();
    for object in objects {
        collections.entry(place(object)).or_insert(*object);
    }
    let selector = format!("{ENVIRONMENT_LABEL}={environment}");
    let selector = &selector;
    let mut listings = stream::iter(collections.into_values())
        .map(|object| async move {
            let listing = async {
                let resource = session.resource(object).await?;
                Ok(session.cluster.list(&resource, object.namespace.as_deref(), selector).await?)
            };
            (object, listing.await)
        })
        .buffer_unordered(IN_FLIGHT);
    while let Some((object, listing)) = listings.next().await {
        match listing {
            Ok(listing) => {
                let seen = listing.items.into_iter();
                let seen = seen.filter_map(|item| Some((ObjectRef::of(&item)?.key(), item)));
                seen.for_each(|(key, item)| observed.saw(key, item));
            }
            Err(error) => unread.note(object, error)?,
        }
    }
    Ok(())
}

async fn get_each(
    session: &Session,
    objects: Vec<&ObjectRef>,
    observed: &mut Observed,
    unread: &mut Unread,
) -> Result<()> {
    let mut answers = stream::iter(objects)
        .map(|object| async move {
            let live = async {
                let resource = session.resource(object).await?;
                Ok(session.cluster.get(&resource, object).await?)
            };
            (object, live.await)
        })
        .buffer_unordered(IN_FLIGHT);
    while let Some((object, live)) = answers.next().await {
        match live {
            Ok(Some(live)) => observed.saw(object.key(), live),
            Ok(None) => observed.missed(object.key()),
            Err(error) => unread.note(object, error)?,
        }
    }
    Ok(())
}
