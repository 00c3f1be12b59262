//! Objects in which any one value is another: rendering lets many of them pass, and no rule may panic on them.

mod defaults;

use check::{Question, Version, check};
use render::{Rendered, survey};
use serde_json::{Value, json};
use testkit::CaseFile;

/// Cases that together have an object for every rule.
const CASES: [&str; 6] =
    ["reference-all", "collision-port", "collision-host", "quota-ok", "custom-ok", "pod-security-baseline"];

#[test]
fn no_value_makes_a_rule_panic() {
    let mut tried = 0;
    for case in CaseFile::all("check").unwrap().iter().filter(|case| CASES.contains(&case.name())) {
        let rendered = survey(&defaults::request(), &defaults::files(case)).rendered.unwrap();
        for index in 0..rendered.objects.len() {
            for path in paths(&rendered.objects[index].manifest) {
                for other in [
                    json!(null),
                    json!(true),
                    json!(-1.5),
                    json!("x"),
                    json!([{"name": 1}]),
                    json!({"a": {}}),
                ] {
                    let mut torn = rendered.clone();
                    *torn.objects[index].manifest.pointer_mut(&path).unwrap() = other;
                    ask(&torn, &rendered);
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1000, "{tried}");
}

fn ask(torn: &Rendered, twin: &Rendered) {
    let versions = [Version::NEWEST];
    let _ = check(&Question { rendered: torn, complete: true, twin: Some(twin), versions: &versions });
}

/// JSON pointers to every value but the root.
fn paths(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        Value::Object(map) => {
            map.iter().map(|(key, item)| (key.replace('~', "~0").replace('/', "~1"), item)).collect()
        }
        _ => Vec::new(),
    };
    children
        .into_iter()
        .flat_map(|(step, child)| {
            let below = paths(child).into_iter().map(|rest| format!("/{step}{rest}")).collect::<Vec<_>>();
            std::iter::once(format!("/{step}")).chain(below)
        })
        .collect()
}
