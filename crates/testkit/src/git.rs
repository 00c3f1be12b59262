//! Repositories for tests: built commit by commit, the same every time.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// A repository in a directory of its own.
pub struct GitRepo {
    _home: TempDir,
    path: PathBuf,
}

impl GitRepo {
    /// An empty repository on branch `main`.
    ///
    /// # Errors
    /// When git does not do it.
    pub fn new() -> Result<Self> {
        let home = tempfile::Builder::new().prefix("mimeo-repo-").tempdir()?;
        let path = home.path().join("work");
        std::fs::create_dir(&path)?;
        let repo = Self { _home: home, path };
        repo.git(&["init", "--quiet", "--initial-branch=main"])?;
        Ok(repo)
    }

    /// Its work tree.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its work tree, for a command line.
    #[must_use]
    pub fn arg(&self) -> String {
        self.path.display().to_string()
    }

    /// Runs git in it. Identity, dates and settings are the test's, not the machine's.
    ///
    /// # Errors
    /// When git fails.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        git(&self.path, arguments)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<&Self> {
        let file = self.path.join(path);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(self)
    }

    /// Replaces a text in a file; it must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn edit(&self, path: &str, from: &str, to: &str) -> Result<&Self> {
        let text = std::fs::read_to_string(self.path.join(path)).with_context(|| path.to_owned())?;
        if !text.contains(from) {
            bail!("{path} does not hold {from:?}");
        }
        self.write(path, &text.replace(from, to))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When it is not there.
    pub fn remove(&self, path: &str) -> Result<&Self> {
        std::fs::remove_file(self.path.join(path)).with_context(|| path.to_owned())?;
        Ok(self)
    }

    /// Copies a folder into it. In names and texts, every `from` becomes its `to`.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn copy(&self, folder: &Path, replace: &[(&str, &str)]) -> Result<&Self> {
        self.copied(folder, "", replace)
    }

    /// Copies a folder below another one of its own.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn copy_below(&self, folder: &Path, own: &str) -> Result<&Self> {
        self.copied(folder, &format!("{own}/"), &[])
    }

    fn copied(&self, folder: &Path, below: &str, replace: &[(&str, &str)]) -> Result<&Self> {
        let mut open = vec![folder.to_owned()];
        while let Some(next) = open.pop() {
            for entry in std::fs::read_dir(&next).with_context(|| next.display().to_string())? {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let mut name = path.strip_prefix(folder)?.display().to_string();
                let mut text = std::fs::read_to_string(&path)?;
                for (from, to) in replace {
                    name = name.replace(from, to);
                    text = text.replace(from, to);
                }
                self.write(&format!("{below}{name}"), &text)?;
            }
        }
        Ok(self)
    }

    /// Commits everything; returns the commit's id.
    ///
    /// # Errors
    /// When there is nothing to commit.
    pub fn commit(&self, message: &str) -> Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])?;
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Makes a branch here and checks it out.
    ///
    /// # Errors
    /// When it exists.
    pub fn branch(&self, name: &str) -> Result<&Self> {
        self.git(&["checkout", "--quiet", "-b", name])?;
        Ok(self)
    }

    /// Checks a branch or commit out.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn checkout(&self, name: &str) -> Result<&Self> {
        self.git(&["checkout", "--quiet", name])?;
        Ok(self)
    }

    /// Clones it, with every branch, into a directory of the clone's own.
    ///
    /// # Errors
    /// When git does not do it.
    pub fn clone_whole(&self) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("mimeo-clone-").tempdir()?;
        let path = home.path().join("another place");
        git(home.path(), &["clone", "--quiet", &self.arg(), &path.display().to_string()])?;
        Ok(Self { _home: home, path })
    }
}

fn git(directory: &Path, arguments: &[&str]) -> Result<String> {
    let date = "2026-01-02T03:04:05Z";
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
        .envs([
            ("GIT_AUTHOR_NAME", "Test"),
            ("GIT_AUTHOR_EMAIL", "test@example.com"),
            ("GIT_AUTHOR_DATE", date),
        ])
        .envs([
            ("GIT_COMMITTER_NAME", "Test"),
            ("GIT_COMMITTER_EMAIL", "test@example.com"),
            ("GIT_COMMITTER_DATE", date),
        ])
        .env_remove("GIT_DIR")
        .output()
        .context("cannot start git")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
