//! Real repositories, made here: what a revision means, and which files it has.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::Path;

use git2::{Oid, Repository as Git, Signature, Time};
use source::{Repository, Tree};
use spec::Files;
use tempfile::TempDir;

const BLOB: i32 = 0o100_644;
const LINK: i32 = 0o120_000;
const MODULE: i32 = 0o160_000;

struct Fixture {
    folder: TempDir,
    git: Git,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut options = git2::RepositoryInitOptions::new();
        let git = Git::init_opts(folder.path(), options.initial_head("main")).unwrap();
        Self { folder, git }
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// Commits entries (path in one folder at most, mode, content) to a ref; the work tree stays as it is.
    fn commit(&self, reference: &str, entries: &[(&str, i32, &str)]) -> Oid {
        let mut index = git2::Index::new().unwrap();
        for (path, mode, content) in entries {
            let id = match *mode {
                MODULE => Oid::from_str("0123456789012345678901234567890123456789").unwrap(),
                _ => self.git.blob(content.as_bytes()).unwrap(),
            };
            let entry = git2::IndexEntry {
                ctime: git2::IndexTime::new(0, 0),
                mtime: git2::IndexTime::new(0, 0),
                dev: 0,
                ino: 0,
                mode: u32::try_from(*mode).unwrap(),
                uid: 0,
                gid: 0,
                file_size: 0,
                id,
                flags: 0,
                flags_extended: 0,
                path: path.as_bytes().to_vec(),
            };
            index.add(&entry).unwrap();
        }
        let tree = self.git.find_tree(index.write_tree_to(&self.git).unwrap()).unwrap();
        let who = Signature::new("t", "t@example.com", &Time::new(1_700_000_000, 0)).unwrap();
        let parent = self.git.refname_to_id(reference).ok().map(|id| self.git.find_commit(id).unwrap());
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        self.git.commit(Some(reference), &who, &who, "a change", &tree, &parents).unwrap()
    }

    fn open(&self) -> Repository {
        Repository::open(Some(self.path()), Path::new("/nonexistent")).unwrap()
    }

    fn tree(&self, entries: &[(&str, i32, &str)]) -> Tree {
        let id = self.commit("refs/heads/main", entries);
        self.open().tree(&id.to_string()).unwrap()
    }
}

fn code<T>(result: source::Result<T>) -> (&'static str, String) {
    let finding = result.err().unwrap().diagnostic();
    (finding.code, format!("{finding}; {}", finding.help.clone().unwrap_or_default()))
}

fn file_code<T>(result: Result<T, Box<spec::Diagnostic>>) -> &'static str {
    result.err().unwrap().code
}

#[test]
fn a_revision_is_a_branch_a_tag_or_a_commit() {
    let fixture = Fixture::new();
    let main = fixture.commit("refs/heads/main", &[("a", BLOB, "1")]);
    let other = fixture.commit("refs/heads/feature/ÄÖÜ", &[("a", BLOB, "2")]);
    let remote = fixture.commit("refs/remotes/origin/only-there", &[("a", BLOB, "3")]);
    fixture.commit("refs/remotes/origin/main", &[("a", BLOB, "4")]);
    fixture.git.remote("origin", "git@git.example.com:team/flights.git").unwrap();
    let tagged = fixture.git.find_object(main, None).unwrap();
    let who = Signature::new("t", "t@example.com", &Time::new(0, 0)).unwrap();
    fixture.git.tag("v1", &tagged, &who, "annotated", false).unwrap();
    let repository = fixture.open();
    let resolve = |rev: Option<&str>| {
        let found = repository.resolve(rev, None).unwrap();
        (found.revision, found.ref_name)
    };
    let pair = |id: Oid, name: &str| (id.to_string(), name.to_owned());
    assert_eq!(resolve(None), pair(main, "main"));
    assert_eq!(resolve(Some("HEAD")), pair(main, "main"));
    assert_eq!(resolve(Some("main")), pair(main, "main"));
    assert_eq!(resolve(Some("refs/heads/main")), pair(main, "main"));
    assert_eq!(resolve(Some("feature/ÄÖÜ")), pair(other, "feature/ÄÖÜ"));
    assert_eq!(resolve(Some("v1")), pair(main, "v1"));
    assert_eq!(resolve(Some("only-there")), pair(remote, "only-there"));
    assert_eq!(resolve(Some("origin/only-there")), pair(remote, "only-there"));
    assert_eq!(resolve(Some("refs/remotes/origin/only-there")), pair(remote, "only-there"));
    assert!(code(repository.resolve(Some("only-ther"), None)).1.contains("`only-there`"));
    // The local branch wins over the remote's, unless that is named; its environment is the same one.
    assert_ne!(resolve(Some("origin/main")).0, main.to_string());
    assert_eq!(resolve(Some("origin/main")).1, "main");

    let full = main.to_string();
    assert_eq!(repository.resolve(Some(&full), Some("demo")).unwrap().ref_name, "demo");
    assert_eq!(repository.resolve(Some(&full[..10]), Some("demo")).unwrap().revision, full);
    assert_eq!(repository.resolve(Some("main"), Some("demo")).unwrap().ref_name, "demo");
    assert_eq!(code(repository.resolve(Some(&full), None)).0, "GIT003");
    let (unknown, text) = code(repository.resolve(Some("mian"), None));
    assert_eq!(unknown, "GIT001");
    assert!(text.contains("`main`"), "{text}");
    assert_eq!(code(repository.resolve(Some(&"f".repeat(40)), Some("x"))).0, "GIT001");
    for bad in ["", "a b", "a..b", &"x".repeat(300)] {
        assert_eq!(code(repository.resolve(None, Some(bad))).0, "GIT020", "{bad}");
    }
    fixture.git.set_head_detached(main).unwrap();
    assert_eq!(code(repository.resolve(None, None)).0, "GIT003");
    assert_eq!(repository.resolve(None, Some("x")).unwrap().revision, full);
}

