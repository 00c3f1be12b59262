//! The cases below `tests/cases`: one file, one case. See `cases.rs` for their form.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use render::{Request, SourcedFiles};
use spec::files::Limited;
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
        "templates/web/manifests/all.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\n",
    ),
];

/// One file below `tests/cases`, and what it asks for.
pub struct Case(CaseFile);

impl Deref for Case {
    type Target = CaseFile;

    fn deref(&self) -> &CaseFile {
        &self.0
    }
}

impl Case {
    /// The files of its commit.
    pub fn files(&self) -> MemoryFiles {
        let mut files = MemoryFiles::default();
        for (path, text) in DEFAULTS {
            files.insert(path, text);
        }
        for (name, body) in &self.sections {
            if name.ends_with(" (absent)") {
                let mut kept = MemoryFiles::default();
                let gone = name.trim_end_matches(" (absent)");
                for path in files.list("").unwrap().into_iter().filter(|path| path != gone) {
                    let content = files.read(&path).unwrap().unwrap();
                    kept.insert(path, content);
                }
                files = kept;
            } else if of_source(name).is_some() {
                // Not of this commit.
            } else if let Some(path) = name.strip_suffix(" (escaped)") {
                files.insert(path, unescape(body));
            } else if name.contains('/') {
                files.insert(name.clone(), body.clone());
            }
        }
        files
    }

    /// Files of its commit, and those of the sources that the case has: sections `NAME:PATH`.
    pub fn opened(&self, files: MemoryFiles) -> Arc<dyn Files> {
        let mut sources: BTreeMap<&str, MemoryFiles> = BTreeMap::new();
        for (name, body) in &self.sections {
            if let Some((source, path)) = of_source(name) {
                sources.entry(source).or_default().insert(path, body.clone());
            }
        }
        let mut all = SourcedFiles::new(Arc::new(files));
        for (name, files) in sources {
            all.insert(name, Ok(Arc::new(files)));
        }
        Arc::new(all)
    }

    /// The files of its commit, from which only so many steps are taken as the argument `steps` says.
    pub fn limited(&self) -> Arc<dyn Files> {
        let args = self.section("args").unwrap_or_default();
        let steps = args.lines().find_map(|line| line.strip_prefix("steps "));
        let left = steps.map_or(usize::MAX, |steps| steps.parse().unwrap());
        Arc::new(Limited::new(self.opened(self.files()), left))
    }

    /// What it asks for.
    pub fn request(&self) -> Request {
        let mut request = Request {
            spec: "qa".to_owned(),
            repository: "git.example.com/team/flights".to_owned(),
            ref_name: "main".to_owned(),
            revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            tool_version: "test".to_owned(),
            ..Request::default()
        };
        if let Some(text) = self.section("values.yaml") {
            request.values = Some(spec::yaml::parse("values.yaml", text).unwrap());
        }
        for line in self.section("args").unwrap_or_default().lines() {
            let (key, value) = line.split_once(' ').unwrap();
            match key {
                "spec" => request.spec = value.to_owned(),
                "root" => request.root = value.to_owned(),
                "steps" => {}
                "ref" => request.ref_name = value.to_owned(),
                "set" => request.set.push(spec::parameter::split_set(value).unwrap()),
                "image" => {
                    let (from, to) = value.split_once(' ').unwrap();
                    request.image_map.insert(from.to_owned(), to.to_owned());
                }
                other => unreachable!("{}: unknown argument {other}", self.path.display()),
            }
        }
        request
    }
}

/// The name of a source and the path in it.
fn of_source(section: &str) -> Option<(&str, &str)> {
    section.split_once(':').filter(|(source, _)| !source.contains(['/', ' ']))
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let tail = &rest[at + 1..];
        if let Some(hex) = tail.strip_prefix('x') {
            out.push(u8::from_str_radix(&hex[..2], 16).unwrap());
            rest = &hex[2..];
        } else {
            let (hex, after) = tail.strip_prefix("u{").unwrap().split_once('}').unwrap();
            let character = char::from_u32(u32::from_str_radix(hex, 16).unwrap()).unwrap();
            out.extend_from_slice(character.to_string().as_bytes());
            rest = after;
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// All cases of one folder; a file that is none is an error.
pub fn cases(folder: &str) -> Vec<Case> {
    let cases = CaseFile::all(folder).unwrap();
    assert!(!cases.is_empty(), "no cases in {folder}");
    cases.into_iter().map(Case).collect()
}
