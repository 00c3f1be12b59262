//! Plays a script: one repository, one namespace of records, one relay to the forge, one clock.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimePrinter};
use serde_json::{Value, json};
use testkit::{Case, ForgeRelay, GitRepo, Gitea, Harm, Mimeo, Outcome, Relay, Traffic, Trouble, random_name};

use super::script::{Break, Forge, Gc, Git, How, Script, Step, TokenOf, Where};

/// Longest time for one run of the program.
const LIMIT: Duration = Duration::from_secs(150);
/// Seconds by which the API server's clock moves before each run. It stands still during one, and the
/// program reads it to a second or so: two runs at the same time could seem to be in reverse order.
const TICK: i64 = 5;
const RECORDS: &str = "/apis/mimeo.dev/v1alpha1/namespaces";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces";
/// What the forge's users are given.
const PASSWORD: &str = "Correct-horse-7";

/// What all scripts share.
pub struct Site {
    /// The forge.
    pub gitea: &'static Gitea,
    /// One that may be stopped, and that has none of the forge's repositories.
    pub spare: &'static Gitea,
    /// Held by the script that uses the spare one.
    pub spare_in_use: Mutex<()>,
    /// The hosts' names.
    pub hosts: Hosts,
    /// Where every script's clock begins, in seconds since 1970.
    pub began: i64,
}

/// One name for each script, in the plane's `/etc/hosts`. One byte says whether it is known: readers never
/// see a half-written file.
pub struct Hosts {
    file: File,
}

impl Hosts {
    pub fn new(path: &Path, count: usize) -> Result<Self> {
        let lines: String = (0..count).map(|number| format!("127.0.0.1 {}\n", Self::name(number))).collect();
        std::fs::write(path, format!("{lines}127.0.0.1 localhost\n"))?;
        Ok(Self { file: File::options().write(true).open(path)? })
    }

    fn name(number: usize) -> String {
        format!("o{number:03}.forge.test")
    }

    fn set(&self, number: usize, known: bool) -> Result<()> {
        let line = "127.0.0.1 ".len() + Self::name(number).len() + 1;
        let at = line * number + "127.0.0.1 ".len();
        Ok(self.file.write_all_at(if known { b"o" } else { b"x" }, at as u64)?)
    }
}

/// Asks the thread that holds the spare forge to start it again.
pub type Ask = mpsc::Sender<mpsc::Sender<Result<()>>>;

/// What a hook needs, too.
struct World {
    site: &'static Site,
    gitea: &'static Gitea,
    ask: Ask,
    number: usize,
    relay: ForgeRelay,
    cluster: Relay,
    clone: GitRepo,
    state: Mutex<State>,
}

struct State {
    owner: String,
    name: String,
    /// Name of another repository of the same owner.
    decoy: String,
    pulls: BTreeMap<String, u64>,
    user: Option<String>,
    token: Option<String>,
    /// Seconds since 1970 by the API server's clock.
    now: i64,
    /// Makes contents differ.
    count: usize,
    /// How `faketime` is told the offset.
    client: Option<String>,
}

struct Play<'a> {
    case: &'a Case<'a>,
    script: &'a Script,
    world: Arc<World>,
    home: tempfile::TempDir,
    namespace: String,
    kubeconfig: PathBuf,
    /// Name, id and uid of the namespace of each environment that was brought up.
    up: BTreeMap<String, (String, String)>,
    held: Option<String>,
    said: Vec<String>,
}

/// Plays a script from its beginning to its end.
pub fn play(
    case: &Case<'_>,
    site: &'static Site,
    ask: &Ask,
    number: usize,
    name: &str,
    script: &Script,
) -> Result<()> {
    let spare =
        script.setup.spare || script.steps.iter().any(|step| matches!(step, Step::Forge(Forge::Empty(_))));
    let _held = spare.then(|| site.spare_in_use.lock().unwrap_or_else(PoisonError::into_inner));
    let mut play = Play::begin(case, site, ask, number, name, script)?;
    let outcome = play.run();
    let done = play.world.relay.done();
    let healed = play.world.relay.heal();
    outcome.and(done).and(healed).map_err(|error| {
        let said: String = play.said.iter().rev().take(4).rev().map(|said| format!("{said}\n")).collect();
        anyhow!("{error:#}\n{said}the forge was asked:\n{}", tail(&play.world.relay.transcript(), 40))
    })
}

fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server(&self) -> String {
        format!("http://{}:{}", Hosts::name(self.number), self.relay.port())
    }

    /// URL of the repository by way of the relay, as it was first called.
    fn url(&self) -> String {
        let state = self.state();
        format!("{}/{}/{}", self.server(), state.owner, state.name)
    }

    fn push_url(&self) -> String {
        let (admin, token) = (self.gitea.admin(), self.gitea.token());
        let state = self.state();
        format!("http://{admin}:{token}@{}/{}/{}.git", self.gitea.authority(), state.owner, state.name)
    }

    fn path(&self, rest: &str) -> String {
        let state = self.state();
        format!("/repos/{}/{}{rest}", state.owner, state.name)
    }

    fn ask(&self, method: &str, rest: &str, body: &Value) -> Result<Value> {
        self.gitea.done(method, &self.path(rest), Some(body))
    }

    fn pull(&self, name: &str) -> Result<u64> {
        self.state().pulls.get(name).copied().with_context(|| format!("{name} has no pull request"))
    }

    fn push(&self, refs: &[&str]) -> Result<()> {
        let url = self.push_url();
        self.clone.git(&[&["push", "--quiet", "--force", &url], refs].concat()).map(|_| ())
    }

    fn tick(&self) -> usize {
        let mut state = self.state();
        state.count += 1;
        state.count
    }

    fn git(&self, git: &Git) -> Result<()> {
        match git {
            Git::Commit(branch) => {
                self.clone.checkout(branch)?;
                self.clone.write("more.txt", &self.tick().to_string())?.commit("More")?;
                self.clone.checkout("main")?;
                self.push(&[branch])
            }
            Git::ForcePush(branch) => {
                self.clone.checkout(branch)?;
                let text = format!("Another, {}", self.tick());
                self.clone.git(&["commit", "--quiet", "--amend", "--message", &text])?;
                self.clone.checkout("main")?;
                self.push(&[branch])
            }
            Git::Delete(branches) => {
                let refs: Vec<String> =
                    branches.iter().map(|branch| format!(":refs/heads/{branch}")).collect();
                self.push(&refs.iter().map(String::as_str).collect::<Vec<_>>())
            }
            Git::Create(branches) => self.push(&branches.iter().map(String::as_str).collect::<Vec<_>>()),
            Git::Rename(from, to) => {
                self.push(&[&format!("refs/heads/{from}:refs/heads/{to}"), &format!(":refs/heads/{from}")])
            }
            Git::DeleteTag(tag) => self.push(&[&format!(":refs/tags/{tag}")]),
            Git::Origin(url) => {
                let own = self.url();
                let place = own.split_once("://").map(|(_, place)| place).unwrap_or_default();
                let url = url.replace("{url}", &own).replace("{place}", place);
                self.clone.git(&["remote", "set-url", "origin", &url]).map(|_| ())
            }
        }
    }

    fn forge(&self, forge: &Forge) -> Result<()> {
        match forge {
            Forge::Close(name) | Forge::Reopen(name) => {
                let state = if matches!(forge, Forge::Close(_)) { "closed" } else { "open" };
                self.ask("PATCH", &format!("/pulls/{}", self.pull(name)?), &json!({"state": state}))?;
            }
            Forge::Merge(name) => self.merge(self.pull(name)?)?,
            Forge::Default(branch) => {
                self.ask("PATCH", "", &json!({"default_branch": branch}))?;
            }
            Forge::Private(private) => {
                self.ask("PATCH", "", &json!({"private": private}))?;
            }
            Forge::Archive(archived) => {
                self.ask("PATCH", "", &json!({"archived": archived}))?;
            }
            Forge::Rename => {
                let name = format!("{}-renamed", self.state().name);
                self.ask("PATCH", "", &json!({"name": name}))?;
            }
            Forge::Transfer => {
                let owner = format!("org-{}", random_name());
                self.gitea.done("POST", "/orgs", Some(&json!({"username": owner})))?;
                self.ask("POST", "/transfer", &json!({"new_owner": owner}))?;
            }
            Forge::Delete => {
                self.gitea.done("DELETE", &self.path(""), None)?;
            }
            Forge::Recreate(branches) => {
                let name = self.state().name.clone();
                let wanted = json!({"name": name, "default_branch": "main"});
                self.gitea.done("POST", "/user/repos", Some(&wanted))?;
                if !branches.is_empty() {
                    self.push(&branches.iter().map(String::as_str).collect::<Vec<_>>())?;
                }
            }
            Forge::Decoy(branches) => {
                let name = format!("decoy-{}", random_name());
                let wanted = json!({"name": name, "default_branch": "main"});
                self.gitea.done("POST", "/user/repos", Some(&wanted))?;
                let own = std::mem::replace(&mut self.state().name, name.clone());
                let pushed = self.push(&branches.iter().map(String::as_str).collect::<Vec<_>>());
                let mut state = self.state();
                (state.name, state.decoy) = (own, name);
                pushed?;
            }
            Forge::Token(of) => {
                let token = self.token(*of)?;
                self.state().token = token;
            }
            Forge::Revoke => {
                let login = self.state().user.clone().context("there is no user")?;
                let basic = format!("Basic {}", STANDARD.encode(format!("{login}:{PASSWORD}")));
                let path = format!("/users/{login}/tokens/tests");
                let (status, body) = self.gitea.api_as(&basic, "DELETE", &path, None)?;
                ensure!(status == 204, "the token stays: {status} {body}");
            }
            Forge::DeleteUser => {
                let login = self.state().user.clone().context("there is no user")?;
                self.gitea.done("DELETE", &format!("/admin/users/{login}?purge=true"), None)?;
            }
            Forge::Stop => {
                ensure!(std::ptr::eq(self.gitea, self.site.spare), "only the spare forge may be stopped");
                self.gitea.stop()?;
            }
            Forge::Restart => {
                let (answer, answered) = mpsc::channel();
                self.ask.send(answer).context("nobody holds the spare forge")?;
                answered.recv().context("nobody started the spare forge")??;
            }
            Forge::Empty(empty) => {
                let stands = if *empty { self.site.spare } else { self.gitea };
                self.relay.lead_to(stands.authority());
            }
        }
        Ok(())
    }

    fn merge(&self, number: u64) -> Result<()> {
        // The forge finds out in the background whether it can be merged.
        for _ in 0..100 {
            if self.gitea.done("GET", &self.path(&format!("/pulls/{number}")), None)?["mergeable"] == true {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.ask("POST", &format!("/pulls/{number}/merge"), &json!({"Do": "merge"})).map(|_| ())
    }

    fn token(&self, of: TokenOf) -> Result<Option<String>> {
        Ok(match of {
            TokenOf::None => None,
            TokenOf::Wrong => Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
            TokenOf::Stranger => Some(self.user("stranger")?.1),
            TokenOf::User => {
                let (login, token) = self.user("writer")?;
                self.ask("PUT", &format!("/collaborators/{login}"), &json!({"permission": "write"}))?;
                self.state().user = Some(login);
                Some(token)
            }
        })
    }

    /// A user whose password is known, so that the token can be deleted.
    fn user(&self, kind: &str) -> Result<(String, String)> {
        let login = format!("{kind}-{}", random_name());
        let wanted = json!({
            "username": login, "email": format!("{login}@mimeo.invalid"), "password": PASSWORD,
            "must_change_password": false,
        });
        self.gitea.done("POST", "/admin/users", Some(&wanted))?;
        let basic = format!("Basic {}", STANDARD.encode(format!("{login}:{PASSWORD}")));
        let wanted = json!({"name": "tests", "scopes": ["all"]});
        let (status, made) =
            self.gitea.api_as(&basic, "POST", &format!("/users/{login}/tokens"), Some(&wanted))?;
        let token = made["sha1"].as_str().with_context(|| format!("no token: {status} {made}"))?;
        Ok((login, token.to_owned()))
    }

    fn set_clock(&self) -> Result<()> {
        let at = Timestamp::from_second(self.state().now)?;
        self.cluster.date(&DateTimePrinter::new().timestamp_to_rfc9110_string(&at)?);
        Ok(())
    }

    /// A step that hooks may do, too; `false` when it is none.
    fn act(&self, step: &Step) -> Result<bool> {
        match step {
            Step::Git(git) => self.git(git)?,
            Step::Forge(forge) => self.forge(forge)?,
            Step::Break(trouble) => self.trouble(trouble)?,
            Step::Heal => self.relay.heal()?,
            Step::Dns(known) => self.site.hosts.set(self.number, *known)?,
            Step::Clock(by) => {
                let by: SignedDuration = by.parse().with_context(|| format!("{by} is no duration"))?;
                self.state().now += by.as_secs();
                self.set_clock()?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn trouble(&self, trouble: &Break) -> Result<()> {
        let (owner, name, decoy) = {
            let state = self.state();
            (state.owner.clone(), state.name.clone(), state.decoy.clone())
        };
        let filled = |text: &str| text.replace("{name}", &name).replace("{decoy}", &decoy);
        let harm = match harm(trouble)? {
            None => {
                self.relay.close();
                return Ok(());
            }
            Some(Harm::Instead(from, to)) => Harm::Instead(filled(&from), filled(&to)),
            Some(Harm::Answer { status, mut headers, body }) => {
                let port = self.relay.port();
                let decoy =
                    format!("http://localhost:{port}/{owner}/{decoy}.git/info/refs?service=git-upload-pack");
                headers.iter_mut().for_each(|(_, value)| *value = value.replace("{decoy}", &decoy));
                Harm::Answer { status, headers, body }
            }
            Some(harm) => harm,
        };
        let traffic = match trouble.r#where {
            Where::Git => Traffic::Git,
            Where::Api => Traffic::Api,
            Where::Both => Traffic::Both,
        };
        let (path, skip, maybe) = (trouble.path.as_deref().map(filled), trouble.skip, trouble.maybe);
        let times = trouble.times.unwrap_or(usize::MAX);
        self.relay.trouble(Trouble { traffic, path, skip, times, harm, maybe });
        Ok(())
    }
}

/// What the relay does; nothing where nobody is to listen.
fn harm(trouble: &Break) -> Result<Option<Harm>> {
    let page = b"<!doctype html><html><title>Welcome</title><p>Please sign in</p></html>".to_vec();
    let answer = |status: u16, headers: &[(&str, &str)], body: Vec<u8>| Harm::Answer {
        status,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body,
    };
    let kind = match trouble.r#where {
        Where::Git => Some("application/x-git-upload-pack-advertisement"),
        Where::Api => Some("application/json"),
        Where::Both => None,
    };
    let one_kind = || kind.context("say `where: git` or `where: api`");
    let html = ("Content-Type", "text/html; charset=utf-8");
    Ok(Some(match &trouble.how {
        How::Status(status) => answer(*status, &[html], page),
        How::Gitea(status) => {
            let message = if *status == 404 { "The target couldn't be found." } else { "not today" };
            let body = json!({"message": message, "url": "http://127.0.0.1/api/swagger", "errors": []});
            answer(
                *status,
                &[("Content-Type", "application/json;charset=utf-8")],
                body.to_string().into_bytes(),
            )
        }
        How::Limited(after) if after.is_empty() => answer(429, &[html], page),
        How::Limited(after) => answer(429, &[html, ("Retry-After", after)], page),
        How::Page => answer(200, &[html], page),
        How::DisguisedPage => answer(200, &[("Content-Type", one_kind()?)], page),
        How::Empty => answer(200, &[], Vec::new()),
        How::EmptyList if matches!(trouble.r#where, Where::Git) => Harm::NoRefs,
        How::EmptyList => answer(200, &[("Content-Type", one_kind()?)], b"[]".to_vec()),
        How::Redirect(status) => answer(*status, &[("Location", "http://elsewhere.invalid/login")], page),
        How::RedirectToDecoy(status) => answer(*status, &[("Location", "{decoy}")], page),
        How::Refused => return Ok(None),
        How::CutInLine => Harm::CutInLine,
        How::CutAfterLine => Harm::CutAfterLine,
        How::WithoutRefs(names) => Harm::WithoutRefs(names.clone()),
        How::Half => Harm::Half,
        How::Close => Harm::Close,
        How::Reset => Harm::Reset,
        How::Garbage => Harm::Garbage,
        How::SlowMs(time) => Harm::Slow(Duration::from_millis(*time)),
        How::HangS(time) => Harm::Hang(Duration::from_secs(*time)),
        How::Stale => Harm::Stale,
        How::Instead(from, to) => Harm::Instead(from.clone(), to.clone()),
        How::Edit(fields) => Harm::Edit(fields.clone().into_iter().collect()),
    }))
}

impl<'a> Play<'a> {
    fn begin(
        case: &'a Case<'a>,
        site: &'static Site,
        ask: &Ask,
        number: usize,
        name: &str,
        script: &'a Script,
    ) -> Result<Self> {
        let gitea = if script.setup.spare { site.spare } else { site.gitea };
        let relay = ForgeRelay::start(gitea.authority())?;
        let cluster = Relay::start(case.cluster.api.config())?;
        let namespace = format!("records-{number}");
        records(case, &namespace)?;
        let home = tempfile::Builder::new().prefix("mimeo-outage-").tempdir_in(case.home())?;
        let kubeconfig = home.path().join("kubeconfig");
        let config = case.cluster.api.config().with_token(&case.account.token).by_way_of(&cluster.url());
        config.write(&kubeconfig)?;
        let wanted = json!({
            "name": format!("{name}-{}", random_name()), "default_branch": "main", "private": script.setup.private,
        });
        let made = gitea.done("POST", "/user/repos", Some(&wanted))?;
        let state = State {
            owner: gitea.admin().to_owned(),
            name: made["name"].as_str().context("a repository without a name")?.to_owned(),
            decoy: String::new(),
            pulls: BTreeMap::new(),
            user: None,
            token: None,
            now: site.began,
            count: 0,
            client: None,
        };
        let clone = GitRepo::new()?;
        let state = Mutex::new(state);
        let world = World { site, gitea, ask: ask.clone(), number, relay, cluster, clone, state };
        world.set_clock()?;
        let mut play = Self {
            case,
            script,
            world: Arc::new(world),
            home,
            namespace,
            kubeconfig,
            up: BTreeMap::new(),
            held: None,
            said: Vec::new(),
        };
        play.fill(name)?;
        Ok(play)
    }

    /// The repository with its branches, tags and pull requests.
    fn fill(&mut self, name: &str) -> Result<()> {
        let (world, setup) = (&self.world, &self.script.setup);
        let clone = &world.clone;
        clone.write("README.md", &format!("{name}, {}\n", random_name()))?;
        clone.write(
            "templates/notes/template.yaml",
            "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: notes}\nspec: {description: One ConfigMap}\n",
        )?;
        clone.write(
            "templates/notes/manifests/notes.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata:\n  branch: {{ env.ref | quote }}\n",
        )?;
        for (name, environment) in &setup.environments {
            let mut lifecycle = json!({"protected": environment.protected});
            if let Some(ttl) = &environment.ttl {
                lifecycle["ttl"] = json!(ttl);
            }
            let spec = json!({
                "apiVersion": "mimeo.dev/v1alpha1", "kind": "EnvironmentSpec", "metadata": {"name": name},
                "spec": {"components": {"notes": {"template": "notes"}}, "lifecycle": lifecycle},
            });
            clone.write(&format!("environments/{name}.yaml"), &spec.to_string())?;
        }
        clone.commit("Begin")?;
        let url = world.push_url();
        let mut refs = vec!["main".to_owned()];
        let known = setup.environments.values();
        let branches =
            known.clone().filter_map(|one| one.branch.as_ref().map(|branch| (branch, one.unpushed)));
        let pulls = known.clone().filter_map(|one| one.pr.as_ref().map(|branch| (branch, false)));
        let others = setup.branches.iter().map(|branch| (branch, false));
        let hidden = setup.hidden.iter().map(|branch| (branch, true));
        for (branch, unpushed) in branches.chain(pulls).chain(others).chain(hidden) {
            if branch != "main"
                && clone.git(&["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")]).is_err()
            {
                clone.branch(branch)?.write("branch.txt", branch)?.commit("Work")?;
                clone.checkout("main")?;
            }
            if !unpushed && !refs.contains(branch) {
                refs.push(branch.clone());
            }
        }
        for tag in known.filter_map(|one| one.tag.as_ref()) {
            clone.git(&["tag", tag])?;
            refs.push(format!("refs/tags/{tag}"));
        }
        // The default branch first: the forge takes the first branch that it is pushed.
        for refs in [&refs[..1], &refs[1..]] {
            if !refs.is_empty() {
                let refs: Vec<&str> = refs.iter().map(String::as_str).collect();
                clone.git(&[&["push", "--quiet", &url], refs.as_slice()].concat())?;
            }
        }
        clone.git(&["remote", "add", "origin", &format!("{}.git", world.url())])?;
        let pulls = setup.environments.iter().filter_map(|(name, one)| Some((name, one.pr.as_ref()?)));
        for (name, branch) in pulls {
            let made =
                world.ask("POST", "/pulls", &json!({"head": branch, "base": "main", "title": name}))?;
            let number = made["number"].as_u64().context("a pull request without a number")?;
            world.state().pulls.insert(name.clone(), number);
        }
        let token = world.token(setup.token)?;
        world.state().token = token;
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        for (number, step) in self.script.steps.iter().enumerate() {
            self.step(step).with_context(|| format!("step {}: {step:?}", number + 1))?;
        }
        self.world.relay.done()?;
        self.truth().context("at the end")
    }

    /// The program with the forge that `gc` knows, [`TICK`] after the last run.
    fn mimeo(&self, arguments: &[&str]) -> Result<Mimeo> {
        self.world.state().now += TICK;
        self.world.set_clock()?;
        let state = self.world.state();
        let mut mimeo = Mimeo::new(self.case.cluster.program(), self.home.path())
            .kubeconfig(&self.kubeconfig)
            .args(arguments)
            .args(["--record-namespace", &self.namespace])
            .var("MIMEO_FORGE_URL", &self.world.server())
            .limit(LIMIT);
        if let Some(token) = &state.token {
            mimeo = mimeo.var("MIMEO_FORGE_TOKEN", token);
        }
        if let Some(offset) = &state.client {
            let library = faketime()?;
            mimeo = mimeo
                .var("LD_PRELOAD", &library)
                .var("FAKETIME", offset)
                .var("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        Ok(mimeo)
    }

    fn say(&mut self, outcome: &Outcome) {
        self.said.push(outcome.to_string());
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        if self.world.act(step)? {
            return Ok(());
        }
        match step {
            Step::Up(names) => names.iter().try_for_each(|name| self.bring_up(name)),
            Step::Client(offset) => {
                self.world.state().client = (offset != "0").then(|| offset.clone());
                Ok(())
            }
            Step::During(during) => {
                let (world, steps) = (Arc::downgrade(&self.world), during.r#do.clone());
                self.world.relay.before(&during.request, during.nth, move || {
                    let world = world.upgrade().context("the script is over")?;
                    steps.iter().try_for_each(|step| world.act(step).map(|_| ()))
                });
                Ok(())
            }
            Step::Look => {
                let outcome = self.mimeo(&["gc", "--dry-run"])?.run()?;
                self.say(&outcome);
                Ok(())
            }
            Step::Gc(gc) => self.gc(gc),
            Step::Why(texts) => texts.iter().try_for_each(|(name, texts)| {
                let outcome = self.mimeo(&["why", &self.known(name)?])?.run()?;
                self.say(&outcome);
                outcome.expect(0)?.says(texts.iter().map(String::as_str)).map(|_| ())
            }),
            Step::Extend(ends) => ends.iter().try_for_each(|(name, by)| {
                let outcome = self.mimeo(&["extend", &self.known(name)?, by])?.run()?;
                self.say(&outcome);
                outcome.expect(0).map(|_| ())
            }),
            Step::Gone(names) => names.iter().try_for_each(|name| {
                ensure!(!self.lives(name)?, "{name} is there");
                Ok(())
            }),
            Step::Alive(names) => names.iter().try_for_each(|name| {
                ensure!(self.lives(name)?, "{name} is gone");
                Ok(())
            }),
            _ => bail!("a step that nobody plays"),
        }
    }

    fn known(&self, name: &str) -> Result<String> {
        let known = self.up.get(name).with_context(|| format!("{name} was never brought up"))?;
        Ok(known.0.clone())
    }

    /// Brings an environment up, always with a token that may, and notes what it is called.
    fn bring_up(&mut self, name: &str) -> Result<()> {
        let environment = &self.script.setup.environments[name];
        let mut up = if environment.pr.is_some() {
            let url = format!("{}/pulls/{}", self.world.url(), self.world.pull(name)?);
            self.mimeo(&["preview", "--spec", name, "--pr", &url])?
        } else {
            let (repo, reference) = (self.world.clone.arg(), environment.reference()?);
            self.mimeo(&["up", name, "--repo", &repo, "--rev", reference])?
        };
        up = up.var("MIMEO_FORGE_TOKEN", self.world.gitea.token());
        if let Some(given) = &environment.name {
            up = up.args(["--name", given]);
        }
        if let Some(identity) = &self.script.setup.identity {
            up = up.args(["--repository", identity]);
        }
        let outcome = up.run()?;
        self.say(&outcome);
        let _ = outcome.expect(0)?;
        let api = &self.case.cluster.api;
        let records = api.list(&format!("{RECORDS}/{}/environments", self.namespace))?;
        let mut own = records.iter().filter(|record| record["spec"]["spec"] == name);
        let (Some(record), None) = (own.next(), own.next()) else { bail!("{name} has not one record") };
        let called = record["metadata"]["name"].as_str().context("a record without a name")?.to_owned();
        let live = api.get(&format!("/api/v1/namespaces/{called}"))?.context("it has no namespace")?;
        let uid = live["metadata"]["uid"].as_str().context("a namespace without a uid")?.to_owned();
        self.up.insert(name.to_owned(), (called, uid));
        Ok(())
    }

    /// Whether an environment is whole or gone; anything between is an error.
    fn lives(&self, name: &str) -> Result<bool> {
        let api = &self.case.cluster.api;
        let (called, uid) = self.up.get(name).with_context(|| format!("{name} was never brought up"))?;
        let records = format!("{RECORDS}/{}", self.namespace);
        let record = api.get(&format!("{records}/environments/{called}"))?;
        let namespace = api.get(&format!("/api/v1/namespaces/{called}"))?;
        let notes = api.get(&format!("/api/v1/namespaces/{called}/configmaps/notes"))?;
        match (&record, &namespace, &notes) {
            (Some(record), Some(namespace), Some(_)) => {
                let going = |object: &Value| object["metadata"]["deletionTimestamp"].is_string();
                ensure!(!going(record) && !going(namespace), "{name} is going");
                ensure!(record["spec"]["state"] == "Ready", "{name} is not ready: {}", record["spec"]);
                ensure!(namespace["metadata"]["uid"] == *uid, "{name} was made anew");
                Ok(true)
            }
            (None, None, None) => {
                let receipts = api.list(&format!("{records}/receipts"))?;
                let proven = |receipt: &Value| {
                    receipt["spec"]["environment"] == *called && receipt["spec"]["proven"] == true
                };
                ensure!(receipts.iter().any(proven), "{name} is gone without a receipt");
                Ok(false)
            }
            _ => bail!("{name} is neither there nor gone"),
        }
    }

    fn gc(&mut self, gc: &Gc) -> Result<()> {
        let mut mimeo = self.mimeo(&["gc", "-o", "json", "--timeout", "60s"])?;
        if gc.approve {
            mimeo = mimeo.args(["--approve", self.held.as_deref().context("nothing is held")?]);
        }
        let outcome = mimeo.run()?;
        self.say(&outcome);
        self.world.relay.done()?;
        let outcome = outcome.expect(gc.exit)?.says(gc.says.iter().map(String::as_str))?;
        let report = outcome.json()?;
        self.held = report["held"].as_str().map(str::to_owned);
        let mut found = BTreeMap::new();
        for item in report["items"].as_array().context("a report without items")? {
            let called = &item["environment"];
            let name = self.up.iter().find(|(_, known)| *called == known.0).map(|(name, _)| name.clone());
            let name = name.with_context(|| format!("nobody brought {called} up"))?;
            let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
            ensure!(!text("cause").is_empty(), "no cause for {name}: {item}");
            let outcome = text("outcome").split(':').next().unwrap_or_default().to_owned();
            let became = if outcome == "gone" { String::new() } else { outcome };
            let words = format!("{} {} {became}", text("decision"), text("rule")).trim().to_owned();
            found.insert(name, (words, text("cause")));
        }
        let shown: BTreeMap<&String, &String> =
            found.iter().map(|(name, (words, _))| (name, words)).collect();
        let expected: BTreeMap<&String, &String> = gc.expect.iter().collect();
        ensure!(shown == expected, "expected {expected:?}, decided {found:?}");
        Ok(())
    }

    /// Whatever the script expects: nothing is gone that may not go, and each state is explained.
    fn truth(&mut self) -> Result<()> {
        let names: Vec<String> = self.up.keys().cloned().collect();
        ensure!(!names.is_empty(), "nothing was brought up");
        for name in names {
            let lives = self.lives(&name)?;
            ensure!(lives || self.script.may_go.contains(&name), "WRONG DELETION of {name}");
            let outcome = self.mimeo(&["why", &self.known(&name)?, "-o", "json"])?.run()?;
            self.say(&outcome);
            let answer = outcome.expect(0)?.json()?;
            let field = if lives { "cause" } else { "reason" };
            let cause = answer[field].as_str().unwrap_or_default();
            ensure!(
                !cause.is_empty(),
                "`why` does not say why {name} is {}",
                if lives { "there" } else { "gone" }
            );
        }
        Ok(())
    }
}

/// A namespace of records with the rights that an installation gives in its own.
fn records(case: &Case<'_>, namespace: &str) -> Result<()> {
    let api = &case.cluster.api;
    api.create("/api/v1/namespaces", &json!({"metadata": {"name": namespace}}))?;
    let role =
        api.get(&format!("{RBAC}/mimeo-system/roles/mimeo-user"))?.context("mimeo is not installed")?;
    let metadata = json!({"name": "mimeo-user"});
    api.create(&format!("{RBAC}/{namespace}/roles"), &json!({"metadata": metadata, "rules": role["rules"]}))?;
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "mimeo-user"},
        "subjects": [{"kind": "ServiceAccount", "namespace": case.account.namespace, "name": case.account.name}],
    });
    api.create(&format!("{RBAC}/{namespace}/rolebindings"), &binding)?;
    Ok(())
}

/// The library of Debian's package `faketime`.
fn faketime() -> Result<String> {
    let folders = std::fs::read_dir("/usr/lib")?.flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let library = found.find(|file| file.exists()).context("the Debian package faketime is missing")?;
    Ok(library.display().to_string())
}
