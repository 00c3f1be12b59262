//! Previews of pull requests on a real Gitea: after every step one comment, one status and exactly the
//! right environments.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use testkit::{Call, Case, Comment, Environment, GitRepo, Gitea, GiteaRepo, Mimeo, Outcome, in_plane, state};

use crate::{Quiet, on_lab, program};

/// A line of the fixture `small`, to put a probe before.
const RESOURCES: &str = "          resources: {requests: {cpu: 5m, memory: 8Mi}}";

/// With it a pod of the fixture is never ready.
const NEVER: &str = "          readinessProbe: {exec: {command: [test, -e, /never]}}\n";

/// Who speaks for mimeo: a user who may write to the repository, and no more.
struct Bot {
    login: String,
    token: String,
}

impl Bot {
    fn of(remote: &GiteaRepo<'_>) -> Result<Self> {
        let (login, token) = remote.gitea.user("bot")?;
        remote.collaborator(&login, "write")?;
        Ok(Self { login, token })
    }
}

/// One pull request, and what is to be seen of it.
struct Request<'a> {
    case: &'a Case<'a>,
    remote: &'a GiteaRepo<'a>,
    bot: &'a Bot,
    number: u64,
    environment: RefCell<Option<Environment>>,
}

impl<'a> Request<'a> {
    fn open(case: &'a Case<'a>, remote: &'a GiteaRepo<'a>, bot: &'a Bot, head: &str) -> Result<Self> {
        let number = remote.open_pull(head, "main", head)?;
        Ok(Self { case, remote, bot, number, environment: RefCell::default() })
    }

    /// `mimeo preview`, with the bot's token.
    fn preview(&self) -> Mimeo {
        let arguments = ["preview", "--spec", self.case.spec(), "--pr", &self.remote.pull_url(self.number)];
        self.case.mimeo(arguments).var("MIMEO_FORGE_TOKEN", &self.bot.token)
    }

    /// Pushes and waits until the forge shows it: a CI job starts no earlier.
    fn push(&self, repo: &GitRepo, branch: &str) -> Result<String> {
        let commit = self.remote.push(repo, branch)?;
        self.remote.wait_head(self.number, &commit)?;
        Ok(commit)
    }

    /// The environment; known from its first record on.
    fn environment(&self) -> Result<Environment> {
        if self.environment.borrow().is_none() {
            let digits = format!("-pr-{}-", self.number);
            let all = self.case.environments()?;
            let found = all.iter().find(|one| one.name.contains(&digits));
            let found = found.with_context(|| format!("no environment of pull request {}", self.number))?;
            self.environment.replace(Some(found.clone()));
        }
        self.environment.borrow().clone().context("just found")
    }

    /// Exactly one comment of mimeo's, with the right marker and word; the right status on the commit; the
    /// environment in `mimeo list`, or not.
    fn shows(&self, word: &str, commit: &str, lives: bool) -> Result<Comment> {
        self.seen(word, commit, lives).with_context(|| {
            let comments = self.remote.comments(self.number).unwrap_or_default();
            format!("pull request {} is to show {word:?} at {commit}; it has {comments:#?}", self.number)
        })
    }

    fn seen(&self, word: &str, commit: &str, lives: bool) -> Result<Comment> {
        let all = self.remote.comments(self.number)?;
        let own: Vec<&Comment> = all.iter().filter(|comment| comment.author == self.bot.login).collect();
        let [comment] = own.as_slice() else { anyhow::bail!("expected one comment, found {}", own.len()) };
        let (first, rest) = comment.body.split_once('\n').context("a comment of one line")?;
        let cluster = cluster_digits(self.case)?;
        if lives || self.environment.borrow().is_some() {
            let marker = format!("<!-- mimeo:{cluster}:{} -->", self.environment()?.id);
            ensure!(first == marker, "its first line is {first}, not {marker}");
        } else {
            ensure!(first.starts_with(&format!("<!-- mimeo:{cluster}:")), "its first line is {first}");
        }
        let title = format!("### `{}` preview: {word}\n", self.case.spec());
        ensure!(rest.starts_with(&title), "it does not begin with {title:?}");
        let state = match word {
            "building" | "waiting" => "pending",
            "failed" => "failure",
            _ => "success",
        };
        self.status(commit, state)?;
        let digits = format!("-pr-{}-", self.number);
        let found: Vec<String> =
            listed(self.case)?.into_iter().filter(|name| name.contains(&digits)).collect();
        let wanted: Vec<String> = if lives { vec![self.environment()?.name] } else { Vec::new() };
        ensure!(found == wanted, "mimeo list has {found:?}, not {wanted:?}");
        Ok((*comment).clone())
    }