#[test]
fn no_repository_no_commits() {
    let fixture = Fixture::new();
    assert_eq!(code(fixture.open().resolve(None, None)).0, "GIT017");
    assert_eq!(code(fixture.open().resolve(Some("main"), None)).0, "GIT017");
    let empty = TempDir::new().unwrap();
    assert_eq!(code(Repository::open(empty.path().to_str(), empty.path())).0, "GIT016");
    // A blob that begins a file gives the cache folder nowhere to be.
    fs::write(empty.path().join("file"), "").unwrap();
    assert_eq!(code(Repository::open(Some("https://127.0.0.1:1/x"), &empty.path().join("file"))).0, "GIT021");
    assert_eq!(code(Repository::open(Some("https://127.0.0.1:1/x"), empty.path())).0, "GIT019");
}

#[test]
fn the_identity_is_the_same_for_every_clone() {
    let fixture = Fixture::new();
    let root = fixture.commit("refs/heads/main", &[("a", BLOB, "1")]);
    fixture.commit("refs/heads/main", &[("a", BLOB, "2")]);
    assert_eq!(fixture.open().identity(None).unwrap(), format!("root:{root}"));
    assert_eq!(fixture.open().identity(Some("x/y")).unwrap(), "x/y");
    fixture.git.remote("local", "/srv/git/x.git").unwrap();
    assert_eq!(fixture.open().identity(None).unwrap(), format!("root:{root}"));
    fixture.git.remote("origin", "https://u:p@Git.Example.com:443/team/flights.git").unwrap();
    assert_eq!(fixture.open().identity(None).unwrap(), "git.example.com/team/flights");
}

#[test]
fn a_shallow_clone_says_so() {
    let fixture = Fixture::new();
    fixture.commit("refs/heads/main", &[("a", BLOB, "1")]);
    let tip = fixture.commit("refs/heads/main", &[("a", BLOB, "2")]);
    fs::write(fixture.folder.path().join(".git/shallow"), format!("{tip}\n")).unwrap();
    let repository = fixture.open();
    assert_eq!(code(repository.identity(None)).0, "GIT018");
    let (unknown, text) = code(repository.resolve(Some(&"e".repeat(40)), Some("x")));
    assert_eq!(unknown, "GIT001");
    assert!(text.contains("shallow"), "{text}");
}

#[test]
fn the_work_tree_is_never_read() {
    let fixture = Fixture::new();
    let id = fixture.commit("refs/heads/main", &[("dir/a", BLOB, "committed")]);
    fs::create_dir(fixture.folder.path().join("dir")).unwrap();
    fs::write(fixture.folder.path().join("dir/a"), "dirty").unwrap();
    let repository = fixture.open();
    assert!(repository.resolve(None, None).unwrap().dirty);
    let tree = repository.tree(&id.to_string()).unwrap();
    assert_eq!(tree.read("dir/a").unwrap().unwrap(), b"committed");
    // A commit made later changes nothing.
    fixture.commit("refs/heads/main", &[("dir/a", BLOB, "later")]);
    assert_eq!(tree.read("dir/a").unwrap().unwrap(), b"committed");
}

