//! One file, one case: every `faults/*.case` is a forge that fails, asked by the same client for both kinds.
//!
//! A case begins with a line that says what it shows. `-- ask --` is a method and its arguments; `-- METHOD path --`
//! is an answer, the path below the repository (`!/user` below the API), with a part of the query if that matters.
//! Answers to one path are given one after the other, the last one again and again; the longest path that fits
//! counts. An answer is a status, headers (`delay: MS` waits, `cut: N` ends that many bytes early), an empty line and
//! a body. `-- expect --` is `error CODE` or `answer PART`, `requests N`, and `says PART`, `at-least MS`, `at-most MS`.
//! A case that ends with `.gitea.case` or `.github.case` is about that kind only. In bodies, `%PULL%` and other
//! words between percent signs stand for what that kind of forge answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is the finding")]

mod support;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use forge::{Error, Forge, Kind, Place, Status, StatusState, Timing, Token, connect_with};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use support::{Seen, Server, answer};

const TOKEN: &str = "s3cret-token";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TIMING: Timing = Timing {
    connect: Duration::from_secs(1),
    request: Duration::from_millis(600),
    pause: Duration::from_millis(10),
    patience: Duration::from_secs(2),
};

#[derive(Clone)]
struct Case {
    sections: Vec<(String, String)>,
}

impl Case {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let (title, rest) = text.split_once('\n').unwrap();
        assert!(!title.starts_with("--"), "{}: the first line says what it shows", path.display());
        let mut sections: Vec<(String, String)> = Vec::new();
        for line in rest.split_inclusive('\n') {
            let header = line.trim_end().strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --"));
            match (header, sections.last_mut()) {
                (Some(name), _) => sections.push((name.to_owned(), String::new())),
                (None, Some((_, body))) => body.push_str(line),
                (None, None) => panic!("{}: text before the first section", path.display()),
            }
        }
        Self { sections }
    }

    fn section(&self, name: &str) -> &str {
        let found = self.sections.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("no section {name}")).1.trim()
    }

    /// The answers to the request, of the longest path that fits: its name and its answers.
    fn answers(&self, kind: Kind, seen: &Seen) -> Option<(String, Vec<String>)> {
        let below = seen.target.strip_prefix(base(kind))?;
        let below = match below.strip_prefix("/repos/acme/flights") {
            Some("") => "/".to_owned(),
            Some(rest) => rest.to_owned(),
            None => format!("!{below}"),
        };
        let fits = |name: &str| {
            let Some(path) = name.strip_prefix(&format!("{} ", seen.method)) else { return false };
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let (asked, has) = below.split_once('?').unwrap_or((&below, ""));
            path == asked && (query.is_empty() || has.split('&').any(|pair| pair == query))
        };
        let name = self
            .sections
            .iter()
            .map(|(name, _)| name)
            .filter(|name| fits(name))
            .max_by_key(|name| name.len())?;
        let all = self.sections.iter().filter(|(known, _)| known == name).map(|(_, body)| body.clone());
        Some((name.clone(), all.collect()))
    }
}

fn base(kind: Kind) -> &'static str {
    match kind {
        Kind::Gitea => "/api/v1",
        Kind::GitHub => "/api/v3",
    }
}

