//! The proof that stays.

use cluster::{EnvironmentRecord, Look, ReceiptSpec};
use kube::ResourceExt as _;

use super::look::{CLAIMS, VOLUMES, is_kept};
use crate::Session;

/// How many objects are gone, and how many are kept: `11 objects`, or `10 objects gone, 1 kept`.
#[must_use]
pub fn tally(receipt: &ReceiptSpec) -> String {
    let is_list = |look: &Look| look.what == CLAIMS || look.what.starts_with(VOLUMES);
    let kept = |look: &&Look| look.found.iter().any(|found| is_kept(found));
    let of_inventory = receipt.looks.iter().filter(|look| !is_list(look)).filter(kept).count();
    let all = receipt.looks.iter().flat_map(|look| &look.found).filter(|found| is_kept(found)).count();
    let gone = receipt.objects.saturating_sub(of_inventory);
    let kept = if all > 0 { format!(" gone, {all} kept") } else { String::new() };
    format!("{}{kept}", counted(gone, "object"))
}

/// On how many reads a receipt rests: `3 live reads`.
#[must_use]
pub fn reads(receipt: &ReceiptSpec) -> String {
    counted(receipt.looks.len(), "live read")
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

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
        abandoned: None,
        looked: None,
        objects,
        looks,
        leftovers: Vec::new(),
        blocked: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(what: &str, found: &[&str]) -> Look {
        Look {
            what: what.to_owned(),
            place: "n".to_owned(),
            uid: None,
            found: found.iter().map(|found| (*found).to_owned()).collect(),
            resource_version: None,
        }
    }

    fn receipt(objects: usize, looks: Vec<Look>) -> ReceiptSpec {
        ReceiptSpec {
            environment: String::new(),
            id: String::new(),
            repository: String::new(),
            r#ref: String::new(),
            revision: String::new(),
            record_uid: String::new(),
            started: String::new(),
            finished: String::new(),
            abandoned: None,
            looked: None,
            reason: None,
            proven: true,
            objects,
            looks,
            leftovers: Vec::new(),
            blocked: Vec::new(),
        }
    }

    #[test]
    fn what_is_kept_is_not_gone() {
        let one = receipt(1, vec![look("ConfigMap/a", &[])]);
        assert_eq!((tally(&one), reads(&one)), ("1 object".to_owned(), "1 live read".to_owned()));
        let kept = look("ConfigMap/b", &["ConfigMap/b in n (kept: its annotation asks for it)"]);
        let volume = look(
            "PersistentVolumes bound in n",
            &["PersistentVolume/p (kept: its reclaim policy is Retain)"],
        );
        let mixed = receipt(2, vec![look("ConfigMap/a", &[]), kept, volume]);
        assert_eq!(
            (tally(&mixed), reads(&mixed)),
            ("1 object gone, 2 kept".to_owned(), "3 live reads".to_owned())
        );
    }
}
