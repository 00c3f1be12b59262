//! The judge of many objects: its verdicts are those of a look at everything, and its work grows with the
//! changes, not with changes times objects.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{collections::HashMap, sync::Arc};

use plan::{
    Key, ObjectRef,
    health::{Health, Judge, Rule, RuleText},
};
use serde_json::{Value, json};

const NAMESPACE: &str = "qa";

fn key(object: &Value) -> Key {
    ObjectRef::of(object).unwrap().key()
}

fn object(api: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api, "kind": kind});
    object["metadata"] =
        json!({"name": name, "namespace": NAMESPACE, "uid": format!("{kind}-{name}"), "generation": 1});
    for (field, value) in rest.as_object().cloned().unwrap() {
        match field.as_str() {
            "owner" => object["metadata"]["ownerReferences"] = json!([{"uid": value}]),
            "labels" | "annotations" => object["metadata"][&field] = value,
            _ => object[&field] = value,
        }
    }
    object
}

/// Everything that a cluster shows of one Deployment with its Service, in the order in which it happens.
fn history(name: &str, trouble: bool) -> Vec<Value> {
    let revision = json!({"deployment.kubernetes.io/revision": "1"});
    let deployment = |status: Value| {
        let spec = json!({"replicas": 1, "selector": {}, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main"}]},
        }});
        object(
            "apps/v1",
            "Deployment",
            name,
            json!({"annotations": revision, "spec": spec, "status": status}),
        )
    };
    let pod = |status: Value, node: Option<&str>| {
        let owner = format!("ReplicaSet-{name}-1");
        object(
            "v1",
            "Pod",
            &format!("{name}-1-x"),
            json!({
                "owner": owner, "labels": {"app": name}, "spec": {"nodeName": node, "containers": [{"name": "main"}]}, "status": status,
            }),
        )
    };
    let slice = |ready: bool| {
        object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            name,
            json!({
                "labels": {"kubernetes.io/service-name": name}, "ports": [{"port": 80}],
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
            }),
        )
    };
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{name}.1"), "namespace": NAMESPACE},
        "involvedObject": {"kind": "Pod", "name": format!("{name}-1-x"), "uid": format!("Pod-{name}-1-x")},
        "reason": "Scheduled", "message": "assigned",
    });
    let counts = |ready: i64| {
        json!({
            "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready, "availableReplicas": ready,
            "conditions": [
                {"type": "Available", "status": if ready == 1 { "True" } else { "False" }},
                {"type": "Progressing", "status": "True", "reason": if ready == 1 { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" }},
            ],
        })
    };
    let broken = json!({"phase": "Pending", "containerStatuses": [
        {"name": "main", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}},
    ]});
    let running = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let mut seen = vec![
        object("v1", "Service", name, json!({"spec": {"selector": {"app": name}, "ports": [{"port": 80}]}})),
        deployment(json!({})),
        object(
            "apps/v1",
            "ReplicaSet",
            &format!("{name}-1"),
            json!({"owner": format!("Deployment-{name}"), "annotations": revision}),
        ),
        deployment(counts(0)),
        pod(json!({"phase": "Pending"}), None),
        slice(false),
        pod(json!({"phase": "Pending"}), Some("node")),
        event,
    ];
    if trouble {
        seen.push(pod(broken, Some("node")));
    }
    seen.extend([pod(running, Some("node")), slice(true), deployment(counts(1))]);
    seen
}

/// Histories of many Deployments, mixed as they would be.
fn mixed(count: usize) -> Vec<Value> {
    let histories: Vec<Vec<Value>> = (0..count).map(|n| history(&format!("app-{n}"), n % 3 == 0)).collect();
    let longest = histories.iter().map(Vec::len).max().unwrap_or_default();
    let mut seen: Vec<(usize, &Value)> = Vec::new();
    for (n, history) in histories.iter().enumerate() {
        // Each begins a little later than the one before it.
        seen.extend(history.iter().enumerate().map(|(step, object)| (n % longest + step, object)));
    }
    seen.sort_by_key(|(moment, _)| *moment);
    seen.into_iter().map(|(_, object)| object.clone()).collect()
}

fn judged(object: &Value) -> bool {
    ["Service", "Deployment"].contains(&object["kind"].as_str().unwrap())
}

#[test]
fn verdicts_are_those_of_a_look_at_everything() {
    let mut judge = Judge::default();
    let mut last: HashMap<Key, Value> = HashMap::new();
    let mut seen: Vec<Result<Value, Key>> = mixed(7).into_iter().map(Ok).collect();
    // At the end the pods are in trouble again, and go one by one.
    for n in 0..7 {
        let history = history(&format!("app-{n}"), true);
        let pod = &history[8];
        seen.extend([Ok(pod.clone()), Ok(history[3].clone()), Err(key(pod))]);
    }
    for (step, change) in seen.iter().enumerate() {
        match change {
            Ok(object) => {
                last.insert(key(object), object.clone());
                judge.saw(key(object), Arc::new(object.clone()));
            }
            Err(gone) => {
                last.remove(gone);
                judge.lost(gone);
            }
        }
        let mut afresh = Judge::default();
        for (key, object) in &last {
            afresh.saw(key.clone(), Arc::new(object.clone()));
        }
        for (key, object) in last.iter().filter(|(_, object)| judged(object)) {
            assert_eq!(judge.health(key), afresh.health(key), "step {step}: {object}");
        }
    }
}

