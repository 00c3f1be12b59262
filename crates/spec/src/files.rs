//! The files of one commit, as a value that can be looked up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use sha2::{Digest, Sha256};

use crate::Diagnostic;

/// Bytes of the largest file that is read.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// The files of one commit. Paths are relative to the root of the repository, with `/`.
///
/// The same path gives the same answer for as long as the value lives: whoever implements it reads git
/// objects of one commit, never a work tree.
pub trait Files: Send + Sync {
    /// The content of a file; `None` when there is none.
    ///
    /// # Errors
    /// When the path is not one of a regular file of the commit, or the content cannot be used.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Box<Diagnostic>>;

    /// Paths of all files below a folder, at any depth, sorted; `""` stands for the whole commit.
    ///
    /// # Errors
    /// When the folder is reached through something that is not a folder, or holds too much.
    fn list(&self, folder: &str) -> Result<Vec<String>, Box<Diagnostic>>;

    /// The git tree id of a folder; `None` when there is no such folder.
    ///
    /// # Errors
    /// When the folder is reached through something that is not a folder.
    fn tree_id(&self, folder: &str) -> Result<Option<String>, Box<Diagnostic>>;

    /// Told of each step of a rendering: the statement at this line of a template is about to run. Whoever
    /// limits what a rendering may take ends it here; without limits every step is taken.
    ///
    /// # Errors
    /// The limit that is reached, at this line.
    fn step(&self, file: &Arc<str>, line: usize) -> Result<(), Box<Diagnostic>> {
        let _ = (file, line);
        Ok(())
    }
}

/// Reads a file as text.
///
/// # Errors
/// As [`Files::read`], and when the content is not UTF-8 or stands in for a large file.
pub fn read_text(files: &dyn Files, path: &str) -> Result<Option<String>, Box<Diagnostic>> {
    let Some(bytes) = files.read(path)? else { return Ok(None) };
    text(path, bytes).map(Some)
}

/// Takes the bytes of a file as text.
///
/// # Errors
/// When they are too many (`GIT011`), not UTF-8 (`GIT015`) or a Git LFS pointer (`GIT010`).
pub fn text(path: &str, bytes: Vec<u8>) -> Result<String, Box<Diagnostic>> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(too_large(path, bytes.len()));
    }
    if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
        let cause = "content is a Git LFS pointer, not the file itself";
        return Err(Box::new(
            Diagnostic::error("GIT010", cause).at(path, 1, 1).help("commit the file without Git LFS"),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..offset];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        Box::new(
            Diagnostic::error("GIT015", format!("not UTF-8 at byte {offset}"))
                .at(path, line, column)
                .help("save the file as UTF-8"),
        )
    })
}

/// The finding about a file that is larger than [`MAX_FILE_BYTES`].
#[must_use]
pub fn too_large(path: &str, bytes: usize) -> Box<Diagnostic> {
    let cause = format!("file of {bytes} bytes, the limit is {MAX_FILE_BYTES}");
    Box::new(Diagnostic::error("GIT011", cause).at(path, 1, 1).help("keep large data out of git"))
}

/// Checks that a path asked for by a spec or template stays inside the commit.
///
/// # Errors
/// `GIT008` when it is empty, absolute, or has `..`, `.git`, a backslash or a NUL in it.
pub fn check_path(path: &str) -> Result<(), Box<Diagnostic>> {
    let bad = path.is_empty()
        || path.starts_with('/')
        || path.contains(['\\', '\0'])
        || path
            .split('/')
            .any(|part| part.is_empty() || part == "." || part == ".." || part.eq_ignore_ascii_case(".git"));
    if bad {
        let cause = format!("path {path:?} leaves the tree of the commit");
        let help = "give a path from the root of the repository, without `..`";
        return Err(Box::new(Diagnostic::error("GIT008", cause).help(help)));
    }
    Ok(())
}

/// Joins a folder, which may be empty, and a path.
#[must_use]
pub fn join(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

/// Files with which a rendering may take so many steps and no more: for tests and fuzzing, where what runs away has to
/// end alike on every machine.
pub struct Limited {
    files: Arc<dyn Files>,
    left: AtomicUsize,
}

impl Limited {
    /// The same files, for this many steps.
    #[must_use]
    pub fn new(files: Arc<dyn Files>, steps: usize) -> Self {
        Self { files, left: AtomicUsize::new(steps) }
    }
}

impl Files for Limited {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Box<Diagnostic>> {
        self.files.read(path)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, Box<Diagnostic>> {
        self.files.list(folder)
    }

    fn tree_id(&self, folder: &str) -> Result<Option<String>, Box<Diagnostic>> {
        self.files.tree_id(folder)
    }

    fn step(&self, file: &Arc<str>, line: usize) -> Result<(), Box<Diagnostic>> {
        match self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(Box::new(Diagnostic::error("TPL003", "no more steps").at(&**file, line, 1))),
        }
    }
}

/// Files held in memory: for tests, and for what was read before.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles(BTreeMap<String, Vec<u8>>);

impl MemoryFiles {
    /// Adds or replaces a file.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), content.into());
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Box<Diagnostic>> {
        check_path(path)?;
        Ok(self.0.get(path).cloned())
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, Box<Diagnostic>> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Ok(self.0.keys().filter(|path| path.starts_with(&prefix)).cloned().collect())
    }

    fn tree_id(&self, folder: &str) -> Result<Option<String>, Box<Diagnostic>> {
        let paths = self.list(folder)?;
        if paths.is_empty() {
            return Ok(None);
        }
        let mut hash = Sha256::new();
        for path in paths {
            hash.update(path.as_bytes());
            hash.update([0]);
            hash.update(Sha256::digest(&self.0[&path]));
        }
        Ok(Some(hex::encode(&hash.finalize()[..20])))
    }
}
