//! What was rendered before is not rendered again, and nothing else is taken for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use render::{Governor, Renderings, Request};
use spec::{Diagnostic, Files, MemoryFiles};

const SPEC: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: qa}\nspec:\n  parameters: {n: {type: integer, default: 1}}\n  components:\n    web: {template: web, values: {n: \"{{ params.n }}\"}}\n";
const TEMPLATE: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec:\n  parameters: {n: {type: integer}}\n";
const MANIFEST: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\ndata: {count: \"{{ params.n }}\", at: \"{{ env.revision }}\", text: \"{{ file(path='text') }}\"}\n";

/// Files that count how often one is read: no template runs whose text was not read.
struct Counted {
    files: MemoryFiles,
    reads: AtomicUsize,
}

impl Counted {
    fn new(text: &str) -> Arc<Self> {
        let mut files = MemoryFiles::default();
        files.insert("environments/qa.yaml", SPEC);
        files.insert("templates/web/template.yaml", TEMPLATE);
        files.insert("templates/web/manifests/all.yaml", MANIFEST);
        files.insert("text", text);
        Arc::new(Self { files, reads: AtomicUsize::new(0) })
    }

    /// Reads since the last call.
    fn reads(&self) -> usize {
        self.reads.swap(0, Ordering::Relaxed)
    }
}

impl Files for Counted {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Box<Diagnostic>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.files.read(path)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, Box<Diagnostic>> {
        self.files.list(folder)
    }

    fn tree_id(&self, folder: &str) -> Result<Option<String>, Box<Diagnostic>> {
        self.files.tree_id(folder)
    }
}

fn request(ref_name: &str) -> Request {
    Request {
        spec: "qa".to_owned(),
        repository: "git.example.com/team/flights".to_owned(),
        ref_name: ref_name.to_owned(),
        revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        ..Request::default()
    }
}

#[test]
fn a_thousand_environments_again() {
    let counted = Counted::new("a");
    let files: Arc<dyn Files> = Arc::clone(&counted) as _;
    let renderings = Renderings::new(1000);
    let all = || {
        let names = (0..1000).map(|number| format!("branch-{number}"));
        names.map(|name| renderings.render(&request(&name), &files, None).unwrap()).collect::<Vec<_>>()
    };
    let first = all();
    assert!(counted.reads() >= 3000);
    let again = all();
    assert_eq!(counted.reads(), 0);
    assert!(first.iter().zip(&again).all(|(one, other)| Arc::ptr_eq(one, other)));
    assert_eq!(first[7].0, render::render(&request("branch-7"), &files).unwrap().0);
}

#[test]
fn whatever_it_depends_on_makes_another_one() {
    let counted = Counted::new("a");
    let files: Arc<dyn Files> = Arc::clone(&counted) as _;
    let renderings = Renderings::new(100);
    let is_new = |request: &Request, files: &Arc<dyn Files>, governor: Option<&Governor>| {
        let made = renderings.render(request, files, governor).unwrap();
        let plain = match governor {
            Some(governor) => render::render_governed(request, files, governor),
            None => render::render(request, files),
        };
        assert_eq!(*made, plain.unwrap(), "{request:?}");
        counted.reads();
        assert!(Arc::ptr_eq(&made, &renderings.render(request, files, governor).unwrap()));
        assert_eq!(counted.reads(), 0);
        made
    };
    let plain = request("main");
    let mut made = vec![is_new(&plain, &files, None)];
    for changed in [
        Request { set: vec![("n".to_owned(), "2".to_owned())], ..plain.clone() },
        Request { values: Some(spec::yaml::parse("values", "n: 3\n").unwrap()), ..plain.clone() },
        Request { revision: "f".repeat(40), ..plain.clone() },
        Request { tool_version: "other".to_owned(), ..plain.clone() },
    ] {
        made.push(is_new(&changed, &files, None));
    }
    let other: Arc<dyn Files> = Counted::new("b");
    made.push(is_new(&plain, &other, None));
    for files in [&files, &other] {
        let governor = Governor { revision: "a".repeat(40), files: Arc::clone(files) };
        made.push(is_new(&plain, &other, Some(&governor)));
    }
    for (at, one) in made.iter().enumerate() {
        assert!(made[..at].iter().all(|other| !Arc::ptr_eq(one, other)), "{at}");
    }
}

#[test]
fn the_oldest_goes_first() {
    let counted = Counted::new("a");
    let files: Arc<dyn Files> = Arc::clone(&counted) as _;
    let renderings = Renderings::new(2);
    let reads = |name: &str| {
        counted.reads();
        renderings.render(&request(name), &files, None).unwrap();
        counted.reads() > 0
    };
    assert!(reads("a") && reads("b") && reads("c"));
    assert!(!reads("c") && !reads("b") && reads("a"));
}
