//! Fetching over HTTP, from a repository that git itself serves.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use source::{Credentials, PULL_BASE, Repository};
use spec::Files;
use tempfile::TempDir;
use testkit::{GitRepo, GitServer};

/// Base64 of `x-access-token:s3cret`.
const TOKEN: &str = "Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0";

fn served() -> (GitRepo, GitServer, TempDir) {
    let repo = GitRepo::new().unwrap();
    repo.write("a", "1").unwrap().commit("First").unwrap();
    repo.write("a", "2").unwrap().commit("Second").unwrap();
    let server = GitServer::serve(repo.path(), None, TOKEN).unwrap();
    (repo, server, TempDir::new().unwrap())
}

fn head(repo: &GitRepo, of: &str) -> String {
    repo.git(&["rev-parse", of]).unwrap().trim().to_owned()
}

fn code<T>(result: source::Result<T>) -> &'static str {
    result.err().unwrap().diagnostic().code
}

#[test]
fn branches_and_tags_are_fetched_without_history_and_again_when_they_move() {
    let (repo, server, cache) = served();
    repo.git(&["branch", "feature/x"]).unwrap();
    repo.git(&["tag", "-a", "-m", "One", "v1"]).unwrap();
    let url = format!("{}/repo", server.base);
    let open = || Repository::open(Some(&url), cache.path()).unwrap();
    let first = open();
    let at = |repository: &Repository, rev: Option<&str>| repository.resolve(rev, None).unwrap().revision;
    assert_eq!(at(&first, None), head(&repo, "main"));
    assert_eq!(at(&first, Some("v1")), head(&repo, "main"));
    assert_eq!(at(&first, Some("feature/x")), head(&repo, "main"));
    let second = head(&repo, "main");
    assert_eq!(first.tree(&second).unwrap().read("a").unwrap().unwrap(), b"2");
    assert!(first.tree(&head(&repo, "main~1")).is_err(), "its history came along");
    // Nothing new: what the server can do, and its refs; no pack.
    let before = server.requests().len();
    drop(open());
    assert_eq!(
        server.requests()[before..],
        ["GET /repo/info/refs?service=git-upload-pack", "POST /repo/git-upload-pack"]
    );

    // Moved twice, rewritten, gone; the parent of the second is what is there already.
    repo.write("a", "3").unwrap().commit("Third").unwrap();
    repo.write("a", "4").unwrap().commit("Fourth").unwrap();
    repo.git(&["branch", "-D", "feature/x"]).unwrap();
    repo.git(&["branch", "feature"]).unwrap();
    repo.git(&["tag", "-d", "v1"]).unwrap();
    let again = open();
    assert_eq!(at(&again, None), head(&repo, "main"));
    assert_eq!(again.tree(&at(&again, None)).unwrap().read("a").unwrap().unwrap(), b"4");
    assert_eq!(at(&again, Some("feature")), head(&repo, "main"));
    assert_eq!(code(again.resolve(Some("feature/x"), None)), "GIT001");
    assert_eq!(code(again.resolve(Some("v1"), None)), "GIT001");
    repo.git(&["reset", "--hard", "--quiet", &second]).unwrap();
    assert_eq!(at(&open(), None), second);
    // What git makes of the copy: every object that is not beyond the border is there.
    let folder = again.folder().display().to_string();
    repo.git(&["--git-dir", &folder, "fsck", "--full", "--strict"]).unwrap();
}

#[test]
fn a_pull_request_is_fetched_with_its_history() {
    let (repo, server, cache) = served();
    repo.git(&["checkout", "--quiet", "-b", "change", "main~1"]).unwrap();
    repo.write("b", "1").unwrap().commit("Change").unwrap();
    repo.git(&["update-ref", "refs/pull/7/head", "change"]).unwrap();
    let url = format!("{}/private", server.base);
    let pull =
        |credentials: Option<&Credentials>| Repository::pull(&url, 7, "main", cache.path(), credentials);
    let credentials = Credentials::new(&server.base, "s3cret").unwrap();
    for round in ["2", "3"] {
        let copy = pull(Some(&credentials)).unwrap();
        assert_eq!(copy.at("refs/mimeo/head").unwrap(), head(&repo, "change"));
        assert_eq!(copy.at(PULL_BASE).unwrap(), head(&repo, "main"));
        let base = copy.merge_base(&head(&repo, "change"), &head(&repo, "main")).unwrap();
        assert_eq!(base, Some(head(&repo, "main~1")));
        repo.write("b", round).unwrap().commit("Another").unwrap();
        repo.git(&["update-ref", "refs/pull/7/head", "change"]).unwrap();
    }
    // Asked without at first: the server says whether it wants one.
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.contains("/private/")), "{requests:?}");
    let wrong = Credentials::new(&server.base, "wrong").unwrap();
    assert_eq!(code(pull(Some(&wrong))), "GIT014");
    // A token for another server is not sent.
    let other = Credentials::new("https://git.example.com", "s3cret").unwrap();
    assert_eq!(code(pull(Some(&other))), "GIT014");
}

#[test]
fn redirects_are_followed_but_never_with_a_token() {
    let (repo, server, cache) = served();
    let url = format!("{}/moved", server.base);
    let copy = Repository::open(Some(&url), cache.path()).unwrap();
    assert_eq!(copy.resolve(None, None).unwrap().revision, head(&repo, "main"));
    let posted = server.requests().into_iter().rfind(|request| request.starts_with("POST"));
    assert_eq!(posted.as_deref(), Some("POST /repo/git-upload-pack"), "where the first answer led to");
    repo.git(&["update-ref", "refs/pull/7/head", "main"]).unwrap();
    let credentials = Credentials::new(&server.base, "s3cret").unwrap();
    let before = server.requests().len();
    assert!(Repository::pull(&url, 7, "main", cache.path(), Some(&credentials)).is_err());
    assert_eq!(server.requests().len(), before + 1);
}

#[test]
fn what_is_not_there_or_not_git_is_told() {
    let (_repo, server, cache) = served();
    let open = |path: &str| Repository::open(Some(&format!("{}/{path}", server.base)), cache.path());
    assert_eq!(code(open("gone")), "GIT014");
    assert_eq!(code(open("private")), "GIT014");
    let empty = TempDir::new().unwrap();
    git2::Repository::init_bare(empty.path()).unwrap();
    let of_nothing = GitServer::serve(empty.path(), None, TOKEN).unwrap();
    let copy = Repository::open(Some(&format!("{}/repo", of_nothing.base)), cache.path()).unwrap();
    assert_eq!(code(copy.resolve(None, None)), "GIT017");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(code(Repository::open(Some(&format!("http://{nobody}/x")), cache.path())), "GIT019");
}

/// A web page, or the files of a repository behind a server that knows nothing of git.
#[test]
fn what_is_no_git_server_is_not_called_unreachable() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/repo", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nhi\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let cache = TempDir::new().unwrap();
    assert_eq!(code(Repository::open(Some(&url), cache.path())), "GIT022");
}
