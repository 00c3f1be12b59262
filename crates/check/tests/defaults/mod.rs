//! What a case of `tests/cases/check` leaves out: the smallest spec and template that work, and who asks.

use std::sync::Arc;

use render::Request;
use spec::{Files, MemoryFiles};
use testkit::CaseFile;

const DEFAULTS: [(&str, &str); 3] = [
    (
        "environments/qa.yaml",
        "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: qa}\nspec:\n  components:\n    web: {template: web}\n",
    ),
    (
        "templates/web/template.yaml",
        "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec: {}\n",
    ),
    (
        "templates/web/manifests/map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}-map\"}\ndata: {key: text}\n",
    ),
];

/// The commit of a case.
pub fn files(case: &CaseFile) -> Arc<dyn Files> {
    let mut files = MemoryFiles::default();
    for (path, text) in case.files(&DEFAULTS) {
        files.insert(path, text);
    }
    Arc::new(files)
}

/// Spec `qa` at branch `main`.
pub fn request() -> Request {
    Request {
        spec: "qa".to_owned(),
        repository: "git.example.com/team/flights".to_owned(),
        ref_name: "main".to_owned(),
        revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        tool_version: "test".to_owned(),
        ..Request::default()
    }
}
