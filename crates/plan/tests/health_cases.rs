//! Health rules, one file per rule in `tests/cases/health`, and hostile input.
//!
//! A case starts with a sentence that says the rule. Then come sections headed `-- name --`: `object`
//! (the one to be judged), any of the lists in [`LISTS`], each a row of JSON objects, `health` (the rule that
//! its template gives, one JSON object), and `expect`.
//! `UPDATE_EXPECT=1` rewrites the expectations.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use std::sync::Arc;

use plan::health::{Health, Part, Rule, RuleText, Surroundings, World, assess, summary};
use serde_json::{Map, Value, json};

/// Sections that hold surroundings.
const LISTS: [&str; 6] =
    ["pods", "replica_sets", "endpoint_slices", "workloads", "events", "storage_classes"];

/// Kinds with rules of their own, each of which needs cases.
const KINDS: &str = "Deployment StatefulSet DaemonSet ReplicaSet Pod Job CronJob PersistentVolumeClaim \
    Service Ingress ResourceQuota CustomResourceDefinition Namespace APIService";

/// One case file.
#[derive(Default)]
struct Case {
    path: PathBuf,
    rule: String,
    object: Value,
    lists: BTreeMap<String, Vec<Value>>,
    health: Option<Value>,
    expect: String,
}

impl Case {
    /// Reads a case; whatever has no place in one is an error.
    fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let mut sections: Vec<(String, String)> = vec![("rule".to_owned(), String::new())];
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --")) {
                sections.push((name.to_owned(), String::new()));
            } else if let Some((_, body)) = sections.last_mut() {
                body.push_str(line);
                body.push('\n');
            }
        }
        let mut case = Self { path: path.to_owned(), ..Self::default() };
        let mut seen = BTreeSet::new();
        for (name, body) in sections {
            case.section(&name, body.trim())?;
            if !seen.insert(name) {
                return Err("a section twice".to_owned());
            }
        }
        if case.object.is_object() && !case.rule.is_empty() && seen.contains("expect") {
            return Ok(case);
        }
        Err("a case needs a sentence, an object and a section expect".to_owned())
    }

    /// Takes one section.
    fn section(&mut self, name: &str, body: &str) -> Result<(), String> {
        match name {
            "rule" => self.rule = body.to_owned(),
            "expect" => self.expect = body.to_owned(),
            _ => {
                let parsed: Result<Vec<Value>, _> =
                    serde_json::Deserializer::from_str(body).into_iter().collect();
                let mut values = parsed.map_err(|error| format!("section {name}: {error}"))?;
                match (name, values.len()) {
                    (_, 0) => return Err(format!("section {name} is empty")),
                    ("object", 1) => self.object = values.remove(0),
                    ("health", 1) => self.health = Some(values.remove(0)),
                    ("object" | "health", _) => return Err("more than one object".to_owned()),
                    _ if LISTS.contains(&name) => drop(self.lists.insert(name.to_owned(), values)),
                    _ => return Err(format!("unknown section {name}")),
                }
            }
        }
        Ok(())
    }

    /// The objects that surround the one to be judged.
    fn world(&self) -> World {
        let mut world = World::default();
        for (name, objects) in &self.lists {
            let part = match name.as_str() {
                "pods" => Part::Pod,
                "replica_sets" => Part::ReplicaSet,
                "endpoint_slices" => Part::EndpointSlice,
                "workloads" => Part::Workload,
                "events" => Part::Event,
                _ => continue,
            };
            for (number, object) in objects.iter().enumerate() {
                let _ = world.put(part, &number.to_string(), &Arc::new(object.clone()));
            }
        }
        world
    }

    /// The rule of the template.
    fn rule(&self) -> Option<Rule> {
        let given = self.health.as_ref()?;
        let text = |field: &str| given.get(field).map(|text| text.as_str().unwrap());
        let texts = RuleText {
            current: text("current").unwrap(),
            in_progress: text("inProgress"),
            failed: text("failed"),
            message: text("message"),
        };
        Some(Rule::compile(texts).unwrap())
    }

    /// The verdict.
    fn assess(&self) -> Health {
        self.assess_by(self.rule().as_ref())
    }

    /// The verdict by a rule that was compiled before.
    fn assess_by(&self, rule: Option<&Rule>) -> Health {
        let world = self.world();
        let classes = self.lists.get("storage_classes").map(Vec::as_slice);
        assess(&self.object, &Surroundings::new(&world).classes(classes).rule(rule))
    }
}