    /// The newest status of a commit.
    fn status(&self, commit: &str, state: &str) -> Result<()> {
        let statuses = self.remote.statuses(commit)?;
        let context = format!("mimeo/{}", self.case.spec());
        let newest = statuses.first().with_context(|| format!("{commit} has no status"))?;
        ensure!(
            newest["context"] == context.as_str() && newest["status"] == state,
            "the newest status of {commit} is not {context} {state}: {newest}"
        );
        Ok(())
    }

    /// Its environment is the only one of the test.
    fn is_alone(&self) -> Result<()> {
        let all = listed(self.case)?;
        ensure!(all == BTreeSet::from([self.environment()?.name]), "mimeo list has {all:?}");
        Ok(())
    }

    /// Nothing is left of the environment; its last receipt gives this reason.
    fn went(&self, reason: &str) -> Result<()> {
        let environment = self.environment()?;
        let api = &self.case.cluster.api;
        let left = state::leftovers(api, &environment.name, &environment.id)?;
        ensure!(left.is_empty(), "left of {}:\n  {}", environment.name, left.join("\n  "));
        let receipts = state::receipts(api, &environment.name)?;
        let said = |receipt: &Value| receipt["spec"]["reason"].as_str().unwrap_or_default().to_owned();
        ensure!(
            receipts.iter().all(|receipt| receipt["spec"]["proven"] == true)
                && receipts.iter().any(|receipt| said(receipt).contains(reason)),
            "no receipt says {reason:?}: {receipts:?}"
        );
        Ok(())
    }

    /// What this test's account wrote since a mark.
    fn writes(&self, mark: &testkit::AuditMark) -> Result<Vec<Call>> {
        let calls = self.case.cluster.audit.since(mark, &self.case.cluster.api)?;
        let own = self.case.account.username();
        Ok(calls.into_iter().filter(|call| call.user == own && call.is_write()).collect())
    }

    /// A ConfigMap of the environment.
    fn map(&self, name: &str, key: &str) -> Result<String> {
        let path = format!("{}/{name}", self.environment()?.core("configmaps"));
        let map = self.case.cluster.api.get(&path)?.with_context(|| format!("no ConfigMap {name}"))?;
        Ok(map["data"][key].as_str().unwrap_or_default().to_owned())
    }
}

/// First eight digits of the uid of `kube-system`.
fn cluster_digits(case: &Case<'_>) -> Result<String> {
    let system = case.cluster.api.get("/api/v1/namespaces/kube-system")?.context("no kube-system")?;
    let uid = system["metadata"]["uid"].as_str().unwrap_or_default();
    Ok(uid.get(..8).context("kube-system has no uid")?.to_owned())
}

/// The environments of this test, as `mimeo list` has them.
fn listed(case: &Case<'_>) -> Result<BTreeSet<String>> {
    let listed = case.mimeo(["list", "-o", "json"]).succeed()?.json()?;
    let names = listed["items"].as_array().into_iter().flatten().filter_map(|item| item["name"].as_str());
    Ok(names.filter(|name| name.starts_with(&format!("{}-", case.spec()))).map(str::to_owned).collect())
}

fn spec_file(case: &Case<'_>) -> String {
    format!("environments/{}.yaml", case.spec())
}