/// What a forge of the kind answers, by word.
fn word(kind: Kind, word: &str, argument: &str) -> Option<String> {
    let user = |login: &str| json!({"login": login});
    let comment = |id: u64| json!({"id": id, "body": "b", "html_url": "https://h/c", "user": user("ann")});
    let numbers = || {
        let (from, to) = argument.split_once('-').unwrap();
        from.parse::<u64>().unwrap()..=to.parse::<u64>().unwrap()
    };
    let pull = || {
        let side =
            |branch: &str| json!({"sha": COMMIT, "ref": branch, "repo": {"full_name": "acme/flights"}});
        json!({
            "number": 7, "html_url": "https://h/7", "title": "t", "state": "open", "merged": false,
            "merged_at": null, "closed_at": null, "updated_at": "2026-01-02T03:04:05Z", "draft": false,
            "head": side("x"), "base": side("main"), "labels": [], "user": user("ann"),
        })
    };
    let status = |id: u64, state: &str| json!({"id": id, "status": state, "state": state, "context": "c", "description": "d", "target_url": ""});
    Some(match word {
        "TOKEN" => TOKEN.to_owned(),
        "COMMIT" => COMMIT.to_owned(),
        "BIG" => format!("\"{}\"", "x".repeat(9 << 20)),
        "REPO" => json!({"full_name": "Acme/Flights"}).to_string(),
        "BRANCH" => json!({"name": argument, "commit": {"id": COMMIT, "sha": COMMIT}}).to_string(),
        "COMMENT" => comment(argument.parse().unwrap()).to_string(),
        "COMMENTS" => Value::from_iter(numbers().map(comment)).to_string(),
        "STATUSES" => Value::from_iter(numbers().map(|id| status(id, "success"))).to_string(),
        "STATUS" => status(1, argument).to_string(),
        "PULL" if argument.is_empty() => pull().to_string(),
        // PULL with `/pointer=json`
        "PULL" => {
            let (pointer, value) = argument.split_once('=').unwrap();
            let mut pull = pull();
            *pull.pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
            pull.to_string()
        }
        "REFUSAL" if kind == Kind::Gitea => {
            json!({"message": argument, "url": "https://h/api/swagger"}).to_string()
        }
        "REFUSAL" => {
            json!({"message": argument, "documentation_url": "https://docs.github.com/rest"}).to_string()
        }
        _ => return None,
    })
}

/// Text with each `%WORD argument%` replaced.
fn expand(kind: Kind, text: &str, urls: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (name, url) in urls {
        text = text.replace(name, url);
    }
    let parts: Vec<&str> = text.split('%').collect();
    let mut done = String::new();
    let mut at = 0;
    while at < parts.len() {
        done.push_str(parts[at]);
        if let Some(inside) = parts.get(at + 1) {
            let (name, argument) = inside.split_once(' ').unwrap_or((inside, ""));
            match word(kind, name, argument) {
                Some(known) => done.push_str(&known),
                None => panic!("unknown word {inside}"),
            }
        }
        at += 2;
    }
    done
}

/// The bytes of a section's answer.
fn reply(text: &str) -> Vec<u8> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let mut lines = head.lines();
    let status = lines.next().unwrap().trim().parse().unwrap();
    let mut headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let special = |name: &str| {
        headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.parse().unwrap())
    };
    let (delay, cut): (Option<u64>, Option<usize>) =
        (special("delay"), special("cut").map(|cut: u64| cut as usize));
    headers.retain(|(name, _)| !["delay", "cut"].contains(name));
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        headers.push(("content-type", "application/json;charset=utf-8"));
    }
    thread::sleep(Duration::from_millis(delay.unwrap_or_default()));
    let mut bytes = answer(status, &headers, body.trim_end());
    bytes.truncate(bytes.len() - cut.unwrap_or_default());
    bytes
}

/// The forge of a case; what it was not told to answer it answers 599, which no case expects.
fn serve(kind: Kind, case: &Case, other: &str) -> Server {
    let (case, other) = (case.clone(), other.to_owned());
    let given: Mutex<HashMap<String, usize>> = Mutex::new(HashMap::new());
    Server::new(move |seen| {
        let Some((name, answers)) = case.answers(kind, seen) else { return answer(599, &[], "") };
        let at = {
            let mut given = given.lock().unwrap();
            let count = given.entry(name).or_insert(0);
            *count += 1;
            (*count - 1).min(answers.len() - 1)
        };
        let own = format!("http://{}{}", seen.header("host").unwrap(), base(kind));
        reply(&expand(kind, &answers[at], &[("%SERVER%", &own), ("%OTHER%", &other)]))
    })
}

