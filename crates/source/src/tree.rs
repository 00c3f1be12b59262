//! The files of one commit, read from git objects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use git2::{ErrorCode, ObjectType, Oid, Repository as Git};
use spec::files::{self, MAX_FILE_BYTES};
use spec::{Category, Diagnostic, Files};
use unicode_normalization::UnicodeNormalization as _;

use crate::{Error, Repository, Result};

/// Entries of the largest commit that is listed.
pub const MAX_ENTRIES: usize = 100_000;
/// Folders in folders that are still followed.
pub const MAX_DEPTH: usize = 64;

const GITLINK: i32 = 0o160_000;
const SYMLINK: i32 = 0o120_000;

/// The files of one commit: a value, the same for as long as it lives.
pub struct Tree {
    git: Arc<Mutex<Git>>,
    root: Oid,
    label: String,
}

/// What stands at a path.
enum Found {
    Nothing,
    File(Oid),
    Folder(Oid),
}

type Read<T> = std::result::Result<T, Box<Diagnostic>>;

impl Repository {
    /// The files of one commit, given by its full id.
    ///
    /// # Errors
    /// When the commit is not there.
    pub fn tree(&self, revision: &str) -> Result<Tree> {
        let git = self.git();
        let missing = |_| Error::UnknownRevision {
            revision: revision.to_owned(),
            repository: self.label.clone(),
            help: "fetch it first".to_owned(),
        };
        let id = Oid::from_str(revision).map_err(missing)?;
        let root = git.find_commit(id).map_err(missing)?.tree_id();
        Ok(Tree { git: Arc::clone(&self.git), root, label: self.label.clone() })
    }
}

impl Tree {
    fn git(&self) -> MutexGuard<'_, Git> {
        self.git.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broken(&self, path: &str, error: &git2::Error) -> Box<Diagnostic> {
        let mut finding = Diagnostic::new(
            "GIT012",
            Category::Cluster,
            format!("an object of {} is missing or damaged", self.label),
        )
        .on(path)
        .help("run `git fsck`, or remove the cached copy");
        finding.detail.push(error.message().to_owned());
        Box::new(finding)
    }

    /// Walks a path entry by entry, so that nothing on it is followed out of the commit.
    fn find(&self, git: &Git, path: &str) -> Read<Found> {
        if path.is_empty() {
            return Ok(Found::Folder(self.root));
        }
        files::check_path(path)?;
        let mut folder = self.root;
        let mut parts = path.split('/').peekable();
        let mut walked = String::new();
        while let Some(part) = parts.next() {
            let tree = git.find_tree(folder).map_err(|error| self.broken(&walked, &error))?;
            walked = files::join(&walked, part);
            let Some(entry) = tree.get_name(part) else { return Ok(Found::Nothing) };
            refuse_links(git, entry.filemode(), entry.id(), &walked)?;
            match (entry.kind(), parts.peek()) {
                (Some(ObjectType::Tree), _) => folder = entry.id(),
                (Some(ObjectType::Blob), None) => return Ok(Found::File(entry.id())),
                _ => return Ok(Found::Nothing),
            }
        }
        Ok(Found::Folder(folder))
    }

    fn walk(&self, git: &Git, folder: Oid, path: &str, depth: usize, out: &mut Vec<String>) -> Read<()> {
        if depth > MAX_DEPTH {
            return Err(Box::new(
                Diagnostic::error("GIT011", format!("folders are nested deeper than {MAX_DEPTH}"))
                    .on(path)
                    .help("commit fewer folders in one another"),
            ));
        }
        let tree = git.find_tree(folder).map_err(|error| self.broken(path, &error))?;
        let mut folded: BTreeMap<String, String> = BTreeMap::new();
        for entry in &tree {
            let Ok(name) = entry.name() else {
                let name = String::from_utf8_lossy(entry.name_bytes());
                let cause = format!("the name of the file `{}` is not UTF-8", files::join(path, &name));
                return Err(Box::new(Diagnostic::error("GIT015", cause).help("rename it")));
            };
            let full = files::join(path, name);
            if let Some(other) = folded.insert(folded_name(name), full.clone()) {
                return Err(collision(&other, &full));
            }
            match entry.kind() {
                Some(ObjectType::Tree) => self.walk(git, entry.id(), &full, depth + 1, out)?,
                // Symlinks and submodules are listed as well: who reads one is told.
                _ => out.push(full),
            }
            if out.len() > MAX_ENTRIES {
                return Err(Box::new(
                    Diagnostic::error("GIT011", format!("more than {MAX_ENTRIES} files")).on(path),
                ));
            }
        }
        Ok(())
    }
}

impl Files for Tree {
    fn read(&self, path: &str) -> Read<Option<Vec<u8>>> {
        files::check_path(path)?;
        let git = self.git();
        let Found::File(id) = self.find(&git, path)? else { return Ok(None) };
        // The header tells the size before anything large is in memory.
        let odb = git.odb().map_err(|error| self.broken(path, &error))?;
        let (size, _) = odb.read_header(id).map_err(|error| self.broken(path, &error))?;
        if size > MAX_FILE_BYTES {
            return Err(files::too_large(path, size));
        }
        let blob = git.find_blob(id).map_err(|error| self.broken(path, &error))?;
        Ok(Some(blob.content().to_vec()))
    }

    fn list(&self, folder: &str) -> Read<Vec<String>> {
        let git = self.git();
        let Found::Folder(id) = self.find(&git, folder)? else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        self.walk(&git, id, folder, 0, &mut out)?;
        out.sort();
        Ok(out)
    }

    fn tree_id(&self, folder: &str) -> Read<Option<String>> {
        let git = self.git();
        Ok(match self.find(&git, folder)? {
            Found::Folder(id) => Some(id.to_string()),
            _ => None,
        })
    }
}

/// What a name is for file systems that ignore case, or that compose letters and accents.
fn folded_name(name: &str) -> String {
    name.to_lowercase().nfc().collect()
}

fn collision(first: &str, second: &str) -> Box<Diagnostic> {
    let cause = if first.to_lowercase() == second.to_lowercase() {
        format!("`{first}` and `{second}` differ only in case")
    } else {
        format!("`{}` and `{}` look the same", first.escape_default(), second.escape_default())
    };
    Box::new(Diagnostic::error("GIT009", cause).help("rename one of them"))
}

fn refuse_links(git: &Git, mode: i32, id: Oid, path: &str) -> Read<()> {
    match mode {
        SYMLINK => {
            let target = match git.find_blob(id) {
                Ok(blob) => String::from_utf8_lossy(blob.content()).into_owned(),
                Err(error) if error.code() == ErrorCode::NotFound => "?".to_owned(),
                Err(_) => "?".to_owned(),
            };
            let cause = format!("symlink to `{target}` is not followed");
            Err(Box::new(Diagnostic::error("GIT006", cause).at(path, 1, 1).help("commit the file itself")))
        }
        GITLINK => {
            let cause = "submodules are not fetched";
            Err(Box::new(
                Diagnostic::error("GIT007", cause).at(path, 1, 1).help("commit the files themselves"),
            ))
        }
        _ => Ok(()),
    }
}
