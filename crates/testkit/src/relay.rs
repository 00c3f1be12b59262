//! Stands between `mimeo` and the API server: counts the writes, and kills at the n-th.
//!
//! `mimeo` talks plain HTTP to a port of this machine, the relay TLS to the server: a second look at
//! every request without a hook in the product. Each connection has a thread and a connection of its own
//! to the server, so requests keep their order. Watches are handed on as they come.

use std::{
    fmt,
    io::BufReader,
    net::{Shutdown, TcpListener, TcpStream},
    process::Child,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    Fault, Kubeconfig,
    fault::How,
    http::{self, Head},
    upstream::{Connection, Upstream},
};

/// Where in the life of a write the program dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never hears of it.
    BeforeSend,
    /// The server has done it; the program never hears of that.
    AfterSend,
    /// The program has the answer, and no time to do anything with it.
    AfterAnswer,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::BeforeSend, Self::AfterSend, Self::AfterAnswer];
}

/// A request and what became of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Since the relay began.
    pub at: Duration,
    /// Number of the write, from 1; nothing for what does not count as one.
    pub write: Option<usize>,
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query without question mark.
    pub query: String,
    /// Body of a request that is no read.
    pub body: Value,
    /// Status of the server's answer, once there is one.
    pub status: Option<u16>,
    /// What the relay did to it.
    pub note: String,
}

impl Exchange {
    /// Whether it asks for a change, of whatever kind.
    #[must_use]
    pub fn is_mutating(&self) -> bool {
        self.method != "GET" && !self.query.contains("dryRun=") && !self.path.contains("/self")
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.write.map(|write| format!("#{write}")).unwrap_or_default();
        let status = self.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let at = self.at.as_secs_f32();
        write!(
            f,
            "{at:7.3} {number:>4} {status:>3} {} {}?{} {}",
            self.method, self.path, self.query, self.note
        )
    }
}

/// A running relay. Dropping it shuts every connection.
pub struct Relay {
    inner: Arc<Inner>,
    port: u16,
}

struct Inner {
    upstream: Upstream,
    began: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    log: Vec<Exchange>,
    writes: usize,
    cut: Option<(usize, Cut)>,
    /// The n-th write is here: no later write goes through any more.
    closed: bool,
    victim: Option<Arc<Mutex<Child>>>,
    faults: Vec<Fault>,
    sockets: Vec<TcpStream>,
    date: Option<String>,
    over: bool,
}

impl State {
    /// The number of the refused write that this one repeats, if it does: a right or a role that was
    /// just made takes a moment to be known, and how often that is tried is chance.
    fn repeated(&self, exchange: &Exchange) -> Option<usize> {
        let refused = self.log.iter().rev().find(|earlier| {
            earlier.method == exchange.method
                && earlier.path == exchange.path
                && earlier.body == exchange.body
        })?;
        matches!(refused.status, Some(403 | 404)).then_some(refused.write)?
    }
}

