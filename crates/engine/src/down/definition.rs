//! A CustomResourceDefinition takes every object of its kind along, whosever it is.

use std::collections::BTreeSet;

use plan::{ObjectRef, text};
use serde_json::Value;

use crate::{Result, Session, read};

/// Why a CustomResourceDefinition stays, if it does: objects of its kind are left, or nobody can say that none
/// is. `None` for everything that is no CustomResourceDefinition.
///
/// # Errors
/// Any failure of a request but that the caller may not look.
pub(crate) async fn in_use(session: &Session, object: &ObjectRef, live: &Value) -> Result<Option<String>> {
    in_use_but(session, object, live, &BTreeSet::new()).await
}

/// The same, but for objects of these uids, which go before it.
pub(crate) async fn in_use_but(
    session: &Session,
    object: &ObjectRef,
    live: &Value,
    going: &BTreeSet<&str>,
) -> Result<Option<String>> {
    if !object.is("apiextensions.k8s.io", "CustomResourceDefinition") || plan::is_terminating(live) {
        return Ok(None);
    }
    let (Some(group), Some(kind)) = (text(live, &["spec", "group"]), text(live, &["spec", "names", "kind"]))
    else {
        return Ok(Some("it does not say of which kind it is".to_owned()));
    };
    let versions = live.pointer("/spec/versions").and_then(Value::as_array);
    let served = versions.into_iter().flatten().find(|version| version["served"] == true);
    let Some(version) = served.and_then(|version| version["name"].as_str()) else {
        return Ok(Some(
            "no version of its kind is served, so that nobody can look for its objects".to_owned(),
        ));
    };
    let any = read::object(group, version, kind, None, "");
    let listing = match session.resource(&any).await {
        Ok(resource) => session.cluster.list(&resource, None, "").await,
        Err(crate::Error::Cluster(error)) => Err(error),
        Err(error) => return Err(error),
    };
    match listing {
        Ok(listing) => {
            let stays = |one: &&Value| plan::uid(one).is_none_or(|uid| !going.contains(uid));
            let left: Vec<&Value> = listing.items.iter().filter(stays).collect();
            Ok(left.first().map(|one| {
                let name = ObjectRef::of(one).map(|object| object.to_string()).unwrap_or_default();
                format!("{} objects of its kind are left, such as {name}", left.len())
            }))
        }
        Err(error) if error.status() == Some(403) => {
            Ok(Some("whether objects of its kind are left may not be looked for".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}