/// A verdict as the cases spell it.
fn spell(health: &Health) -> String {
    let (state, cause) = summary(health);
    let mut lines = vec![state.to_owned()];
    if let Some(finding) = health.finding() {
        lines[0] = format!("{state} {}", finding.trouble.name());
    }
    if let Health::Trouble(finding) = health {
        let limit =
            finding.trouble.patience().map_or("no limit".to_owned(), |p| format!("{} s", p.as_secs()));
        lines[0] += &format!(" ({limit})");
    }
    lines.extend(cause.map(str::to_owned));
    if let Some((pod, container, previous)) = health.finding().and_then(|finding| finding.logs()) {
        lines.push(format!("logs: {pod} {container}{}", if previous { " (previous run)" } else { "" }));
    }
    lines.join("\n")
}

/// Whether expectations are to be rewritten.
fn updating() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

/// All cases; fails with everything that is wrong with the folder.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/health");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut cases, mut wrong) = (Vec::new(), Vec::new());
    for path in paths {
        if path.extension().is_none_or(|extension| extension != "case") {
            wrong.push(format!("{}: not a case", path.display()));
            continue;
        }
        match Case::parse(&path, &fs::read_to_string(&path).unwrap()) {
            Ok(case) if case.expect.is_empty() && !updating() => {
                wrong.push(format!("{}: empty expectation", path.display()));
            }
            Ok(case) => cases.push(case),
            Err(error) => wrong.push(format!("{}: {error}", path.display())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    cases
}

/// Puts a new expectation into a case file.
fn rewrite(case: &Case, got: &str) {
    let text = fs::read_to_string(&case.path).unwrap();
    let (before, _) = text.split_once("-- expect --").unwrap();
    fs::write(&case.path, format!("{before}-- expect --\n{got}\n")).unwrap();
}

#[test]
fn every_rule() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        let got = spell(&case.assess());
        if updating() && got != case.expect {
            rewrite(case, &got);
        } else if got != case.expect {
            let name = case.path.file_name().unwrap().to_string_lossy();
            wrong.push(format!("{name}: {}\n--- expected\n{}\n--- got\n{got}\n", case.rule, case.expect));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 60, "cases got lost: {}", cases.len());
}

#[test]
fn every_kind_and_every_trouble_has_a_case() {
    let cases = cases();
    for kind in KINDS.split_whitespace() {
        assert!(cases.iter().any(|case| case.object["kind"] == kind), "no case for {kind}");
    }
    let mut troubles = BTreeSet::new();
    for case in &cases {
        let verdict = case.assess();
        if let Some(finding) = verdict.finding() {
            troubles.insert(finding.trouble);
            assert_eq!(json!(finding.trouble), finding.trouble.name());
        }
        let text = serde_json::to_string(&verdict).unwrap();
        assert_eq!(serde_json::from_str::<Health>(&text).unwrap(), verdict, "{}", case.path.display());
    }
    assert_eq!(troubles.len(), 14, "a trouble without a case, only {troubles:?}");
}

#[test]
fn broken_cases_are_refused() {
    let path = Path::new("x.case");
    let whole = "A rule.\n-- object --\n{}\n-- expect --\nHealthy\n";
    assert!(Case::parse(path, whole).is_ok());
    let mut broken =
        vec![format!("{whole}-- expect --\nHealthy\n"), whole.replace("-- expect --\nHealthy\n", "")];
    let replaced = [("A rule.", ""), ("{}", ""), ("{}", "{} {}"), ("{}", "{"), ("expect", "pod")];
    broken.extend(replaced.iter().map(|(from, to)| whole.replace(from, to)));
    for text in broken {
        assert!(Case::parse(path, &text).is_err(), "{text}");
    }
}

/// A seeded source of choices (splitmix64), so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    /// A number below `n`.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }

    /// Any JSON value, built from words that the rules look for.
    fn value(&mut self, words: &[String], depth: usize) -> Value {
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => json!([i64::MIN, -1, 0, 1, 3, i64::MAX][self.below(6)]),
            3 => json!([u64::MAX as f64, -0.5, 1e300][self.below(3)]),
            4 | 5 => json!(words[self.below(words.len())]),
            6 => (0..self.below(4)).map(|_| self.value(words, depth - 1)).collect(),
            _ => self.map(words, depth),
        }
    }

    /// Any JSON object.
    fn map(&mut self, words: &[String], depth: usize) -> Value {
        let mut map = Map::new();
        for _ in 0..self.below(6) {
            map.insert(words[self.below(words.len())].clone(), self.value(words, depth.saturating_sub(1)));
        }
        Value::Object(map)
    }

    /// Damages a value somewhere: replaces it, or damages one of its members.
    fn damage(&mut self, value: &mut Value, words: &[String]) {
        let members: Vec<&mut Value> = match value {
            Value::Object(map) => map.values_mut().collect(),
            Value::Array(list) => list.iter_mut().collect(),
            _ => Vec::new(),
        };
        if members.is_empty() || self.below(8) == 0 {
            *value = self.value(words, 2);
            return;
        }
        let chosen = self.below(members.len());
        members.into_iter().skip(chosen).take(1).for_each(|member| self.damage(member, words));
    }
}

