//! A server of git's own protocol, that counts who asks.

use std::{
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};

/// Serves every repository below a folder over `git://`, until it is stopped or the test ends.
pub struct GitDaemon {
    port: u16,
    connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl GitDaemon {
    /// Begins to serve.
    ///
    /// # Errors
    /// When no port can be had, or git is not there.
    pub fn serve(folder: &Path) -> Result<Self> {
        let found = Command::new("git").arg("--exec-path").output().context("cannot start git")?;
        let program = Path::new(String::from_utf8(found.stdout)?.trim()).join("git-daemon");
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for git")?;
        let daemon = Self {
            port: listener.local_addr()?.port(),
            connections: Arc::default(),
            stopped: Arc::default(),
        };
        let (count, stopped, folder) =
            (Arc::clone(&daemon.connections), Arc::clone(&daemon.stopped), folder.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    // The port is closed with the listener.
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let (program, folder) = (program.clone(), folder.clone());
                thread::spawn(move || answer(&program, &folder, client));
            }
        });
        Ok(daemon)
    }

    /// The URL of a repository, given by its path below the folder.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("git://127.0.0.1:{}/{path}", self.port)
    }

    /// How many connections there have been since this was asked last.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.swap(0, Ordering::SeqCst)
    }

    /// Answers nobody any more.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener, which sees it.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_err() {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for GitDaemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One connection, as inetd would hand it over.
fn answer(program: &PathBuf, folder: &Path, client: TcpStream) {
    let Ok(out) = client.try_clone() else { return };
    let child = Command::new(program)
        .args(["--inetd", "--export-all"])
        .arg(format!("--base-path={}", folder.display()))
        .stdin(Stdio::from(OwnedFd::from(client)))
        .stdout(Stdio::from(OwnedFd::from(out)))
        .stderr(Stdio::null())
        .spawn();
    if let Ok(mut child) = child {
        let _ = child.wait();
    }
}
