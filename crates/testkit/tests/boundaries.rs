//! What must never be there: effects below pure crates, and a second Kubernetes client.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// Crates that know no clock, network, file system, environment variable or async runtime.
const PURE: [&str; 3] = ["spec", "render", "plan"];
/// What only an effect needs.
const EFFECTS: [&str; 8] =
    ["tokio", "kube-client", "hyper", "reqwest", "git2", "rustls", "tokio-postgres", "rand"];

/// Name of every package to the names of what it depends on at run time.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata answers JSON");
    let name = |id: &Value| {
        let package =
            metadata["packages"].as_array().unwrap().iter().find(|package| package["id"] == *id).unwrap();
        package["name"].as_str().unwrap().to_owned()
    };
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let normal = node["deps"].as_array().unwrap().iter().filter(|dependency| {
            dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null())
        });
        all.entry(name(&node["id"])).or_default().extend(normal.map(|dependency| name(&dependency["pkg"])));
    }
    all
}

fn reach(all: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from.to_owned()];
    while let Some(current) = next.pop() {
        for name in all.get(&current).into_iter().flatten() {
            if seen.insert(name.clone()) {
                next.push(name.clone());
            }
        }
    }
    seen
}

#[test]
fn pure_crates_reach_no_effect() {
    let all = dependencies();
    for pure in PURE {
        let reached = reach(&all, pure);
        assert!(!reached.is_empty(), "{pure} is unknown");
        let effects: Vec<&str> = EFFECTS.into_iter().filter(|effect| reached.contains(*effect)).collect();
        assert!(effects.is_empty(), "{pure} reaches {effects:?}");
    }
}

#[test]
fn only_cluster_builds_a_kubernetes_client() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for krate in std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()) {
        if ["cluster", "testkit"].contains(&krate.file_name().unwrap().to_str().unwrap()) {
            continue;
        }
        let mut folders = vec![krate.join("src")];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if std::fs::read_to_string(&path).unwrap().contains("kube::Client") {
                    found.push(path);
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn one_tls_stack() {
    let all = dependencies();
    for unwanted in ["ring", "native-tls"] {
        assert!(!reach(&all, "cli").contains(unwanted), "{unwanted} is in the product");
    }
}
