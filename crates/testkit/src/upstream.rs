//! A connection to an API server: TLS with its own authority, or plain TCP.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::Kubeconfig;

/// Where to connect to.
#[derive(Clone)]
pub(crate) struct Upstream {
    /// `host:port`, as it stands in the Host header.
    pub authority: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// An open connection.
pub(crate) enum Connection {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Upstream {
    pub(crate) fn new(config: &Kubeconfig) -> Result<Self> {
        let server = config.server.trim_end_matches('/');
        if let Some(authority) = server.strip_prefix("http://") {
            return Ok(Self { authority: authority.to_owned(), tls: None });
        }
        let Some(authority) = server.strip_prefix("https://") else {
            bail!("{server} is no URL of an API server")
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&config.ca) {
            roots.add(certificate.context("the cluster's authority is no PEM")?)?;
        }
        let tls =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Self { authority: authority.to_owned(), tls: Some((Arc::new(tls), name)) })
    }

    pub(crate) fn connect(&self) -> io::Result<Connection> {
        let address = self.authority.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
        let tcp = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        tcp.set_nodelay(true)?;
        let Some((config, name)) = &self.tls else { return Ok(Connection::Plain(tcp)) };
        let session = ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
        Ok(Connection::Tls(Box::new(StreamOwned::new(session, tcp))))
    }
}

impl Connection {
    /// The socket below, to be shut from another thread.
    pub(crate) fn socket(&self) -> io::Result<TcpStream> {
        match self {
            Self::Plain(tcp) => tcp.try_clone(),
            Self::Tls(tls) => tls.sock.try_clone(),
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(buffer),
            Self::Tls(tls) => tls.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