/// 2,000 objects, 500 of them Deployments with a pod: what is judged again is what a change is about.
#[test]
fn work_grows_with_the_changes() {
    let mut judge = Judge::default();
    for n in 0..1_000 {
        let notes = object("v1", "ConfigMap", &format!("notes-{n}"), json!({"data": {"n": n.to_string()}}));
        judge.saw(key(&notes), Arc::new(notes));
    }
    let seen = mixed(500);
    let mut troubles = 0;
    for object in &seen {
        judge.saw(key(object), Arc::new(object.clone()));
        let due: Vec<Key> = judge
            .due()
            .filter(|key| ["Service", "Deployment"].contains(&key.kind.as_str()))
            .cloned()
            .collect();
        assert!(due.len() <= 2, "one change concerns {} objects: {due:?}", due.len());
        troubles += due.iter().filter(|key| matches!(judge.health(key), Some(Health::Trouble(_)))).count();
    }
    assert!(troubles >= 167, "every trouble is seen: {troubles}");
    for object in seen.iter().filter(|object| judged(object)) {
        assert_eq!(judge.health(&key(object)), Some(Health::healthy()), "{object}");
    }
    let changes = seen.len() as u64;
    assert!(judge.judgements() <= 2 * changes, "{} judgements of {changes} changes", judge.judgements());
}

#[test]
fn a_view_older_than_the_write_does_not_count() {
    let mut judge = Judge::default();
    let seen = history("web", false);
    for object in &seen {
        judge.saw(key(object), Arc::new(object.clone()));
    }
    let web = seen.last().unwrap();
    assert!(judge.health(&key(web)).unwrap().is_healthy());
    let mut written = web.clone();
    written["metadata"]["generation"] = json!(2);
    judge.expect(key(web), &written);
    assert_eq!(judge.health(&key(web)), None, "generation 1 was written before");
    written["metadata"]["uid"] = json!("another");
    judge.saw(key(web), Arc::new(written.clone()));
    assert_eq!(judge.health(&key(web)), None, "another object of this name");
    written["metadata"]["uid"] = web["metadata"]["uid"].clone();
    written["status"]["observedGeneration"] = json!(2);
    judge.saw(key(web), Arc::new(written));
    assert!(judge.health(&key(web)).unwrap().is_healthy());
}

#[test]
fn storage_classes_that_come_later_are_asked() {
    let mut judge = Judge::default();
    let claim = object(
        "v1",
        "PersistentVolumeClaim",
        "data",
        json!({
            "spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"},
        }),
    );
    judge.saw(key(&claim), Arc::new(claim.clone()));
    assert!(matches!(judge.health(&key(&claim)), Some(Health::Progressing { .. })));
    judge.storage_classes(Vec::new());
    assert!(matches!(judge.health(&key(&claim)), Some(Health::Trouble(_))));
}

#[test]
fn a_rule_is_asked_for_its_object_only() {
    let text = RuleText { current: "status.ok", ..RuleText::default() };
    let lake = |name: &str| object("example.dev/v1", "Lake", name, json!({"status": {"ok": true}}));
    let rules = HashMap::from([(key(&lake("raw")), Arc::new(Rule::compile(text).unwrap()))]);
    let mut judge = Judge::new(rules);
    for name in ["raw", "other"] {
        judge.saw(key(&lake(name)), Arc::new(lake(name)));
    }
    assert_eq!(judge.health(&key(&lake("raw"))), Some(Health::healthy()));
    assert_eq!(judge.health(&key(&lake("other"))), Some(Health::Unverified));
}

/// Which workloads may still fall over: those with a container that is ready without having been asked.
#[test]
fn what_nobody_probes_is_known() {
    let started = |container: Value, extra: Value| {
        let mut judge = Judge::default();
        for mut object in history("web", false) {
            if object["kind"] == "Deployment" {
                object["spec"]["template"]["spec"]["containers"] = json!([container]);
                for (field, value) in extra.as_object().unwrap() {
                    object["spec"][field] = value.clone();
                }
            }
            if object["kind"] == "Pod" {
                object["status"]["containerStatuses"] = json!([
                    {"name": "main", "ready": true, "state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}}},
                ]);
            }
            judge.saw(key(&object), Arc::new(object));
        }
        let web = key(history("web", false).last().unwrap());
        judge.newest_unprobed(&web).map(|found| found.started)
    };
    let at = Some(Some("2026-01-01T00:00:05Z".to_owned()));
    assert_eq!(started(json!({"name": "main"}), json!({})), at);
    assert_eq!(started(json!({"name": "main", "livenessProbe": {}}), json!({})), at);
    assert_eq!(started(json!({"name": "main", "readinessProbe": {}}), json!({})), None);
    assert_eq!(started(json!({"name": "main", "startupProbe": {}}), json!({})), None);
    assert_eq!(started(json!({"name": "main"}), json!({"minReadySeconds": 2})), None);
    assert_eq!(started(json!({"name": "main"}), json!({"minReadySeconds": 1})), at);
    assert_eq!(started(json!({"name": "main"}), json!({"replicas": 0})), None);
    // A pod that is not seen may be one that just began.
    assert_eq!(started(json!({"name": "other"}), json!({})), Some(None));
    assert_eq!(Judge::default().newest_unprobed(&key(&object("batch/v1", "Job", "x", json!({})))), None);
}
