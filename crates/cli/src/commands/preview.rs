//! `mimeo preview`: the environment of a pull request.

use std::{sync::Arc, time::Duration};

use clap::Args;
use engine::{
    Error,
    pull_request::{self, Outcome, Sources},
};
use forge::{Forge, Pull, PullUrl};
use render::{Governor, Rendered};
use sandbox::Mode;
use source::{Credentials, Repository};
use spec::Files;

use crate::{
    args::{Global, Inputs, Source},
    ci::{self, ForgeArgs},
    commands::{Stop, session, up},
    inputs, sources,
    ui::Ui,
};

/// Bring up the environment of a pull request, and keep its comment and status truthful
///
/// Run it in a CI job of the pull request, or by hand with --pr. The head is resolved to one commit; a
/// newer push stops an older run. When the pull request is closed or merged, the same command takes the
/// environment down. Labels of the form mimeo/NAME=VALUE set parameters of the spec. TTL, protection and
/// policy are those of the base branch. A fork needs `mimeo approve` first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mimeo preview --spec qa                 in a CI job of a pull request
  mimeo preview --spec qa --pr https://git.example.com/team/flights/pulls/7

The token of the forge is read from MIMEO_FORGE_TOKEN or the file MIMEO_FORGE_TOKEN_FILE.")]
pub struct PreviewArgs {
    /// Environment spec
    #[arg(long, value_name = "SPEC")]
    spec: String,
    /// URL of the pull request (default: the one of the CI job)
    #[arg(long, value_name = "URL")]
    pr: Option<String>,
    /// Folder of the repository that holds environments/ and templates/
    #[arg(long, value_name = "DIR", default_value = "")]
    path: String,
    /// Sets a parameter of the spec, also against a label; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// YAML file that maps images as written to images as pulled; the map enters the lock
    #[arg(long, value_name = "FILE", env = "MIMEO_IMAGE_MAP")]
    image_map: Option<std::path::PathBuf>,
    /// How long to wait until everything is healthy
    #[arg(long, default_value = "15m", value_name = "DURATION", value_parser = up::duration)]
    timeout: Duration,
    /// Fail on the first sight of trouble instead of giving it time to mend itself
    #[arg(long)]
    fail_fast: bool,
    /// Approve what a plan destroys, by the digest that the refusal shows
    #[arg(long, value_name = "DIGEST")]
    approve: Option<String>,
    #[command(flatten)]
    forge: ForgeArgs,
}

pub async fn run(args: PreviewArgs, global: &Global, ui: &Ui, stop: Stop) -> Result<u8, Error> {
    let given = jiff::Timestamp::now();
    spec::name::SpecName::new(&args.spec).map_err(|error| Error::from(error.diagnostic()))?;
    let url: PullUrl = match &args.pr {
        Some(url) => url.parse()?,
        None => ci::pull()?,
    };
    let forges = args.forge.forges(Some(&url.server))?;
    let session = session(global, ui).await?.stopped_by(stop);
    let forge = ci::connect(&forges, &url).await?;
    let options = pull_request::Options {
        spec: args.spec.clone(),
        timeout: args.timeout,
        fail_fast: args.fail_fast,
        approve: args.approve.clone(),
        given,
    };
    let render = async |pull: &Pull| {
        // git follows redirects on the same host, and takes the token along: an address that redirects is
        // refused before git sees it.
        let address = forge.place().clone_url();
        forge::branches(&address, forges.token_for(&address)).await?;
        both_sides(ui, &args, &*forge, pull, forges.credentials()).await
    };
    let outcome = pull_request::preview(&session, &*forge, url.number, &options, render).await?;
    ui.clear();
    match outcome {
        Outcome::Ready(report) => up::show(&report, ui),
        Outcome::Gone { name, state } => {
            let value = serde_json::json!({"name": name, "state": state});
            ui.data(&ui.structured(&value).unwrap_or_else(|| {
                format!("pull request {} is {state}: nothing of {name} is left", url.number)
            }));
        }
    }
    Ok(0)
}

