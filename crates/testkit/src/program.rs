//! The program under test, held still: a build that runs beside the tests must not change it midway.

use std::path::{Path, PathBuf};

/// Tells a test inside a throw-away control plane what the one outside holds.
pub(crate) const HELD: &str = "MIMEO_HELD_PROGRAM";

/// A second name, in `folder`, for the program as it is now. Names that earlier test runs have left
/// are removed. Where no link can be made, it is the program itself.
#[must_use]
pub fn hold(program: &Path, folder: &Path) -> PathBuf {
    if let Some(held) = std::env::var_os(HELD) {
        return held.into();
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix("held-by-"));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another run may be doing the same: then it is gone already.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    // The program tells people its own name: the link keeps it.
    let own = folder.join(format!("held-by-{}", std::process::id()));
    let held = own.join(program.file_name().unwrap_or_default());
    match std::fs::create_dir(&own).and_then(|()| std::fs::hard_link(program, &held)) {
        Ok(()) => held,
        Err(_) => program.to_owned(),
    }
}
