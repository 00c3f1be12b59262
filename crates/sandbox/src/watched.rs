//! Files that count what is read of them, and whose steps are watched.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use spec::{Diagnostic, Files};

use crate::Sources;
use crate::meter::Meter;

/// Bytes of files and of their names that one rendering may read, each time counted.
pub(crate) const MAX_READ: usize = 128 * 1024 * 1024;

/// What one rendering has read.
#[derive(Default)]
pub(crate) struct Allowance(AtomicUsize);

impl Allowance {
    /// Counts bytes.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Box<Diagnostic>> {
        if self.0.fetch_add(bytes, Relaxed).saturating_add(bytes) <= MAX_READ {
            return Ok(());
        }
        let cause = format!("the rendering reads more than {MAX_READ} bytes of files");
        Err(Box::new(Diagnostic::error("GIT011", cause).help("read each file once, and narrow patterns")))
    }
}

/// Files within the limits of a rendering.
struct Watched {
    files: Arc<dyn Files>,
    allowance: Arc<Allowance>,
    meter: Option<Arc<Meter>>,
}

impl Sources {
    /// The same files, within one allowance; with a meter their steps are watched.
    pub(crate) fn watched(&self, meter: Option<&Arc<Meter>>) -> Self {
        let allowance = Arc::new(Allowance::default());
        let watched = |files: &Arc<dyn Files>| -> Arc<dyn Files> {
            let (files, allowance) = (Arc::clone(files), Arc::clone(&allowance));
            Arc::new(Watched { files, allowance, meter: meter.cloned() })
        };
        let governor = self.governor.as_ref().map(|(revision, files)| (revision.clone(), watched(files)));
        Self { files: watched(&self.files), governor }
    }
}

impl Files for Watched {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Box<Diagnostic>> {
        let content = self.files.read(path)?;
        self.allowance.take(content.as_ref().map_or(0, Vec::len))?;
        Ok(content)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, Box<Diagnostic>> {
        let paths = self.files.list(folder)?;
        self.allowance.take(paths.iter().map(String::len).sum())?;
        Ok(paths)
    }

    fn tree_id(&self, folder: &str) -> Result<Option<String>, Box<Diagnostic>> {
        self.files.tree_id(folder)
    }

    fn step(&self, file: &Arc<str>, line: usize) -> Result<(), Box<Diagnostic>> {
        self.files.step(file, line)?;
        self.meter.as_ref().map_or(Ok(()), |meter| meter.step(file, line))
    }
}
