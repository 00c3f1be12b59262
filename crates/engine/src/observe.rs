//! Live reads for one plan: one LIST per kind, and one GET for every object a list did not show.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use plan::{Desired, ENVIRONMENT_LABEL, Inputs, Inventory, ObjectRef, Observed, compare};

use crate::{Error, Event, Result, Session, definitions::Kinds};

/// Reads and deletes in flight at once. They are few; writes take turns ([`cluster::Cluster::turn`]).
pub(crate) const IN_FLIGHT: usize = 16;

/// Reads every object that is wanted or owned. What neither a list nor its own GET shows is absent.
///
/// What is wanted must be seen. Of a kind that is only owned, because the rendering no longer has it, a
/// failure is told and nothing more: its objects are neither live nor absent, so they stay as they are and
/// stay in the inventory. Where the kind itself has left the server, its objects went with it.
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
    unread.settle(session).await;
    for object in rest.iter().filter(|object| unread.gone.contains(&place(object))) {
        observed.missed(object.key());
    }
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
    /// Kinds that discovery does not show.
    unknown: BTreeSet<Place>,
    /// Those of them that the server really does not have any more.
    gone: BTreeSet<Place>,
}

impl Unread {
    fn of(wanted: &[ObjectRef]) -> Self {
        let wanted = wanted.iter().map(place).collect();
        Self { wanted, failed: BTreeMap::new(), unknown: BTreeSet::new(), gone: BTreeSet::new() }
    }

    /// Notes a failure to read; returns it where it cannot be passed over: something of the kind is wanted,
    /// or the caller is nobody (401), who will be refused everything else, too.
    fn note(&mut self, object: &ObjectRef, error: Error) -> Result<()> {
        let nobody = matches!(&error, Error::Cluster(error) if error.status() == Some(401));
        if nobody || self.wanted.contains(&place(object)) {
            return Err(error);
        }
        if matches!(&error, Error::Cluster(cluster::Error::UnknownKind { .. })) {
            self.unknown.insert(place(object));
        }
        let cause = error.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        self.failed.entry(place(object)).or_insert(cause);
        Ok(())
    }

    /// Asks another witness about kinds that discovery does not show. What nobody can say stays unread.
    async fn settle(&mut self, session: &Session) {
        for place in std::mem::take(&mut self.unknown) {
            match session.kinds.is_gone(&session.cluster, &place.0, &place.1).await {
                Ok(true) => {
                    self.failed.remove(&place);
                    self.gone.insert(place);
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, kind = place.1, "nobody can say whether the kind is gone")
                }
            }
        }
    }

    fn holds(&self, object: &ObjectRef) -> bool {
        self.failed.contains_key(&place(object))
    }

    fn tell(self, session: &Session) {
        let named = |(group, kind, namespace): Place| {
            let kind = if group.is_empty() { kind } else { format!("{kind}.{group}") };
            let within = namespace.map(|name| format!(" in {name}")).unwrap_or_default();
            format!("{kind}{within}")
        };
        for place in self.gone {
            session.tell(Event::Note(format!(
                "{}: the cluster does not have the kind any more, and its objects went with it",
                named(place)
            )));
        }
        for (place, cause) in self.failed {
            let what = named(place);
            session.tell(Event::Note(format!(
                "{what} could not be read, so nothing of it is deleted; the next run looks again: {cause}"
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
            let answer = session
                .cluster
                .dry_run(&resource, &desired.object, &desired.manifest, |fields| {
                    plan::taking(inputs, desired, fields)
                })
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
