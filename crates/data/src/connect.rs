//! Sessions: the source by URI with TLS, the target plain and with patience.

use std::error::Error as _;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, Socket};

use crate::error::safe_message;
use crate::{Error, Progress, Side, Target, tls};

const ATTEMPT: Duration = Duration::from_secs(10);
/// A database that was just made needs its image, its volume and its first start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client together with the task that moves its bytes. Dropping it closes the socket at once, so that an aborted
/// copy leaves no statement running behind it.
pub(crate) struct Session {
    client: Client,
    task: JoinHandle<()>,
}

impl std::ops::Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Session {
    /// The client, to begin a transaction with.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects to the source.
pub(crate) async fn source(uri: &str) -> Result<Session, Error> {
    let (mut config, verify) = parse(uri)?;
    config.application_name("mimeo").connect_timeout(ATTEMPT);
    let attempt = match config.get_ssl_mode() {
        SslMode::Disable => open(&config, NoTls).await,
        _ => open(&config, tls::connector(verify)?).await,
    };
    attempt.map_err(|failure| failure.into_error(Side::Source))
}

/// Connects to the target; one that does not answer yet is tried again for a minute.
pub(crate) async fn target(
    target: &Target,
    password: &str,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Session, Error> {
    let mut config = Config::new();
    config
        .host(&target.host)
        .port(target.port)
        .dbname(&target.database)
        .user(&target.user)
        .password(password)
        .application_name("mimeo")
        .connect_timeout(ATTEMPT)
        .ssl_mode(SslMode::Disable);
    let begun = Instant::now();
    let mut pause = Duration::from_millis(200);
    loop {
        match open(&config, NoTls).await {
            Ok(session) => return Ok(session),
            Err(Failure::NotYet(cause)) if begun.elapsed() + pause < PATIENCE => {
                progress(Progress::Waiting { cause });
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(3));
            }
            Err(failure) => return Err(failure.into_error(Side::Target)),
        }
    }
}

enum Failure {
    /// Nobody answers, or the server is starting: may pass by itself.
    NotYet(String),
    /// The server answered no.
    Refused { cause: String, sqlstate: String },
}

impl Failure {
    fn into_error(self, side: Side) -> Error {
        match self {
            Self::NotYet(cause) => Error::Unreachable { side, cause },
            Self::Refused { cause, sqlstate } => Error::Refused { side, cause, sqlstate },
        }
    }
}

async fn open<T>(config: &Config, tls: T) -> Result<Session, Failure>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    // connect_timeout covers the TCP handshake only; a host that accepts and stays silent must not hold us.
    let connected = tokio::time::timeout(ATTEMPT, config.connect(tls)).await;
    let (client, connection) = connected
        .map_err(|_| Failure::NotYet("no answer in time".to_owned()))?
        .map_err(|error| failure(&error))?;
    // The connection's own error reaches the statement that is waiting, so it is dropped here.
    let task = tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Session { client, task })
}

fn failure(error: &tokio_postgres::Error) -> Failure {
    if let Some(server) = error.as_db_error() {
        let cause = safe_message(server);
        return match server.code() {
            &SqlState::CANNOT_CONNECT_NOW | &SqlState::TOO_MANY_CONNECTIONS => Failure::NotYet(cause),
            code => Failure::Refused { cause, sqlstate: code.code().to_owned() },
        };
    }
    // The driver's own text names the step, its source the reason; neither repeats what we connected with.
    let reason = error.source().map(ToString::to_string);
    Failure::NotYet(reason.unwrap_or_else(|| error.to_string()))
}

/// Reads a URI. The driver's error is not passed on: a URI that was mistyped can have its password anywhere.
fn parse(uri: &str) -> Result<(Config, bool), Error> {
    let uri = uri.trim();
    let mut verify = false;
    let mut text = uri.to_owned();
    for mode in ["verify-full", "verify-ca"] {
        for before in ['?', '&', ' '] {
            // The driver knows no verification; it is the connector's matter, and verify-ca gets the stricter check.
            let wanted = format!("{before}sslmode={mode}");
            if text.contains(&wanted) {
                text = text.replace(&wanted, &format!("{before}sslmode=require"));
                verify = true;
            }
        }
    }
    let config: Config = text.parse().map_err(|_| Error::SourceUri {
        cause: "it is malformed, or has a parameter that is not supported",
    })?;
    if config.get_hosts().is_empty() {
        return Err(Error::SourceUri { cause: "it names no host" });
    }
    if config.get_dbname().is_none() {
        return Err(Error::SourceUri { cause: "it names no database" });
    }
    Ok((config, verify))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read() {
        let (config, verify) = parse("postgres://u:p@h:5/d?sslmode=verify-full\n").unwrap();
        assert_eq!((config.get_ssl_mode(), verify), (SslMode::Require, true));
        let (config, verify) = parse("postgresql://u:p%40@h/d").unwrap();
        assert_eq!((config.get_ssl_mode(), verify), (SslMode::Prefer, false));
        assert!(parse("host=h dbname=d user=u sslmode=verify-ca").unwrap().1);
    }

    #[test]
    fn a_wrong_uri_is_not_repeated() {
        for uri in ["hunter2", "postgres://u:hunter2@h:x/d", "postgres://u:p@h/d?hunter2=1", "postgres:///d"]
        {
            let error = parse(uri).err().unwrap();
            assert_eq!(error.code(), "DB004");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
