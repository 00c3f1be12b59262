//! `mimeo completion`: for the shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use engine::Error;

use crate::{args::Cli, ui::Ui};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(mimeo completion bash)
  mimeo completion zsh > \"${fpath[1]}/_mimeo\"
  mimeo completion fish > ~/.config/fish/completions/mimeo.fish")]
pub struct CompletionArgs {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: &CompletionArgs, ui: &Ui) -> Result<u8, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mimeo", &mut script);
    ui.data(&String::from_utf8_lossy(&script));
    Ok(0)
}
