//! What of a pull request's spec counts only where the base branch says it as well.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::sync::Arc;

use render::{Governor, Rendered, Request, render_governed};
use spec::{Files, MemoryFiles};

const TEMPLATE: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec: {}\n";
const MANIFESTS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: \"1\", b: \"2\"}\n---\n\
    apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndata: {a: \"1\"}\n";
const DECLARED: &str =
    "adopt: [ConfigMap/settings, ConfigMap/more], overrides: {ConfigMap/settings: [data.a, data.b]}";

fn files(component: &str, rest: &str) -> Arc<dyn Files> {
    let mut files = MemoryFiles::default();
    files.insert("templates/web/template.yaml", TEMPLATE);
    files.insert("templates/web/manifests/all.yaml", MANIFESTS);
    let head =
        "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: qa}\nspec:\n  components:\n";
    files.insert("environments/qa.yaml", format!("{head}    web: {{template: web, {component}}}\n{rest}"));
    Arc::new(files)
}

fn governed(head: &Arc<dyn Files>, base: &Arc<dyn Files>) -> Rendered {
    let request = Request {
        spec: "qa".into(),
        repository: "example.org/shop".into(),
        ref_name: "pr/1".into(),
        revision: "1".repeat(40),
        ..Request::default()
    };
    let governor = Governor { revision: "2".repeat(40), files: Arc::clone(base) };
    render_governed(&request, head, &governor).unwrap().0
}

fn declared(rendered: &Rendered) -> Vec<(&str, bool, usize)> {
    let mut all: Vec<_> = rendered
        .objects
        .iter()
        .map(|object| {
            let name = object.manifest["metadata"]["name"].as_str().unwrap();
            (name, object.adopt, object.overrides.len())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn what_reaches_for_others_counts_where_the_base_declares_it() {
    let head = files(DECLARED, "  lifecycle: {ttl: 100h}\n");
    let same = governed(&head, &head);
    assert_eq!(declared(&same), [("more", true, 0), ("settings", true, 2)]);
    assert_eq!(same.lifecycle.ttl_seconds, Some(360_000));

    let less =
        governed(&head, &files("adopt: [ConfigMap/settings], overrides: {ConfigMap/settings: [data.b]}", ""));
    assert_eq!(declared(&less), [("more", false, 0), ("settings", true, 1)]);
    assert_eq!(less.lifecycle.ttl_seconds, None);

    let mut nothing = MemoryFiles::default();
    nothing.insert("README.md", "no spec yet");
    let nothing: Arc<dyn Files> = Arc::new(nothing);
    assert_eq!(declared(&governed(&head, &nothing)), [("more", false, 0), ("settings", false, 0)]);
}
