//! One comment and one status for each environment of a pull request.

use cluster::CommentMark;
use forge::{Account, Comment, Forge, Pull, Status, StatusState};
use spec::EnvironmentIdentity;

use super::{
    comment::{self, Message},
    mark, short,
};
use crate::{Error, Result, Session, read, redact, up};

/// Who speaks to a pull request about one of its environments.
pub(crate) struct Teller<'a> {
    pub session: &'a Session,
    pub forge: &'a dyn Forge,
    pub number: u64,
    /// Identity of the base repository.
    pub repository: String,
    /// Name of the environment spec.
    pub spec: String,
    /// Id of the environment.
    pub id: String,
    /// Name of the environment.
    pub environment: String,
    /// First line of every comment about it.
    marker: String,
}

impl<'a> Teller<'a> {
    pub(super) async fn new(
        session: &'a Session,
        forge: &'a dyn Forge,
        number: u64,
        spec: &str,
        identity: &EnvironmentIdentity,
    ) -> Result<Self> {
        Ok(Self {
            session,
            forge,
            number,
            repository: forge.place().identity(),
            spec: spec.to_owned(),
            id: identity.id.clone(),
            environment: identity.name.clone(),
            marker: format!("<!-- mimeo:{}:{} -->", cluster_id(session).await?, identity.id),
        })
    }

    pub(super) async fn building(&self, pull: &Pull) -> Result<()> {
        self.of_head(pull, &comment::building(&self.spec, &self.environment, pull)).await
    }

    pub(super) async fn waiting(&self, pull: &Pull) -> Result<()> {
        let url = self.forge.place().pull_url(self.number);
        self.of_head(pull, &comment::waiting(&self.spec, &url, pull)).await
    }

    pub(super) async fn ready(
        &self,
        pull: &Pull,
        report: &up::Report,
        changes: &Option<Vec<String>>,
    ) -> Result<()> {
        self.of_head(pull, &comment::ready(&self.spec, pull, report, changes.as_deref())).await
    }

    pub(super) async fn failed(&self, pull: &Pull, error: &Error) -> Result<()> {
        // Before there is a record, nothing of the environment can have spoken.
        let found = match self.session.records.get(&self.environment).await? {
            Some(record) => redact::redacted(self.session, &record.spec.namespace, error.diagnostics()).await,
            None => error.diagnostics(),
        };
        self.of_head(pull, &comment::failed(&self.spec, &self.environment, pull, &found)).await
    }

    /// The comment belongs to the newer run; the older commit's status must not stay `building`.
    pub(super) async fn overtaken(&self, pull: &Pull) -> Result<()> {
        self.status(&pull.head.commit, StatusState::Error, "a newer push has taken its place").await
    }

    pub(super) async fn gone(&self, commit: &str, why: &str) -> Result<()> {
        self.say(commit, &comment::gone(&self.spec, &self.environment, why)).await
    }

    pub(super) async fn stays(&self, commit: &str, why: &str) -> Result<()> {
        self.say(commit, &comment::stays(&self.spec, &self.environment, why)).await
    }

    /// Says something about the head, unless it is the head no more: then a newer run speaks.
    async fn of_head(&self, pull: &Pull, message: &Message) -> Result<()> {
        let now = self.forge.pull(self.number).await?;
        super::refuse_moved(self.forge, &now, &pull.head.commit, &pull.base.branch)?;
        self.say(&pull.head.commit, message).await
    }

    /// Whether there is a comment about the environment, or the environment itself.
    pub(super) async fn has_spoken(&self) -> Result<bool> {
        let known = self.session.records.pull(&self.repository, self.number).await?;
        let comments = known.map(|known| known.spec.comments).unwrap_or_default();
        let spoken = comments.iter().any(|note| note.environment == self.id);
        Ok(spoken || self.session.records.get(&self.environment).await?.is_some())
    }

