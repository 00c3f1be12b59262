//! How long it takes to read a folder of 100 files at a known commit from the copy that is kept of a URL:
//! `cargo run --release -p source --example subtree`. Prints milliseconds, the best of twenty.

use std::error::Error;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use source::{Network, Repository};
use spec::Files as _;
use tempfile::TempDir;
use testkit::{GitRepo, GitServer};

fn main() -> Result<(), Box<dyn Error>> {
    let (repo, cache) = (GitRepo::new()?, TempDir::new()?);
    for number in 0..100 {
        repo.write(&format!("environments/e{number}.yaml"), &format!("number: {number}\n").repeat(40))?;
    }
    let commit = repo.commit("Begin")?;
    let server = GitServer::serve(repo.path(), None, "")?;
    let url = format!("{}/repo", server.base);
    drop(Repository::open(Some(&url), cache.path())?);
    let asked = server.requests().len();
    let read = || -> Result<Duration, Box<dyn Error>> {
        let begun = Instant::now();
        let kept = Repository::pinned(&url, &commit, cache.path(), Network::Never)?;
        let tree = kept.tree(&commit)?;
        let paths = tree.list("environments").map_err(|finding| finding.to_string())?;
        assert_eq!(paths.len(), 100);
        for path in &paths {
            assert!(tree.read(path).map_err(|finding| finding.to_string())?.is_some());
        }
        Ok(begun.elapsed())
    };
    let times = (0..20).map(|_| read()).collect::<Result<Vec<_>, _>>()?;
    assert_eq!(server.requests().len(), asked, "the server was asked");
    let best = times.into_iter().min().unwrap_or_default();
    writeln!(io::stdout(), "{:.3}", best.as_secs_f64() * 1000.0)?;
    Ok(())
}