/// The token is nowhere: not in what was said, not in a record, not in a comment.
fn keeps_token(request: &Request<'_>, said: &[Outcome]) -> Result<()> {
    let token = &request.bot.token;
    for outcome in said {
        ensure!(!outcome.all().contains(token.as_str()), "the token is shown by {outcome}");
    }
    let records = "/apis/mimeo.dev/v1alpha1/namespaces/mimeo-system";
    for plural in ["environments", "inventories", "receipts", "pullrequests"] {
        let all = request.case.cluster.api.list(&format!("{records}/{plural}"))?;
        ensure!(!format!("{all:?}").contains(token.as_str()), "the token is in one of the {plural}");
    }
    let comments = request.remote.comments(request.number)?;
    ensure!(!format!("{comments:?}").contains(token.as_str()), "the token is in a comment");
    Ok(())
}

/// Open, push, force-push, a comment deleted, closed, reopened, merged: the whole life of a pull request.
#[test]
fn a_pull_request_from_its_opening_to_its_merge() -> Result<()> {
    on_lab(|case| {
        let forge = Gitea::lab()?;
        let remote = forge.repository(case.spec())?;
        let bot = Bot::of(&remote)?;
        let repo = case.repo("small")?;
        remote.push(&repo, "main")?;
        repo.branch("feature")?.edit(&spec_file(case), "hello", "good day")?.commit("Another greeting")?;
        let first = remote.push(&repo, "feature")?;
        let request = Request::open(case, &remote, &bot, "feature")?;

        request.preview().succeed()?;
        let comment = request.shows("ready", &first, true).context("opened")?;
        request.is_alone()?;
        ensure!(
            comment.body.contains("`~ web`: ConfigMap/web") && !comment.body.contains("`~ notes`"),
            "it tells what the pull request changes: {}",
            comment.body
        );
        let environment = request.environment()?;
        let address = format!("web.{}.svc:80", environment.name);
        ensure!(comment.body.contains(&address), "it names the endpoint {address}: {}", comment.body);

        repo.edit(&spec_file(case), "good day", "good evening")?.commit("A later greeting")?;
        let second = request.push(&repo, "feature")?;
        let mark = case.cluster.audit.mark()?;
        request.preview().succeed()?;
        let inside: Vec<Call> =
            request.writes(&mark)?.into_iter().filter(|call| call.namespace == environment.name).collect();
        ensure!(
            inside.len() == 1 && inside[0].resource == "configmaps" && inside[0].name == "web",
            "only what was touched is written: {inside:?}"
        );
        ensure!(request.map("web", "greeting")? == "good evening", "the push has arrived");
        let edited = request.shows("ready", &second, true).context("pushed")?;
        ensure!(edited.id == comment.id, "the comment is edited");
        ensure!(edited.body.contains(&second[..12]), "it names the commit: {}", edited.body);

        repo.git(&["reset", "--quiet", "--hard", "main"])?;
        repo.edit(&spec_file(case), "hello", "good night")?.commit("Another history")?;
        let third = request.push(&repo, "feature")?;
        request.preview().succeed()?;
        ensure!(request.map("web", "greeting")? == "good night", "another history has arrived");
        request.shows("ready", &third, true).context("pushed by force")?;

        remote.delete_comment(comment.id)?;
        request.preview().succeed()?;
        let anew = request.shows("ready", &third, true).context("its comment was deleted")?;
        ensure!(anew.id != comment.id, "a new comment");

        remote.close_pull(request.number)?;
        request.preview().succeed()?;
        case.is_gone(&environment)?;
        request.went(&format!("pull request {} was closed", request.number))?;
        let gone = request.shows("gone", &third, false).context("closed")?;
        late(&request, &third, &gone)?;

        remote.reopen_pull(request.number)?;
        request.preview().succeed()?;
        let back = request.shows("ready", &third, true).context("reopened")?;
        ensure!(back.id == anew.id, "the same comment");
        request.is_alone()?;

        remote.merge_pull(request.number)?;
        {
            let _alone = Quiet::gc();
            gc(&request)?.succeed()?;
        }
        request.went(&format!("pull request {} was merged", request.number))?;
        let merged = request.shows("gone", &third, false).context("merged")?;
        let why = case.mimeo(["why", &environment.name]).succeed()?;
        why.says(["gone since", &format!("pull request {} was merged", request.number)])?;
        late(&request, &third, &merged)?;
        remote.delete_branch("feature")?;
        late(&request, &third, &merged)
    })
}

