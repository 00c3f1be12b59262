//! Renderings that are kept, for a process that looks at the same environments again and again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use spec::{Diagnostic, Files};

use crate::rendered::Rendered;
use crate::request::{Governor, Request};

/// A rendering and its warnings.
pub type Kept = Arc<(Rendered, Vec<Diagnostic>)>;

type Key = [u8; 32];

/// Renderings by everything they were made from: what was rendered once is not rendered again.
pub struct Renderings {
    limit: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    kept: HashMap<Key, Kept>,
    /// The oldest first.
    order: VecDeque<Key>,
}

impl Renderings {
    /// Keeps as many renderings as `limit` says; the oldest goes first.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, known: Mutex::default() }
    }

    /// As [`crate::render`], or [`crate::render_governed`] with a governor; the same request for the same files
    /// gives what it gave before, without reading any of them. Errors are not kept.
    ///
    /// # Errors
    /// As [`crate::render`].
    pub fn render(
        &self,
        request: &Request,
        files: &Arc<dyn Files>,
        governor: Option<&Governor>,
    ) -> Result<Kept, Vec<Diagnostic>> {
        let key = key(request, files, governor);
        if let Some(kept) = key.and_then(|key| self.known().kept.get(&key).cloned()) {
            return Ok(kept);
        }
        let made = Arc::new(match governor {
            Some(governor) => crate::render_governed(request, files, governor)?,
            None => crate::render(request, files)?,
        });
        if let Some(key) = key {
            self.keep(key, &made);
        }
        Ok(made)
    }

    fn keep(&self, key: Key, made: &Kept) {
        let mut known = self.known();
        if known.kept.insert(key, Arc::clone(made)).is_none() {
            known.order.push_back(key);
        }
        while known.order.len() > self.limit {
            if let Some(oldest) = known.order.pop_front() {
                known.kept.remove(&oldest);
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // A panic elsewhere leaves no half of an entry that matters: it is only rendered again.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The digest of all that a rendering depends on; `None` where the files cannot say what they are.
///
/// All of the commit counts, since a template may read any file of it. `Debug` shows every field of a request, with
/// those to come.
fn key(request: &Request, files: &Arc<dyn Files>, governor: Option<&Governor>) -> Option<Key> {
    let tree = files.tree_id("").ok()??;
    let governor = match governor {
        Some(governor) => Some((&governor.revision, governor.files.tree_id("").ok()??)),
        None => None,
    };
    Some(Sha256::digest(format!("{tree} {governor:?} {request:?}")).into())
}
