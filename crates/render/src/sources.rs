//! Further repositories: which commit of each a spec reads, and how paths name their files.
//!
//! `NAME:PATH` is a file of source `NAME`, as `<rev>:<path>` is one of a revision in git; `NAME:/PATH` is the same
//! file. A path is spelled in what is found as it was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spec::environment::{self, EnvironmentSpec};
use spec::lock_file::{self, Pin, Pins};
use spec::{Diagnostic, Files, Spot, files, name};

use crate::request::{Governor, Request};
use crate::specs;

/// A source that a spec declares, for somebody who opens it.
#[derive(Debug, Clone)]
pub struct Source {
    /// What paths name it by.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// The branch, tag or commit id that is pinned.
    pub r#ref: String,
    /// The commit that is read; or why none is.
    pub pin: Result<Pin, Box<Diagnostic>>,
    spot: Spot,
    line: Option<String>,
}

impl Source {
    /// Puts a finding about the source at its place in the spec.
    #[must_use]
    pub fn mark(&self, finding: Diagnostic) -> Diagnostic {
        let mut finding = self.spot.mark(finding).on(format!("spec.sources.{}", self.name));
        finding.snippet.clone_from(&self.line);
        finding
    }
}

/// See [`crate::sources`].
pub(crate) fn sources(
    request: &Request,
    commit: &dyn Files,
    governor: Option<&Governor>,
) -> Result<Vec<Source>, Vec<Diagnostic>> {
    if request.pins.is_none() && says_nothing(request, commit) {
        return Ok(Vec::new());
    }
    let known = specs(&request.root, commit).map_err(|finding| vec![*finding])?;
    let spec = environment::load(commit, &request.root, &request.spec, &known)?;
    // What else is wrong with the lock file, the rendering says.
    let (pinned, _) = pinned(&spec, request, commit, governor);
    let source = |source: lock_file::Source| {
        let spot = source.body.name.spot;
        let text = spec.texts.get(&*spot.file);
        let line = text.and_then(|text| text.lines().nth(spot.line.saturating_sub(1)).map(str::to_owned));
        Source {
            name: source.body.name.value,
            url: source.body.url.value,
            r#ref: source.body.r#ref.value,
            pin: source.pin,
            spot,
            line,
        }
    };
    Ok(pinned.into_iter().map(source).collect())
}

/// Whether a spec can have no source, without reading it as YAML: most have none, and each is read once more to
/// be rendered. A spelling that this misses is refused then as not pinned.
fn says_nothing(request: &Request, commit: &dyn Files) -> bool {
    let silent = |path: String| match commit.read(&path) {
        Ok(Some(text)) => !["sources", "extends"]
            .iter()
            .any(|word| text.windows(word.len()).any(|window| window == word.as_bytes())),
        _ => false,
    };
    let locked = commit.read(&lock_file::path(&request.root, &request.spec));
    matches!(locked, Ok(None)) && silent(environment::path(&request.root, &request.spec))
}

/// The sources of a spec with their pins, and what is wrong with its lock file as a whole.
fn pinned(
    spec: &EnvironmentSpec,
    request: &Request,
    commit: &dyn Files,
    governor: Option<&Governor>,
) -> (Vec<lock_file::Source>, Vec<Diagnostic>) {
    let (mut pinned, surplus) = match &request.pins {
        Some(pins) => (lock_file::given(spec, pins, "the lock that is given"), Vec::new()),
        None => lock_file::pinned(spec, commit, &request.root),
    };
    if let Some(governor) = governor.filter(|_| !pinned.is_empty()) {
        let allowed = urls(request, governor);
        for source in pinned.iter_mut().filter(|source| !allowed.contains(source.body.url.as_str())) {
            source.pin = Err(Box::new(undeclared(source, spec)));
        }
    }
    (pinned, surplus)
}

/// The repositories that the governor's spec of the same name reads: no pull request decides where this machine
/// connects to, and with whose credentials.
fn urls(request: &Request, governor: &Governor) -> BTreeSet<String> {
    let known = specs(&request.root, &*governor.files).unwrap_or_default();
    let spec = environment::load(&*governor.files, &request.root, &request.spec, &known);
    spec.map(|spec| spec.body.sources.into_iter().map(|source| source.url.value).collect())
        .unwrap_or_default()
}

