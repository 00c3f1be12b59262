//! GitHub, as <https://docs.github.com/en/rest> describes it, version 2022-11-28.

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

use crate::{
    Result,
    answer::Object,
    dialect::{Access, Dialect, Paging, segment},
};

pub(crate) struct GitHub;

impl Dialect for GitHub {
    fn authorization(&self, token: &str) -> String {
        format!("Bearer {token}")
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")]
    }

    /// The schema `basic-error`: every refusal has a message and the address of its documentation.
    fn is_own_refusal(&self, body: &Value) -> bool {
        let text = |field: &str| body.get(field).and_then(Value::as_str);
        text("message").is_some() && text("documentation_url").is_some()
    }

    /// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>: 403 or 429.
    fn is_rate_limit(&self, status: StatusCode, headers: &HeaderMap, message: &str) -> bool {
        let spent = headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
        let secondary = message.to_ascii_lowercase().contains("secondary rate limit");
        status == StatusCode::TOO_MANY_REQUESTS || (status == StatusCode::FORBIDDEN && (spent || secondary))
    }

    fn is_no_person(&self, message: &str) -> bool {
        message.starts_with("Resource not accessible by integration")
    }

    fn needed(&self, access: Access) -> &'static str {
        match access {
            Access::Pull => "the permission `pull-requests: read`",
            Access::Repository => "the permission `contents: read`",
            Access::ReadComments => "the permission `pull-requests: read`",
            Access::WriteComments => "the permission `pull-requests: write`",
            Access::ReadStatuses => "the permission `statuses: read`",
            Access::WriteStatuses => "the permission `statuses: write`",
            Access::Account => "to a person: an installation has no account",
            Access::Collaborators => "the permission `metadata: read`, of somebody who may write",
        }
    }

    fn branch_path(&self, name: &str) -> Result<String> {
        for part in name.split('/') {
            segment("branch", part)?;
        }
        segment("branch", name)
    }

    fn branch_commit(&self) -> &'static str {
        "commit.sha"
    }

    fn head_branch(&self, pull: Object<'_>) -> Result<String> {
        pull.text("head.ref")
    }

    fn status_state(&self) -> &'static str {
        "state"
    }

    fn paging(&self) -> Paging {
        Paging::Link
    }

    fn page_size(&self) -> &'static [(&'static str, &'static str)] {
        &[("per_page", "100")]
    }

    /// The only order there is.
    fn newest_first(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn newest_has_largest_id(&self) -> bool {
        false
    }
}
