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
