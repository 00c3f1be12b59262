//! Case files: one file, one case.
//!
//! A case begins with a line that says what it shows. Then come sections headed `-- name --`; those whose names
//! hold a slash are files.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::checkout;

/// One case.
#[derive(Debug)]
pub struct CaseFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it shows.
    pub title: String,
    /// Its sections in order.
    pub sections: Vec<(String, String)>,
}

impl CaseFile {
    /// Every case of a folder of `tests/cases`, by name.
    ///
    /// # Errors
    /// When there is anything in it that is no case.
    pub fn all(folder: &str) -> Result<Vec<Self>> {
        let root = checkout().join("tests/cases").join(folder);
        let entries = std::fs::read_dir(&root).with_context(|| root.display().to_string())?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Result<Self> {
        if path.extension().is_none_or(|end| end != "case") {
            bail!("{} is not a case", path.display());
        }
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut title = String::new();
        let mut sections: Vec<(String, String)> = Vec::new();
        for line in text.split_inclusive('\n') {
            let header = line.trim_end().strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --"));
            match (header, sections.last_mut()) {
                (Some(name), _) => sections.push((name.to_owned(), String::new())),
                (None, Some((_, body))) => body.push_str(line),
                (None, None) => title.push_str(line),
            }
        }
        if title.trim().is_empty() {
            bail!("{}: the first line says what the case shows", path.display());
        }
        Ok(Self { path: path.to_owned(), title, sections })
    }

    /// Its name, which is the file's.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.file_stem().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// A section by name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&str> {
        self.sections.iter().find(|(known, _)| known == name).map(|(_, body)| body.as_str())
    }

    /// The files it brings, with those of `defaults` that it leaves out.
    #[must_use]
    pub fn files<'a>(&'a self, defaults: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = self.sections.iter().filter(|(name, _)| name.contains('/'));
        let own: Vec<(&str, &str)> = own.map(|(name, body)| (name.as_str(), body.as_str())).collect();
        let missing = defaults.iter().filter(|(name, _)| !own.iter().any(|(known, _)| known == name));
        missing.copied().chain(own.iter().copied()).collect()
    }
}
