//! The methods of a forge, in what both kinds share; where they differ is in the dialects.

use std::cmp::Reverse;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    Account, BranchAnswer, Comment, DESCRIPTION_LIMIT, Error, Forge, Kind, Place, Pull, Result, Status,
    Timing, Token,
    answer::{self, Object},
    dialect::{Access, path},
    http::{Answer, Api, Call},
    place::{authority, is_name},
};

struct Client {
    place: Place,
    api: Api,
}

/// A repository on a forge, seen with a token, at the API base that belongs to the server: `/api/v1` for Gitea,
/// `https://api.github.com` for github.com, `https://api.HOST` for GHE.com, `/api/v3` for Enterprise Server.
///
/// # Errors
/// [`Error::BadName`] and [`Error::Token`] for what can never be sent, [`Error::Unreachable`] when there is no TLS.
pub fn connect(place: Place, token: Option<Token>) -> Result<Box<dyn Forge>> {
    let api = api_base(&place)?;
    connect_at(place, api, token)
}

/// As [`connect`], at an API base that is given, such as `GITHUB_API_URL` of GitHub Actions.
///
/// # Errors
/// As [`connect`].
pub fn connect_at(place: Place, api: Url, token: Option<Token>) -> Result<Box<dyn Forge>> {
    connect_with(place, api, token, Timing::default())
}

/// As [`connect_at`], with other times.
///
/// # Errors
/// As [`connect`].
#[doc(hidden)]
pub fn connect_with(place: Place, api: Url, token: Option<Token>, timing: Timing) -> Result<Box<dyn Forge>> {
    for (what, name) in [("owner", &place.owner), ("repository", &place.name)] {
        if !is_name(name) {
            let why = "a forge allows letters, digits, `-`, `_` and `.`";
            return Err(Error::BadName { what, name: name.clone(), why });
        }
    }
    let api = Api::new(place.kind, &api, token, timing)?;
    Ok(Box::new(Client { place, api }))
}

/// Where the API of a server is.
fn api_base(place: &Place) -> Result<Url> {
    let server = place.server.as_str().trim_end_matches('/');
    let host = authority(&place.server);
    let base = match place.kind {
        Kind::Gitea => format!("{server}/api/v1"),
        Kind::GitHub if host == "github.com" || host.ends_with(".ghe.com") => format!("https://api.{host}"),
        Kind::GitHub => format!("{server}/api/v3"),
    };
    Url::parse(&base).map_err(|error| Error::Unreachable { server: host, cause: error.to_string() })
}

impl Client {
    /// A path below this repository.
    fn under(&self, rest: &[&str]) -> Result<String> {
        let mut segments = vec!["repos", self.place.owner.as_str(), self.place.name.as_str()];
        segments.extend(rest);
        path(&segments)
    }

    fn here(&self) -> String {
        self.place.full_name()
    }

    /// A comment's own address.
    fn at_comment(&self, id: u64, access: Access) -> Result<Call> {
        let path = self.under(&["issues", "comments", &id.to_string()])?;
        Ok(Call::get(path, format!("comment {id} in {}", self.here()), access))
    }

    fn needs_token(&self, doing: &str) -> Result<()> {
        if self.api.has_token() {
            return Ok(());
        }
        Err(Error::TokenMissing { doing: format!("{doing} on {}", self.api.server()) })
    }

    /// Nothing is absent from a repository that cannot be seen: a forge answers 404 for both.
    async fn sees_repository(&self) -> Result<()> {
        let what = format!("repository {}", self.here());
        let call = Call::get(self.under(&[])?, what, Access::Repository);
        let (_, body) = self.api.found(&call).await?;
        Object { what: &call.what, value: &body }.names_repository("full_name", &self.place).map(drop)
    }

    /// The body of an answer; `None` when it is certain that there is no such thing.
    async fn look(&self, call: &Call) -> Result<Option<Value>> {
        match self.api.call(call).await? {
            Answer::Found { body, .. } => Ok(Some(body)),
            Answer::Absent => self.sees_repository().await.map(|()| None),
        }
    }

