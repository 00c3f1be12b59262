//! The first connection, opened before the first request: what a command does meanwhile costs no time then.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::task::JoinHandle;
use tower::{BoxError, Service};

type Https = HttpsConnector<HttpConnector>;
type Connected = Result<<Https as Service<Uri>>::Response, BoxError>;

/// A connector to one server, which is on its way there already.
#[derive(Clone)]
pub(crate) struct Early {
    https: Https,
    opened: Arc<Mutex<Option<JoinHandle<Connected>>>>,
}

impl Early {
    /// Begins to connect.
    pub(crate) fn to(server: &Uri, mut https: Https) -> Self {
        let opened = tokio::spawn(https.call(server.clone()));
        Self { https, opened: Arc::new(Mutex::new(Some(opened))) }
    }
}

impl Service<Uri> for Early {
    type Response = <Https as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Connected>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        match opened {
            // It ends in no other way than by itself.
            Some(opened) => Box::pin(async move { opened.await? }),
            None => Box::pin(self.https.call(server)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper_rustls::HttpsConnectorBuilder;
    use tokio::{net::TcpListener, time::timeout};

    use super::*;

    fn https() -> Https {
        let roots = rustls::RootCertStore::empty();
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build()
    }

    #[tokio::test]
    async fn the_first_request_takes_the_connection_that_is_there() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: Uri = format!("http://{}", server.local_addr().unwrap()).parse().unwrap();
        let mut early = Early::to(&address, https());
        timeout(Duration::from_secs(10), server.accept()).await.expect("nobody asked for it yet").unwrap();
        let first = early.call(address.clone()).await;
        let second = early.clone().call(address).await;
        assert!(first.is_ok() && second.is_ok());
        server.accept().await.unwrap();
        assert!(timeout(Duration::from_millis(50), server.accept()).await.is_err(), "two are enough for two");
    }

    #[tokio::test]
    async fn a_server_that_comes_later_is_reached_by_the_next_request() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = server.local_addr().unwrap();
        let address: Uri = format!("http://{place}").parse().unwrap();
        drop(server);
        let mut early = Early::to(&address, https());
        assert!(early.call(address.clone()).await.is_err());
        let _server = TcpListener::bind(place).await.unwrap();
        assert!(early.call(address).await.is_ok());
    }
}