impl Relay {
    /// Starts a relay to the server of a kubeconfig.
    ///
    /// # Errors
    /// When no port can be had, or the server's authority cannot be read.
    pub fn start(config: &Kubeconfig) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for the relay")?;
        let port = listener.local_addr()?.port();
        let inner = Arc::new(Inner {
            upstream: Upstream::new(config)?,
            began: Instant::now(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&inner);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.lock().over {
                    return;
                }
                let serving = Arc::clone(&accepting);
                std::thread::spawn(move || {
                    // A connection that breaks off is what this is made for.
                    let _ = serve(&serving, client);
                });
            }
        });
        Ok(Self { inner, port })
    }

    /// URL for a kubeconfig.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Kills the program at its n-th write.
    pub fn kill_at(&self, write: usize, cut: Cut) {
        self.inner.lock().cut = Some((write, cut));
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.inner.lock().faults.push(fault);
    }

    /// From now on every answer was sent at this time (RFC 9110, `Date`), whatever the server says.
    pub fn date(&self, date: &str) {
        self.inner.lock().date = Some(date.to_owned());
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        self.inner.lock().faults.clear();
    }

    /// Names the process to kill. A write that must not go on waits for this.
    pub(crate) fn aim(&self, victim: Arc<Mutex<Child>>) {
        self.inner.lock().victim = Some(victim);
        self.inner.changed.notify_all();
    }

    /// Whether the n-th write came and the program was killed.
    #[must_use]
    pub fn has_cut(&self) -> bool {
        self.inner.lock().closed
    }

    /// Number of writes so far.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.inner.lock().writes
    }

    /// Every request so far, in order of arrival.
    #[must_use]
    pub fn log(&self) -> Vec<Exchange> {
        self.inner.lock().log.clone()
    }

    /// The log as text, for a failed test.
    #[must_use]
    pub fn transcript(&self) -> String {
        self.log().iter().map(|exchange| format!("{exchange}\n")).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let sockets = {
            let mut state = self.inner.lock();
            state.over = true;
            std::mem::take(&mut state.sockets)
        };
        self.inner.changed.notify_all();
        for socket in sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts, so that it sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request; returns its place in the log and where it is cut, if it is.
    fn arrive(&self, head: &Head, body: &[u8]) -> Result<(usize, Option<Cut>)> {
        let (method, target) = head.request();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut exchange = Exchange {
            at: self.began.elapsed(),
            write: None,
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            body: serde_json::from_slice(body).unwrap_or_default(),
            status: None,
            note: String::new(),
        };
        let mut state = self.lock();
        let mut cut = None;
        if counts(&exchange) {
            if state.closed {
                exchange.note = "came after the end".to_owned();
                state.log.push(exchange);
                anyhow::bail!("the program is dead");
            }
            exchange.write = state.repeated(&exchange);
            if exchange.write.is_none() {
                state.writes += 1;
                exchange.write = Some(state.writes);
            }
            if let Some((wanted, how)) = state.cut
                && exchange.write == Some(wanted)
            {
                state.closed = true;
                exchange.note = format!("killed here: {how:?}");
                cut = Some(how);
            }
        }
        state.log.push(exchange);
        Ok((state.log.len() - 1, cut))
    }

    fn kill(&self) {
        let mut state = self.lock();
        while state.victim.is_none() && !state.over {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let victim = state.victim.clone();
        drop(state);
        if let Some(victim) = victim {
            let mut child = victim.lock().unwrap_or_else(PoisonError::into_inner);
            // Child::kill sends SIGKILL; waiting makes sure that it has struck.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn fault(&self, head: &Head) -> Option<Fault> {
        let (method, target) = head.request();
        let mut state = self.lock();
        let place = state.faults.iter_mut().position(|fault| fault.strikes(method, target))?;
        Some(state.faults[place].clone())
    }
}

/// Whether a request is one of the writes that are numbered. Leases are renewed by the clock, so only
/// their making and their end count; events and reviews change nothing that lasts.
fn counts(exchange: &Exchange) -> bool {
    let noise = ["/events", "/selfsubject", "/tokenreviews", "/subjectaccessreviews"];
    let renewal = exchange.path.contains("/leases") && !matches!(exchange.method.as_str(), "POST" | "DELETE");
    exchange.is_mutating() && !renewal && !noise.iter().any(|part| exchange.path.contains(part))
}

fn serve(inner: &Inner, client: TcpStream) -> Result<()> {
    client.set_nodelay(true)?;
    let server = inner.upstream.connect()?;
    {
        let mut state = inner.lock();
        anyhow::ensure!(!state.over, "the relay is over");
        state.sockets.extend([client.try_clone()?, server.socket()?]);
    }
    let mut server = BufReader::new(server);
    let mut client = BufReader::new(client);
    let result = loop {
        match exchange(inner, &mut client, &mut server) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let _ = client.get_ref().shutdown(Shutdown::Both);
    result
}

/// One request and its answer; `false` when the client has no more.
fn exchange(
    inner: &Inner,
    client: &mut BufReader<TcpStream>,
    server: &mut BufReader<Connection>,
) -> Result<bool> {
    let Some(mut head) = Head::read(client)? else { return Ok(false) };
    let body = http::body(head.request_framing(), client)?;
    let (place, cut) = inner.arrive(&head, &body)?;
    if cut == Some(Cut::BeforeSend) {
        inner.kill();
        return Ok(false);
    }
    let streams = head.request().1.contains("watch=true") || head.request().1.contains("follow=true");
    let how = inner.fault(&head).map_or(How::Pass, |fault| {
        inner.lock().log[place].note = "held by the test".to_owned();
        fault.begin()
    });
    if let Some((answer, body)) = how.answer() {
        let mut state = inner.lock();
        state.log[place].status = Some(answer.status());
        state.log[place].note = "answered by the test".to_owned();
        drop(state);
        answer.write(&body, client.get_mut())?;
        return Ok(true);
    }
    if how == How::Cut {
        inner.lock().log[place].note = "cut by the test".to_owned();
        return Ok(false);
    }
    head.set("Host", &inner.upstream.authority);
    head.write(&body, server.get_mut())?;
    let mut answer = Head::read(server)?.context("the server closed the connection")?;
    let date = {
        let mut state = inner.lock();
        state.log[place].status = Some(answer.status());
        state.date.clone()
    };
    if let Some(date) = date {
        answer.set("Date", &date);
    }
    let framing = answer.answer_framing();
    if streams && framing == http::Framing::Chunked {
        stream(&answer, client, server)?;
        return Ok(true);
    }
    let body = how.shown(http::body(framing, server)?);
    if how == How::Lost {
        inner.lock().log[place].note = "answer lost by the test".to_owned();
        return Ok(false);
    }
    if cut == Some(Cut::AfterSend) {
        inner.kill();
        return Ok(false);
    }
    answer.write(&body, client.get_mut())?;
    if cut == Some(Cut::AfterAnswer) {
        inner.kill();
        return Ok(false);
    }
    Ok(true)
}

/// Hands a watch or a log on, piece by piece.
fn stream(
    answer: &Head,
    client: &mut BufReader<TcpStream>,
    server: &mut BufReader<Connection>,
) -> Result<()> {
    use std::io::Write as _;
    let to = client.get_mut();
    to.write_all(&answer.bytes())?;
    http::each_piece(http::Framing::Chunked, server, &mut |piece| {
        let mut framed = format!("{:x}\r\n", piece.len()).into_bytes();
        framed.extend_from_slice(piece);
        framed.extend_from_slice(b"\r\n");
        to.write_all(&framed)
    })?;
    to.write_all(b"0\r\n\r\n")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, process::Command, sync::mpsc};

    use super::*;

    /// A server that answers every request with an empty object and tells what it was asked.
    fn server() -> (Kubeconfig, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, asked) = mpsc::channel();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let tell = tell.clone();
                std::thread::spawn(move || {
                    let mut client = BufReader::new(client);
                    while let Ok(Some(head)) = Head::read(&mut client) {
                        http::body(head.request_framing(), &mut client).unwrap();
                        tell.send(head.first.clone()).unwrap();
                        let answer = Head { first: "HTTP/1.1 200 OK".into(), headers: Vec::new() };
                        answer.write(b"{}", client.get_mut()).unwrap();
                    }
                });
            }
        });
        (Kubeconfig { server: url, ca: Vec::new(), token: String::new() }, asked)
    }

    fn ask(relay: &Relay, first: &str) -> Option<u16> {
        let mut client =
            BufReader::new(TcpStream::connect(relay.url().trim_start_matches("http://")).unwrap());
        let head = Head { first: format!("{first} HTTP/1.1"), headers: Vec::new() };
        head.write(b"{}", client.get_mut()).unwrap();
        client.get_mut().flush().unwrap();
        Head::read(&mut client).ok().flatten().map(|head| head.status())
    }

    /// Whether a signal ends it soon. The lock is not held meanwhile: who kills needs it.
    fn dies(victim: &Mutex<Child>) -> bool {
        for _ in 0..500 {
            if let Some(status) = victim.lock().unwrap().try_wait().unwrap() {
                return status.code().is_none();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    #[test]
    fn each_cut_kills_where_it_says() {
        for (cut, heard, answered) in
            [(Cut::BeforeSend, false, false), (Cut::AfterSend, true, false), (Cut::AfterAnswer, true, true)]
        {
            let (config, asked) = server();
            let relay = Relay::start(&config).unwrap();
            let victim = Arc::new(Mutex::new(Command::new("sleep").arg("60").spawn().unwrap()));
            relay.aim(Arc::clone(&victim));
            relay.kill_at(2, cut);
            assert_eq!(ask(&relay, "POST /a"), Some(200));
            assert_eq!(ask(&relay, "PATCH /a?dryRun=All"), Some(200), "a dry run is no write");
            assert_eq!(ask(&relay, "PATCH /leases/a"), Some(200), "a renewal is no write");
            assert!(victim.lock().unwrap().try_wait().unwrap().is_none());
            assert_eq!(ask(&relay, "PATCH /b").is_some(), answered, "{cut:?}");
            assert!(dies(&victim), "{cut:?}");
            assert_eq!(ask(&relay, "DELETE /c"), None, "nothing is written after the end");
            let asked: Vec<String> = asked.try_iter().collect();
            assert_eq!(asked.iter().any(|first| first.starts_with("PATCH /b")), heard, "{cut:?} {asked:?}");
            assert!(relay.has_cut());
            assert_eq!(relay.writes(), 2);
        }
    }

    #[test]
    fn a_fault_strikes_where_and_as_often_as_it_should() {
        let (config, asked) = server();
        let relay = Relay::start(&config).unwrap();
        relay.inject(Fault::on("/pods").method("GET").status(403).times(1));
        assert_eq!(ask(&relay, "GET /pods"), Some(403));
        assert_eq!(ask(&relay, "GET /pods"), Some(200));
        assert_eq!(asked.try_iter().count(), 1);
        assert_eq!(
            relay.log().iter().map(|exchange| exchange.status).collect::<Vec<_>>(),
            [Some(403), Some(200)]
        );
    }
}