/// What the pull request is, read from git objects.
struct Fetched {
    head: Arc<dyn Files>,
    /// Commit and files of the base branch, which decides over lifecycle and policy.
    governor: Governor,
    /// Where the two histories part.
    parted: Option<(String, Arc<dyn Files>)>,
}

async fn both_sides(
    ui: &Ui,
    args: &PreviewArgs,
    forge: &dyn Forge,
    pull: &Pull,
    credentials: Option<Credentials>,
) -> Result<Sources, Error> {
    let fetched = fetch(forge, pull, credentials.clone()).await?;
    let short = pull.head.commit.get(..12).unwrap_or(&pull.head.commit);
    ui.say(&format!("{} at pr/{} ({short})", args.spec, pull.number));
    let head = rendered(
        Some(ui),
        args,
        forge,
        pull,
        (&pull.head.commit, fetched.head),
        (&fetched.governor, &credentials),
    )
    .await?;
    let base = match fetched.parted {
        // A base that cannot be rendered leaves nothing to compare with, and is no fault of the head.
        Some((commit, files)) => {
            rendered(None, args, forge, pull, (&commit, files), (&fetched.governor, &credentials)).await.ok()
        }
        None => None,
    };
    Ok(Sources { head, base })
}

async fn fetch(forge: &dyn Forge, pull: &Pull, credentials: Option<Credentials>) -> Result<Fetched, Error> {
    let (url, pull) = (forge.place().clone_url(), pull.clone());
    inputs::blocking(move || {
        let failed = |error: source::Error| Error::from(error.diagnostic());
        let cache = inputs::cache_dir();
        let repository = Repository::pull(&url, pull.number, &pull.base.branch, &cache, credentials.as_ref())
            .map_err(failed)?;
        let tree = |revision: &str| -> Result<Arc<dyn Files>, Error> {
            Ok(Arc::new(repository.tree(revision).map_err(failed)?))
        };
        let tip = repository.at(source::PULL_BASE).map_err(failed)?;
        let parted = repository.merge_base(&pull.head.commit, &tip).map_err(failed)?;
        Ok(Fetched {
            head: tree(&pull.head.commit)?,
            governor: Governor { revision: tip.clone(), files: tree(&tip)? },
            parted: parted.map(|commit| tree(&commit).map(|files| (commit, files))).transpose()?,
        })
    })
    .await
}

async fn rendered(
    ui: Option<&Ui>,
    args: &PreviewArgs,
    forge: &dyn Forge,
    pull: &Pull,
    (revision, files): (&str, Arc<dyn Files>),
    (governor, credentials): (&Governor, &Option<Credentials>),
) -> Result<Rendered, Error> {
    let labels = pull.labels.iter().filter_map(|label| label.strip_prefix("mimeo/"));
    let given = Inputs {
        source: Source { repo: None, rev: None, name: None, repository: None },
        path: args.path.clone(),
        // The command line is the last word.
        set: labels.filter(|label| label.contains('=')).map(str::to_owned).chain(args.set.clone()).collect(),
        values: None,
        image_map: args.image_map.clone(),
        sandbox: true,
    };
    let identity = (forge.place().identity(), format!("pr/{}", pull.number), revision.to_owned());
    let request = inputs::request(identity, &given, &args.spec)?;
    let files = sources::governed(&request, &files, governor, credentials.as_ref()).await?;
    let sources =
        sandbox::Sources { files, governor: Some((governor.revision.clone(), Arc::clone(&governor.files))) };
    // Whoever opened the pull request, nobody has taken it over yet.
    let (rendered, warnings) =
        inputs::rendering(request, sources, Mode::apart()).await?.map_err(Error::Found)?;
    if let Some(ui) = ui {
        ui.warn(&warnings);
    }
    Ok(rendered)
}
