//! The command line as people type it. Doc comments are the help pages.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands;

/// Clones data environments from templates, pinned to one commit
///
/// An environment is one spec (environments/NAME.yaml) at one branch in one cluster. mimeo reads the
/// spec and its templates from the commit, never from the work tree.
#[derive(Debug, Parser)]
#[command(
    name = "mimeo",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "\
Examples:
  mimeo check                       check every spec of the repository at the current branch
  mimeo up qa                       bring up environment spec qa at the current branch
  mimeo diff qa --rev feature/x     show what would change; exit code 1 when something would
  mimeo list                        every environment of the cluster
  mimeo down qa --rev feature/x     take it down and prove that nothing is left
  mimeo preview --spec qa           in CI: the environment of a pull request, with comment and status
  mimeo gc                          take down what is stale: TTL over, branch gone, pull request closed

Exit codes: 0 done, 1 differences or a gate not passed, 2 usage or spec error, 3 refused by a guard,
4 cluster or forge error, 5 data error, 6 timed out with the state kept, 7 a component failed."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Context of the kubeconfig (default: its current context)
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options")]
    pub context: Option<String>,
    /// Namespace of the records
    #[arg(
        long,
        global = true,
        default_value = "mimeo-system",
        value_name = "NAMESPACE",
        help_heading = "Global options"
    )]
    pub record_namespace: String,
    /// Only results and errors
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// More detail; -vv shows what goes over the wire, without bodies
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
    /// How results and errors are written: text, wide, json, yaml, name; `check` also sarif, github
    #[arg(short, long, global = true, default_value = "text", value_name = "FORMAT", help_heading = "Global options", value_parser = Destination::parse)]
    pub output: Destination,
}

/// How results are written, and for `plan` where to.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The format.
    pub format: Output,
    /// The file, with `plan -o FILE`.
    pub file: Option<PathBuf>,
}

impl Destination {
    /// A format by its name, or the path of a file, which has a dot or a slash.
    fn parse(text: &str) -> Result<Self, String> {
        if text.contains(['.', '/']) {
            return Ok(Self { format: Output::Text, file: Some(text.into()) });
        }
        match Output::from_str(text, false) {
            Ok(format) => Ok(Self { format, file: None }),
            Err(_) => {
                Err("known are text, wide, json, yaml, name; `check` also knows sarif and github, `plan` \
                           takes a FILE.json"
                    .to_owned())
            }
        }
    }
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For people, with more columns.
    Wide,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// Names only.
    Name,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Workflow commands, which GitHub and Gitea show at the lines of a pull request.
    Github,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(commands::init::InitArgs),
    Check(commands::check::CheckArgs),
    Render(commands::render::RenderArgs),
    Lock(commands::lock::LockArgs),
    Explain(commands::explain::ExplainArgs),
    Plan(commands::plan::PlanArgs),
    Diff(commands::diff::DiffArgs),
    Up(commands::up::UpArgs),
    Down(commands::down::DownArgs),
    Preview(commands::preview::PreviewArgs),
    Gc(commands::gc::GcArgs),
    Why(commands::why::WhyArgs),
    Extend(commands::extend::ExtendArgs),
    Approve(commands::approve::ApproveArgs),
    List(commands::list::ListArgs),
    Status(commands::status::StatusArgs),
    Logs(commands::logs::LogsArgs),
    Receipts(commands::receipts::ReceiptsArgs),
    Install(commands::install::InstallArgs),
    Uninstall(commands::uninstall::UninstallArgs),
    Schema(commands::schema::SchemaArgs),
    Completion(commands::completion::CompletionArgs),
    /// Runs inside a Job of mimeo's own image
    #[command(hide = true)]
    Data(commands::data::DataArgs),
}

/// Which repository and which commit of it.
#[derive(Debug, Clone, Args)]
pub struct Source {
    /// Repository: a path or a URL (default: the one around the current directory)
    #[arg(long, value_name = "PATH|URL")]
    pub repo: Option<String>,
    /// Branch, tag or commit (default: the current branch)
    #[arg(long, value_name = "REF")]
    pub rev: Option<String>,
    /// Name of the environment instead of the branch; needed for a bare commit or a detached HEAD
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Identity of the repository (default: the URL of its remote as host/path)
    #[arg(long, value_name = "ID")]
    pub repository: Option<String>,
}

/// Where the commits of the spec's sources come from.
#[derive(Debug, Clone, Args)]
pub struct Pinning {
    /// Pin the spec's sources to what their refs are now, and write that to environments/SPEC.lock.yaml of the
    /// work tree
    #[arg(long)]
    pub update_lock: bool,
}

/// What is rendered besides the commit.
#[derive(Debug, Clone, Args)]
pub struct Inputs {
    #[command(flatten)]
    pub source: Source,
    /// Folder of the repository that holds environments/ and templates/
    #[arg(long, value_name = "DIR", default_value = "")]
    pub path: String,
    /// Sets a parameter of the spec; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// YAML file with parameters of the spec
    #[arg(long, value_name = "FILE")]
    pub values: Option<PathBuf>,
    /// YAML file that maps images as written to images as pulled; the map enters the lock
    #[arg(long, value_name = "FILE", env = "MIMEO_IMAGE_MAP")]
    pub image_map: Option<PathBuf>,
    /// Render in a process without files, network or rights; always done where no branch was named
    #[arg(long)]
    pub sandbox: bool,
}
