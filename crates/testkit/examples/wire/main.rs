//! What `tests/bench` puts between a client and an API server, or in the client's place.
//!
//! ```text
//! wire delay LISTEN SERVER MICROSECONDS    hand every byte on after a while, in each direction
//! wire record KUBECONFIG RELAYED           write a kubeconfig that leads through a relay; print what came by
//! wire replay KUBECONFIG SCRIPT WINDOW     send prepared requests; print how long that took
//! ```
//!
//! `delay` and `record` end when their standard input does.

#![allow(clippy::print_stdout, reason = "what it prints is its answer")]

mod delay;
mod record;
mod replay;

use std::path::Path;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["delay", listen, server, wait] => delay::run(listen, server, wait.parse()?),
        ["record", config, relayed] => record::run(Path::new(config), Path::new(relayed)),
        ["replay", config, script, window] => {
            replay::run(Path::new(config), Path::new(script), window.parse()?)
        }
        _ => bail!("usage: wire delay|record|replay …"),
    }
}

/// Says that it is ready, and waits for the end of standard input.
fn until_told() -> Result<()> {
    use std::io::{Read as _, Write as _};
    println!("ready");
    std::io::stdout().flush()?;
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
    Ok(())
}
