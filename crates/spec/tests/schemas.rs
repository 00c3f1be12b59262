//! The JSON Schemas as files, so that editors find them and a change is seen in review.
//! `UPDATE_EXPECT=1` rewrites them from the Rust types.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::path::{Path, PathBuf};

use spec::schema;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_files_are_what_the_types_say() {
    let folder = root().join("schemas");
    for kind in schema::KINDS {
        let path = folder.join(format!("{kind}.json"));
        let text = format!("{:#}\n", schema::of(kind).unwrap());
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            file == text,
            "{} is not what the types say: run with UPDATE_EXPECT=1 and review",
            path.display()
        );
    }
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, schema::KINDS.len(), "a file that belongs to no kind");
    assert!(schema::of("Deployment").is_none());
}

/// Everything a schema refers to is there, and everything that is there is referred to.
#[test]
fn definitions_and_references_agree() {
    let all = schema::KINDS.iter().filter_map(|kind| schema::of(kind)).chain([schema::any()]);
    for schema in all {
        let text = schema.to_string();
        for (name, _) in schema["definitions"].as_object().unwrap() {
            assert!(text.contains(&format!("\"#/definitions/{name}\"")), "nothing refers to {name}");
        }
        for rest in text.split("\"#/definitions/").skip(1) {
            let name = rest.split('"').next().unwrap();
            assert!(schema["definitions"].get(name).is_some(), "{name} is not defined");
        }
    }
}

/// The shipped files begin with the line by which an editor finds the schema, and it leads there.
#[test]
fn the_shipped_files_name_their_schema() {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(root().join("environments")).unwrap() {
        files.push(entry.unwrap().path());
    }
    for entry in std::fs::read_dir(root().join("templates")).unwrap() {
        files.push(entry.unwrap().path().join("template.yaml"));
    }
    assert!(files.len() >= 3);
    for file in files.iter().filter(|file| !file.to_string_lossy().ends_with(".lock.yaml")) {
        let text = std::fs::read_to_string(file).unwrap();
        let line = text.lines().next().unwrap();
        let target = line.strip_prefix("# yaml-language-server: $schema=");
        let target = target.unwrap_or_else(|| unreachable!("{}: {line}", file.display()));
        let target = file.with_file_name("").join(target).canonicalize().unwrap();
        let kind = text.split_once("\nkind: ").unwrap().1.lines().next().unwrap();
        assert_eq!(target, root().join(format!("schemas/{kind}.json")).canonicalize().unwrap());
    }
}