#[test]
fn files_of_a_commit() {
    let fixture = Fixture::new();
    let tree = fixture.tree(&[
        ("a", BLOB, "1"),
        ("dir/b", BLOB, "2"),
        ("dir/sub/c", BLOB, "3"),
        ("link", LINK, "/etc/passwd"),
        ("linked/x", LINK, "../a"),
        ("module", MODULE, ""),
    ]);
    assert_eq!(tree.read("dir/sub/c").unwrap().unwrap(), b"3");
    assert_eq!(tree.read("dir/none").unwrap(), None);
    assert_eq!(tree.read("dir").unwrap(), None);
    assert_eq!(tree.list("dir").unwrap(), ["dir/b", "dir/sub/c"]);
    assert_eq!(tree.list("none").unwrap(), Vec::<String>::new());
    assert!(tree.list("").unwrap().contains(&"link".to_owned()));
    assert_eq!(tree.tree_id("dir").unwrap().unwrap().len(), 40);
    assert_eq!(tree.tree_id("none").unwrap(), None);
    assert_eq!(file_code(tree.read("link")), "GIT006");
    assert_eq!(file_code(tree.read("link/x")), "GIT006");
    assert_eq!(file_code(tree.read("linked/x")), "GIT006");
    assert_eq!(file_code(tree.list("link")), "GIT006");
    assert_eq!(file_code(tree.read("module/x")), "GIT007");
    for bad in ["../a", "/a", "dir/../a", "a\\b", ".git/config", "dir//b", "", "a\0"] {
        assert_eq!(file_code(tree.read(bad)), "GIT008", "{bad:?}");
    }
}

#[test]
fn limits_and_collisions() {
    let fixture = Fixture::new();
    let large = "x".repeat(spec::files::MAX_FILE_BYTES + 1);
    let tree = fixture.tree(&[("large", BLOB, &large), ("dir/A", BLOB, "1"), ("dir/a", BLOB, "2")]);
    assert_eq!(file_code(tree.read("large")), "GIT011");
    assert_eq!(file_code(tree.list("dir")), "GIT009");
}

#[test]
fn a_damaged_object_is_not_an_absent_file() {
    let fixture = Fixture::new();
    let tree = fixture.tree(&[("dir/a", BLOB, "content")]);
    let blob = fixture.git.blob(b"content").unwrap().to_string();
    drop(tree);
    let object = fixture.folder.path().join(".git/objects").join(&blob[..2]).join(&blob[2..]);
    fs::remove_file(object).unwrap();
    let head = fixture.git.refname_to_id("refs/heads/main").unwrap().to_string();
    let tree = fixture.open().tree(&head).unwrap();
    assert_eq!(file_code(tree.read("dir/a")), "GIT012");
}

/// `git daemon` on loopback, ended with the test.
struct Daemon {
    child: std::process::Child,
    url: String,
}

impl Daemon {
    fn serve(folder: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // The program itself, not `git daemon`: killing that would leave this one behind.
        let programs = std::process::Command::new("git").arg("--exec-path").output().unwrap().stdout;
        let program = Path::new(String::from_utf8(programs).unwrap().trim()).join("git-daemon");
        let child = std::process::Command::new(program)
            .args(["--export-all", "--listen=127.0.0.1", &format!("--port={port}"), "--reuseaddr"])
            .arg(format!("--base-path={}", folder.display()))
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        Self { child, url: format!("git://127.0.0.1:{port}/") }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_url_is_fetched_without_history_and_again_when_it_moves() {
    let fixture = Fixture::new();
    fixture.commit("refs/heads/main", &[("a", BLOB, "1")]);
    let second = fixture.commit("refs/heads/main", &[("a", BLOB, "2")]);
    let side = fixture.commit("refs/heads/feature/x", &[("a", BLOB, "3")]);
    let daemon = Daemon::serve(fixture.folder.path());
    let cache = TempDir::new().unwrap();
    let open = || Repository::open(Some(&daemon.url), cache.path());
    let repository = open().unwrap();
    let resolved = |repository: &Repository, rev: Option<&str>| repository.resolve(rev, None).unwrap();
    assert_eq!(resolved(&repository, None).revision, second.to_string());
    assert_eq!(resolved(&repository, None).ref_name, "main");
    assert!(!resolved(&repository, None).dirty);
    assert_eq!(resolved(&repository, Some("feature/x")).revision, side.to_string());
    assert!(Git::open(repository.folder()).unwrap().is_shallow());
    let tree = repository.tree(&side.to_string()).unwrap();
    assert_eq!(tree.read("a").unwrap().unwrap(), b"3");

    // Moved, and one gone.
    let third = fixture.commit("refs/heads/main", &[("a", BLOB, "4")]);
    fixture.git.find_reference("refs/heads/feature/x").unwrap().delete().unwrap();
    let several: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| resolved(&open().unwrap(), None).revision)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(several, vec![third.to_string(); 4]);
    assert_eq!(code(open().unwrap().resolve(Some("feature/x"), None)).0, "GIT001");
    // What was read before stays readable.
    assert_eq!(tree.read("a").unwrap().unwrap(), b"3");

    let gone = format!("{}none", daemon.url);
    let refused = Repository::open(Some(&gone), cache.path()).err().unwrap().diagnostic();
    assert_eq!(refused.code, "GIT014", "{refused:?}");
}
