//! The format of a script. What it does not know is a mistake.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// One script.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// What it shows, in a sentence.
    pub title: String,
    /// Kind of outage.
    pub kind: String,
    /// Too slow for every day.
    #[serde(default)]
    pub soak: bool,
    /// What is there before the first step.
    pub setup: Setup,
    /// What happens.
    pub steps: Vec<Step>,
    /// The environments whose deletion is right.
    #[serde(default)]
    pub may_go: Vec<String>,
}

/// What is there before the first step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The environments by name; none of them is up yet.
    pub environments: BTreeMap<String, Environment>,
    /// Whose token `gc` has.
    #[serde(default)]
    pub token: TokenOf,
    /// The repository is private.
    #[serde(default)]
    pub private: bool,
    /// The forge is one that the script may stop.
    #[serde(default)]
    pub spare: bool,
    /// Branches without an environment, besides `main`.
    #[serde(default)]
    pub branches: Vec<String>,
    /// Branches of the clone that nobody has pushed.
    #[serde(default)]
    pub hidden: Vec<String>,
    /// `--repository` of every `up`.
    pub identity: Option<String>,
}

/// One environment: of a branch, a tag, or the pull request of a branch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    pub branch: Option<String>,
    pub tag: Option<String>,
    pub pr: Option<String>,
    /// `--name`.
    pub name: Option<String>,
    pub ttl: Option<String>,
    #[serde(default)]
    pub protected: bool,
    /// The branch exists in the clone only.
    #[serde(default)]
    pub unpushed: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenOf {
    /// A user who may write.
    #[default]
    User,
    /// Nobody: there is no token.
    None,
    /// A user without rights on the repository.
    Stranger,
    /// A text that is no token of anybody.
    Wrong,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Brings environments up.
    Up(Vec<String>),
    /// Changes the repository by git.
    Git(Git),
    /// Changes something on the forge.
    Forge(Forge),
    /// From now on the relay does this.
    Break(Break),
    /// No trouble any more.
    Heal,
    /// The name of the forge's host is unknown, or known again.
    Dns(bool),
    /// The API server's clock moves.
    Clock(String),
    /// The clock of the machine that `mimeo` runs on is off by this; `0` is right.
    Client(String),
    /// Armed for the next pass: done before the n-th request whose path holds this.
    During(During),
    /// A pass that changes nothing.
    Look,
    /// A pass.
    Gc(Gc),
    /// `mimeo why` of environments says these texts.
    Why(BTreeMap<String, Vec<String>>),
    /// `mimeo extend`.
    Extend(BTreeMap<String, String>),
    /// These are gone, with nothing left.
    Gone(Vec<String>),
    /// These are there.
    Alive(Vec<String>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Git {
    /// A new commit on a branch, pushed.
    Commit(String),
    /// Another commit in place of a branch's tip, pushed by force.
    ForcePush(String),
    /// Branches are deleted on the forge.
    Delete(Vec<String>),
    /// Branches are made on the forge, from the clone's own.
    Create(Vec<String>),
    /// A branch gets another name on the forge.
    Rename(String, String),
    /// A tag is deleted on the forge.
    DeleteTag(String),
    /// The clone's remote is this; `{url}` is the repository's, without `.git`, `{place}` the same without
    /// its scheme.
    Origin(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forge {
    Close(String),
    Reopen(String),
    Merge(String),
    Default(String),
    Private(bool),
    Archive(bool),
    Rename,
    Transfer,
    Delete,
    /// A new and empty repository under the name of one that is deleted, with these branches of the clone.
    Recreate(Vec<String>),
    /// Another repository with these branches of the clone, for `{decoy}` in a trouble.
    Decoy(Vec<String>),
    /// `gc` has another token from now on.
    Token(TokenOf),
    /// The token is deleted on the forge.
    Revoke,
    /// The account of the token is deleted.
    DeleteUser,
    Stop,
    Restart,
    /// A forge with an empty database stands in place of this one.
    Empty(bool),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Break {
    pub r#where: Where,
    pub path: Option<String>,
    #[serde(default)]
    pub skip: usize,
    pub times: Option<usize>,
    /// It need not strike: it would deceive a program that asks on.
    #[serde(default)]
    pub maybe: bool,
    pub how: How,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Where {
    Git,
    Api,
    Both,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// A status with a page for people.
    Status(u16),
    /// A status with an answer in the words of Gitea's API.
    Gitea(u16),
    /// 429, with this `Retry-After` if it is not empty.
    Limited(String),
    /// A page for people, as a success.
    Page,
    /// The same, under the content type of git, or of JSON.
    DisguisedPage,
    /// A success without a body.
    Empty,
    /// A list of nothing: of refs, or `[]`.
    EmptyList,
    /// A redirect with this status, to a host that does not exist.
    Redirect(u16),
    /// A redirect with this status, to the decoy under another host's name.
    RedirectToDecoy(u16),
    /// Nobody listens.
    Refused,
    CutInLine,
    CutAfterLine,
    WithoutRefs(Vec<String>),
    Half,
    Close,
    Reset,
    Garbage,
    SlowMs(u64),
    HangS(u64),
    Stale,
    Instead(String, String),
    Edit(BTreeMap<String, Value>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct During {
    pub request: String,
    pub nth: usize,
    pub r#do: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gc {
    /// Each environment that lives: decision, rule, and optionally what became of it, such as
    /// `delete branch-gone stays`.
    pub expect: BTreeMap<String, String>,
    #[serde(default)]
    pub exit: i32,
    /// Approve the list that the last pass held.
    #[serde(default)]
    pub approve: bool,
    /// Texts that the pass has to say.
    #[serde(default)]
    pub says: Vec<String>,
}

impl Script {
    /// Reads a script.
    pub fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_saphyr::from_str(text)?;
        let script: Self = serde_json::from_value(value)?;
        script.check()?;
        Ok(script)
    }

    /// What names an environment has to name one that there is; a script without a pass shows nothing.
    fn check(&self) -> Result<()> {
        let mut named: Vec<&String> = self.may_go.iter().collect();
        for step in &self.steps {
            match step {
                Step::Up(names) | Step::Gone(names) | Step::Alive(names) => named.extend(names),
                Step::Why(texts) => named.extend(texts.keys()),
                Step::Extend(ends) => named.extend(ends.keys()),
                Step::Gc(gc) => named.extend(gc.expect.keys()),
                Step::Forge(Forge::Close(name) | Forge::Reopen(name) | Forge::Merge(name)) => {
                    named.push(name)
                }
                Step::During(during) => {
                    let allowed = |step: &Step| {
                        matches!(
                            step,
                            Step::Git(_) | Step::Forge(_) | Step::Break(_) | Step::Heal | Step::Clock(_)
                        )
                    };
                    ensure!(
                        during.r#do.iter().all(allowed),
                        "`during` does git, forge, break, heal and clock only"
                    );
                }
                _ => {}
            }
        }
        for name in named {
            ensure!(self.setup.environments.contains_key(name), "there is no environment {name}");
        }
        ensure!(self.steps.iter().any(|step| matches!(step, Step::Gc(_))), "there is no pass");
        for (name, environment) in &self.setup.environments {
            let Environment { branch, tag, pr, .. } = environment;
            let kinds = [branch, tag, pr].iter().filter(|kind| kind.is_some()).count();
            if kinds != 1 {
                bail!("{name} is of one of branch, tag and pr");
            }
        }
        Ok(())
    }
}

impl Environment {
    /// The ref that it is made from.
    pub fn reference(&self) -> Result<&str> {
        let Self { branch, tag, pr, .. } = self;
        branch.as_deref().or(tag.as_deref()).or(pr.as_deref()).context("an environment of nothing")
    }
}
