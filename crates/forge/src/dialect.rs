//! Where the APIs of the two kinds of forge differ.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

use crate::{Error, Kind, Result, answer::Object, gitea::Gitea, github::GitHub};

/// What a request takes, as a permission of its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Pull,
    Repository,
    ReadComments,
    WriteComments,
    ReadStatuses,
    WriteStatuses,
    Account,
    Collaborators,
}

/// How a list goes on behind its first page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paging {
    /// The address of the next page is in the header `Link`.
    Link,
    /// By number, until as many are there as the header `X-Total-Count` says.
    Count,
}

pub(crate) trait Dialect: Send + Sync {
    /// The value of `Authorization`.
    fn authorization(&self, token: &str) -> String;
    /// Headers of every request.
    fn headers(&self) -> &'static [(&'static str, &'static str)];
    /// Whether the body of a refusal is of the API itself, and not of something in front of it.
    fn is_own_refusal(&self, body: &Value) -> bool;
    /// Whether a refusal is about the rate of requests.
    fn is_rate_limit(&self, status: StatusCode, headers: &HeaderMap, message: &str) -> bool;
    /// Whether a refusal of `GET /user` says that the token is no person's.
    fn is_no_person(&self, message: &str) -> bool;
    /// The permission or scope in the forge's words.
    fn needed(&self, access: Access) -> &'static str;
    /// A branch as the rest of a path.
    fn branch_path(&self, name: &str) -> Result<String>;
    /// Where a branch's commit stands.
    fn branch_commit(&self) -> &'static str;
    /// The branch of a pull request's head.
    fn head_branch(&self, pull: Object<'_>) -> Result<String>;
    /// Where a status' state stands.
    fn status_state(&self) -> &'static str;
    /// How lists go on.
    fn paging(&self) -> Paging;
    /// Query of the first page of a list.
    fn page_size(&self) -> &'static [(&'static str, &'static str)];
    /// Query that makes statuses come newest first.
    fn newest_first(&self) -> &'static [(&'static str, &'static str)];
    /// Whether the ids of a commit's statuses tell their order, and the answer's order may not.
    fn newest_has_largest_id(&self) -> bool;
}

pub(crate) fn of(kind: Kind) -> &'static dyn Dialect {
    match kind {
        Kind::Gitea => &Gitea,
        Kind::GitHub => &GitHub,
    }
}

/// What RFC 3986 leaves as it is anywhere in a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One segment of a path. `.` and `..` would be read as steps even when encoded, so they are refused.
pub(crate) fn segment(what: &'static str, name: &str) -> Result<String> {
    if matches!(name, "" | "." | "..") {
        let why = "it is empty or a step in a path";
        return Err(Error::BadName { what, name: name.to_owned(), why });
    }
    Ok(utf8_percent_encode(name, PLAIN).to_string())
}

/// Several segments, each encoded for itself.
pub(crate) fn path(segments: &[&str]) -> Result<String> {
    let mut path = String::new();
    for part in segments {
        let _ = write!(path, "/{}", segment("part of a path", part)?);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    /// The branch that a server reads from the address it gets, after it went through [`Url`].
    fn read_back(kind: Kind, branch: &str) -> Option<String> {
        let base = "https://forge.example.com/api/v1/repos/o/n/branches/";
        let path = of(kind).branch_path(branch).ok()?;
        let url = Url::parse(&format!("{base}{path}")).unwrap();
        assert_eq!((url.query(), url.fragment()), (None, None), "{branch}");
        let rest = url.as_str().strip_prefix(base).unwrap();
        assert!(kind == Kind::Gitea || !rest.contains('/'), "{rest} is one segment on GitHub");
        Some(percent_decode_str(rest).decode_utf8().unwrap().into_owned())
    }

    #[test]
    fn names_of_branches_arrive_as_they_are() {
        for branch in [
            "main",
            "feature/a b",
            "feature/50%25",
            "fix/#12?x",
            "größe/日本",
            "a+b&c=d;e",
            "%2e%2e",
            "a/...b",
        ] {
            for kind in [Kind::Gitea, Kind::GitHub] {
                assert_eq!(read_back(kind, branch).as_deref(), Some(branch));
            }
        }
        for branch in ["", ".", "..", "a/../b", "a//b", "/a", "a/", "./a"] {
            assert_eq!(read_back(Kind::Gitea, branch), None, "{branch}");
            assert_eq!(of(Kind::GitHub).branch_path(branch).unwrap_err().diagnostic().code, "FRG006");
        }
    }

    proptest! {
        #[test]
        fn any_name_arrives_as_it_is_or_not_at_all(branch in "\\PC*|[a-z/.%#?\\\\ \t]{0,12}") {
            for kind in [Kind::Gitea, Kind::GitHub] {
                if let Some(arrived) = read_back(kind, &branch) {
                    prop_assert_eq!(&arrived, &branch);
                }
            }
        }

        #[test]
        fn any_name_of_a_branch_is_sent(branch in "[a-zA-Z0-9%#üß日+&=;@!]{1,9}(/[a-zA-Z0-9%#?ü]{1,9}){0,3}") {
            for kind in [Kind::Gitea, Kind::GitHub] {
                let arrived = read_back(kind, &branch);
                prop_assert_eq!(arrived.as_ref(), Some(&branch));
            }
        }
    }
}
