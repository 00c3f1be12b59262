//! `sources` of an environment spec: further repositories that its templates may read.
//!
//! ```yaml
//! sources:
//!   - {name: pipelines, url: "https://git.example.com/team/pipelines.git", ref: main}
//! ```

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::merge::merge;
use crate::name::SourceName;
use crate::node::{Kind, Node};
use crate::schema;
use crate::{Diagnostic, HIDDEN, Located, Spot};

/// One further repository. Which commit of it is read stands in the lock file: see [`crate::lock_file`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub struct SourceBody {
    /// What paths name it by: `NAME:PATH`.
    #[schemars(extend("pattern" = schema::LABEL, "maxLength" = 63))]
    pub name: Located<String>,
    /// Where it is: a URL without credentials, or an absolute path.
    pub url: Located<String>,
    /// The branch, tag or full commit id that `mimeo lock` pins.
    pub r#ref: Located<String>,
}

/// Why a text is no location of a source; `None` for one that is. These are the forms `--repo` takes, without
/// those that mean another repository on another machine: a relative path.
#[must_use]
pub fn wrong_url(text: &str) -> Option<&'static str> {
    if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Some("it holds a space or a line break");
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let scheme = scheme.to_ascii_lowercase();
        if !["https", "http", "ssh", "git"].contains(&scheme.as_str()) {
            return Some("its scheme is none of https, http, ssh and git");
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if has_credentials(text) {
            return Some("it carries credentials");
        }
        let nothing = authority.is_empty() || path.trim_matches('/').is_empty();
        return nothing.then_some("it has no host or no path");
    }
    if text.contains("::") {
        return Some("transport helpers are not run");
    }
    if text.starts_with('/') {
        return text.split('/').any(|part| part == "..").then_some("its path has `..` in it");
    }
    let is_scp = text.split_once(':').is_some_and(|(host, path)| {
        let (user, host) = host.split_once('@').unwrap_or_default();
        !user.is_empty()
            && !host.is_empty()
            && !host.contains('/')
            && !host.starts_with('-')
            && !path.is_empty()
    });
    (!is_scp || text.starts_with('-')).then_some("it is neither a URL nor an absolute path")
}

/// A user of HTTP is a token as often as not; one of SSH is part of the address.
fn has_credentials(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || !user.is_empty() && !scheme.eq_ignore_ascii_case("ssh")
}

/// Whether git takes a text as the name of a branch or tag (`git check-ref-format`); a commit id is one, too.
fn is_ref(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    !text.starts_with('-')
        && text.len() <= 250
        && !text.ends_with('.')
        && !text.contains("..")
        && !text.contains("@{")
        && !text.contains(|c: char| c.is_control() || " ~^:?*[\\".contains(c))
        && text.split('/').all(part)
}

/// Everything that is wrong with the list, each at its place.
pub(crate) fn check(sources: &[SourceBody]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    let mut refuse = |spot: &Spot, name: &str, finding: Diagnostic| {
        found.push(spot.mark(finding).on(format!("spec.sources.{name}")));
    };
    for source in sources {
        let name = source.name.as_str();
        if let Err(error) = SourceName::new(name) {
            refuse(&source.name.spot, name, error.diagnostic());
        } else if !names.insert(name) {
            let finding = Diagnostic::error("SPC028", format!("source `{name}` is declared twice"));
            refuse(&source.name.spot, name, finding.help("keep it once"));
        }
        if let Some(why) = wrong_url(source.url.as_str()) {
            let finding =
                Diagnostic::error("SPC028", format!("the url of source `{name}` cannot be used: {why}"));
            let mut finding = finding.help(
                "write https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH, git://HOST/PATH or /PATH",
            );
            if has_credentials(source.url.as_str()) {
                finding.snippet = Some(HIDDEN.to_owned());
                finding.help = Some("remove them; use a credential helper or an SSH key".to_owned());
            }
            refuse(&source.url.spot, name, finding);
        }
        if !is_ref(source.r#ref.as_str()) {
            let cause = format!("`{}` is no branch, tag or commit id", source.r#ref.value);
            let finding =
                Diagnostic::error("SPC028", cause).help("write the name as git has it, such as main");
            refuse(&source.r#ref.spot, name, finding);
        }
    }
    found
}

/// Lays the lists of specs that extend one another over each other by `name`, the first one extended first. An
/// entry is merged like any mapping; `null` for the list forgets those before it. What is no list of named
/// mappings is left for the reader of the merged spec to refuse.
pub(crate) fn join<'a>(merged: &mut Node, specs: impl Iterator<Item = &'a Node>) {
    let mut all: Vec<Node> = Vec::new();
    for node in specs.filter_map(|spec| spec.get("sources")) {
        match &node.kind {
            Kind::Null => all.clear(),
            Kind::List(own) => {
                let inherited = all.len();
                for item in own {
                    // Only what is inherited is laid over: a name that one list has twice is a mistake.
                    let known = all[..inherited].iter_mut().find(|known| name_of(known) == name_of(item));
                    match known.filter(|_| name_of(item).is_some()) {
                        Some(known) => *known = merge(known, item),
                        None => all.push(item.clone()),
                    }
                }
            }
            _ => return,
        }
    }
    let Kind::Map(entries) = &mut merged.kind else { return };
    for entry in entries.iter_mut().filter(|entry| entry.key.value == "sources") {
        if entry.value.kind != Kind::Null {
            entry.value.kind = Kind::List(std::mem::take(&mut all));
        }
    }
}

fn name_of(item: &Node) -> Option<&str> {
    item.get("name")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        for good in [
            "https://git.example.com/team/pipelines.git",
            "HTTP://git.example.com:8080/p",
            "ssh://git@git.example.com/p",
            "git://127.0.0.1:9418/p",
            "git@git.example.com:team/p.git",
            "/srv/git/pipelines.git",
        ] {
            assert_eq!(wrong_url(good), None, "{good}");
        }
        for bad in [
            "",
            ".",
            "../pipelines",
            "pipelines",
            "pipelines:x",
            "-x@h:p",
            "git@h:",
            "file:///srv/p",
            "ftp://h/p",
            "ext::sh -c id",
            "ext::id",
            "https://h",
            "https:///p",
            "https://token@h/p",
            "ssh://u:p@h/p",
            "https://h/a b",
            "/srv/../etc",
            "u@-oProxyCommand=x:p",
            "https://h/p\n",
        ] {
            assert!(wrong_url(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn refs() {
        for good in ["main", "release/1.0", "v1.2.3", "0123456789abcdef0123456789abcdef01234567", "ü"] {
            assert!(is_ref(good), "{good}");
        }
        for bad in
            ["", "-x", "a b", "a..b", "a~1", "a^", "a:b", "/a", "a/", "a//b", ".a", "a.lock", "a@{1}", "a\\b"]
        {
            assert!(!is_ref(bad), "{bad}");
        }
    }
}
