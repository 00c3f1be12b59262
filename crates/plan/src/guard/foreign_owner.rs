//! Objects that somebody else made: refused by name, and by the name of whoever they belong to.

use serde_json::Value;

use super::{Refusal, cluster_scoped};
use crate::{Action, Desired, Entry, Ownership, Provenance, at, ownership, text};

/// Refuses a live object that is not the environment's.
pub(crate) fn check(
    desired: &Desired,
    live: &Value,
    entry: Option<&Entry>,
    who: Provenance<'_>,
) -> Option<Refusal> {
    let Ownership::Foreign(why) = ownership(live, entry, who) else { return None };
    if let Some(refusal) = cluster_scoped::check(desired, &why) {
        return Some(refusal);
    }
    Some(foreign(desired, why))
}

/// What somebody took mimeo's label or field manager off is changed in place, which gives them back, but never
/// deleted to be made again.
pub(crate) fn check_unmarked(
    desired: &Desired,
    action: Action,
    live: &Value,
    entry: Option<&Entry>,
    who: Provenance<'_>,
) -> Option<Refusal> {
    let unmarked = ownership(live, entry, who) == (Ownership::Ours { marked: false });
    (unmarked && action == Action::Recreate).then(|| {
        let why = "somebody removed its mimeo label or field manager, so it is not deleted to be made again";
        foreign(desired, why.to_owned())
    })
}

fn foreign(desired: &Desired, why: String) -> Refusal {
    Refusal::Foreign { object: desired.object.clone(), component: desired.component.clone(), why }
}

/// Whom a live object says it belongs to: an owner in the cluster, or a tool that made it.
pub(crate) fn owner(live: &Value) -> Option<String> {
    let annotation = |name: &str| at(live, &["metadata", "annotations", name]).and_then(Value::as_str);
    let label = |name: &str| at(live, &["metadata", "labels", name]).and_then(Value::as_str);
    let owners = at(live, &["metadata", "ownerReferences"]).and_then(Value::as_array);
    if let Some(owner) = owners.and_then(|owners| owners.first()) {
        let field = |name: &str| text(owner, &[name]).unwrap_or_default();
        return Some(format!("{}/{}", field("kind"), field("name")));
    }
    if let Some(release) = annotation("meta.helm.sh/release-name") {
        return Some(format!("the Helm release {release}"));
    }
    if let Some(tracking) = annotation("argocd.argoproj.io/tracking-id") {
        let application = tracking.split_once(':').map_or(tracking, |(application, _)| application);
        return Some(format!("the Argo CD application {application}"));
    }
    let flux = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"];
    flux.into_iter().find_map(label).map(|name| format!("{name} of Flux"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn owners_are_named() {
        for (metadata, named) in [
            (json!({"ownerReferences": [{"kind": "Kafka", "name": "main"}]}), "Kafka/main"),
            (json!({"annotations": {"meta.helm.sh/release-name": "db"}}), "the Helm release db"),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:n/c"}}),
                "the Argo CD application shop",
            ),
            (json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}), "apps of Flux"),
        ] {
            assert_eq!(owner(&json!({"metadata": metadata})).as_deref(), Some(named));
        }
        assert_eq!(owner(&json!({"metadata": {"name": "c"}})), None);
    }
}