/// A job that comes when all is over changes nothing, neither in the cluster nor on the forge.
fn late(request: &Request<'_>, commit: &str, comment: &Comment) -> Result<()> {
    let mark = request.case.cluster.audit.mark()?;
    let statuses = request.remote.statuses(commit)?;
    request.preview().succeed()?.says(["nothing of"])?;
    let writes = request.writes(&mark)?;
    ensure!(writes.is_empty(), "a late job writes {writes:?}");
    let now = request.remote.comments(request.number)?;
    ensure!(now.contains(comment), "a late job changes the comment: {now:?}");
    ensure!(request.remote.statuses(commit)? == statuses, "a late job sets a status");
    ensure!(listed(request.case)?.is_empty(), "a late job brings nothing back");
    Ok(())
}

/// `mimeo gc` with the bot's token.
fn gc(request: &Request<'_>) -> Result<Mimeo> {
    let forge = request.remote.gitea;
    let mimeo = request.case.mimeo(["gc", "--forge-url", &forge.url()]);
    Ok(mimeo.var("MIMEO_FORGE_TOKEN", &request.bot.token))
}

/// A push while the environment is being built stops the older run; so does a close, which takes it down.
#[test]
fn a_run_that_is_no_longer_wanted_stops() -> Result<()> {
    on_lab(|case| {
        let forge = Gitea::lab()?;
        let remote = forge.repository(case.spec())?;
        let bot = Bot::of(&remote)?;
        let repo = case.repo("small")?;
        remote.push(&repo, "main")?;
        let web = "templates/web/manifests/web.yaml";
        repo.branch("feature")?;
        repo.edit(web, RESOURCES, &format!("{NEVER}{RESOURCES}"))?.commit("It is never ready")?;
        let stuck = remote.push(&repo, "feature")?;
        let request = Request::open(case, &remote, &bot, "feature")?;
        let older = request.preview().start()?;
        older.wait_for("+ web: Deployment/web", Duration::from_secs(30))?;
        request.shows("building", &stuck, true).context("being built")?;

        repo.edit(web, NEVER, "")?.edit(&spec_file(case), "hello", "good day")?.commit("A fix")?;
        let fix = request.push(&repo, "feature")?;
        let pushed = Instant::now();
        let newer = request.preview().start()?;
        let older = older.wait()?.expect(3)?.says(["PRV002", &fix[..12]])?;
        ensure!(pushed.elapsed() < Duration::from_secs(18), "it stops soon after the push: {older}");
        newer.wait()?.expect(0)?;
        request.shows("ready", &fix, true).context("the newer run went on")?;
        request.status(&stuck, "error")?;
        ensure!(request.map("web", "greeting")? == "good day", "the environment is at the newer commit");
        request.is_alone()?;

        repo.edit(web, RESOURCES, &format!("{NEVER}{RESOURCES}"))?.commit("Not ready again")?;
        let stuck = request.push(&repo, "feature")?;
        let building = request.preview().start()?;
        building.wait_for("~ web: Deployment/web", Duration::from_secs(30))?;
        remote.close_pull(request.number)?;
        let closed = Instant::now();
        building.wait()?.expect(0)?.says(["closed meanwhile"])?;
        ensure!(closed.elapsed() < Duration::from_secs(45), "it takes down what it was building");
        case.is_gone(&request.environment()?)?;
        request.shows("gone", &stuck, false).context("closed while being built").map(|_| ())
    })
}