    async fn say(&self, commit: &str, message: &Message) -> Result<()> {
        self.status(commit, message.state, &message.summary).await?;
        let body = format!("{}\n{}", self.marker, message.body);
        let known = self.session.records.pull(&self.repository, self.number).await?;
        let marked = known.and_then(|known| {
            known.spec.comments.into_iter().find(|mark| mark.environment == self.id)?.comment
        });
        let id = self.write(marked, &body).await?;
        self.note(|note| {
            note.commit = commit.to_owned();
            note.comment = Some(id);
            note.says = message.says.to_owned();
            note.untold = None;
        })
        .await
    }

    async fn write(&self, marked: Option<u64>, body: &str) -> Result<u64> {
        let account = self.forge.account().await?;
        // What is remembered can be written by every mimeo user: only a comment of our own is changed.
        if let Some(id) = marked
            && let Some(known) = self.forge.comment(id).await?
            && self.is_own(&known, account.as_ref())
            && let Some(updated) = self.forge.update_comment(id, body).await?
        {
            return Ok(updated.id);
        }
        // None is remembered, or somebody deleted it.
        if let Some(first) = self.own().await?.first()
            && let Some(updated) = self.forge.update_comment(first.id, body).await?
        {
            return Ok(updated.id);
        }
        let created = self.forge.create_comment(self.number, body).await?;
        // Two runs may both have found none: both keep the first and drop the rest.
        let own = self.own().await?;
        for extra in own.iter().skip(1) {
            self.forge.delete_comment(extra.id).await?;
        }
        Ok(own.first().map_or(created.id, |first| first.id))
    }

    /// The comments with the marker that this token's account wrote, oldest first. A comment of somebody
    /// else that carries the marker is left alone.
    async fn own(&self) -> Result<Vec<Comment>> {
        let account = self.forge.account().await?;
        let mut own = self.forge.comments(self.number).await?;
        own.retain(|comment| self.is_own(comment, account.as_ref()));
        own.sort_by_key(|comment| comment.id);
        Ok(own)
    }

    fn is_own(&self, comment: &Comment, account: Option<&Account>) -> bool {
        let author = match account {
            Some(account) => comment.author.eq_ignore_ascii_case(&account.login),
            // An installation's token cannot ask who it is; its comments are a bot's.
            None => comment.author.ends_with("[bot]"),
        };
        author && comment.body.starts_with(&self.marker)
    }

    async fn status(&self, commit: &str, state: StatusState, description: &str) -> Result<()> {
        let status = Status {
            context: format!("mimeo/{}", self.spec),
            state,
            description: description.to_owned(),
            target_url: Some(self.forge.place().pull_url(self.number)),
        };
        Ok(self.forge.set_status(commit, &status).await?)
    }

    /// Notes what the comment says, or is to say.
    pub(super) async fn note(&self, change: impl Fn(&mut CommentMark)) -> Result<()> {
        let mark = mark(self.forge);
        let noted = self.session.records.change_pull(&self.repository, self.number, &mark, |known| {
            let at = known.comments.iter().position(|mark| mark.environment == self.id);
            let mut note = match at {
                Some(at) => known.comments.remove(at),
                None => CommentMark {
                    environment: self.id.clone(),
                    spec: self.spec.clone(),
                    commit: String::new(),
                    comment: None,
                    says: String::new(),
                    untold: None,
                },
            };
            change(&mut note);
            known.comments.push(note);
            known.comments.sort_by(|a, b| a.environment.cmp(&b.environment));
        });
        noted.await?;
        tracing::debug!(environment = self.environment, "noted what its comment says");
        Ok(())
    }
}

/// First eight digits of the uid of namespace `kube-system`, by which clusters are told apart.
async fn cluster_id(session: &Session) -> Result<String> {
    let object = read::core("Namespace", None, "kube-system");
    let resource = session.resource(&object).await?;
    let live = session.cluster.get(&resource, &object).await?;
    let uid = live.as_ref().and_then(plan::uid).unwrap_or_default();
    Ok(short(uid).get(..8).unwrap_or("00000000").to_owned())
}
