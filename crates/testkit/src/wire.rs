//! A wire to an API server: hands bytes on as they are, TLS and all, and counts the connections.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};

use crate::Kubeconfig;

/// A listening wire; it lasts as long as the test program.
pub struct Wire {
    config: Kubeconfig,
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Wire {
    /// Begins a wire to the server of a kubeconfig.
    ///
    /// # Errors
    /// When no port can be had, or the server has no `https` URL.
    pub fn to(config: &Kubeconfig) -> Result<Self> {
        let authority = config.server.strip_prefix("https://").context("no https URL")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for the wire")?;
        let port = listener.local_addr()?.port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                // A connection that breaks off is the program's own affair.
                let _ = TcpStream::connect(&authority).and_then(|server| join(&client, &server));
            }
        });
        Ok(Self { config: config.clone(), port, connections })
    }

    /// Writes a kubeconfig that leads through the wire, as this account.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, token: &str, path: &Path) -> Result<()> {
        let host = self.config.server.trim_start_matches("https://");
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned();
        let config = Kubeconfig {
            server: format!("https://127.0.0.1:{}", self.port),
            token: token.to_owned(),
            ..self.config.clone()
        };
        config.write_for(path, Some(&host))
    }

    /// How many connections there have been since this was asked last.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.swap(0, Ordering::Relaxed)
    }
}

fn join(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    for (from, to) in [(client, server), (server, client)] {
        from.set_nodelay(true)?;
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}