/// Every key and every string of the cases: whatever stands between quotes.
fn all_words(cases: &[Case]) -> Vec<String> {
    let texts: Vec<String> = cases.iter().map(|case| fs::read_to_string(&case.path).unwrap()).collect();
    let words: BTreeSet<&str> = texts.iter().flat_map(|text| text.split('"').skip(1).step_by(2)).collect();
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn damaged_objects_never_panic() {
    let cases = cases();
    let words = all_words(&cases);
    let mut dice = Dice(1);
    for case in &cases {
        let rule = case.rule();
        for _ in 0..200 {
            let (mut object, mut lists) = (case.object.clone(), case.lists.clone());
            dice.damage(&mut object, &words);
            lists.values_mut().flatten().for_each(|value| dice.damage(value, &words));
            let mut damaged = Case { object, lists, ..Case::default() };
            let _ = damaged.assess_by(rule.as_ref());
            damaged.object = case.object.clone();
            let _ = damaged.assess_by(rule.as_ref());
        }
    }
}

#[test]
fn a_deployment_without_status_is_never_healthy() {
    let words = all_words(&cases());
    let mut dice = Dice(2);
    for _ in 0..5_000 {
        let mut object = dice.map(&words, 4);
        object["spec"] = dice.map(&words, 2);
        object["spec"]["replicas"] = json!(1 + dice.below(5));
        object.as_object_mut().unwrap().remove("status");
        let list: Vec<Value> = (0..3).map(|_| dice.value(&words, 5)).collect();
        let lists = LISTS.iter().map(|name| ((*name).to_owned(), list.clone())).collect();
        let noise = Case { lists, ..Case::default() };
        let world = noise.world();
        let around =
            || Surroundings::new(&world).classes(noise.lists.get("storage_classes").map(Vec::as_slice));
        // The same noise as any other kind must not panic either.
        for kind in KINDS.split_whitespace() {
            for version in ["v1", "apps/v1", "batch/v1"] {
                (object["apiVersion"], object["kind"]) = (json!(version), json!(kind));
                let verdict = assess(&object, &around());
                let is_deployment = (version, kind) == ("apps/v1", "Deployment");
                assert!(!(is_deployment && verdict.is_healthy()), "{object}");
            }
        }
    }
}
