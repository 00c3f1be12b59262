//! Forges of the tests: the lab's Gitea, and Gitea processes of a test's own.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::BufReader,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    GitRepo, checkout,
    http::{self, Head},
    random_name,
};

/// Name of the administrator, in the lab as elsewhere.
const ADMIN: &str = "mimeo-admin";

/// A Gitea, asked as its administrator.
#[derive(Debug)]
pub struct Gitea {
    authority: String,
    token: String,
    own: Option<Own>,
}

/// What belongs to a Gitea of a test's own.
#[derive(Debug)]
struct Own {
    binary: PathBuf,
    directory: PathBuf,
    process: Mutex<Option<Child>>,
}

/// A repository on a forge.
#[derive(Debug)]
pub struct GiteaRepo<'a> {
    /// The forge it is on.
    pub gitea: &'a Gitea,
    /// Whose it is.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// Where it is cloned from, without credentials.
    pub url: String,
    /// Where it is pushed to: with its owner's credentials.
    pub push_url: String,
}

/// A comment on a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its number.
    pub id: u64,
    /// Login of its author.
    pub author: String,
    /// Its text.
    pub body: String,
    /// When it was last written.
    pub updated: String,
}

impl Gitea {
    /// The lab's, which is started unless it runs.
    ///
    /// # Errors
    /// When the lab does not run.
    pub fn lab() -> Result<&'static Self> {
        static LAB: OnceLock<Result<Gitea, String>> = OnceLock::new();
        let lab = LAB.get_or_init(|| Self::find_lab().map_err(|error| format!("{error:#}")));
        lab.as_ref().map_err(|error| anyhow!("{error}"))
    }

    fn find_lab() -> Result<Self> {
        let said = output(Command::new("make").args(["-s", "lab-forge"]).env_remove("KUBECONFIG"))?;
        let (url, file) = said.split_once('\n').context("make lab-forge names no URL and no token file")?;
        let authority = url.trim().strip_prefix("http://").context("the lab's forge has no http URL")?;
        let token = fs::read_to_string(file.trim()).context("the lab's forge has no token")?;
        Ok(Self { authority: authority.to_owned(), token: token.trim().to_owned(), own: None })
    }

    /// One of the test's own on a free port of 127.0.0.1, with its data in `directory`. It ends when it is
    /// dropped, and with the thread that starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(directory: &Path) -> Result<Self> {
        let binary = PathBuf::from(output(Command::new("tests/lab/lab").arg("gitea-binary"))?);
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        fs::create_dir_all(directory)?;
        configure(directory, &binary, port)?;
        let own = Own { binary, directory: directory.to_owned(), process: Mutex::default() };
        // The first run makes the database; administration on the command line needs it, and is faster
        // before anything runs.
        let said = own.administer(&["migrate"]).context("gitea migrate");
        said?;
        let email = format!("{ADMIN}@mimeo.invalid");
        own.administer(&[
            "admin",
            "user",
            "create",
            "--admin",
            "--username",
            ADMIN,
            "--email",
            &email,
            "--random-password",
            "--must-change-password=false",
        ])?;
        let made = own.administer(&[
            "admin",
            "user",
            "generate-access-token",
            "--username",
            ADMIN,
            "--token-name",
            "tests",
            "--scopes",
            "all",
            "--raw",
        ])?;
        // What it logs may stand before the token or behind it.
        let is_token = |line: &&str| line.len() == 40 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(token) = made.lines().map(str::trim).find(is_token).map(str::to_owned) else {
            bail!("Gitea gives no token: {made}");
        };
        let gitea = Self { authority: format!("127.0.0.1:{port}"), token, own: Some(own) };
        gitea.restart()?;
        Ok(gitea)
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// `host:port`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The administrator's token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The administrator's login.
    #[must_use]
    pub fn admin(&self) -> &'static str {
        ADMIN
    }

    /// Kills it. Data and port stay. Only for one of the test's own.
    ///
    /// # Errors
    /// When it is the lab's.
    pub fn stop(&self) -> Result<()> {
        let own = self.own.as_ref().context("the lab's forge is not the test's to stop")?;
        own.kill();
        Ok(())
    }

    /// Starts it again, on the same port and with the same data.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        let own = self.own.as_ref().context("the lab's forge is not the test's to start")?;
        let log = File::options().create(true).append(true).open(own.directory.join("gitea.log"))?;
        let mut command = own.words(&["setpriv", "--pdeathsig", "KILL"]);
        command.arg("web").stdout(log.try_clone()?).stderr(log);
        *own.process.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(command.spawn().context("cannot start Gitea")?);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !matches!(self.api("GET", "/version", None), Ok((200, _))) {
            if Instant::now() > deadline {
                let log = fs::read_to_string(own.directory.join("gitea.log")).unwrap_or_default();
                bail!("Gitea does not answer:\n{log}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// One request as the administrator. `path` is below `/api/v1`.
    ///
    /// # Errors
    /// When no answer comes; a refusal is an answer.
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        self.api_as(&format!("token {}", self.token), method, path, body)
    }

    /// One request with this Authorization: `token …` or `Basic …`.
    ///
    /// # Errors
    /// When no answer comes; a refusal is an answer.
    pub fn api_as(
        &self,
        authorization: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let ask = || -> Result<(u16, Value)> {
            let stream = TcpStream::connect(&self.authority)?;
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            let head = Head {
                first: format!("{method} /api/v1{path} HTTP/1.1"),
                headers: vec![
                    ("Host".into(), self.authority.clone()),
                    ("Authorization".into(), authorization.to_owned()),
                    ("Accept".into(), "application/json".into()),
                    ("Content-Type".into(), "application/json".into()),
                    ("Connection".into(), "close".into()),
                ],
            };
            let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
            let mut stream = BufReader::new(stream);
            head.write(&bytes, stream.get_mut())?;
            let answer = Head::read(&mut stream)?.context("the forge closed the connection")?;
            let bytes = http::body(answer.answer_framing(), &mut stream)?;
            let body = serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
            Ok((answer.status(), body))
        };
        ask().with_context(|| format!("{method} {}/api/v1{path}", self.url()))
    }

    /// One request that has to be done.
    ///
    /// # Errors
    /// Every answer but success.
    pub fn done(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        done(method, path, self.api(method, path, body)?)
    }

    /// A new repository without content, owned by the administrator. `hint` is a part of its name.
    ///
    /// # Errors
    /// When the forge refuses it.
    pub fn repository(&self, hint: &str) -> Result<GiteaRepo<'_>> {
        let name = format!("{hint}-{}", random_name());
        let wanted = json!({"name": name, "default_branch": "main", "auto_init": false});
        self.done("POST", "/user/repos", Some(&wanted))?;
        Ok(self.known(ADMIN, &name, ADMIN, &self.token))
    }

    fn known(&self, owner: &str, name: &str, login: &str, token: &str) -> GiteaRepo<'_> {
        let path = format!("{}/{owner}/{name}.git", self.authority);
        GiteaRepo {
            gitea: self,
            owner: owner.to_owned(),
            name: name.to_owned(),
            url: format!("http://{path}"),
            push_url: format!("http://{login}:{token}@{path}"),
        }
    }

    /// A new user who may log in at once. Returns login and token.
    ///
    /// # Errors
    /// When the forge refuses it.
    pub fn user(&self, name: &str) -> Result<(String, String)> {
        let login = format!("{name}-{}", random_name());
        let password = format!("{}-{}-1A", random_name(), random_name());
        let wanted = json!({
            "username": login, "email": format!("{login}@mimeo.invalid"), "password": password,
            "must_change_password": false,
        });
        self.done("POST", "/admin/users", Some(&wanted))?;
        let basic = format!("Basic {}", STANDARD.encode(format!("{login}:{password}")));
        let path = format!("/users/{login}/tokens");
        let wanted = json!({"name": "tests", "scopes": ["all"]});
        let made = done("POST", &path, self.api_as(&basic, "POST", &path, Some(&wanted))?)?;
        let token = made["sha1"].as_str().context("the forge made no token")?;
        Ok((login, token.to_owned()))
    }
}

