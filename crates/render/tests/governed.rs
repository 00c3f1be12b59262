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

/// A commit whose spec reads these repositories, with a lock file for them.
fn reading(sources: &[(&str, &str, &str)]) -> Arc<dyn Files> {
    let mut files = MemoryFiles::default();
    files.insert("templates/web/template.yaml", TEMPLATE);
    files.insert("templates/web/manifests/all.yaml", MANIFESTS);
    let head = "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: qa}\nspec:\n  components: {web: {template: web}}\n  sources:";
    let list: String = sources
        .iter()
        .map(|(name, url, of)| format!("    - {{name: {name}, url: \"{url}\", ref: {of}}}\n"))
        .collect();
    let list = if list.is_empty() { " []\n".to_owned() } else { format!("\n{list}") };
    files.insert("environments/qa.yaml", format!("{head}{list}"));
    let pin =
        |url: &str, of: &str| render::Pin { url: url.into(), r#ref: of.into(), revision: "3".repeat(40) };
    let pins = sources.iter().map(|(name, url, of)| ((*name).to_owned(), pin(url, of))).collect();
    files.insert("environments/qa.lock.yaml", spec::lock_file::text("qa", &pins).unwrap());
    Arc::new(files)
}

#[test]
fn a_pull_request_connects_only_where_its_base_does() {
    let (ours, theirs) = ("https://git.example.com/team/code.git", "https://git.example.org/evil/code.git");
    let base = reading(&[("code", ours, "main")]);
    let codes =
        |head: &Arc<dyn Files>, base: &Arc<dyn Files>| -> (Vec<Option<&'static str>>, Vec<&'static str>) {
            let request = Request { spec: "qa".into(), ref_name: "pr/1".into(), ..Request::default() };
            let governor = Governor { revision: "2".repeat(40), files: Arc::clone(base) };
            let sources = render::sources(&request, &**head, Some(&governor)).unwrap();
            let refused = render_governed(&request, head, &governor).err().unwrap_or_default();
            let opened =
                sources.iter().map(|source| source.pin.as_ref().err().map(|finding| finding.code)).collect();
            (opened, refused.iter().map(|finding| finding.code).collect())
        };
    assert_eq!(codes(&base, &base), (vec![None], vec![]));
    // Another ref, and another name, of the same repository.
    assert_eq!(codes(&reading(&[("code", ours, "v2")]), &base), (vec![None], vec![]));
    assert_eq!(codes(&reading(&[("renamed", ours, "main")]), &base), (vec![None], vec![]));
    let refused = (vec![Some("LCK004")], vec!["LCK004"]);
    assert_eq!(codes(&reading(&[("code", theirs, "main")]), &base), refused);
    assert_eq!(codes(&reading(&[("code", &format!("{ours}/"), "main")]), &base), refused);
    let both = reading(&[("code", ours, "main"), ("more", theirs, "main")]);
    assert_eq!(codes(&both, &base), (vec![None, Some("LCK004")], vec!["LCK004"]));
    assert_eq!(codes(&base, &reading(&[])), refused);
    let mut nothing = MemoryFiles::default();
    nothing.insert("README.md", "no spec yet");
    assert_eq!(codes(&base, &(Arc::new(nothing) as Arc<dyn Files>)), refused);
    let mut broken = MemoryFiles::default();
    broken.insert("environments/qa.yaml", "broken: [");
    assert_eq!(codes(&base, &(Arc::new(broken) as Arc<dyn Files>)).0, vec![Some("LCK004")]);
}
