//! Names that were checked once, where they were read.

use std::fmt;

use crate::Diagnostic;

/// Why a text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {rule}")]
pub struct InvalidName {
    text: String,
    what: &'static str,
    rule: &'static str,
}

impl InvalidName {
    /// The finding, without a place.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let help = format!("use {}", self.rule);
        Diagnostic::error("SPC004", format!("`{}` is not a valid {}", self.text, self.what)).help(help)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// Checks a text.
            ///
            /// # Errors
            /// When it is not a name of this kind.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { text: text.to_owned(), what: $what, rule: $rule })
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of an environment spec.
    SpecName,
    "spec name",
    |text| text.len() <= 30 && is_label(text),
    "at most 30 lower-case letters, digits and hyphens, with a letter or digit at both ends"
);
name!(
    /// The name of a template.
    TemplateName,
    "template name",
    is_label,
    "at most 63 lower-case letters, digits and hyphens, with a letter or digit at both ends"
);
name!(
    /// The name of a component.
    ComponentName,
    "component name",
    is_label,
    "at most 63 lower-case letters, digits and hyphens, with a letter or digit at both ends"
);
name!(
    /// The name of a source.
    SourceName,
    "source name",
    is_label,
    "at most 63 lower-case letters, digits and hyphens, with a letter or digit at both ends"
);
name!(
    /// The name of a parameter, a requirement or an output.
    Identifier,
    "identifier",
    is_identifier,
    "lower-case letters, digits and underscores, not a digit first"
);

/// Whether a text is a DNS-1123 label.
#[must_use]
pub fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether a text is a DNS-1123 subdomain, which most Kubernetes names are.
#[must_use]
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}

/// Whether a text matches `^[a-z_][a-z0-9_]*$`.
#[must_use]
pub fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        assert!(SpecName::new("qa").is_ok());
        assert!(SpecName::new(&"a".repeat(31)).is_err());
        for bad in ["", "-a", "a-", "A", "a.b", "ä", "a_b"] {
            assert!(ComponentName::new(bad).is_err(), "{bad}");
        }
        assert!(Identifier::new("_a1").is_ok());
        assert!(Identifier::new("1a").is_err());
        assert!(Identifier::new("a-b").is_err());
        assert!(is_subdomain("a.b-c.d") && !is_subdomain("a..b"));
    }
}
