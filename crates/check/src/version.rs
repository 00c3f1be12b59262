//! Which versions of Kubernetes there are tables for.

use std::fmt;

use serde::{Deserialize, Serialize};
use spec::Diagnostic;

/// A minor version of Kubernetes 1, such as 1.35.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(u8);

/// The versions there are tables for, oldest first.
pub const SUPPORTED: [Version; 4] = [Version(33), Version(34), Version(35), Version(36)];

impl Version {
    /// The newest version there is a table for.
    pub const NEWEST: Self = SUPPORTED[SUPPORTED.len() - 1];

    /// Reads `1.35`, `v1.35` or `1.35.4`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().trim_start_matches('v').split('.');
        let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next());
        let is_number = patch.is_none_or(|patch| patch.parse::<u32>().is_ok());
        let version = Self(minor.parse().ok()?);
        (major == "1" && is_number && parts.next().is_none()).then_some(version)
    }

    /// Reads one version, or a range such as `1.33-1.35`, and gives every version in it.
    ///
    /// # Errors
    /// `ARG010` when it is neither, or when there is no table for an end of it.
    pub fn range(text: &str) -> Result<Vec<Self>, Box<Diagnostic>> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let known = |text: &str| Self::parse(text).filter(|version| SUPPORTED.contains(version));
        match (known(from), known(to)) {
            (Some(from), Some(to)) if from <= to => {
                Ok(SUPPORTED.into_iter().filter(|version| (from..=to).contains(version)).collect())
            }
            _ => {
                let known: Vec<String> = SUPPORTED.iter().map(ToString::to_string).collect();
                let cause = format!("there is no Kubernetes version `{text}` here");
                let help = format!("Use one of {}, or a range such as 1.34-1.36", known.join(", "));
                Err(Box::new(Diagnostic::error("ARG010", cause).help(help)))
            }
        }
    }

    /// Whether a list of minor versions such as `33-34,36` has it.
    pub(crate) fn is_in(self, minors: &str) -> bool {
        minors.split(',').any(|run| {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            let number = |text: &str| text.parse::<u8>().ok();
            number(first).is_some_and(|first| first <= self.0)
                && number(last).is_some_and(|last| self.0 <= last)
        })
    }

    /// Reads a minor version's number.
    pub(crate) const fn minor(minor: u8) -> Self {
        Self(minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(Version::range("1.35").unwrap(), [Version(35)]);
        assert_eq!(Version::range("v1.34.2-1.36").unwrap(), [Version(34), Version(35), Version(36)]);
        for text in ["1.32", "1.36-1.33", "2.35", "1.35.x", "35", "", "1.35-", "1.35.1.1"] {
            assert_eq!(Version::range(text).unwrap_err().code, "ARG010", "{text}");
        }
    }

    #[test]
    fn runs() {
        assert!(Version(33).is_in("33-34,36") && Version(36).is_in("33-34,36"));
        assert!(!Version(35).is_in("33-34,36") && !Version(35).is_in("36"));
    }
}
