//! Objects that are deleted and made again: whether they can be made is asked before the old ones go.

use cluster::Lease;
use futures::{StreamExt as _, stream};
use plan::{Action, Desired, Plan, Step, remade};
use serde_json::Value;
use spec::Diagnostic;

use crate::{
    Error, Result, Session,
    create::{create, settled},
    execute::located,
    observe::IN_FLIGHT,
};

/// Asks for many objects at once.
///
/// # Errors
/// Every refusal, not only the first.
pub(crate) async fn rehearse_all<'s>(
    session: &Session,
    plan: &Plan,
    steps: impl Iterator<Item = (&'s Step, &'s Desired)>,
) -> Result<()> {
    let answers: Vec<Result<()>> = stream::iter(steps)
        .map(|(step, wanted)| rehearse(session, plan, step, wanted))
        .buffer_unordered(IN_FLIGHT)
        .collect()
        .await;
    let found: Vec<Diagnostic> =
        answers.into_iter().filter_map(Result::err).flat_map(|error| error.diagnostics()).collect();
    if found.is_empty() { Ok(()) } else { Err(Error::Found(found)) }
}

/// Asks the server whether it would take the new object: admission and validation answer, and nothing is stored.
/// A refusal that may come from what the old one still holds, or that this very plan may lift, does not count.
///
/// # Errors
/// The refusal; the old object is as it was.
pub(crate) async fn rehearse(session: &Session, plan: &Plan, step: &Step, wanted: &Desired) -> Result<()> {
    // What goes anyway cannot be kept.
    if step.action != Action::Recreate || step.going {
        return Ok(());
    }
    session.keep_going()?;
    let resource = session.resource(&wanted.object).await?;
    let manifest = remade::rehearsal(step, &wanted.manifest);
    let asked =
        settled(wanted, async || session.cluster.rehearse(&resource, &wanted.object, &manifest).await);
    match asked.await {
        Ok(()) => Ok(()),
        Err(error) if may_be_lifted(&error, plan, step) => Ok(()),
        Err(error @ cluster::Error::Api { .. }) => Err(stays(located(error, wanted))),
        Err(error) => Err(located(error, wanted)),
    }
}

/// Whether the new object may be taken all the same once the old one is gone.
fn may_be_lifted(error: &cluster::Error, plan: &Plan, step: &Step) -> bool {
    let cluster::Error::Api { message, .. } = error else { return false };
    remade::changes_admission(plan)
        || message.contains("does not support dry run")
        || message.contains("exceeded quota") && remade::may_fit(step, message)
}

fn stays(error: Error) -> Error {
    said(error, |diagnostic| {
        diagnostic.cause =
            format!("the object has to be deleted and made again, which is refused: {}", diagnostic.cause);
        diagnostic.detail.push("nothing was deleted: the object stays as it is".to_owned());
    })
}

/// Creates an object whose predecessor is gone. What was not foreseen, such as a policy of a moment ago, is told with
/// what it left.
///
/// # Errors
/// As [`create`].
pub(crate) async fn create_again(session: &Session, lease: &Lease, wanted: &Desired) -> Result<Value> {
    create(session, lease, wanted).await.map_err(|error| {
        said(error, |diagnostic| {
            diagnostic.cause =
                format!("the object was deleted, and could not be made again: {}", diagnostic.cause);
            let help = diagnostic.help.take().unwrap_or_default();
            diagnostic.help = Some(format!("{help}. Then `mimeo up` makes it"));
        })
    })
}

fn said(error: Error, say: impl Fn(&mut Diagnostic)) -> Error {
    match error {
        Error::Found(mut found) => {
            found.iter_mut().for_each(say);
            Error::Found(found)
        }
        other => other,
    }
}
