//! Objects outside of namespaces: another one of that name is everybody's business.

use super::Refusal;
use crate::{Desired, Stage};

/// Refuses a name outside of namespaces that is taken; `why` says by whom.
pub(crate) fn check(desired: &Desired, why: &str) -> Option<Refusal> {
    let outside = desired.object.namespace.is_none() && desired.order.stage != Stage::Namespace;
    outside.then(|| Refusal::ClusterScoped {
        object: desired.object.clone(),
        component: desired.component.clone(),
        why: why.to_owned(),
    })
}