fn undeclared(source: &lock_file::Source, spec: &EnvironmentSpec) -> Diagnostic {
    let name = source.body.name.as_str();
    let cause = format!("the base branch declares no source with the url of source `{name}`");
    let finding = Diagnostic::error("LCK004", cause).on(format!("spec.sources.{name}.url"));
    let finding = source.body.url.spot.mark(finding).help("declare the source in the base branch first");
    match spec.texts.get(&*source.body.url.spot.file) {
        Some(text) => finding.with_source(text),
        None => finding,
    }
}

/// The pins of a spec that is rendered; a source without one is an error.
pub(crate) fn pins(
    spec: &EnvironmentSpec,
    request: &Request,
    commit: &dyn Files,
    governor: Option<&Governor>,
) -> (Pins, Vec<Diagnostic>) {
    if spec.body.sources.is_empty() && request.pins.is_some() {
        return Default::default();
    }
    let (pinned, mut found) = pinned(spec, request, commit, governor);
    let mut pins = Pins::new();
    for source in pinned {
        match source.pin {
            Ok(pin) => drop(pins.insert(source.body.name.value, pin)),
            // A lock file that cannot be read is wrong once, not once for each source.
            Err(finding) if !found.contains(&finding) => found.push(*finding),
            Err(_) => {}
        }
    }
    (pins, found)
}

/// The files of one commit, and below `NAME:` those of its sources.
pub struct SourcedFiles {
    commit: Arc<dyn Files>,
    sources: BTreeMap<String, Result<Arc<dyn Files>, Box<Diagnostic>>>,
}

impl SourcedFiles {
    /// The files of a commit without any source.
    #[must_use]
    pub fn new(commit: Arc<dyn Files>) -> Self {
        Self { commit, sources: BTreeMap::new() }
    }

    /// Adds the files of a source, or why they cannot be read.
    pub fn insert(&mut self, name: impl Into<String>, files: Result<Arc<dyn Files>, Box<Diagnostic>>) {
        self.sources.insert(name.into(), files);
    }

    /// Asks the source that a path names, with the path in it, or the commit itself.
    fn ask<T>(
        &self,
        path: &str,
        ask: impl Fn(&dyn Files, &str) -> Result<T, Box<Diagnostic>>,
    ) -> Result<(T, String), Box<Diagnostic>> {
        let Some(named) = Named::parse(path) else { return Ok((ask(&*self.commit, path)?, String::new())) };
        let Some(source) = self.sources.get(named.source) else {
            return Ok((ask(&*self.commit, path)?, String::new()));
        };
        let source = source.as_ref().map_err(Clone::clone)?;
        let found = ask(&**source, named.path).map_err(|mut finding| {
            if let Some(place) = &mut finding.place {
                place.file.insert_str(0, named.prefix);
            }
            finding
        })?;
        Ok((found, named.prefix.to_owned()))
    }
}

impl Files for SourcedFiles {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Box<Diagnostic>> {
        self.ask(path, |files, path| files.read(path)).map(|(found, _)| found)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, Box<Diagnostic>> {
        let (paths, prefix) = self.ask(folder, |files, folder| files.list(folder))?;
        Ok(paths.into_iter().map(|path| format!("{prefix}{path}")).collect())
    }

    fn tree_id(&self, folder: &str) -> Result<Option<String>, Box<Diagnostic>> {
        self.ask(folder, |files, folder| files.tree_id(folder)).map(|(found, _)| found)
    }

    fn step(&self, file: &Arc<str>, line: usize) -> Result<(), Box<Diagnostic>> {
        self.commit.step(file, line)
    }
}

/// A path that may name a source.
pub(crate) struct Named<'a> {
    /// The name.
    pub source: &'a str,
    /// The name with its colon, and the slash behind it if there is one.
    pub prefix: &'a str,
    /// What follows; empty for the root of the source.
    pub path: &'a str,
}

