//! The token: where it comes from, and how it stays out of sight.

use std::{
    env,
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use crate::{Error, Result};

const VARIABLE: &str = "MIMEO_FORGE_TOKEN";
const FILE_VARIABLE: &str = "MIMEO_FORGE_TOKEN_FILE";

/// A token of a forge. It is shown as `Token(***)` and is sent to the API base of one forge only.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token in `MIMEO_FORGE_TOKEN`, or in the file that `MIMEO_FORGE_TOKEN_FILE` names, without the white
    /// space around it. A variable that is empty counts as not set, as a secret that a pipeline does not have.
    ///
    /// # Errors
    /// [`Error::Token`] when both are set, when the file cannot be read or is empty, or when the token is no line
    /// of visible ASCII.
    pub fn from_environment() -> Result<Option<Self>> {
        read(env::var_os(VARIABLE), env::var_os(FILE_VARIABLE))
    }

    /// A token as it is.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self(token)
    }

    /// The token itself, for a header.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

fn read(variable: Option<OsString>, file: Option<OsString>) -> Result<Option<Token>> {
    let set = |value: Option<OsString>| value.filter(|value| !value.is_empty());
    let refused = |why: String| Err(Error::Token { why });
    let (text, origin) = match (set(variable), set(file)) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return refused(format!("{VARIABLE} and {FILE_VARIABLE} are both set")),
        (Some(token), None) => (token.into_string().unwrap_or_default(), VARIABLE.to_owned()),
        (None, Some(path)) => {
            let shown = path.to_string_lossy().into_owned();
            match short(Path::new(&path)) {
                Ok(bytes) => (String::from_utf8(bytes).unwrap_or_default(), shown),
                Err(error) => return refused(format!("{shown} cannot be read: {error}")),
            }
        }
    };
    let token = text.trim();
    if !is_usable(token) {
        return refused(format!("{origin} holds no token: expected one line of visible ASCII"));
    }
    Ok(Some(Token(token.to_owned())))
}

/// A file that holds no more than a token: it may have no end.
fn short(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path)?.take(LONGEST).read_to_end(&mut bytes)? as u64 {
        LONGEST => Err(io::Error::other("it is larger than a token")),
        _ => Ok(bytes),
    }
}

/// Bytes; the tokens of forges have less than a hundredth of that.
const LONGEST: u64 = 64 * 1024;

/// Whether a text can stand in a header: visible ASCII, and something of it.
pub(crate) fn is_usable(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, OsString) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, text).unwrap();
        (folder, path.into_os_string())
    }

    #[test]
    fn a_token_comes_from_the_variable_or_the_file_without_white_space() {
        let (_folder, path) = file("  from-file\n");
        let read = |variable: Option<&str>, file: Option<&OsString>| {
            read(variable.map(OsString::from), file.cloned()).unwrap()
        };
        assert_eq!(read(Some("from-variable\n"), None).unwrap().expose(), "from-variable");
        assert_eq!(read(None, Some(&path)).unwrap().expose(), "from-file");
        assert_eq!(read(Some(""), Some(&path)).unwrap().expose(), "from-file");
        assert_eq!(read(Some(""), Some(&OsString::new())), None);
        assert_eq!(read(None, None), None);
    }

    #[test]
    fn what_is_no_token_is_refused_without_showing_it() {
        let (_one, empty) = file(" \n");
        let (_two, lines) = file("s3cret-a\ns3cret-b\n");
        let missing = OsString::from("/nowhere/token");
        let endless = OsString::from("/dev/zero");
        for (variable, file) in [
            (Some("s3cret"), Some(&lines)),
            (Some("s3cret and"), None),
            (Some("s3crét"), None),
            (Some("  "), None),
            (None, Some(&empty)),
            (None, Some(&lines)),
            (None, Some(&missing)),
            (None, Some(&endless)),
        ] {
            let error = read(variable.map(OsString::from), file.cloned()).unwrap_err();
            assert_eq!(error.diagnostic().code, "FRG001", "{variable:?} {file:?}");
            assert!(!format!("{error} {error:?} {:?}", error.diagnostic()).contains("s3cr"), "{error}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        assert_eq!(format!("{:?}", Some(Token::new("s3cret".to_owned()))), "Some(Token(***))");
    }
}
