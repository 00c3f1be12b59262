//! Files that a command line or an environment variable names: read up to a size, whatever stands behind the path.

use std::{fs::File, io::Read as _, path::Path};

use engine::Error;
use spec::Diagnostic;

/// As much as a file of a commit may hold.
pub const TEXT: u64 = MIB;
/// A plan, or the description of a CI job's event.
pub const LARGE: u64 = 32 * MIB;

const MIB: u64 = 1024 * 1024;

/// Reads a text of at most `most` bytes.
///
/// # Errors
/// `ARG001` when it cannot be read or is not UTF-8, `ARG015` when there is more of it.
pub fn read(path: &Path, most: u64) -> Result<String, Error> {
    let on = |finding: Diagnostic| Error::from(finding.on(path.display().to_string()));
    let unreadable = |cause: String| {
        on(Diagnostic::error("ARG001", format!("cannot read the file: {cause}")).help("Check the path"))
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let read = file.take(most + 1).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if read as u64 > most {
        let cause = format!("the file is larger than {} MiB", most / MIB);
        return Err(on(
            Diagnostic::error("ARG015", cause).help("Check the path: nothing of that size is read")
        ));
    }
    String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_an_endless_one_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let code = |path: &Path| read(path, 8).map_err(|error| error.diagnostics()[0].code);
        for (bytes, expected) in [
            (&b"12345678"[..], Ok("12345678".to_owned())),
            (b"123456789", Err("ARG015")),
            (b"\xff", Err("ARG001")),
            (b"", Ok(String::new())),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(code(&path), expected, "{bytes:?}");
        }
        assert_eq!(code(Path::new("/dev/zero")), Err("ARG015"));
        assert_eq!(code(folder.path()), Err("ARG001"));
    }
}
