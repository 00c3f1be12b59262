//! What the cluster remembers of pull requests: approvals, tombstones, comments.

use kube::ResourceExt as _;
use plan::ObjectRef;

use crate::{
    Deleted, Error, ForgeMark, Propagation, PullRequest, PullRequestSpec, Records, Result,
    records::{parse, resource_of, to_value},
};

/// Several jobs of one pull request may write at the same time: each tries again on what the other left.
const ATTEMPTS: usize = 10;

impl Records {
    /// What is remembered of a pull request.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] when the cluster does not know the kind; any failure of the request.
    pub async fn pull(&self, repository: &str, number: u64) -> Result<Option<PullRequest>> {
        let object = self.pull_object(repository, number);
        match self.cluster.get(&resource_of::<PullRequest>(), &object).await {
            Ok(live) => live.map(|live| parse(&object, live)).transpose(),
            Err(Error::Api { code: 404, .. }) => Err(self.cluster.not_installed().await),
            Err(error) => Err(error),
        }
    }

    /// All of them.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] when the cluster does not know the kind; any failure of the request.
    pub async fn pulls(&self) -> Result<Vec<PullRequest>> {
        let object = self.object("PullRequest", "?");
        match self.cluster.list(&resource_of::<PullRequest>(), Some(self.namespace()), "").await {
            Ok(listing) => listing.items.into_iter().map(|item| parse(&object, item)).collect(),
            Err(Error::Api { code: 404, .. }) => Err(self.cluster.not_installed().await),
            Err(error) => Err(error),
        }
    }

    /// Changes what is remembered; `change` sees the newest state each time it is tried, and nothing is
    /// written when it changes nothing.
    ///
    /// # Errors
    /// Any failure of the requests.
    pub async fn change_pull(
        &self,
        repository: &str,
        number: u64,
        forge: &ForgeMark,
        change: impl Fn(&mut PullRequestSpec),
    ) -> Result<PullRequest> {
        let object = self.pull_object(repository, number);
        let resource = resource_of::<PullRequest>();
        let mut last = Error::NotInstalled;
        for _ in 0..ATTEMPTS {
            let known = self.pull(repository, number).await?;
            let mut next = known.clone().unwrap_or_else(|| {
                let spec = PullRequestSpec {
                    repository: repository.to_owned(),
                    number,
                    forge: forge.clone(),
                    approval: None,
                    closed: None,
                    comments: Vec::new(),
                };
                let mut new = PullRequest::new(&object.name, spec);
                new.metadata.namespace.clone_from(&object.namespace);
                new
            });
            next.spec.forge = forge.clone();
            change(&mut next.spec);
            let manifest = to_value(&object, &next)?;
            let answer = match &known {
                Some(known) if known.spec == next.spec => return Ok(next),
                Some(_) => self.cluster.replace(&resource, &object, &manifest).await,
                None => self.cluster.create(&resource, &object, &manifest).await,
            };
            match answer {
                Ok(live) => return parse(&object, live),
                Err(error @ Error::Api { code: 409, .. }) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Forgets a pull request, if nobody has written it since it was read.
    ///
    /// # Errors
    /// Any failure of the request.
    pub async fn forget_pull(&self, pull: &PullRequest) -> Result<Deleted> {
        let object = self.object("PullRequest", &pull.name_any());
        let uid = pull.uid().unwrap_or_default();
        self.cluster.delete(&resource_of::<PullRequest>(), &object, &uid, Propagation::Background).await
    }

    /// Whether an object has the name that its content gives it: one that somebody wrote by hand speaks for no
    /// pull request.
    #[must_use]
    pub fn is_itself(&self, pull: &PullRequest) -> bool {
        self.pull_object(&pull.spec.repository, pull.spec.number).name == pull.name_any()
    }

    fn pull_object(&self, repository: &str, number: u64) -> ObjectRef {
        let digest = plan::digest(&serde_json::json!(repository));
        self.object("PullRequest", &format!("pr-{}-{number}", digest.get(..16).unwrap_or(&digest)))
    }
}