    async fn look_comment(&self, call: &Call, id: u64) -> Result<Option<Comment>> {
        let Some(body) = self.look(call).await? else { return Ok(None) };
        let answer = Object { what: &call.what, value: &body };
        let comment = answer::comment(answer)?;
        if comment.id != id {
            return Err(answer.wrong(format!("it is about comment {}", comment.id)));
        }
        Ok(Some(comment))
    }

    fn commit_call(&self, commit: &str, path: &[&str], access: Access) -> Result<Call> {
        if !answer::is_commit(commit) {
            let why = "it takes 40 or 64 hexadecimal digits";
            return Err(Error::BadName { what: "commit", name: commit.to_owned(), why });
        }
        let what = format!("statuses of commit {commit} in {}", self.here());
        Ok(Call::get(self.under(path)?, what, access))
    }
}

#[async_trait]
impl Forge for Client {
    fn place(&self) -> &Place {
        &self.place
    }

    async fn pull(&self, number: u64) -> Result<Pull> {
        let what = format!("pull request {number} of {}", self.here());
        let call = Call::get(self.under(&["pulls", &number.to_string()])?, what, Access::Pull);
        let (_, body) = self.api.found(&call).await?;
        answer::pull(Object { what: &call.what, value: &body }, number, &self.place, self.api.dialect)
    }

    async fn branch(&self, name: &str) -> Result<BranchAnswer> {
        let path = format!("{}/{}", self.under(&["branches"])?, self.api.dialect.branch_path(name)?);
        let call = Call::get(path, format!("branch {name} of {}", self.here()), Access::Repository);
        let Some(body) = self.look(&call).await? else { return Ok(BranchAnswer::Absent) };
        let answer = Object { what: &call.what, value: &body };
        let found = answer.text("name")?;
        if found != name {
            return Err(answer.wrong(format!("it is about branch `{}`", self.api.clean(&found))));
        }
        Ok(BranchAnswer::Present { commit: answer.commit(self.api.dialect.branch_commit())? })
    }

    async fn comments(&self, number: u64) -> Result<Vec<Comment>> {
        let path = self.under(&["issues", &number.to_string(), "comments"])?;
        let what = format!("comments on pull request {number} of {}", self.here());
        let items = self.api.list(Call::get(path, what.clone(), Access::ReadComments)).await?;
        items.iter().map(|value| answer::comment(Object { what: &what, value })).collect()
    }

    async fn comment(&self, id: u64) -> Result<Option<Comment>> {
        self.look_comment(&self.at_comment(id, Access::ReadComments)?, id).await
    }

    async fn create_comment(&self, number: u64, body: &str) -> Result<Comment> {
        self.needs_token("writing a comment")?;
        let path = self.under(&["issues", &number.to_string(), "comments"])?;
        let what = format!("new comment on pull request {number} of {}", self.here());
        let call =
            Call::get(path, what, Access::WriteComments).sending(Method::POST, Some(json!({"body": body})));
        let (_, body) = self.api.found(&call).await?;
        answer::comment(Object { what: &call.what, value: &body })
    }

    async fn update_comment(&self, id: u64, body: &str) -> Result<Option<Comment>> {
        self.needs_token("changing a comment")?;
        let call = self.at_comment(id, Access::WriteComments)?;
        self.look_comment(&call.sending(Method::PATCH, Some(json!({"body": body}))), id).await
    }

    async fn delete_comment(&self, id: u64) -> Result<()> {
        self.needs_token("removing a comment")?;
        let call = self.at_comment(id, Access::WriteComments)?.sending(Method::DELETE, None);
        self.look(&call).await.map(drop)
    }

    async fn knows(&self, commit: &str) -> Result<bool> {
        let mut call = self.commit_call(commit, &["git", "commits", commit], Access::Repository)?;
        call.what = format!("commit {commit} of {}", self.here());
        let Some(body) = self.look(&call).await? else { return Ok(false) };
        let answer = Object { what: &call.what, value: &body };
        let found = answer.text("sha")?;
        if found == commit {
            return Ok(true);
        }
        Err(answer.wrong("it is about another commit".to_owned()))
    }

