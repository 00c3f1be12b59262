//! Limits that take long to reach: only with `MIMEO_SOAK=1`.

use std::sync::Arc;

use render::{Request, render};
use spec::{Files, MemoryFiles};

#[test]
fn all_manifests_together_have_a_limit() {
    if std::env::var_os("MIMEO_SOAK").is_none() {
        return;
    }
    let mut files = MemoryFiles::default();
    files.insert(
        "environments/qa.yaml",
        "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: qa}\nspec:\n  components:\n    web: {template: web}\n",
    );
    files.insert(
        "templates/web/template.yaml",
        "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec: {}\n",
    );
    files.insert("templates/web/partials/long", "0123456789".repeat(1000));
    for name in ["a", "b", "c", "d", "e"] {
        let text = "{%- for a in range(end=700) %}\n# {% include \"partials/long\" %}\n{%- endfor %}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n";
        files.insert(format!("templates/web/manifests/{name}.yaml"), text.replace("NAME", name));
    }
    let files: Arc<dyn Files> = Arc::new(files);
    let request = Request { spec: "qa".to_owned(), ref_name: "main".to_owned(), ..Request::default() };
    let found = render(&request, &files).unwrap_err();
    let said: Vec<String> = found.iter().map(ToString::to_string).collect();
    let expected = "TPL004: environments/qa.yaml:6:5: spec.components.web: the manifests together are larger than 33554432 bytes";
    assert_eq!(said, [expected]);
}
