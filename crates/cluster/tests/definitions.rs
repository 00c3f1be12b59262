//! The CustomResourceDefinitions as files, so that a change of the schema is seen in review.
//! `UPDATE_EXPECT=1` rewrites them from the Rust types.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::path::Path;

#[test]
fn the_files_are_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("install/crds");
    let definitions = cluster::definitions();
    assert_eq!(definitions.len(), 4);
    for definition in definitions {
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        let path = folder.join(format!("{name}.yaml"));
        let text = spec::yaml::to_yaml(&definition).unwrap();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            file,
            text,
            "{} is not what the types say: run with UPDATE_EXPECT=1 and review",
            path.display()
        );
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 4, "a file that belongs to no kind");
}
