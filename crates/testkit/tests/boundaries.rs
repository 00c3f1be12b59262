//! What must never be there: effects below pure crates, and a second Kubernetes client.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::{collections::BTreeSet, process::Command};

/// Crates that know no clock, network, file system, environment variable or async runtime.
const PURE: [&str; 5] = ["spec", "render", "check", "expression", "plan"];
/// What only an effect needs.
const EFFECTS: [&str; 8] =
    ["tokio", "kube-client", "hyper", "reqwest", "git2", "rustls", "tokio-postgres", "rand"];

/// Names of all packages that one of ours is built with on this machine.
fn reach(package: &str) -> BTreeSet<String> {
    // The graph that `cargo metadata` tells has packages in it that no chosen feature builds.
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", package, "--edges", "normal", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn pure_crates_reach_no_effect() {
    for pure in PURE {
        let reached = reach(pure);
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
    let reached = reach("cli");
    assert!(reached.contains("rustls"), "the look sees nothing: {reached:?}");
    for unwanted in ["ring", "native-tls"] {
        assert!(!reached.contains(unwanted), "{unwanted} is in the product");
    }
}