/// A pod that fails with a secret in its last words: the comment tells all but the secret. What is wrong
/// with the spec is told with its place.
#[test]
fn a_failure_is_told_without_secrets() -> Result<()> {
    on_lab(|case| {
        let forge = Gitea::lab()?;
        let remote = forge.repository(case.spec())?;
        let bot = Bot::of(&remote)?;
        let repo = case.repo("small")?;
        remote.push(&repo, "main")?;
        repo.branch("feature")?;
        let wrong = "cannot log in with ${PASSWORD} and ${TOKEN}";
        repo.edit(
            "templates/web/manifests/web.yaml",
            "trap \"exit 0\" TERM; echo started; sleep 100000 & wait",
            &format!("echo reading the settings; echo {wrong} >&2; exit 3"),
        )?;
        repo.edit(
            "templates/web/manifests/web.yaml",
            RESOURCES,
            &format!(
                // The probe keeps it from being ready for the moment before it fails.
                "            - name: TOKEN\n              valueFrom: {{secretKeyRef: {{name: {{{{ name }}}}-token, key: token}}}}\n{NEVER}{RESOURCES}"
            ),
        )?
        .commit("It cannot work")?;
        let failing = remote.push(&repo, "feature")?;
        let request = Request::open(case, &remote, &bot, "feature")?;
        let failed = request.preview().args(["--fail-fast", "-vv"]).run()?.expect(7)?;
        let comment = request.shows("failed", &failing, true)?;
        for text in ["Deployment/web", "exit code 3", "reading the settings", "cannot log in with ***"] {
            ensure!(comment.body.contains(text), "it does not tell {text:?}: {}", comment.body);
        }
        let path = format!("{}/web-auth", request.environment()?.core("secrets"));
        let secret = case.cluster.api.get(&path)?.context("no generated Secret")?;
        let password = STANDARD.decode(secret["data"]["password"].as_str().unwrap_or_default())?;
        let password = String::from_utf8(password)?;
        ensure!(password.len() == 40, "a password of 40 characters");
        let statuses = format!("{:?}", remote.statuses(&failing)?);
        for secret in [password.as_str(), "canary-of-the-first-commit"] {
            ensure!(!comment.body.contains(secret), "a secret is told: {}", comment.body);
            ensure!(!statuses.contains(secret), "a secret is in a status: {statuses}");
        }
        keeps_token(&request, &[failed])?;

        repo.edit(&spec_file(case), "template: notes}", "template: nots}")?.commit("A slip")?;
        let slip = request.push(&repo, "feature")?;
        request.preview().run()?.expect(2)?;
        let told = request.shows("failed", &slip, true).context("a mistake in the spec")?;
        ensure!(told.id == comment.id, "the same comment");
        let place = format!("at {}:8:", spec_file(case));
        ensure!(told.body.contains("nots") && told.body.contains(&place), "its place: {}", told.body);
        remote.close_pull(request.number)?;
        request.preview().succeed()?;
        request.shows("gone", &slip, false).map(|_| ())
    })
}

