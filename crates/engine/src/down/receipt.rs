//! The proof that stays.

use cluster::{EnvironmentRecord, Look, ReceiptSpec};
use kube::ResourceExt as _;

use crate::Session;

/// A receipt of looks that found nothing; who found something says so in it.
pub(crate) fn receipt_spec(
    session: &Session,
    record: &EnvironmentRecord,
    objects: usize,
    looks: Vec<Look>,
) -> ReceiptSpec {
    let spec = &record.spec;
    ReceiptSpec {
        environment: record.name_any(),
        id: spec.id.clone(),
        repository: spec.repository.clone(),
        r#ref: spec.r#ref.clone(),
        revision: spec.revision.clone(),
        record_uid: record.uid().unwrap_or_default(),
        started: spec
            .teardown
            .as_ref()
            .map_or_else(|| session.cluster.now().to_string(), |teardown| teardown.started.clone()),
        finished: session.cluster.now().to_string(),
        reason: spec.teardown.as_ref().and_then(|teardown| teardown.reason.clone()),
        proven: true,
        objects,
        looks,
        leftovers: Vec::new(),
        blocked: Vec::new(),
    }
}
