//! Gitea and Forgejo, as `/api/swagger` of every server describes them.

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

use crate::{
    Result,
    answer::Object,
    dialect::{Access, Dialect, Paging, segment},
};

pub(crate) struct Gitea;

impl Dialect for Gitea {
    fn authorization(&self, token: &str) -> String {
        format!("token {token}")
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("accept", "application/json")]
    }

    /// `services/context/api.go`: every refusal has a message and the address of the API's description.
    fn is_own_refusal(&self, body: &Value) -> bool {
        let text = |field: &str| body.get(field).and_then(Value::as_str);
        text("message").is_some() && text("url").is_some_and(|url| url.ends_with("/api/swagger"))
    }

    fn is_rate_limit(&self, status: StatusCode, _: &HeaderMap, _: &str) -> bool {
        status == StatusCode::TOO_MANY_REQUESTS
    }

    fn is_no_person(&self, _: &str) -> bool {
        false
    }

    fn needed(&self, access: Access) -> &'static str {
        match access {
            Access::Pull | Access::Repository | Access::ReadStatuses => "the scope `read:repository`",
            Access::ReadComments => "the scope `read:issue`",
            Access::WriteComments => "the scope `write:issue`",
            Access::WriteStatuses => "the scope `write:repository`, and its owner the right to write",
            Access::Account => "the scope `read:user`",
            Access::Collaborators => "the scope `read:repository`, and its owner the right to administer",
        }
    }

    /// The route is `branches/*`: slashes stay, as some proxies refuse encoded ones.
    fn branch_path(&self, name: &str) -> Result<String> {
        let parts: Result<Vec<String>> = name.split('/').map(|part| segment("branch", part)).collect();
        Ok(parts?.join("/"))
    }

    fn branch_commit(&self) -> &'static str {
        "commit.id"
    }

    /// `services/convert/pull.go`: once the branch is gone, `ref` is `refs/pull/N/head`, and only `label` tells
    /// its name.
    fn head_branch(&self, pull: Object<'_>) -> Result<String> {
        let branch = pull.text("head.ref")?;
        if branch.starts_with("refs/pull/")
            && let Some(label) = pull.optional_text("head.label")?.filter(|label| !label.is_empty())
        {
            return Ok(label);
        }
        Ok(branch)
    }

    fn status_state(&self) -> &'static str {
        "status"
    }

    fn paging(&self) -> Paging {
        Paging::Count
    }

    /// The default of `MAX_RESPONSE_ITEMS`; a server with less gives less.
    fn page_size(&self) -> &'static [(&'static str, &'static str)] {
        &[("limit", "50")]
    }

    /// `models/git/commit_status.go`: the index counts the statuses of a commit, and its two orders have each
    /// other's names; any other order has ties. [`Dialect::newest_has_largest_id`] makes it certain.
    fn newest_first(&self) -> &'static [(&'static str, &'static str)] {
        &[("sort", "leastindex")]
    }

    fn newest_has_largest_id(&self) -> bool {
        true
    }
}