impl Drop for Gitea {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            own.kill();
        }
    }
}

impl Own {
    /// Gitea with its configuration and nothing of this process's environment.
    fn words(&self, before: &[&str]) -> Command {
        let binary = self.binary.display().to_string();
        let mut words = before.to_vec();
        words.push(&binary);
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &self.directory)
            .env("LC_ALL", "C.UTF-8")
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .arg("--config")
            .arg(self.directory.join("app.ini"))
            .arg("--work-path")
            .arg(&self.directory);
        command
    }

    fn administer(&self, arguments: &[&str]) -> Result<String> {
        output(self.words(&[]).args(arguments)).with_context(|| format!("gitea {}", arguments.join(" ")))
    }

    fn kill(&self) {
        if let Some(mut process) = self.process.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It may have ended; either way nothing of it is left afterwards.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// As `tests/lab/lib/forge.sh` configures the lab's.
fn configure(directory: &Path, binary: &Path, port: u16) -> Result<()> {
    let secret = STANDARD.encode(format!("{:0<32}", random_name()));
    let jwt = secret.trim_end_matches('=').replace(['+', '/'], "A");
    let folder = binary.parent().context("Gitea lies nowhere")?.display();
    let data = directory.display();
    let mut text =
        String::from("RUN_MODE = prod\nI_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true\nAPP_NAME = tests\n");
    let mut section = |name: &str, settings: &[(&str, &str)]| {
        let _ = writeln!(text, "\n[{name}]");
        for (key, value) in settings {
            let _ = writeln!(text, "{key} = {value}");
        }
    };
    section(
        "server",
        &[
            ("PROTOCOL", "http"),
            ("HTTP_ADDR", "127.0.0.1"),
            ("HTTP_PORT", &port.to_string()),
            ("DOMAIN", "127.0.0.1"),
            ("ROOT_URL", &format!("http://127.0.0.1:{port}")),
            ("LOCAL_ROOT_URL", &format!("http://127.0.0.1:{port}/")),
            ("STATIC_ROOT_PATH", &folder.to_string()),
            ("APP_DATA_PATH", &format!("{data}/data")),
            ("DISABLE_SSH", "true"),
            ("OFFLINE_MODE", "true"),
        ],
    );
    section(
        "database",
        &[
            ("DB_TYPE", "sqlite3"),
            ("PATH", &format!("{data}/gitea.db")),
            ("SQLITE_JOURNAL_MODE", "WAL"),
            ("SQLITE_TIMEOUT", "30000"),
            ("LOG_SQL", "false"),
        ],
    );
    section("repository", &[("ROOT", &format!("{data}/repositories")), ("DISABLE_MIGRATIONS", "true")]);
    section(
        "security",
        &[
            ("INSTALL_LOCK", "true"),
            ("SECRET_KEY", &secret),
            ("INTERNAL_TOKEN", &secret),
            ("PASSWORD_HASH_ALGO", "pbkdf2$100$32"),
            ("SUCCESSFUL_TOKENS_CACHE_SIZE", "1000"),
        ],
    );
    section("oauth2", &[("ENABLED", "false"), ("JWT_SECRET", &jwt)]);
    section("service", &[("DISABLE_REGISTRATION", "true")]);
    section("openid", &[("ENABLE_OPENID_SIGNIN", "false"), ("ENABLE_OPENID_SIGNUP", "false")]);
    for off in ["mailer", "cron", "cron.update_checker", "mirror", "packages", "actions"] {
        section(off, &[("ENABLED", "false")]);
    }
    section("indexer", &[("ISSUE_INDEXER_TYPE", "db")]);
    section("queue", &[("TYPE", "channel")]);
    section("session", &[("PROVIDER", "memory")]);
    section("cache", &[("ADAPTER", "memory")]);
    section("git.config", &[("core.fsync", "none")]);
    section("log", &[("MODE", "console"), ("LEVEL", "warn"), ("ROOT_PATH", &format!("{data}/log"))]);
    section("log.console", &[("STDERR", "true"), ("COLORIZE", "false")]);
    fs::write(directory.join("app.ini"), text).context("cannot configure Gitea")
}

impl GiteaRepo<'_> {
    /// As mimeo names it in records and environment ids: without scheme and credentials.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("{}/{}/{}", self.gitea.authority, self.owner, self.name)
    }

    /// The URL of a pull request, as a person sees it.
    #[must_use]
    pub fn pull_url(&self, number: u64) -> String {
        format!("{}/{}/{}/pulls/{number}", self.gitea.url(), self.owner, self.name)
    }

    fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{}{rest}", self.owner, self.name)
    }

    /// One request below the repository, as the administrator, that has to be done.
    ///
    /// # Errors
    /// Every answer but success.
    pub fn done(&self, method: &str, rest: &str, body: Option<&Value>) -> Result<Value> {
        self.gitea.done(method, &self.path(rest), body)
    }

    /// Pushes `HEAD` of a repository to a branch here, by force. Returns the commit.
    ///
    /// # Errors
    /// When git does not do it.
    pub fn push(&self, repo: &GitRepo, branch: &str) -> Result<String> {
        repo.git(&["push", "--quiet", "--force", &self.push_url, &format!("HEAD:refs/heads/{branch}")])?;
        Ok(repo.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Opens a pull request; `head` is a branch, or `user:branch` of a fork.
    ///
    /// # Errors
    /// When the forge refuses it.
    pub fn open_pull(&self, head: &str, base: &str, title: &str) -> Result<u64> {
        let made = self.done("POST", "/pulls", Some(&json!({"head": head, "base": base, "title": title})))?;
        made["number"].as_u64().context("a pull request without a number")
    }

    /// A pull request as the forge has it.
    ///
    /// # Errors
    /// When there is none.
    pub fn pull(&self, number: u64) -> Result<Value> {
        self.done("GET", &format!("/pulls/{number}"), None)
    }

    /// Waits until the forge shows this commit as the head of a pull request: it learns of a push late.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_head(&self, number: u64, commit: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.pull(number)?["head"]["sha"] != commit {
            if Instant::now() > deadline {
                bail!("pull request {number} does not get to {commit}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Closes a pull request.
    ///
    /// # Errors
    /// When the forge refuses it.
    pub fn close_pull(&self, number: u64) -> Result<()> {
        self.done("PATCH", &format!("/pulls/{number}"), Some(&json!({"state": "closed"}))).map(|_| ())
    }

    /// Opens a closed pull request again.
    ///
    /// # Errors
    /// When the forge refuses it.
    pub fn reopen_pull(&self, number: u64) -> Result<()> {
        self.done("PATCH", &format!("/pulls/{number}"), Some(&json!({"state": "open"}))).map(|_| ())
    }

    /// Merges a pull request, as soon as the forge has found out that it can be.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn merge_pull(&self, number: u64) -> Result<()> {
        let path = self.path(&format!("/pulls/{number}/merge"));
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mergeable = self.pull(number)?["mergeable"] == true;
            let answer = if mergeable {
                self.gitea.api("POST", &path, Some(&json!({"Do": "merge"})))?
            } else {
                (405, json!("not mergeable yet"))
            };
            // 405: try again later.
            if answer.0 != 405 || Instant::now() > deadline {
                return done("POST", &path, answer).map(|_| ());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Deletes a branch.
    ///
    /// # Errors
    /// When the forge refuses it.
    pub fn delete_branch(&self, branch: &str) -> Result<()> {
        self.done("DELETE", &format!("/branches/{}", branch.replace('/', "%2F")), None).map(|_| ())
    }

    /// Deletes the repository.
    ///
    /// # Errors
    /// When the forge refuses it.
    pub fn delete(&self) -> Result<()> {
        self.done("DELETE", "", None).map(|_| ())
    }

    /// Puts a label on a pull request; the label is made when there is none.
    ///
    /// # Errors
    /// When the forge refuses it.
    pub fn add_label(&self, number: u64, label: &str) -> Result<()> {
        let known = self.done("GET", "/labels", None)?;
        let known = known.as_array().into_iter().flatten().find(|known| known["name"] == label).cloned();
        let made = match known {
            Some(known) => known,
            None => self.done("POST", "/labels", Some(&json!({"name": label, "color": "#00aabb"})))?,
        };
        let wanted = json!({"labels": [made["id"]]});
        self.done("POST", &format!("/issues/{number}/labels"), Some(&wanted)).map(|_| ())
    }

    /// The comments on a pull request, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn comments(&self, number: u64) -> Result<Vec<Comment>> {
        let all = self.done("GET", &format!("/issues/{number}/comments"), None)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let comment = |comment: &Value| Comment {
            id: comment["id"].as_u64().unwrap_or_default(),
            author: text(&comment["user"]["login"]),
            body: text(&comment["body"]),
            updated: text(&comment["updated_at"]),
        };
        Ok(all.as_array().into_iter().flatten().map(comment).collect())
    }

    /// Comments on a pull request with somebody's token. Returns the number of the comment.
    ///
    /// # Errors
    /// When the forge refuses it.
    pub fn comment_as(&self, token: &str, number: u64, body: &str) -> Result<u64> {
        let path = self.path(&format!("/issues/{number}/comments"));
        let answer =
            self.gitea.api_as(&format!("token {token}"), "POST", &path, Some(&json!({"body": body})))?;
        done("POST", &path, answer)?["id"].as_u64().context("a comment without a number")
    }

    /// Deletes a comment.
    ///
    /// # Errors
    /// When the forge refuses it.
    pub fn delete_comment(&self, id: u64) -> Result<()> {
        self.done("DELETE", &format!("/issues/comments/{id}"), None).map(|_| ())
    }

    /// The statuses of a commit, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn statuses(&self, commit: &str) -> Result<Vec<Value>> {
        let mut all = self.done("GET", &format!("/commits/{commit}/statuses?limit=50"), None)?;
        let mut all = all.as_array_mut().map(std::mem::take).unwrap_or_default();
        all.sort_by_key(|status| std::cmp::Reverse(status["id"].as_u64()));
        Ok(all)
    }

    /// Gives a user rights here: `read`, `write` or `admin`.
    ///
    /// # Errors
    /// When the forge refuses it.
    pub fn collaborator(&self, login: &str, rights: &str) -> Result<()> {
        let wanted = json!({"permission": rights});
        self.done("PUT", &format!("/collaborators/{login}"), Some(&wanted)).map(|_| ())
    }

    /// A fork of it, made and owned by another user.
    ///
    /// # Errors
    /// When the forge refuses it.
    pub fn fork(&self, login: &str, token: &str) -> Result<Self> {
        let path = self.path("/forks");
        let made = self.gitea.api_as(&format!("token {token}"), "POST", &path, Some(&json!({})))?;
        let made = done("POST", &path, made)?;
        let name = made["name"].as_str().context("a fork without a name")?.to_owned();
        Ok(Self {
            gitea: self.gitea,
            owner: login.to_owned(),
            name: name.clone(),
            url: format!("http://{}/{login}/{name}.git", self.gitea.authority),
            push_url: format!("http://{login}:{token}@{}/{login}/{name}.git", self.gitea.authority),
        })
    }
}

fn done(method: &str, path: &str, (status, body): (u16, Value)) -> Result<Value> {
    if !(200..300).contains(&status) {
        bail!("{method} /api/v1{path}: {status} {body}");
    }
    Ok(body)
}

/// What a command, run in the checkout unless it says otherwise, prints.
fn output(command: &mut Command) -> Result<String> {
    if command.get_current_dir().is_none() {
        command.current_dir(checkout());
    }
    let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!("{:?}: {}", command.get_program(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
