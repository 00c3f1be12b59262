//! The shipped templates put every file of a folder where it stands in that folder, whatever the folders are called.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use render::Request;
use serde_json::Value;
use spec::{Files, MemoryFiles};

const SPEC: &str = "\
apiVersion: mimeo.dev/v1alpha1
kind: EnvironmentSpec
metadata: {name: qa}
spec:
  components:
    warehouse: {template: postgres, values: {database: shop}}
    models: {template: dbt, wires: {target: warehouse}, values: {image: dbt:1, project: data}}
    flows: {template: airflow, wires: {metadata: warehouse}, values: {image: airflow:3, dags: data}}
    runs: {template: dagster, wires: {metadata: warehouse}, values: {image: dagster:1, code: data}}
    load: {template: job, values: {image: \"load:1\", command: [load], files: data}}
";
/// Below `data`, each with its path as its content.
const FILES: [&str; 3] = ["a.sql", "staging_data/b.sql", "data/data/c.sql"];

fn folder(files: &mut MemoryFiles, from: &Path, to: &str) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let path = spec::files::join(to, &entry.file_name().to_string_lossy());
        match entry.file_type().unwrap().is_dir() {
            true => folder(files, &entry.path(), &path),
            false => files.insert(path, std::fs::read(entry.path()).unwrap()),
        }
    }
}

/// Path and content of every file that a volume of a pod in the rendering puts together from a ConfigMap.
fn mounted(value: &Value, maps: &[&Value], found: &mut BTreeSet<(String, String)>) {
    if let Some(items) = value["configMap"]["items"].as_array() {
        let map = maps.iter().find(|map| map["metadata"]["name"] == value["configMap"]["name"]).unwrap();
        for item in items {
            let content = map["data"][item["key"].as_str().unwrap()].as_str().unwrap();
            found.insert((item["path"].as_str().unwrap().to_owned(), content.to_owned()));
        }
    }
    match value {
        Value::Object(map) => map.values().for_each(|inner| mounted(inner, maps, found)),
        Value::Array(list) => list.iter().for_each(|inner| mounted(inner, maps, found)),
        _ => {}
    }
}

#[test]
fn files_are_mounted_where_they_stand() {
    let mut files = MemoryFiles::default();
    folder(&mut files, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates"), "templates");
    files.insert("environments/qa.yaml", SPEC);
    for path in FILES {
        files.insert(format!("data/{path}"), path);
    }
    let files: Arc<dyn Files> = Arc::new(files);
    let request = Request {
        spec: "qa".to_owned(),
        repository: "git.example.com/team/shop".to_owned(),
        ref_name: "main".to_owned(),
        revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        ..Request::default()
    };
    let (rendered, _) = render::render(&request, &files).unwrap();
    let maps: Vec<&Value> = rendered.objects.iter().map(|object| &object.manifest).collect();
    for component in ["models", "flows", "runs"] {
        let mut found = BTreeSet::new();
        let own = rendered.objects.iter().filter(|object| object.component == component);
        own.for_each(|object| mounted(&object.manifest, &maps, &mut found));
        for path in FILES {
            assert!(found.contains(&(path.to_owned(), path.to_owned())), "{component}: {path}: {found:?}");
        }
    }
    let load = maps.iter().find(|map| map["metadata"]["name"] == "load-files").unwrap();
    assert_eq!(load["data"]["a.sql"], "a.sql");
}
