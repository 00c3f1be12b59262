//! The fixtures of Kubernetes' own admission, each a pod that a level takes or refuses in some versions.

use serde_json::Value;

use super::{Level, breaches};
use crate::subject::Pods;
use crate::version::{SUPPORTED, Version};

#[test]
fn as_the_server_decides() {
    let (mut passed, mut refused, mut wrong) = (0, 0, Vec::new());
    for line in include_str!("../../../tests/pod-security.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let pods = Pods { path: Vec::new(), template: &row["pod"] };
        for minor in row["minors"].as_array().unwrap() {
            let version = Version::minor(u8::try_from(minor.as_u64().unwrap()).unwrap());
            assert!(SUPPORTED.contains(&version));
            let mut found = breaches(&pods, Level::Baseline, version);
            if row["level"] == "restricted" {
                found.extend(breaches(&pods, Level::Restricted, version));
            }
            if (row["verdict"] == "pass") != found.is_empty() {
                wrong.push(format!("{version} {} {} {}", row["level"], row["verdict"], row["name"]));
            }
            *if row["verdict"] == "pass" { &mut passed } else { &mut refused } += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passed > 80 && refused > 300, "{passed} taken, {refused} refused");
}
