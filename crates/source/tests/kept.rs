//! A known commit is read from the copy that is kept: nobody is asked, and nothing is written.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use source::{Network, Repository};
use spec::Files;
use tempfile::TempDir;
use testkit::{GitRepo, GitServer};

/// Every file and folder with its size and time.
fn everything(folder: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            found.extend(everything(&entry.path()));
        }
        found.insert(entry.path().display().to_string(), (about.len(), about.modified().unwrap()));
    }
    found
}

#[test]
fn a_hundred_files_of_a_commit_that_is_here() {
    let repo = GitRepo::new().unwrap();
    for number in 0..100 {
        repo.write(&format!("environments/e{number}.yaml"), &format!("number: {number}\n")).unwrap();
    }
    repo.write("environments.txt", "not below the folder").unwrap();
    let commit = repo.commit("Begin").unwrap();
    let (server, cache) = (GitServer::serve(repo.path(), None, "").unwrap(), TempDir::new().unwrap());
    let url = format!("{}/repo", server.base);
    let kept =
        |url: &str, revision: &str| Repository::pinned(url, revision, cache.path(), Network::Never).ok();
    assert!(kept(&url, &commit).is_none(), "nothing was fetched yet");
    assert_eq!(everything(cache.path()), BTreeMap::new());
    drop(Repository::open(Some(&url), cache.path()).unwrap());

    let (asked, before) = (server.requests(), everything(cache.path()));
    let repository = kept(&url, &commit).unwrap();
    assert_eq!(repository.resolve(Some(&commit), Some("demo")).unwrap().revision, commit);
    let tree = repository.tree(&commit).unwrap();
    let paths = tree.list("environments").unwrap();
    assert_eq!(paths.len(), 100);
    for path in &paths {
        assert!(tree.read(path).unwrap().unwrap().starts_with(b"number: "), "{path}");
    }
    assert_eq!(server.requests(), asked);
    assert_eq!(everything(cache.path()), before);

    // What is not here is asked for; and again where the history is needed for it.
    repo.write("new", "1").unwrap();
    let newer = repo.commit("Newer").unwrap();
    assert!(kept(&url, &newer).is_none());
    repo.write("new", "2").unwrap();
    repo.commit("Newest").unwrap();
    let fetched = Repository::pinned(&url, &newer, cache.path(), Network::With(None)).unwrap();
    assert_eq!(fetched.tree(&newer).unwrap().read("new").unwrap().unwrap(), b"1");
    assert!(Repository::pinned("https://u:p@h/p", &commit, cache.path(), Network::Never).is_err());
}
