//! What a process can do before it is enclosed, and cannot afterwards. It is this test's own program, once more.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::process::{Resource, Signal, getppid, getrlimit, kill_process, setrlimit};

const FILE: &str = "MIMEO_TEST_FILE";
const ADDRESS: &str = "MIMEO_TEST_ADDRESS";

type Try = (&'static str, Box<dyn FnMut() -> io::Result<()>>);

/// Things that a rendering has no business with.
fn tries() -> Vec<Try> {
    let path = std::env::var(FILE).unwrap();
    let address = std::env::var(ADDRESS).unwrap();
    let (read, write, remove) = (path.clone(), format!("{path}.new"), format!("{path}.old"));
    let mut open = File::open(&path).unwrap();
    let parent = getppid().unwrap();
    // Set to what it is already: the attempt itself is what counts.
    let limit = getrlimit(Resource::Nofile);
    let mut created = File::create(format!("{path}.open")).unwrap();
    vec![
        ("read a file", Box::new(move || fs::read(&read).map(drop))),
        ("write a file", Box::new(move || fs::write(&write, "x"))),
        ("remove a file", Box::new(move || File::create(&remove).and_then(|_| fs::remove_file(&remove)))),
        ("list a folder", Box::new(|| fs::read_dir("/").map(drop))),
        ("read an open file", Box::new(move || open.read(&mut [0; 8]).map(drop))),
        ("write into an open file", Box::new(move || created.write(b"x").map(drop))),
        ("connect by TCP", Box::new(move || TcpStream::connect(&address).map(drop))),
        ("listen by TCP", Box::new(|| TcpListener::bind("127.0.0.1:0").map(drop))),
        ("make a UDP socket", Box::new(|| UdpSocket::bind("127.0.0.1:0").map(drop))),
        ("make a pair of sockets", Box::new(|| UnixStream::pair().map(drop))),
        ("start a program", Box::new(|| Command::new("/bin/true").status().map(drop))),
        ("make a thread", Box::new(thread)),
        ("set a limit", Box::new(move || Ok(setrlimit(Resource::Nofile, limit)?))),
        ("signal another process", Box::new(move || Ok(kill_process(parent, Signal::CONT)?))),
        ("change the folder", Box::new(|| std::env::set_current_dir("/"))),
    ]
}

/// Waited for: one that has only just begun would still need what is about to be taken away.
fn thread() -> io::Result<()> {
    let made = std::thread::Builder::new().spawn(|| ())?;
    made.join().map_err(|_| io::ErrorKind::Other.into())
}

/// Not a test of its own: the process that is enclosed.
#[test]
#[ignore = "run by the other test"]
fn probe() {
    let mut tries = tries();
    for (what, attempt) in &mut tries {
        writeln!(io::stderr(), "before: {what}: {}", word(attempt())).unwrap();
    }
    sandbox::enclose().unwrap();
    for (what, attempt) in &mut tries {
        writeln!(io::stderr(), "after: {what}: {}", word(attempt())).unwrap();
    }
    let memory = Vec::<u8>::new().try_reserve_exact(4 << 30).map_err(|_| io::ErrorKind::OutOfMemory.into());
    writeln!(io::stderr(), "after: take 4 GiB: {}", word(memory)).unwrap();
    // No way back into the harness, which needs more than is left.
    std::process::exit(0);
}

fn word(result: io::Result<()>) -> String {
    result.map_or_else(|error| format!("{:?}", error.kind()), |()| "yes".to_owned())
}

#[test]
fn an_enclosed_process_can_only_compute() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "content").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "probe", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FILE, &file)
        .env(ADDRESS, listener.local_addr().unwrap().to_string())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let count = |wanted: &str| text.lines().filter(|line| line.contains(wanted)).count();
    assert!(output.status.success(), "{text}");
    assert_eq!((count("before: "), count("after: ")), (15, 16), "{text}");
    for line in text.lines().filter(|line| line.starts_with("before: ") || line.starts_with("after: ")) {
        let expected = match line {
            _ if line.starts_with("before: ") => "yes",
            "after: take 4 GiB: OutOfMemory" => "OutOfMemory",
            _ => "PermissionDenied",
        };
        assert!(line.ends_with(expected), "{line}\n{text}");
    }
}
