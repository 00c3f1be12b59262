//! Small typed reads of core objects.

use std::collections::BTreeMap;

use base64::Engine as _;
use plan::ObjectRef;
use serde_json::Value;
use spec::{Category, Diagnostic};

use crate::{Result, Session};

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
