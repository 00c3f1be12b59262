//! Who an environment is: an id and a name from repository, ref and spec, and from nothing else.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Characters of the longest environment name.
pub const MAX_NAME: usize = 50;

/// The id and the name of an environment. They never change while repository, ref and spec stay the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct EnvironmentIdentity {
    /// 32 hexadecimal digits of hash(repository, ref, spec).
    pub id: String,
    /// `<spec>-<slug(ref)>-<first 8 digits of id>`, at most [`MAX_NAME`] characters; also the namespace.
    pub name: String,
}

impl EnvironmentIdentity {
    /// The identity of the environment of one spec at one ref of one repository.
    ///
    /// `spec` is a valid spec name (a DNS label of at most 30 characters), so that the name is one too.
    #[must_use]
    pub fn new(repository: &str, ref_name: &str, spec: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [repository, ref_name, spec] {
            // The length keeps ("a", "bc") and ("ab", "c") apart.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let id = hex::encode(&hash.finalize()[..16]);
        let digits = &id[..8];
        let room = MAX_NAME.saturating_sub(spec.len() + digits.len() + 2);
        let name = format!("{spec}-{}-{digits}", slug(ref_name, room));
        Self { id, name }
    }

    /// The eight digits that end the environment's name.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.id[..8]
    }
}

/// `[a-z0-9-]` of a ref, never empty, never with a hyphen at an end.
fn slug(ref_name: &str, room: usize) -> String {
    let slug: String = slug::slugify(ref_name).chars().take(room).collect();
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "ref".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::name::SpecName;

    fn is_label(name: &str) -> bool {
        name.len() <= MAX_NAME
            && !name.starts_with('-')
            && !name.ends_with('-')
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    }

    #[test]
    fn names_people_really_use() {
        let name = |ref_name: &str| EnvironmentIdentity::new("git.example.com/t/f", ref_name, "qa").name;
        for (ref_name, stem) in [
            ("main", "qa-main-"),
            ("dependabot/npm_and_yarn/x-1.2.3", "qa-dependabot-npm-and-yarn-x-1-2-3-"),
            ("feature/ÄÖÜ", "qa-feature-aou-"),
            ("pr/7", "qa-pr-7-"),
            ("🦀", "qa-crab-"),
            ("---", "qa-ref-"),
        ] {
            let name = name(ref_name);
            assert!(name.starts_with(stem), "{ref_name}: {name}");
            assert_eq!(name.len(), stem.len() + 8, "{ref_name}: {name}");
        }
        let long = name(&"x".repeat(200));
        assert_eq!(long.len(), MAX_NAME);
        // Frozen: an environment must never be renamed by a newer version.
        assert_eq!(name("main"), "qa-main-981b8fc0");
    }

    proptest! {
        #[test]
        fn any_ref_gives_a_label(repository in ".{0,40}", ref_name in ".{0,220}", spec in "[a-z]([a-z0-9-]{0,28}[a-z0-9])?") {
            prop_assume!(SpecName::new(&spec).is_ok());
            let one = EnvironmentIdentity::new(&repository, &ref_name, &spec);
            prop_assert!(is_label(&one.name), "{}", one.name);
            prop_assert!(one.name.ends_with(one.digits()));
            prop_assert_eq!(one.id.len(), 32);
            prop_assert_eq!(&one, &EnvironmentIdentity::new(&repository, &ref_name, &spec));
        }

        #[test]
        fn other_inputs_give_other_names(a in "[a-z/]{1,12}", b in "[a-z/]{1,12}", r in "[a-z]{1,8}", s in "[a-z]{1,8}") {
            let base = EnvironmentIdentity::new(&r, &a, &s);
            if a != b {
                prop_assert_ne!(&base.name, &EnvironmentIdentity::new(&r, &b, &s).name);
            }
            // Moving a character over a border is another environment.
            let moved = EnvironmentIdentity::new(&format!("{r}{a}"), &a, &s);
            prop_assert_ne!(&base.id, &moved.id);
        }
    }
}
