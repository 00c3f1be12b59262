//! What it costs to look again at 1,000 environments that have not changed, in one process:
//! `cargo run --release -p render --example again -- FOLDER SPEC`, with the files of a commit below FOLDER. Prints the
//! milliseconds of the first rendering of all, and of the second.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use render::{Renderings, Request};
use spec::{Files, MemoryFiles};

const ENVIRONMENTS: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (folder, spec) = (arguments.next().ok_or("no folder")?, arguments.next().ok_or("no spec")?);
    let mut files = MemoryFiles::default();
    collect(Path::new(&folder), "", &mut files)?;
    let files: Arc<dyn Files> = Arc::new(files);
    let renderings = Renderings::new(ENVIRONMENTS);
    let all = || -> Result<Duration, Box<dyn Error>> {
        let begun = Instant::now();
        for number in 0..ENVIRONMENTS {
            let request = Request {
                spec: spec.clone(),
                repository: "git.example.com/team/flights".to_owned(),
                ref_name: format!("branch-{number}"),
                revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
                ..Request::default()
            };
            let rendered = renderings.render(&request, &files, None);
            rendered.map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        }
        Ok(begun.elapsed())
    };
    let (first, again) = (all()?, all()?);
    writeln!(io::stdout(), "{:.1} {:.1}", first.as_secs_f64() * 1000.0, again.as_secs_f64() * 1000.0)?;
    Ok(())
}

fn collect(folder: &Path, below: &str, files: &mut MemoryFiles) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = spec::files::join(below, &entry.file_name().to_string_lossy());
        match entry.file_type()?.is_dir() {
            true => collect(&entry.path(), &path, files)?,
            false => files.insert(path, std::fs::read(entry.path())?),
        }
    }
    Ok(())
}