/// A pull request decides over parameters by its labels, and over nothing that protects the cluster from it.
/// A comment that only looks like mimeo's is left alone, and the token is seen nowhere.
#[test]
fn lifetime_protection_and_policy_are_the_bases() -> Result<()> {
    on_lab(|case| {
        let forge = Gitea::lab()?;
        let remote = forge.repository(case.spec())?;
        let bot = Bot::of(&remote)?;
        let repo = case.repo("config")?;
        let notes = "    notes: {template: notes}\n";
        let spec = |rest: &str| {
            format!(
                "    notes: {{template: notes, values: {{text: \"days {{{{ params.days }}}}\"}}}}\n  parameters: {{days: {{type: integer, default: 1}}}}\n{rest}"
            )
        };
        let base = "  lifecycle: {ttl: 48h}\n  policy: {quota: {pods: 3}}\n";
        repo.edit(&spec_file(case), notes, &spec(base))?.commit("What main says")?;
        remote.push(&repo, "main")?;
        let greedy = "  lifecycle: {ttl: 1000h, protected: true}\n  policy: {namespace: {borrowed: kube-system}, quota: {pods: 300}}\n";
        repo.branch("feature")?.edit(&spec_file(case), base, greedy)?.commit("More for me")?;
        let commit = remote.push(&repo, "feature")?;
        let request = Request::open(case, &remote, &bot, "feature")?;
        let mut said = vec![request.preview().args(["-vv"]).succeed()?];
        let first = request.shows("ready", &commit, true)?;
        let environment = request.environment()?;
        let record = case.record(&environment)?;
        let time = |field: &str| seconds(record["spec"][field].as_str().unwrap_or_default());
        let ttl = time("expiresAt")? - time("lastUp")?;
        ensure!((ttl - 48 * 3600).abs() <= 2, "the TTL is the base's: {ttl} s");
        ensure!(record["spec"]["protected"] == false, "the base does not protect it: {record}");
        ensure!(record["spec"]["namespace"] == environment.name.as_str(), "a namespace of its own");
        let quota = format!("{}/mimeo", environment.core("resourcequotas"));
        let quota = case.cluster.api.get(&quota)?.context("no quota")?;
        ensure!(quota["spec"]["hard"]["pods"] == "3", "the quota is the base's: {quota}");
        let text = request.map("notes", "text")?;
        ensure!(text == "days 1", "the default, not {text}");

        remote.add_label(request.number, "mimeo/days=3")?;
        remote.add_label(request.number, "enhancement")?;
        said.push(as_job(&request)?.succeed()?);
        let text = request.map("notes", "text")?;
        ensure!(text == "days 3", "a label sets a parameter, not {text}");
        let labelled = request.shows("ready", &commit, true)?;
        ensure!(labelled.body.contains("parameter") || labelled.id == first.id, "the same comment");
        said.push(request.preview().args(["--set", "days=5"]).succeed()?);
        let text = request.map("notes", "text")?;
        ensure!(text == "days 5", "the command line is the last word, not {text}");

        // Somebody writes what mimeo would write, and mimeo's own comment is lost.
        let (stranger, token) = forge.user("eve")?;
        let marker = first.body.lines().next().unwrap_or_default();
        let forged = remote.comment_as(&token, request.number, &format!("{marker}\nnothing to see"))?;
        remote.delete_comment(first.id)?;
        said.push(request.preview().succeed()?);
        request.shows("ready", &commit, true).context("beside a forged comment")?;
        let comments = remote.comments(request.number)?;
        let theirs = comments.iter().find(|comment| comment.id == forged).context("the other's is gone")?;
        ensure!(theirs.author == stranger && theirs.body.ends_with("nothing to see"), "{theirs:?}");

        let wrong = request.preview().var("MIMEO_FORGE_TOKEN", "0123456789abcdef").args(["-vv"]).run()?;
        ensure!(!matches!(wrong.code, Some(0) | None), "a token that is none: {wrong}");
        ensure!(!wrong.all().contains("0123456789abcdef"), "even a wrong token is a secret: {wrong}");
        remote.close_pull(request.number)?;
        said.push(request.preview().args(["-vv"]).succeed()?);
        request.shows("gone", &commit, false)?;
        keeps_token(&request, &said)?;
        protected_by_the_base(case, &remote, &repo, &bot)
    })
}

/// What the base protects stays when its pull request is closed, and the comment says so.
fn protected_by_the_base(case: &Case<'_>, remote: &GiteaRepo<'_>, repo: &GitRepo, bot: &Bot) -> Result<()> {
    repo.checkout("main")?.edit(&spec_file(case), "ttl: 48h", "ttl: 48h, protected: true")?;
    repo.commit("Protected")?;
    remote.push(repo, "main")?;
    repo.branch("free")?.edit(&spec_file(case), ", protected: true", "")?.commit("Not protected")?;
    let commit = remote.push(repo, "free")?;
    let request = Request::open(case, remote, bot, "free")?;
    request.preview().succeed()?;
    remote.close_pull(request.number)?;
    request.preview().run()?.expect(3)?.says(["PRV008"])?;
    request.shows("kept", &commit, true).map(|_| ())
}

/// The command as a CI job has it: the pull request and the forge are in its variables.
fn as_job(request: &Request<'_>) -> Result<Mimeo> {
    let event = request.case.home().join("event.json");
    std::fs::write(&event, serde_json::json!({"pull_request": {"number": request.number}}).to_string())?;
    let repository = format!("{}/{}", request.remote.owner, request.remote.name);
    let mimeo = request.case.mimeo(["preview", "--spec", request.case.spec()]);
    Ok(mimeo
        .var("GITEA_ACTIONS", "true")
        .var("GITHUB_SERVER_URL", &request.remote.gitea.url())
        .var("GITHUB_REPOSITORY", &repository)
        .var("GITHUB_EVENT_PATH", &event.display().to_string())
        .var("MIMEO_FORGE_TOKEN", &request.bot.token))
}

