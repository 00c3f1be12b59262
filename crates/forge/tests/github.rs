//! The client against GitHub's published API description: every request and every answer is checked against it.
//!
//! What is replayed is GitHub's own: the examples of the description, and of its events; `github/README.md` tells
//! where from. A request that the description does not know, or forbids, is answered 599 and fails the test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is the finding")]

#[path = "github/check.rs"]
mod check;
mod support;

use std::sync::{Arc, LazyLock, Mutex};

use check::{DESCRIPTION, GAPS, check, resolve, violations};
use forge::{
    BranchAnswer, Forge, Kind, Place, PullState, Status, StatusState, Timing, Token, connect_with, detect,
};
use serde_json::{Value, json};
use support::{Seen, Server, answer};

const COMMIT: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";

static EVENTS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("github/events.json")).unwrap());

/// What the server holds instead of an operation's own example: `METHOD path`, status, body.
type Held = Vec<(&'static str, u16, Value)>;

/// GitHub as its description has it, with a token, and everything that was wrong.
struct GitHub {
    server: Server,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl GitHub {
    fn new(held: Held) -> Self {
        let wrong = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&wrong);
        let server = Server::new(move |seen| {
            let line = format!("{} {}", seen.method, seen.target);
            let operation = match check(seen) {
                Ok(operation) => operation,
                Err(why) => {
                    log.lock().unwrap().push(format!("{line}: {why}"));
                    return answer(599, &[], "");
                }
            };
            let route = format!("{} {}", seen.method, seen.path());
            let (status, body) = match held.iter().find(|(known, ..)| known.eq_ignore_ascii_case(&route)) {
                Some((_, status, body)) => (*status, body.clone()),
                None => example(operation),
            };
            let described = resolve(&operation["responses"][status.to_string()]);
            if described.is_null() {
                log.lock().unwrap().push(format!("{line}: the status {status} is not described"));
            }
            let Some(content) = described["content"].get("application/json") else {
                return answer(status, &[], "");
            };
            let mut violations = violations(&content["schema"], &body);
            violations.retain(|violation| !GAPS.contains(&violation.as_str()));
            if !violations.is_empty() {
                log.lock().unwrap().push(format!("{line}: the answer: {violations:#?}"));
            }
            answer(status, &[("content-type", "application/json; charset=utf-8")], &body.to_string())
        });
        Self { server, wrong }
    }

    fn repository(&self, owner: &str, name: &str) -> Box<dyn Forge> {
        let place = Place {
            kind: Kind::GitHub,
            server: "https://github.com".parse().unwrap(),
            owner: owner.to_owned(),
            name: name.to_owned(),
        };
        let api = self.server.url.parse().unwrap();
        connect_with(place, api, Some(Token::new("s3cret-token".to_owned())), Timing::default()).unwrap()
    }

    /// Nothing was wrong, and these were the requests.
    fn was_asked(&self, expected: &[&str]) {
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let seen = self.server.seen();
        let asked: Vec<String> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
        assert_eq!(asked, expected);
    }
}

/// The first success of an operation, with its example.
fn example(operation: &Value) -> (u16, Value) {
    let responses = operation["responses"].as_object().unwrap();
    let (status, response) = responses.iter().find(|(status, _)| status.starts_with('2')).unwrap();
    let examples = resolve(response)["content"]["application/json"]["examples"].as_object();
    let body = examples.and_then(|examples| examples.values().next());
    (status.parse().unwrap(), body.map_or(Value::Null, |example| resolve(example)["value"].clone()))
}

fn not_found() -> Value {
    json!({"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"})
}

fn event(name: &str) -> Value {
    let found = EVENTS.get(name).unwrap_or_else(|| panic!("no event {name}"));
    found.clone()
}

/// The description's pull request, in a state that a server can really have: as it is there, it is open and merged
/// at once.
fn pull(state: &str, merged: bool) -> Value {
    let mut pull = DESCRIPTION["components"]["examples"]["pull-request"]["value"].clone();
    pull["state"] = json!(state);
    pull["merged"] = json!(merged);
    let at = pull["closed_at"].take();
    pull["merged_at"] = if merged { at.clone() } else { Value::Null };
    pull["closed_at"] = if state == "closed" { at } else { Value::Null };
    pull
}

#[tokio::test]
async fn pull_requests_of_the_description() {
    let at = Some("2011-01-26T19:01:12Z".to_owned());
    for (state, merged, expected, closed_at) in [
        ("open", false, PullState::Open, None),
        ("closed", false, PullState::Closed, at.clone()),
        ("closed", true, PullState::Merged, at),
    ] {
        let route = "GET /repos/octocat/Hello-World/pulls/1347";
        let github = GitHub::new(vec![(route, 200, pull(state, merged))]);
        let pull = github.repository("Octocat", "hello-world").pull(1347).await.unwrap();
        assert_eq!((pull.state, pull.closed_at.clone()), (expected, closed_at));
        assert_eq!(
            (pull.number, pull.title.as_str(), pull.author.as_str()),
            (1347, "Amazing new feature", "octocat")
        );
        assert_eq!(pull.url, "https://github.com/octocat/Hello-World/pull/1347");
        assert_eq!((pull.head.branch.as_str(), pull.head.commit.as_str()), ("new-topic", COMMIT));
        assert_eq!(
            (pull.base.branch.as_str(), pull.base.repository.as_str()),
            ("master", "octocat/Hello-World")
        );
        assert_eq!(pull.labels, ["bug"]);
        assert!(!pull.is_fork() && !pull.draft);
        github.was_asked(&["GET /repos/Octocat/hello-world/pulls/1347"]);
    }
}

#[tokio::test]
async fn a_fork_may_be_gone() {
    for (head, fork) in
        [(json!(null), true), (json!("mallory/Hello-World"), true), (json!("OctoCat/hello-world"), false)]
    {
        let mut answer = pull("open", false);
        match head.is_null() {
            true => answer["head"]["repo"] = head.clone(),
            false => answer["head"]["repo"]["full_name"] = head.clone(),
        }
        let github = GitHub::new(vec![("GET /repos/octocat/Hello-World/pulls/1347", 200, answer)]);
        // The description does not allow null, and GitHub sends it: a fork that was deleted.
        let pull = github.repository("octocat", "Hello-World").pull(1347).await.unwrap();
        assert_eq!((pull.is_fork(), pull.head.repository.as_deref()), (fork, head.as_str()));
        let wrong = github.wrong.lock().unwrap();
        assert!(wrong.is_empty() || head.is_null(), "{wrong:#?}");
    }
}

/// The object that GitHub sends with an event is the one its API answers, but for fields that came later.
#[tokio::test]
async fn pull_requests_of_github_s_events() {
    for (name, state, draft, labels, closed_at) in [
        ("opened", PullState::Open, false, vec![], None),
        ("closed", PullState::Closed, false, vec!["bug"], Some("2019-05-15T15:21:18Z")),
        ("reopened", PullState::Open, false, vec!["bug"], None),
        ("synchronize", PullState::Open, false, vec!["bug"], None),
        ("converted_to_draft", PullState::Open, true, vec!["bug"], None),
        ("ready_for_review", PullState::Open, false, vec!["bug"], None),
        ("labeled", PullState::Open, false, vec!["bug"], None),
    ] {
        let route = "GET /repos/Codertocat/Hello-World/pulls/2";
        let github = GitHub::new(vec![(route, 200, event(&format!("pull_request.{name}")))]);
        let pull = github.repository("Codertocat", "Hello-World").pull(2).await.unwrap();
        assert_eq!((pull.state, pull.draft, pull.closed_at.as_deref()), (state, draft, closed_at), "{name}");
        assert_eq!(pull.labels, labels, "{name}");
        assert_eq!((pull.head.branch.as_str(), pull.base.branch.as_str()), ("changes", "master"), "{name}");
        assert!(!pull.is_fork(), "{name}");
        github.was_asked(&[route]);
    }
}

#[tokio::test]
async fn branches_and_their_absence() {
    let gone = "GET /repos/octocat/Hello-World/branches/fix%2F%2312%20%25%C3%BC";
    let github = GitHub::new(vec![(gone, 404, not_found())]);
    let forge = github.repository("octocat", "Hello-World");
    let commit = "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d".to_owned();
    assert_eq!(forge.branch("main").await.unwrap(), BranchAnswer::Present { commit });
    assert_eq!(forge.branch("fix/#12 %ü").await.unwrap(), BranchAnswer::Absent);
    // The example is about `main`.
    assert_eq!(forge.branch("master").await.unwrap_err().diagnostic().code, "FRG016");
    let main = "GET /repos/octocat/Hello-World/branches/main";
    github.was_asked(&[main, gone, "GET /repos/octocat/Hello-World", &main.replace("main", "master")]);
}

#[tokio::test]
async fn comments_are_written_read_changed_and_removed() {
    let created = event("issue_comment.created");
    let github = GitHub::new(vec![
        ("GET /repos/octocat/Hello-World/issues/comments/492700400", 200, created.clone()),
        ("GET /repos/octocat/Hello-World/issues/comments/9", 404, not_found()),
    ]);
    let forge = github.repository("octocat", "Hello-World");
    let written = forge.create_comment(1347, "Me \"too\"\n\n<!-- ü -->").await.unwrap();
    assert_eq!((written.id, written.author.as_str(), written.body.as_str()), (1, "octocat", "Me too"));
    assert_eq!(written.url, "https://github.com/octocat/Hello-World/issues/1347#issuecomment-1");
    assert_eq!(forge.comments(1347).await.unwrap(), std::slice::from_ref(&written));
    assert_eq!(forge.comment(1).await.unwrap().as_ref(), Some(&written));
    let other = forge.comment(492_700_400).await.unwrap().unwrap();
    assert_eq!((other.author.as_str(), json!(other.body)), ("Codertocat", created["body"].clone()));
    assert_eq!(forge.comment(9).await.unwrap(), None);
    assert_eq!(forge.update_comment(1, "b").await.unwrap(), Some(written));
    forge.delete_comment(1).await.unwrap();
    let sent: Vec<String> = github.server.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(serde_json::from_str::<Value>(&sent[0]).unwrap(), json!({"body": "Me \"too\"\n\n<!-- ü -->"}));
    github.was_asked(&[
        "POST /repos/octocat/Hello-World/issues/1347/comments",
        "GET /repos/octocat/Hello-World/issues/1347/comments?per_page=100",
        "GET /repos/octocat/Hello-World/issues/comments/1",
        "GET /repos/octocat/Hello-World/issues/comments/492700400",
        "GET /repos/octocat/Hello-World/issues/comments/9",
        "GET /repos/octocat/Hello-World",
        "PATCH /repos/octocat/Hello-World/issues/comments/1",
        "DELETE /repos/octocat/Hello-World/issues/comments/1",
    ]);
}

#[tokio::test]
async fn statuses_are_set_and_read() {
    let github = GitHub::new(vec![]);
    let forge = github.repository("octocat", "Hello-World");
    let statuses = forge.statuses(COMMIT).await.unwrap();
    let status = Status {
        context: "continuous-integration/jenkins".to_owned(),
        state: StatusState::Success,
        description: "Build has completed successfully".to_owned(),
        target_url: Some("https://ci.example.com/1000/output".to_owned()),
    };
    assert_eq!(statuses, std::slice::from_ref(&status));
    forge.set_status(COMMIT, &status).await.unwrap();
    let long = Status { description: "ü".repeat(141), target_url: None, ..status.clone() };
    forge.set_status(COMMIT, &long).await.unwrap();
    // The example says success.
    let failed = Status { state: StatusState::Failure, ..status.clone() };
    assert_eq!(forge.set_status(COMMIT, &failed).await.unwrap_err().diagnostic().code, "FRG016");
    assert_eq!(forge.set_status("main", &status).await.unwrap_err().diagnostic().code, "FRG006");
    let sent: Vec<Value> =
        github.server.seen().iter().skip(1).map(|seen| serde_json::from_str(&seen.body).unwrap()).collect();
    assert_eq!(sent[0], serde_json::to_value(&status).unwrap());
    assert_eq!(
        sent[1],
        json!({"state": "success", "context": status.context, "description": "ü".repeat(140)})
    );
    let post = format!("POST /repos/octocat/Hello-World/statuses/{COMMIT}");
    let list = format!("GET /repos/octocat/Hello-World/commits/{COMMIT}/statuses?per_page=100");
    github.was_asked(&[&list, &post, &post, &post]);
}

#[tokio::test]
async fn accounts_and_what_they_may() {
    let permission = |permission: &str, role: &str| {
        let mut answer =
            DESCRIPTION["components"]["examples"]["repository-collaborator-permission-response-if-user-has-admin-permissions"]
                ["value"]
                .clone();
        (answer["permission"], answer["role_name"]) = (json!(permission), json!(role));
        answer
    };
    let cases = [
        ("admin", "admin", true),
        ("write", "maintain", true),
        ("write", "write", true),
        ("read", "triage", false),
        ("read", "read", false),
        ("none", "none", false),
    ];
    for (given, role, expected) in cases {
        let route = "GET /repos/octocat/Hello-World/collaborators/octocat/permission";
        let github = GitHub::new(vec![(route, 200, permission(given, role))]);
        let forge = github.repository("octocat", "Hello-World");
        assert_eq!(forge.may_write("octocat").await.unwrap(), expected, "{given} {role}");
        github.was_asked(&[route]);
    }
    let nobody = "GET /repos/octocat/Hello-World/collaborators/nobody%5Bbot%5D/permission";
    let mut refusal = not_found();
    refusal["message"] = json!("Resource not accessible by integration");
    let github = GitHub::new(vec![(nobody, 404, not_found())]);
    let forge = github.repository("octocat", "Hello-World");
    assert!(!forge.may_write("nobody[bot]").await.unwrap());
    assert_eq!(forge.account().await.unwrap().unwrap().login, "octocat");
    github.was_asked(&[nobody, "GET /repos/octocat/Hello-World", "GET /user"]);
    let github = GitHub::new(vec![("GET /user", 403, refusal)]);
    assert_eq!(github.repository("octocat", "Hello-World").account().await.unwrap(), None);
    github.was_asked(&["GET /user"]);
}

#[tokio::test]
async fn a_server_shows_its_kind_to_strangers() {
    let meta = example(&DESCRIPTION["paths"]["/meta"]["get"]).1.to_string();
    let json = ("content-type", "application/json");
    let refusal = r#"{"message": "Must authenticate to access this API.", "documentation_url": "https://docs.github.com"}"#;
    let signed = r#"{"message": "Only signed in user is allowed to call APIs."}"#;
    let version = r#"{"version": "1.26.2"}"#;
    for (path, status, body, expected) in [
        ("/api/v3/meta", 200, meta.as_str(), Ok(Kind::GitHub)),
        ("/api/v3/meta", 401, refusal, Ok(Kind::GitHub)),
        ("/api/v3/meta", 200, "{}", Err("FRG005")),
        ("/api/v1/version", 200, version, Ok(Kind::Gitea)),
        ("/api/v1/version", 403, signed, Ok(Kind::Gitea)),
        ("/api/v1/version", 403, r#"{"message": "no"}"#, Err("FRG005")),
        ("/api/v1/version", 200, "{}", Err("FRG005")),
        ("/", 200, version, Err("FRG005")),
        ("/api/v1/version", 500, "{}", Err("FRG011")),
    ] {
        let body = body.to_owned();
        let server = Server::new(move |seen| match seen.target == format!("/git{path}") {
            true => answer(status, &[json], &body),
            false => answer(404, &[("content-type", "text/html")], "<html>"),
        });
        let url = format!("{}/git", server.url).parse().unwrap();
        let found = detect(&url, None).await.map_err(|error| error.diagnostic().code);
        assert_eq!(found, expected, "{path} {status}");
        assert!(server.seen().iter().all(|seen| seen.header("authorization").is_none()));
        assert_eq!(detect(&url, Some(Kind::GitHub)).await.unwrap(), Kind::GitHub);
    }
    assert_eq!(detect(&"https://github.com".parse().unwrap(), None).await.unwrap(), Kind::GitHub);
}

#[test]
fn the_check_refuses_what_is_not_described() {
    let seen = |method: &str, target: &str, body: &str| Seen {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: [
            ("accept", "application/vnd.github+json"),
            ("x-github-api-version", "2022-11-28"),
            ("user-agent", concat!("mimeo/", env!("CARGO_PKG_VERSION"))),
            ("authorization", "Bearer s3cret-token"),
            ("content-type", "application/json"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        body: body.to_owned(),
    };
    assert!(check(&seen("GET", "/repos/o/n/pulls/1", "")).is_ok());
    assert!(check(&seen("POST", "/repos/o/n/statuses/abc", r#"{"state": "success"}"#)).is_ok());
    for (method, target, body) in [
        ("GET", "/repos/o/n/pull/1", ""),
        ("PUT", "/repos/o/n/pulls/1", ""),
        ("GET", "/repos/o/n/pulls/one", ""),
        ("GET", "/repos/o/n/pulls/1?limit=50", ""),
        ("GET", "/repos/o/n/issues/1/comments?per_page=many", ""),
        ("GET", "/repos/o/n/branches/feature/x", ""),
        ("GET", "/repos/o/n/pulls/1", "{}"),
        ("POST", "/repos/o/n/statuses/abc", r#"{"state": "warning"}"#),
        ("POST", "/repos/o/n/statuses/abc", "{}"),
        ("POST", "/repos/o/n/statuses/abc", r#"{"state": "success", "target": "x"}"#),
        ("POST", "/repos/o/n/issues/1/comments", r#"{"body": 1}"#),
    ] {
        assert!(check(&seen(method, target, body)).is_err(), "{method} {target} {body}");
    }
    let mut bare = seen("GET", "/user", "");
    bare.headers.remove(1);
    assert!(check(&bare).is_err());
    let schema = json!({"$ref": "#/components/schemas/pull-request"});
    assert_eq!(violations(&schema, &pull("open", false)), GAPS[..1]);
    assert!(!violations(&schema, &json!({"number": 1})).is_empty());
}
