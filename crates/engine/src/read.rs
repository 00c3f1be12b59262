//! Small typed reads of core objects.

use std::collections::BTreeMap;

use base64::Engine as _;
use plan::ObjectRef;
use serde_json::Value;
use spec::{Category, Diagnostic};

use crate::{Error, Result, Session};

/// A reference to a core/v1 object.
#[must_use]
pub(crate) fn core(kind: &str, namespace: Option<&str>, name: &str) -> ObjectRef {
    object("", "v1", kind, namespace, name)
}

/// A reference to any object.
#[must_use]
pub(crate) fn object(
    group: &str,
    version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> ObjectRef {
    ObjectRef {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    }
}

/// Reads one object, with the resource behind its kind; `None` only where it is proven not to be there: by a 404
/// that names it, or because its whole kind has left the server ([`cluster::Kinds::is_gone`]).
///
/// # Errors
/// `DEL005` where the kind is not served and nobody can say that its objects are gone; any failure of a request.
pub(crate) async fn live(
    session: &Session,
    object: &ObjectRef,
) -> Result<Option<(cluster::Resource, Value)>> {
    let resource = match session.resource(object).await {
        Ok(resource) => resource,
        Err(Error::Cluster(cluster::Error::UnknownKind { .. })) => {
            return match session.kinds.is_gone(&session.cluster, &object.group, &object.kind).await {
                Ok(true) => Ok(None),
                Ok(false) => Err(not_served(object, None)),
                Err(error) => Err(not_served(object, Some(&error))),
            };
        }
        Err(error) => return Err(error),
    };
    Ok(session.cluster.get(&resource, object).await?.map(|live| (resource, live)))
}

fn not_served(object: &ObjectRef, why: Option<&cluster::Error>) -> Error {
    let cause = match why {
        None => "its kind is defined, but not served: whether it is there could not be seen".to_owned(),
        Some(error) => format!(
            "its kind is not served, and whether that has left the cluster could not be seen: {error}"
        ),
    };
    Diagnostic::new("DEL005", Category::Cluster, cause)
        .on(object.to_string())
        .help("Have a version of the kind served again, or its definition deleted if its objects may go, and run the command again")
        .into()
}

/// One value of a Secret, decoded.
pub(crate) async fn secret_value(
    session: &Session,
    namespace: &str,
    name: &str,
    key: &str,
) -> Result<String> {
    let secret = core("Secret", Some(namespace), name);
    let resource = session.resource(&secret).await?;
    let live = session.cluster.get(&resource, &secret).await?;
    let missing = || {
        Diagnostic::new("DAT020", Category::Data, format!("there is no Secret {name} with key {key} in {namespace}"))
            .help("Check that the component's template generates it, and that its contract names it under auth.secretRef")
    };
    let encoded = live.as_ref().and_then(|live| live.get("data")?.get(key)?.as_str()).ok_or_else(missing)?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|_| missing())?;
    Ok(String::from_utf8(bytes).map_err(|_| missing())?)
}

/// What `mimeo install` left for everybody to know.
pub(crate) async fn config(session: &Session) -> Result<BTreeMap<String, String>> {
    let object = core("ConfigMap", Some(cluster::SYSTEM_NAMESPACE), cluster::install::CONFIG);
    let resource = session.resource(&object).await?;
    let live = session.cluster.get(&resource, &object).await?;
    Ok(live
        .as_ref()
        .and_then(|live| live.get("data"))
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect())
}