/// Seconds since 1970 of an RFC 3339 time in UTC, by `date`.
fn seconds(time: &str) -> Result<i64> {
    let said = std::process::Command::new("date").args(["-u", "+%s", "-d", time]).output()?;
    String::from_utf8_lossy(&said.stdout).trim().parse().with_context(|| format!("{time:?} is no time"))
}

/// A fork's code runs for one commit, after somebody who may write to the base has looked at it.
#[test]
fn a_fork_waits_for_an_approval_of_its_very_commit() -> Result<()> {
    on_lab(|case| {
        let forge = Gitea::lab()?;
        let remote = forge.repository(case.spec())?;
        let bot = Bot::of(&remote)?;
        let repo = case.repo("config")?;
        remote.push(&repo, "main")?;
        let (outsider, token) = forge.user("outsider")?;
        let fork = remote.fork(&outsider, &token)?;
        repo.branch("feature")?.edit(
            &spec_file(case),
            "template: notes",
            "template: notes, values: {text: a}",
        )?;
        repo.commit("From outside")?;
        let first = fork.push(&repo, "feature")?;
        let request = Request::open(case, &remote, &bot, &format!("{outsider}:feature"))?;

        let refused = request.preview().run()?.expect(3)?.says(["PRV001", "mimeo approve", &first])?;
        let waiting = request.shows("waiting", &first, false).context("nobody has approved it")?;
        ensure!(waiting.body.contains(&format!("--commit {first}")), "it says what to run: {}", waiting.body);

        let approve = |commit: &str, token: &str| {
            let url = remote.pull_url(request.number);
            case.mimeo(["approve", &url, "--commit", commit]).var("MIMEO_FORGE_TOKEN", token).run()
        };
        let own = approve(&first, &token)?.expect(3)?.says(["PRV007", &outsider])?;
        approve(&"0".repeat(40), &bot.token)?.expect(3)?.says(["PRV005"])?;
        approve(&first[..8], &bot.token)?.expect(3)?.says(["PRV005"])?;
        request.preview().run()?.expect(3)?.says(["PRV001"]).context("an approval that was refused")?;

        let approved = approve(&first, &bot.token)?.expect(0)?.says([bot.login.as_str()])?;
        let up = request.preview().succeed()?;
        request.shows("ready", &first, true).context("approved")?;
        ensure!(request.map("notes", "text")? == "a", "the fork's commit");

        repo.edit(&spec_file(case), "text: a", "text: b")?.commit("And now something else")?;
        let second = fork.push(&repo, "feature")?;
        remote.wait_head(request.number, &second)?;
        request.preview().run()?.expect(3)?.says(["PRV001", &second])?;
        request.shows("waiting", &second, true).context("a new head voids the approval")?;
        ensure!(request.map("notes", "text")? == "a", "the new head did not run");
        approve(&first, &bot.token)?
            .expect(3)?
            .says(["PRV005"])
            .context("the old head is the head no more")?;

        approve(&second, &bot.token)?.expect(0)?;
        request.preview().succeed()?;
        request.shows("ready", &second, true).context("approved again")?;

        // A third head whose template takes all memory: it ends apart, and the environment stays as it is.
        let grows = "{%- set_global t = '0123456789' %}\n{%- for a in range(end=64) %}\n{%- set_global t = t ~ t %}\n{%- endfor %}\n";
        repo.write("templates/notes/manifests/grows.yaml", grows)?.commit("And now without end")?;
        let third = fork.push(&repo, "feature")?;
        remote.wait_head(request.number, &third)?;
        approve(&third, &bot.token)?.expect(0)?;
        let place = "templates/notes/manifests/grows.yaml:3";
        let ended = request.preview().run()?.expect(2)?.says(["TPL014", place])?;
        let failed = request.shows("failed", &third, true).context("it cannot be rendered")?;
        ensure!(
            failed.body.contains("TPL014") && failed.body.contains(place),
            "it says where: {}",
            failed.body
        );
        ensure!(request.map("notes", "text")? == "b", "the last good head stays");
        remote.close_pull(request.number)?;
        request.preview().succeed()?;
        request.shows("gone", &third, false)?;
        // An approval does not outlive the pull request.
        remote.reopen_pull(request.number)?;
        request.preview().run()?.expect(3)?.says(["PRV001"])?;
        request.shows("waiting", &third, false)?;
        keeps_token(&request, &[refused, own, approved, up, ended])
    })
}

