//! Many components: rendered beside each other, with what each has to say in their order.

use std::fmt::Write as _;
use std::sync::Arc;

use render::{Request, render};
use spec::{Files, MemoryFiles};

const COMPONENTS: usize = 300;

/// An environment whose components each ask for a file of their own name; every `step`th has none, if that is not 0.
fn environment(step: usize) -> Arc<dyn Files> {
    let mut files = MemoryFiles::default();
    let mut spec =
        "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: qa}\nspec:\n  components:\n"
            .to_owned();
    for number in 0..COMPONENTS {
        let name = format!("c-{number:03}");
        let _ = writeln!(spec, "    {name}: {{template: web}}");
        if step == 0 || number % step != 0 {
            files.insert(name, format!("of {number}"));
        }
    }
    files.insert("environments/qa.yaml", spec);
    files.insert(
        "templates/web/template.yaml",
        "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec: {}\n",
    );
    files.insert(
        "templates/web/manifests/all.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\ndata: {text: {{ file(path=name) | quote }}}\n",
    );
    Arc::new(files)
}

fn request() -> Request {
    Request { spec: "qa".to_owned(), ref_name: "main".to_owned(), ..Request::default() }
}

#[test]
fn all_come_in_order() {
    let (rendered, _) = render(&request(), &environment(0)).unwrap();
    let texts: Vec<&str> =
        rendered.objects.iter().filter_map(|object| object.manifest["data"]["text"].as_str()).collect();
    let expected: Vec<String> = (0..COMPONENTS).map(|number| format!("of {number}")).collect();
    assert_eq!(texts, expected);
}

#[test]
fn each_finds_its_own_mistakes() {
    let found = render(&request(), &environment(3)).unwrap_err();
    let said: Vec<&str> = found.iter().map(|finding| finding.cause.as_str()).collect();
    let expected: Vec<String> =
        (0..COMPONENTS).step_by(3).map(|number| format!("no file `c-{number:03}` at this commit")).collect();
    assert_eq!(said, expected);
}
