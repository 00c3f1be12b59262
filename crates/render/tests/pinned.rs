//! One commit, two clones in two folders: the same bytes.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::Path;
use std::sync::Arc;

use git2::{Repository as Git, Signature, Time};
use render::{Request, render};
use source::Repository;
use spec::Files;
use tempfile::TempDir;

const FILES: [(&str, &str); 4] = [
    (
        "environments/qa.yaml",
        "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: qa}\nspec:\n  parameters: {days: {type: integer, default: 90}}\n  components:\n    web: {template: web, values: {days: \"{{ params.days }}\"}}\n",
    ),
    (
        "templates/web/template.yaml",
        "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec:\n  parameters: {days: {type: integer}, o: {type: object, default: {z: 1, a: 2, m: {y: 1, b: 2}}}}\n",
    ),
    (
        "templates/web/manifests/all.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\ndata:\n  days: {{ params.days | quote }}\n{% for key, value in params.o %}\n  {{ key }}: {{ value | to_json | quote }}\n{% endfor %}\n{% for path, text in files(glob=\"app/*\") %}\n  {{ path | replace(from=\"/\", to=\".\") }}: {{ text | quote }}\n{% endfor %}\n",
    ),
    ("app/a.sql", "select 1\n"),
];

fn commit(folder: &Path) -> String {
    let mut options = git2::RepositoryInitOptions::new();
    let git = Git::init_opts(folder, options.initial_head("main")).unwrap();
    git.remote("origin", "https://git.example.com/team/flights.git").unwrap();
    let mut index = git.index().unwrap();
    for (path, text) in FILES {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
    index.write().unwrap();
    let tree = git.find_tree(index.write_tree().unwrap()).unwrap();
    let who = Signature::new("t", "t@example.com", &Time::new(1_700_000_000, 0)).unwrap();
    git.commit(Some("HEAD"), &who, &who, "c", &tree, &[]).unwrap().to_string()
}

fn bytes(folder: &Path) -> (String, String) {
    let repository = Repository::open(folder.to_str(), Path::new("/nonexistent")).unwrap();
    let resolved = repository.resolve(None, None).unwrap();
    let files: Arc<dyn Files> = Arc::new(repository.tree(&resolved.revision).unwrap());
    let request = Request {
        spec: "qa".to_owned(),
        repository: repository.identity(None).unwrap(),
        ref_name: resolved.ref_name,
        revision: resolved.revision,
        tool_version: "test".to_owned(),
        ..Request::default()
    };
    let (rendered, warnings) = render(&request, &files).unwrap();
    assert_eq!(warnings, []);
    (rendered.yaml_stream().unwrap().to_string(), serde_json::to_string(&rendered).unwrap())
}

#[test]
fn two_clones_render_the_same_bytes() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (first, second) = (one.path().join("a"), two.path().join("somewhere/else"));
    assert_eq!(commit(&first), commit(&second));
    // What is not committed does not count.
    std::fs::write(second.join("templates/web/manifests/all.yaml"), "broken: [").unwrap();
    std::fs::write(second.join("app/b.sql"), "select 2\n").unwrap();
    let once = bytes(&first);
    assert_eq!(once, bytes(&second));
    assert_eq!(once, bytes(&first));
    assert!(once.0.contains("days: \"90\""), "{}", once.0);
    // Loops over mappings keep the order written, whatever a hash map would do.
    assert!(!once.0.contains("select 2"));
}
