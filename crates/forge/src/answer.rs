//! Reading an answer field by field: what is missing or of another type is named, its value is not repeated.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Account, Base, Comment, Error, Head, Place, Pull, PullState, Result, Status, StatusState,
    dialect::Dialect, error::clean,
};

/// What an account is called that is gone, as GitHub does; null in its answers.
const GHOST: &str = "ghost";

/// One JSON object of an answer.
#[derive(Clone, Copy)]
pub(crate) struct Object<'a> {
    pub what: &'a str,
    pub value: &'a Value,
}

impl<'a> Object<'a> {
    /// A field by its path, such as `head.sha`; null counts as missing.
    fn field(&self, path: &str) -> Option<&'a Value> {
        path.split('.').try_fold(self.value, |value, name| value.get(name)).filter(|found| !found.is_null())
    }

    pub(crate) fn wrong(&self, why: impl Into<String>) -> Error {
        Error::Unexpected { what: self.what.to_owned(), why: why.into() }
    }

    fn typed<T>(&self, path: &str, found: Option<T>, kind: &str) -> Result<T> {
        found.ok_or_else(|| self.wrong(format!("`{path}` is not {kind}")))
    }

    pub(crate) fn text(&self, path: &str) -> Result<String> {
        let found = self.field(path).and_then(Value::as_str).map(str::to_owned);
        self.typed(path, found, "text")
    }

    pub(crate) fn optional_text(&self, path: &str) -> Result<Option<String>> {
        self.field(path).map(|_| self.text(path)).transpose()
    }

    pub(crate) fn number(&self, path: &str) -> Result<u64> {
        self.typed(path, self.field(path).and_then(Value::as_u64), "a number")
    }

    fn flag(&self, path: &str) -> Result<bool> {
        self.field(path).map_or(Ok(false), |value| self.typed(path, value.as_bool(), "true or false"))
    }

    fn array(&self, path: &str) -> Result<&'a Vec<Value>> {
        self.typed(path, self.field(path).and_then(Value::as_array), "a list")
    }

    /// A full commit id.
    pub(crate) fn commit(&self, path: &str) -> Result<String> {
        let id = self.text(path)?;
        self.typed(path, is_commit(&id).then_some(id), "a commit id")
    }

    fn time(&self, path: &str) -> Result<Option<String>> {
        let Some(time) = self.optional_text(path)? else { return Ok(None) };
        let valid = time.parse::<Timestamp>().is_ok();
        self.typed(path, valid.then_some(Some(time)), "a time")
    }

    /// Refuses an answer about another repository: it was renamed, and the forge answers for the new one.
    pub(crate) fn names_repository(&self, path: &str, place: &Place) -> Result<String> {
        let found = self.text(path)?;
        if found.eq_ignore_ascii_case(&place.full_name()) {
            return Ok(found);
        }
        Err(self.wrong(format!("it is about the repository `{}`", clean(&found, None))))
    }
}

/// Whether a text is a full commit id, of SHA-1 or SHA-256.
pub(crate) fn is_commit(id: &str) -> bool {
    matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(crate) fn pull(answer: Object<'_>, number: u64, place: &Place, dialect: &dyn Dialect) -> Result<Pull> {
    let found = answer.number("number")?;
    if found != number {
        return Err(answer.wrong(format!("it is about number {found}")));
    }
    let base = Base {
        commit: answer.commit("base.sha")?,
        branch: answer.text("base.ref")?,
        repository: answer.names_repository("base.repo.full_name", place)?,
    };
    let (state, closed_at) = state(answer)?;
    let labels = answer.array("labels")?.iter();
    let labels = labels.map(|value| Object { what: answer.what, value }.text("name"));
    Ok(Pull {
        number,
        url: answer.text("html_url")?,
        title: answer.text("title")?,
        state,
        closed_at,
        updated_at: answer.time("updated_at")?.ok_or_else(|| answer.wrong("`updated_at` is missing"))?,
        draft: answer.flag("draft")?,
        head: Head {
            commit: answer.commit("head.sha")?,
            branch: dialect.head_branch(answer)?,
            repository: match answer.field("head.repo") {
                Some(_) => Some(answer.text("head.repo.full_name")?),
                None => None,
            },
        },
        base,
        labels: labels.collect::<Result<_>>()?,
        author: answer.optional_text("user.login")?.unwrap_or_else(|| GHOST.to_owned()),
    })
}

/// The state, and when it was reached.
fn state(answer: Object<'_>) -> Result<(PullState, Option<String>)> {
    let merged_at = answer.time("merged_at")?;
    let merged = answer.flag("merged")? || merged_at.is_some();
    let closed_at = answer.time("closed_at")?;
    match (answer.text("state")?.as_str(), merged) {
        ("open", false) => Ok((PullState::Open, None)),
        ("open", true) => Err(answer.wrong("it is open and merged at once")),
        ("closed", false) => Ok((PullState::Closed, closed_at)),
        ("closed", true) => Ok((PullState::Merged, merged_at.or(closed_at))),
        (other, _) => Err(answer.wrong(format!("the state `{}` is not known", clean(other, None)))),
    }
}

pub(crate) fn comment(answer: Object<'_>) -> Result<Comment> {
    Ok(Comment {
        id: answer.number("id")?,
        author: answer.optional_text("user.login")?.unwrap_or_else(|| GHOST.to_owned()),
        body: answer.optional_text("body")?.unwrap_or_default(),
        url: answer.text("html_url")?,
    })
}

pub(crate) fn status(answer: Object<'_>, state_field: &str) -> Result<Status> {
    let state = answer.text(state_field)?;
    let state = StatusState::parse(&state)
        .ok_or_else(|| answer.wrong(format!("the state `{}` is not known", clean(&state, None))))?;
    Ok(Status {
        context: answer.text("context")?,
        state,
        description: answer.optional_text("description")?.unwrap_or_default(),
        target_url: answer.optional_text("target_url")?.filter(|url| !url.is_empty()),
    })
}

pub(crate) fn account(answer: Object<'_>) -> Result<Account> {
    Ok(Account { login: answer.text("login")? })
}
