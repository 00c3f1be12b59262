//! How long planning takes, by number of objects: `cargo run --release -p plan --example planning`.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use plan::{
    Desired, ENVIRONMENT_LABEL, Entry, FIELD_MANAGER, Inputs, Inventory, ObjectRef, Observed, Order, Origin,
    Provenance, Stage, desired_digest, owned_digest,
};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{:>8} {:>14} {:>14}", "objects", "unchanged", "all new")?;
    for count in [500, 1000, 2000, 4000] {
        let (desired, inventory, observed) = world(count);
        let mut nothing = Observed::default();
        desired.iter().for_each(|desired| nothing.missed(desired.object.key()));
        let empty = Inventory::default();
        let unchanged = best(&desired, &inventory, &observed);
        writeln!(out, "{count:>8} {unchanged:>14.1?} {:>14.1?}", best(&desired, &empty, &nothing))?;
    }
    Ok(())
}

/// The best of five.
fn best(desired: &[Desired], inventory: &Inventory, observed: &Observed) -> Duration {
    let inputs = Inputs {
        environment: "qa-main-12345678",
        who: Provenance { environment: "e1", record_uid: "r1" },
        revision: "0123456789abcdef",
        manifests: "digest",
        desired,
        inventory,
        observed,
    };
    let time = || {
        let mut observed = observed.clone();
        let begun = Instant::now();
        let compared = plan::compare(&inputs);
        assert!(compared.unclear.is_empty());
        observed.settled = compared.settled;
        assert!(plan::plan(&Inputs { observed: &observed, ..inputs }).is_ok());
        begun.elapsed()
    };
    (0..5).map(|_| time()).min().unwrap_or_default()
}

/// ConfigMaps of ten fields on ten levels, all applied.
fn world(count: usize) -> (Vec<Desired>, Inventory, Observed) {
    let (mut inventory, mut observed) = (Inventory::default(), Observed::default());
    let desired: Vec<Desired> = (0..count).map(object).collect();
    for desired in &desired {
        let mut live = desired.manifest.clone();
        let fields: Value = (0..10)
            .map(|field| (format!("f:field-{field}"), json!({})))
            .collect::<serde_json::Map<_, _>>()
            .into();
        live["metadata"]["uid"] = json!(desired.object.name);
        live["metadata"]["managedFields"] =
            json!([{"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:data": fields}}]);
        inventory.entries.push(Entry {
            object: desired.object.clone(),
            component: desired.component.clone(),
            order: desired.order,
            uid: Some(desired.object.name.clone()),
            pending: false,
            adopting: false,
            outside: false,
            desired: desired_digest(desired),
            owned: owned_digest(&live, FIELD_MANAGER).unwrap_or_default(),
        });
        observed.saw(desired.object.key(), live);
    }
    (desired, inventory, observed)
}

fn object(number: usize) -> Desired {
    let data: Value = (0..10)
        .map(|field| (format!("field-{field}"), json!(format!("value {number}"))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let manifest = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": format!("settings-{number}"), "namespace": "ns", "labels": {ENVIRONMENT_LABEL: "e1"}},
    });
    Desired {
        object: ObjectRef {
            group: String::new(),
            version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: Some("ns".to_owned()),
            name: format!("settings-{number}"),
        },
        component: format!("c-{}", number % 50),
        order: Order { level: number % 10, stage: Stage::Config },
        manifest,
        origin: Origin::Template { file: "f".to_owned(), line: 1 },
        reruns_after: Vec::new(),
        declared: plan::Declared::default(),
    }
}