/// Ten at once, three of them twice; then a `kill -9` in the middle of each, and the same command again.
#[test]
fn ten_pull_requests_at_once_and_killed() -> Result<()> {
    in_plane("preview::ten_pull_requests_at_once_and_killed", program(), |cluster| {
        Case::run(cluster, |case| {
            let forge = Gitea::start(&case.home().join("gitea"))?;
            let remote = forge.repository(case.spec())?;
            let bot = Bot::of(&remote)?;
            let repo = case.repo("small")?;
            remote.push(&repo, "main")?;
            let mut heads = Vec::new();
            for number in 0..10 {
                let branch = format!("feature-{number}");
                repo.checkout("main")?.branch(&branch)?;
                repo.edit(&spec_file(case), "hello", &format!("hello {number}"))?.commit("A greeting")?;
                heads.push(remote.push(&repo, &branch)?);
            }
            let requests: Vec<Request<'_>> = (0..10)
                .map(|number| Request::open(case, &remote, &bot, &format!("feature-{number}")))
                .collect::<Result<_>>()?;

            let mut running = Vec::new();
            for request in requests.iter().chain(&requests[..3]) {
                running.push(request.preview().start()?);
            }
            for run in running {
                run.wait()?.expect(0)?;
            }
            let mut all = BTreeSet::new();
            for (number, (request, head)) in requests.iter().zip(&heads).enumerate() {
                request.shows("ready", head, true)?;
                let greeting = request.map("web", "greeting")?;
                ensure!(greeting == format!("hello {number}"), "{number} says {greeting}");
                all.insert(request.environment()?.name);
            }
            ensure!(all.len() == 10 && listed(case)? == all, "ten environments: {all:?}");

            for (number, request) in requests.iter().enumerate() {
                repo.checkout(&format!("feature-{number}"))?;
                repo.edit(&spec_file(case), "hello", "good day")?;
                repo.edit("templates/web/manifests/web.yaml", "cpu: 5m", "cpu: 6m")?.commit("Another")?;
                heads[number] = request.push(&repo, &format!("feature-{number}"))?;
            }
            killed_and_again(&requests)?;
            for (number, (request, head)) in requests.iter().zip(&heads).enumerate() {
                request.shows("ready", head, true).context("after a kill")?;
                let greeting = request.map("web", "greeting")?;
                ensure!(greeting == format!("good day {number}"), "{number} says {greeting}");
            }

            for request in &requests {
                remote.close_pull(request.number)?;
            }
            killed_and_again(&requests)?;
            for (request, head) in requests.iter().zip(&heads) {
                request.shows("gone", head, false).context("closed, after a kill")?;
                case.is_gone(&request.environment()?)?;
            }
            let left = listed(case)?;
            ensure!(left.is_empty(), "left: {left:?}");
            Ok(())
        })
    })
}

/// Each dies at another moment; the second run finishes what the first has begun.
fn killed_and_again(requests: &[Request<'_>]) -> Result<()> {
    let mut killed = 0;
    let mut running = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        running.push((request.preview().start()?, Duration::from_millis(250 * (number as u64 + 1))));
    }
    let began = Instant::now();
    for (run, moment) in running {
        thread::sleep(moment.saturating_sub(began.elapsed()));
        killed += usize::from(run.kill()?.code.is_none());
    }
    ensure!(killed > 2, "only {killed} of {} were killed in time", requests.len());
    let mut again = Vec::new();
    for request in requests {
        again.push(request.preview().start()?);
    }
    again
        .into_iter()
        .try_for_each(|run| run.wait()?.expect(0).map(|_| ()))
        .map_err(|error| anyhow!("{error:#}"))
}