impl<'a> Named<'a> {
    /// Takes a path apart; `None` when what stands before the first slash is no name with a colon.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (source, rest) = text.split_once(':')?;
        name::is_label(source).then_some(())?;
        let path = rest.strip_prefix('/').unwrap_or(rest);
        Some(Self { source, prefix: &text[..text.len() - path.len()], path })
    }

    /// Whether the source is there: its commit has files.
    pub(crate) fn is_there(&self, commit: &dyn Files) -> Result<bool, Box<Diagnostic>> {
        Ok(!commit.list(self.prefix)?.is_empty())
    }

    /// The finding about a path whose source is not there.
    pub(crate) fn unknown(&self) -> Box<Diagnostic> {
        let finding = Diagnostic::error("TPL017", format!("the spec has no source `{}`", self.source));
        Box::new(
            finding.help(
                "declare it in `sources`; without a source, give a path from the root of the repository",
            ),
        )
    }
}

/// The folder that holds what a path, or the fixed beginning of a pattern, is about.
pub(crate) fn folder(path: &str) -> &str {
    let (prefix, inner) = match Named::parse(path) {
        Some(named) => (named.prefix, named.path),
        None => ("", path),
    };
    let inner = inner.rsplit_once('/').map_or("", |(folder, _)| folder);
    &path[..prefix.len() + inner.len()]
}

/// Checks that a path stays inside the commit it names.
pub(crate) fn check_path(path: &str) -> Result<(), Box<Diagnostic>> {
    files::check_path(Named::parse(path).map_or(path, |named| named.path))
}

#[cfg(test)]
mod tests {
    use spec::MemoryFiles;

    use super::*;

    #[test]
    fn a_path_is_taken_apart() {
        for (text, parts) in [
            ("pipelines:flights/a.sql", Some(("pipelines", "pipelines:", "flights/a.sql"))),
            ("pipelines:/flights", Some(("pipelines", "pipelines:/", "flights"))),
            ("pipelines:", Some(("pipelines", "pipelines:", ""))),
            ("p:a:b", Some(("p", "p:", "a:b"))),
            ("flights/a:b", None),
            ("Pipelines:a", None),
            ("*:a", None),
            (":a", None),
            ("flights", None),
        ] {
            let named = Named::parse(text);
            assert_eq!(named.map(|named| (named.source, named.prefix, named.path)), parts, "{text}");
        }
        for (text, wanted) in [
            ("a/b/c", "a/b"),
            ("a", ""),
            ("s:a/b", "s:a"),
            ("s:a", "s:"),
            ("s:/a/b", "s:/a"),
            ("s:/a", "s:/"),
        ] {
            assert_eq!(folder(text), wanted, "{text}");
        }
        assert!(check_path("s:a/b").is_ok() && check_path("s:/a").is_ok());
        for bad in ["s:", "s:../a", "s://a", "s:a/.git/b", "../a"] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sources_are_beside_the_commit() {
        let (mut own, mut other) = (MemoryFiles::default(), MemoryFiles::default());
        own.insert("a", "own");
        own.insert("odd:name", "own");
        other.insert("f/a", "other");
        let mut files = SourcedFiles::new(Arc::new(own));
        files.insert("s", Ok(Arc::new(other)));
        files.insert("closed", Err(Box::new(Diagnostic::error("LCK005", "not here"))));
        let text = |path: &str| {
            files.read(path).map(|found| found.map(|text| String::from_utf8(text).unwrap_or_default()))
        };
        assert_eq!(text("a"), Ok(Some("own".to_owned())));
        assert_eq!(text("s:f/a"), Ok(Some("other".to_owned())));
        assert_eq!(text("s:/f/a"), Ok(Some("other".to_owned())));
        assert_eq!(text("s:a"), Ok(None));
        assert_eq!(text("odd:name"), Ok(Some("own".to_owned())));
        assert_eq!(text("closed:a").map_err(|finding| finding.code), Err("LCK005"));
        assert_eq!(files.list("s:").unwrap_or_default(), ["s:f/a"]);
        assert_eq!(files.list("s:/f").unwrap_or_default(), ["s:/f/a"]);
        assert_eq!(files.list("").unwrap_or_default(), ["a", "odd:name"]);
        assert!(files.tree_id("s:f").unwrap_or_default().is_some());
    }
}