async fn ask(forge: &dyn Forge, words: &str) -> Result<String, Error> {
    let (method, rest) = words.split_once(' ').unwrap_or((words, ""));
    let id = || rest.parse::<u64>().unwrap();
    let status = Status {
        context: "c".to_owned(),
        state: StatusState::Success,
        description: "d".to_owned(),
        target_url: None,
    };
    Ok(match method {
        "pull" => format!("{:?}", forge.pull(id()).await?),
        "branch" => format!("{:?}", forge.branch(rest).await?),
        "comments" => {
            let comments = forge.comments(id()).await?;
            format!("{} comments, {:?}", comments.len(), comments.iter().map(|c| c.id).collect::<Vec<_>>())
        }
        "comment" => format!("{:?}", forge.comment(id()).await?),
        "create" => format!("{:?}", forge.create_comment(id(), "b").await?),
        "update" => format!("{:?}", forge.update_comment(id(), "b").await?),
        "delete" => format!("{:?}", forge.delete_comment(id()).await?),
        "statuses" => {
            let statuses = forge.statuses(COMMIT).await?;
            format!("{} statuses, {statuses:?}", statuses.len())
        }
        "set-status" => format!("{:?}", forge.set_status(COMMIT, &status).await?),
        "account" => format!("{:?}", forge.account().await?),
        "may-write" => format!("{:?}", forge.may_write(rest).await?),
        other => panic!("unknown method {other}"),
    })
}

fn run(path: &Path, kind: Kind) -> Result<(), String> {
    let case = Case::read(path);
    let other = Server::new(|_| answer(200, &[("content-type", "application/json")], "[]"));
    let server = serve(kind, &case, &other.url);
    let place = Place {
        kind,
        server: server.url.parse().unwrap(),
        owner: "acme".to_owned(),
        name: "flights".to_owned(),
    };
    let mut words = case.section("ask");
    let (mut api, mut token) = (format!("{}{}", server.url, base(kind)), Some(Token::new(TOKEN.to_owned())));
    if let Some(rest) = words.strip_prefix("at a closed port: ") {
        // Bound and dropped: nobody listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        (words, api) = (rest, format!("http://127.0.0.1:{port}"));
    }
    if let Some(rest) = words.strip_prefix("without a token: ") {
        (words, token) = (rest, None);
    }
    let scheme = if kind == Kind::Gitea { "token" } else { "Bearer" };
    let authorization = token.is_some().then(|| format!("{scheme} {TOKEN}"));
    let forge =
        connect_with(place, api.parse().unwrap(), token, TIMING).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begin = Instant::now();
    let result = runtime.block_on(ask(&*forge, words));
    let took = begin.elapsed().as_millis();
    let (outcome, said) = match &result {
        Ok(answer) => (format!("answer {answer}"), answer.clone()),
        Err(error) => {
            let finding = error.diagnostic();
            (format!("error {}", finding.code), format!("{error}\n{error:?}\n{finding:?}"))
        }
    };
    if said.contains(TOKEN) {
        return Err(format!("the token is in: {said}"));
    }
    if !other.seen().is_empty() {
        return Err(format!("another server was asked: {:?}", other.seen()));
    }
    let seen = server.seen();
    if let Some(wrong) = seen.iter().find(|seen| seen.header("authorization") != authorization.as_deref()) {
        return Err(format!("the authorization of {wrong:?}"));
    }
    let asked: Vec<String> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
    judge(case.section("expect"), &outcome, &said, &asked, took)
}

/// Every expectation against what came.
fn judge(expected: &str, outcome: &str, said: &str, asked: &[String], took: u128) -> Result<(), String> {
    for line in expected.lines() {
        let (name, value) = line.split_once(' ').unwrap();
        let fine = match name {
            "error" => outcome == line,
            "answer" => outcome.starts_with("answer ") && outcome.contains(value),
            "says" => said.contains(value),
            "requests" => value == asked.len().to_string(),
            "at-least" => took >= value.parse().unwrap(),
            "at-most" => took <= value.parse().unwrap(),
            other => panic!("unknown expectation {other}"),
        };
        if !fine {
            return Err(format!(
                "expected `{line}`\nafter {took} ms, {} requests {asked:#?}\n{outcome}\n{said}",
                asked.len()
            ));
        }
    }
    Ok(())
}

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 40, "only {} cases", paths.len());
    let mut trials = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let name = name.strip_suffix(".case").unwrap_or_else(|| panic!("{name} is no case")).to_owned();
        for kind in [Kind::Gitea, Kind::GitHub] {
            let (path, only) = (path.clone(), name.rsplit_once('.').map(|(_, only)| only.to_owned()));
            if only.is_none_or(|only| only == kind.to_string()) {
                let run = move || run(&path, kind).map_err(Failed::from);
                trials.push(Trial::test(format!("{name} ({kind})"), run));
            }
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
