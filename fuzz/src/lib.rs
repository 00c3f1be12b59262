//! What must hold for any input: nothing panics, what is printed is read back, rendering twice gives the same
//! bytes, and a finding stands at a place that exists.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the finding")]

use std::sync::Arc;

use render::Request;
use spec::files::Limited;
use spec::{Diagnostic, Files, MemoryFiles, yaml};

const SPEC: &str = "environments/qa.yaml";
const TEMPLATE: &str = "templates/web/template.yaml";
const MANIFEST: &str = "templates/web/manifests/all.yaml";

/// A line that ends the spec; a template follows.
const NEXT: &str = "\n-- template --\n";

/// An environment spec, and behind [`NEXT`] a template.
pub fn spec(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (spec, template) = text.split_once(NEXT).unwrap_or((
        text,
        "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec: {}\n",
    ));
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\n";
    let files = files(&[(SPEC, spec), (TEMPLATE, template), (MANIFEST, manifest)]);
    render_twice(&files);
    if let Err(findings) = render::explain(&request(), &limited(&files)) {
        check_places(&findings, &files);
    }
}

/// A manifest with everything a template knows.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let spec = "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: qa}\nspec:\n  components:\n    store: {template: store}\n    web: {template: web, wires: {db: store}}\n";
    let store = "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: store}\nspec:\n  provides: {s3/v1: {endpoint: e, bucket: b, auth: {secretRef: s}}}\n";
    let web = "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec:\n  parameters:\n    text: {type: string, default: \"a: b\\n---\\nc\"}\n    n: {type: integer, default: 3}\n    list: {type: array, default: [1, two, {three: 3}]}\n    map: {type: object, default: {k: v, \"yes\": \"0644\"}}\n  requires: {db: {contract: s3/v1}, cache: {contract: s3/v1, optional: true}}\n";
    let files = files(&[
        (SPEC, spec),
        ("templates/store/template.yaml", store),
        (TEMPLATE, web),
        (MANIFEST, text),
        ("templates/web/partials/part", "{{ params.n }}"),
        ("dags/one.py", "print(1)\n"),
    ]);
    render_twice(&files);
}

/// A YAML file.
pub fn yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = yaml::scalar(text);
    match (yaml::documents("f", text), yaml::document_nodes("f", text)) {
        (Ok(documents), Ok(nodes)) => {
            let values: Vec<_> = nodes.iter().map(|node| (node.spot.line, node.to_value())).collect();
            let plain: Vec<_> =
                documents.into_iter().map(|document| (document.line, document.value)).collect();
            assert_eq!(plain, values, "with places and without");
        }
        (Err(one), Err(other)) => assert_eq!(one.code, other.code, "with places and without"),
        (one, other) => panic!("with places {:?}, without {:?}", other.err(), one.err()),
    }
    match yaml::parse("f", text) {
        Ok(node) => {
            let value = node.to_value();
            let written = yaml::to_yaml(&value).unwrap();
            let mut manifest = String::new();
            yaml::write(&value, &mut manifest).unwrap();
            assert_eq!(manifest, written, "as a manifest and as any value");
            let again = yaml::parse("f", &written).unwrap_or_else(|finding| panic!("{finding}\n{written}"));
            assert_eq!(again.to_value(), value, "{written}");
        }
        Err(finding) => check_places(&[*finding], &files(&[("f", text)])),
    }
}

fn files(files: &[(&str, &str)]) -> Arc<dyn Files> {
    let mut memory = MemoryFiles::default();
    for (path, text) in files {
        memory.insert(*path, text.as_bytes());
    }
    Arc::new(memory)
}

fn request() -> Request {
    Request {
        spec: "qa".to_owned(),
        repository: "git.example.com/team/flights".to_owned(),
        ref_name: "main".to_owned(),
        revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        tool_version: "fuzz".to_owned(),
        ..Request::default()
    }
}

fn render_twice(files: &Arc<dyn Files>) {
    let (first, second) = (limited(files), limited(files));
    match (render::render(&request(), &first), render::render(&request(), &second)) {
        (Ok((one, warnings)), Ok((other, _))) => {
            assert_eq!(one, other);
            let bytes = one.yaml_stream().unwrap();
            assert_eq!(bytes, other.yaml_stream().unwrap());
            let read: Vec<_> = yaml::documents("out", &bytes).unwrap();
            let read: Vec<_> = read.into_iter().map(|document| document.value).collect();
            let made: Vec<_> = one.objects.into_iter().map(|object| object.manifest).collect();
            assert_eq!(read, made, "what is printed is what was rendered");
            check_places(&warnings, files);
        }
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            check_places(&one, files);
        }
        (one, other) => panic!("once {:?}, then {:?}", one.err(), other.err()),
    }
}

/// Files of which one rendering takes no more steps than are worth waiting for.
fn limited(files: &Arc<dyn Files>) -> Arc<dyn Files> {
    const STEPS: usize = 5000;
    Arc::new(Limited::new(Arc::clone(files), STEPS))
}

fn check_places(findings: &[Diagnostic], files: &Arc<dyn Files>) {
    for finding in findings {
        let Some(place) = &finding.place else { continue };
        let text =
            files.read(&place.file).ok().flatten().unwrap_or_else(|| panic!("{finding}: no such file"));
        // A fault at the end of a file stands behind its last line.
        let lines = text.split(|byte| *byte == b'\n').count() + 1;
        assert!(place.line >= 1 && place.line <= lines, "{finding}: the file has {lines} lines");
        assert!(place.column >= 1, "{finding}");
    }
}