    async fn statuses(&self, commit: &str) -> Result<Vec<Status>> {
        let call = self.commit_call(commit, &["commits", commit, "statuses"], Access::ReadStatuses)?;
        let what = call.what.clone();
        let mut items = self.api.list(call.with(self.api.dialect.newest_first())).await?;
        if self.api.dialect.newest_has_largest_id() {
            items.sort_by_key(|item| Reverse(item.get("id").and_then(Value::as_u64)));
        }
        let state = self.api.dialect.status_state();
        items.iter().map(|value| answer::status(Object { what: &what, value }, state)).collect()
    }

    async fn set_status(&self, commit: &str, status: &Status) -> Result<()> {
        self.needs_token("setting a status")?;
        let call = self.commit_call(commit, &["statuses", commit], Access::WriteStatuses)?;
        let description: String = status.description.chars().take(DESCRIPTION_LIMIT).collect();
        let mut body = Map::new();
        body.insert("state".to_owned(), status.state.as_str().into());
        body.insert("context".to_owned(), status.context.as_str().into());
        body.insert("description".to_owned(), description.into());
        if let Some(url) = &status.target_url {
            body.insert("target_url".to_owned(), url.as_str().into());
        }
        let call = call.sending(Method::POST, Some(Value::Object(body)));
        let (_, body) = self.api.found(&call).await?;
        let set = answer::status(Object { what: &call.what, value: &body }, self.api.dialect.status_state())?;
        if (&set.context, set.state) == (&status.context, status.state) {
            return Ok(());
        }
        Err(Object { what: &call.what, value: &body }
            .wrong("it is another status than the one that was sent"))
    }

    async fn account(&self) -> Result<Option<Account>> {
        self.needs_token("asking whose token it is")?;
        let call = Call::get("/user".to_owned(), "account of the token".to_owned(), Access::Account);
        match self.api.found(&call).await {
            Ok((_, body)) => answer::account(Object { what: &call.what, value: &body }).map(Some),
            Err(Error::Forbidden { message, .. }) if self.api.dialect.is_no_person(&message) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn may_write(&self, login: &str) -> Result<bool> {
        let path = self.under(&["collaborators", login, "permission"])?;
        let call =
            Call::get(path, format!("permission of {login} in {}", self.here()), Access::Collaborators);
        let Some(body) = self.look(&call).await? else { return Ok(false) };
        let answer = Object { what: &call.what, value: &body };
        // GitHub folds `maintain` and roles of an organization's own into `permission`.
        let role = answer.optional_text("role_name")?;
        match answer.text("permission")?.as_str() {
            "admin" | "owner" | "write" => Ok(true),
            "read" | "none" => Ok(role.as_deref() == Some("maintain")),
            other => Err(answer.wrong(format!("the permission `{}` is not known", self.api.clean(other)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_where_the_server_has_it() {
        for (kind, server, api) in [
            (Kind::GitHub, "https://github.com/", "https://api.github.com/"),
            (Kind::GitHub, "https://acme.ghe.com", "https://api.acme.ghe.com/"),
            (Kind::GitHub, "https://git.acme.example:8443", "https://git.acme.example:8443/api/v3"),
            (Kind::Gitea, "http://h:3000/", "http://h:3000/api/v1"),
            (Kind::Gitea, "https://h/git", "https://h/git/api/v1"),
        ] {
            let place = Place { kind, server: server.parse().unwrap(), owner: "o".into(), name: "n".into() };
            assert_eq!(api_base(&place).unwrap().as_str(), api);
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_at_once() {
        let connect = |owner: &str, token: &str| {
            let server = "https://h".parse().unwrap();
            let place = Place { kind: Kind::Gitea, server, owner: owner.into(), name: "n".into() };
            connect(place, Some(Token::new(token.to_owned()))).err().map(|error| error.diagnostic().code)
        };
        assert_eq!(connect("o", "good"), None);
        assert_eq!(connect("o/p", "good"), Some("FRG006"));
        assert_eq!(connect("..", "good"), Some("FRG006"));
        assert_eq!(connect("o", "two\r\nlines"), Some("FRG001"));
        assert_eq!(connect("o", ""), Some("FRG001"));
    }
}
