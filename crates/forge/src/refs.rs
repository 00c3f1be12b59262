//! The branches of a repository over git's smart HTTP protocol, from that very address or not at all.
//!
//! libgit2 would follow a redirect, and send the credentials after it: another repository's branches would
//! then speak for this one. Here a redirect is an error, and a list counts only when it is complete, to the
//! flush packet that ends it (git: `Documentation/gitprotocol-http.txt`, "Reference Discovery").

use std::{collections::BTreeMap, time::Duration};

use reqwest::{
    StatusCode,
    header::{self, HeaderValue},
    redirect,
};
use url::Url;

use crate::{
    Error, Result, Token,
    http::{chain, read},
    place::authority,
};

/// Longest wait for a list.
const TIMEOUT: Duration = Duration::from_secs(60);
const SERVICE: &str = "git-upload-pack";

/// All branches of a repository, as one complete answer gave them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Branches {
    /// The default branch, when the server says which it is.
    pub default: Option<String>,
    /// Branch to commit id.
    pub all: BTreeMap<String, String>,
}

/// Asks for the branches of the repository at `url`, on a connection of its own. The caller says whether the
/// token is for this address.
///
/// # Errors
/// Every answer but a complete list of this very address.
pub async fn branches(url: &str, token: Option<&Token>) -> Result<Branches> {
    let what = format!("the branches of {url}");
    let unexpected = |why: &str| Error::Unexpected { what: what.clone(), why: why.to_owned() };
    let mut address: Url =
        format!("{}/info/refs", url.trim_end_matches('/')).parse().map_err(|_| unexpected("it is no URL"))?;
    address.query_pairs_mut().append_pair("service", SERVICE);
    let server = authority(&address);
    let unreachable =
        |error: reqwest::Error| Error::Unreachable { server: server.clone(), cause: chain(&error) };
    let client = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(concat!("git/mimeo-", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .timeout(TIMEOUT)
        .build()
        .map_err(unreachable)?;
    let mut request = client.get(address.clone());
    if let Some(token) = token {
        // The user's name does not matter, but GitHub wants one.
        request = request.basic_auth("x-access-token", Some(token.expose()));
    }
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    if status.is_redirection() {
        return Err(Error::Moved { server, what, status: status.as_u16() });
    }
    if status != StatusCode::OK {
        return Err(unexpected(&format!("the server answers {status}")));
    }
    let advertisement = HeaderValue::from_static("application/x-git-upload-pack-advertisement");
    if response.headers().get(header::CONTENT_TYPE) != Some(&advertisement) {
        return Err(unexpected("the answer is not git's"));
    }
    let body = read(response).await.map_err(unreachable)?.ok_or_else(|| unexpected("it is too large"))?;
    parse(&body).map_err(unexpected)
}

/// Reads a whole advertisement: the service, a flush, the refs, a flush, the end.
fn parse(body: &[u8]) -> std::result::Result<Branches, &'static str> {
    let mut rest = body;
    let service = packet(&mut rest)?.ok_or("it does not begin with the service")?;
    if service.trim_ascii_end() != format!("# service={SERVICE}").as_bytes() || packet(&mut rest)?.is_some() {
        return Err("it is the answer of another service");
    }
    let mut branches = Branches::default();
    let mut default = None;
    while let Some(line) = packet(&mut rest)? {
        let mut parts = line.splitn(2, |byte| *byte == 0);
        let reference = parts.next().unwrap_or_default().trim_ascii_end();
        if let Some(capabilities) = parts.next() {
            default = head(capabilities).or(default);
        }
        let (id, name) = reference
            .split_at_checked(reference.iter().position(|byte| *byte == b' ').unwrap_or(0))
            .ok_or("a line of it is no ref")?;
        // SHA-1 or SHA-256.
        if !matches!(id.len(), 40 | 64) || !id.iter().all(u8::is_ascii_hexdigit) {
            return Err("a line of it is no ref");
        }
        // A name that is no UTF-8 is no branch that an environment was made from.
        if let Some(branch) = std::str::from_utf8(name.trim_ascii_start())
            .ok()
            .and_then(|name| name.strip_prefix("refs/heads/"))
        {
            branches.all.insert(branch.to_owned(), String::from_utf8_lossy(id).into_owned());
        }
    }
    if !rest.is_empty() {
        return Err("something follows its end");
    }
    branches.default = default.filter(|name| branches.all.contains_key(name));
    Ok(branches)
}

/// The next packet; `None` for a flush (git: `gitprotocol-common.txt`, "pkt-line Format").
fn packet<'a>(rest: &mut &'a [u8]) -> std::result::Result<Option<&'a [u8]>, &'static str> {
    const CUT: &str = "it is cut off";
    let length = rest.get(..4).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or(CUT)?;
    let length = match usize::from_str_radix(length, 16) {
        Ok(0) => {
            *rest = &rest[4..];
            return Ok(None);
        }
        Ok(length) if length >= 4 => length,
        _ => return Err("it is not made of git's packets"),
    };
    let line = rest.get(4..length).ok_or(CUT)?;
    *rest = &rest[length..];
    Ok(Some(line))
}

/// The branch that HEAD stands for, from `symref=HEAD:refs/heads/main`.
fn head(capabilities: &[u8]) -> Option<String> {
    let mut words = std::str::from_utf8(capabilities).ok()?.split_ascii_whitespace();
    words.find_map(|word| word.strip_prefix("symref=HEAD:refs/heads/")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    fn line(text: &str) -> String {
        format!("{:04x}{text}", text.len() + 4)
    }

    fn whole() -> String {
        let service = line("# service=git-upload-pack\n");
        let head = line(&format!("{ID} HEAD\0multi_ack symref=HEAD:refs/heads/main agent=git/2\n"));
        let refs: String = ["refs/heads/feature/x", "refs/heads/main", "refs/pull/1/head", "refs/tags/main"]
            .map(|name| line(&format!("{ID} {name}\n")))
            .concat();
        format!("{service}0000{head}{refs}0000")
    }

    #[test]
    fn a_whole_list_is_read() {
        let branches = parse(whole().as_bytes()).unwrap();
        assert_eq!(branches.default.as_deref(), Some("main"));
        assert_eq!(branches.all.keys().collect::<Vec<_>>(), ["feature/x", "main"]);
        assert!(branches.all.values().all(|id| id == ID));
        // An empty repository: one line without a ref.
        let none = line(&format!("{} capabilities^{{}}\0agent=git/2\n", "0".repeat(40)));
        let empty = format!("{}0000{none}0000", line("# service=git-upload-pack\n"));
        assert_eq!(parse(empty.as_bytes()), Ok(Branches::default()));
    }

    #[test]
    fn a_list_that_is_cut_anywhere_is_none() {
        let whole = whole();
        for end in 0..whole.len() {
            assert!(parse(&whole.as_bytes()[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn what_is_not_a_list_is_none() {
        let whole = whole();
        for (what, body) in [
            ("a page", "<html>sign in</html>".to_owned()),
            ("another service", whole.replace("upload", "receiv")),
            ("more after the end", format!("{whole}0000")),
            ("a bad id", whole.replace(ID, &ID.replace('0', "x"))),
            ("no flush after the service", whole.replacen("0000", "", 1)),
            ("an error of git", format!("{}0000", line("ERR access denied\n"))),
            ("a short packet", format!("{}0003", &whole[..whole.len() - 4])),
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{what}");
        }
    }
}
