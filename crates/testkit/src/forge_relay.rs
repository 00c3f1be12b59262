//! Stands between `mimeo` and a forge, for git and for the API alike, and answers as forges do on bad days.
//!
//! One address for both, plain HTTP/1.1. Every answer is read whole before a part of it is handed on, so
//! that "cut in the middle" means the same each time.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufReader, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::http::{self, Head};

/// Which requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Those of git's smart HTTP protocol.
    Git,
    /// Those of the API.
    Api,
    /// All.
    Both,
}

/// What happens to a request or its answer.
#[derive(Debug, Clone)]
pub enum Harm {
    /// The forge is not asked: this is answered.
    Answer {
        /// HTTP status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// Body.
        body: Vec<u8>,
    },
    /// The forge is not asked: what a git server says of a repository without refs.
    NoRefs,
    /// The list of refs ends in the middle of a line, in an answer that is whole.
    CutInLine,
    /// The list of refs ends after a line, without the flush that ends a list.
    CutAfterLine,
    /// The list of refs is complete in form and lacks these.
    WithoutRefs(Vec<String>),
    /// Half of the body, in an answer that is whole.
    Half,
    /// Half of the body, then the end of the connection.
    Close,
    /// Half of an answer, then a reset of the connection.
    Reset,
    /// No HTTP at all: a TLS alert.
    Garbage,
    /// The answer comes late.
    Slow(Duration),
    /// No answer for so long, then the end of the connection.
    Hang(Duration),
    /// What the forge answered when it was last asked the same without harm.
    Stale,
    /// The forge is asked about something else: in the path, the first text becomes the second.
    Instead(String, String),
    /// These fields of the JSON answer, by pointer, have other values.
    Edit(Vec<(String, Value)>),
}

/// A harm, and what it strikes.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Which requests.
    pub traffic: Traffic,
    /// Only those whose path holds this.
    pub path: Option<String>,
    /// So many of them go unharmed first.
    pub skip: usize,
    /// Then so many are struck.
    pub times: usize,
    /// What happens.
    pub harm: Harm,
    /// It need not strike: it is what would deceive a program that asks on.
    pub maybe: bool,
}

type Action = Box<dyn FnOnce() -> Result<()> + Send>;

/// A running relay. Dropping it shuts every connection.
pub struct ForgeRelay {
    inner: Arc<Inner>,
}

struct Inner {
    port: u16,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    upstream: String,
    troubles: Vec<Standing>,
    hooks: Vec<Hook>,
    failed: Vec<String>,
    log: Vec<String>,
    answered: BTreeMap<String, (Head, Vec<u8>)>,
    sockets: Vec<TcpStream>,
    listening: bool,
}

struct Standing {
    trouble: Trouble,
    struck: usize,
}

struct Hook {
    path: String,
    left: usize,
    action: Action,
}

impl ForgeRelay {
    /// Starts a relay to a forge, given as `host:port`.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(upstream: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for the relay")?;
        let port = listener.local_addr()?.port();
        let state = State { upstream: upstream.to_owned(), listening: true, ..State::default() };
        let inner = Arc::new(Inner { port, state: Mutex::new(state) });
        inner.accept(listener);
        Ok(Self { inner })
    }

    /// Its port, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.inner.port
    }

    /// Another forge stands behind it from now on.
    pub fn lead_to(&self, upstream: &str) {
        upstream.clone_into(&mut self.inner.lock().upstream);
    }

    /// From now on this happens. Of several that fit, the first strikes.
    pub fn trouble(&self, trouble: Trouble) {
        self.inner.lock().troubles.push(Standing { trouble, struck: 0 });
    }

    /// Takes all troubles away, and listens again. Names those that struck nothing: a test that means to
    /// break something has to.
    ///
    /// # Errors
    /// When the port is taken; when a trouble never struck.
    pub fn heal(&self) -> Result<()> {
        self.open()?;
        let idle: Vec<String> = std::mem::take(&mut self.inner.lock().troubles)
            .into_iter()
            .filter(|standing| standing.struck == 0 && !standing.trouble.maybe)
            .map(|standing| format!("{:?}", standing.trouble))
            .collect();
        if idle.is_empty() { Ok(()) } else { bail!("this struck nothing: {}", idle.join("; ")) }
    }

    /// Nobody listens on its port any more: connections are refused.
    pub fn close(&self) {
        {
            let mut state = self.inner.lock();
            if !state.listening {
                return;
            }
            state.listening = false;
            for socket in std::mem::take(&mut state.sockets) {
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
        // Wakes the thread that accepts, so that it sees that it is over; then the port is free.
        let _ = TcpStream::connect(("127.0.0.1", self.inner.port));
        while TcpStream::connect(("127.0.0.1", self.inner.port)).is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn open(&self) -> Result<()> {
        if std::mem::replace(&mut self.inner.lock().listening, true) {
            return Ok(());
        }
        let listener =
            TcpListener::bind(("127.0.0.1", self.inner.port)).context("the relay's port is taken")?;
        self.inner.accept(listener);
        Ok(())
    }

    /// Does something once, before the n-th request from now whose path holds this goes on.
    pub fn before(&self, path: &str, nth: usize, action: impl FnOnce() -> Result<()> + Send + 'static) {
        let hook = Hook { path: path.to_owned(), left: nth, action: Box::new(action) };
        self.inner.lock().hooks.push(hook);
    }

    /// Whether all that was to be done before a request was done.
    ///
    /// # Errors
    /// What failed; what was never asked for.
    pub fn done(&self) -> Result<()> {
        let mut state = self.inner.lock();
        let mut failed = std::mem::take(&mut state.failed);
        failed.extend(
            state.hooks.iter().map(|hook| format!("no request number {} of {}", hook.left, hook.path)),
        );
        state.hooks.clear();
        if failed.is_empty() { Ok(()) } else { Err(anyhow!("{}", failed.join("; "))) }
    }

    /// Every request and what became of it, a line each.
    #[must_use]
    pub fn transcript(&self) -> String {
        self.inner.lock().log.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl Drop for ForgeRelay {
    fn drop(&mut self) {
        self.inner.lock().hooks.clear();
        self.close();
    }
}

impl fmt::Debug for ForgeRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForgeRelay({})", self.inner.port)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: TcpListener) {
        let accepting = Arc::clone(self);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut state = accepting.lock();
                if !state.listening {
                    return;
                }
                state.sockets.extend(client.try_clone());
                drop(state);
                let serving = Arc::clone(&accepting);
                std::thread::spawn(move || {
                    // A connection that breaks off is what this is made for.
                    let _ = serve(&serving, client);
                });
            }
        });
    }

    /// Notes a request, does what is to be done before it, and returns what happens to it.
    fn arrive(&self, method: &str, target: &str) -> Option<Harm> {
        let mut due = Vec::new();
        let mut state = self.lock();
        let mut at = 0;
        while at < state.hooks.len() {
            if target.contains(&state.hooks[at].path) {
                state.hooks[at].left -= 1;
                if state.hooks[at].left == 0 {
                    due.push(state.hooks.remove(at).action);
                    continue;
                }
            }
            at += 1;
        }
        drop(state);
        for action in due {
            // Without the lock: it may add and heal troubles.
            let outcome = action();
            let mut state = self.lock();
            state.log.push("(something was done meanwhile)".to_owned());
            state.failed.extend(outcome.err().map(|error| format!("{error:#}")));
        }
        let mut state = self.lock();
        let api = target.starts_with("/api/");
        let standing = state.troubles.iter_mut().find_map(|standing| standing.strikes(api, target));
        let harm = standing.map(|told| format!(" ({told:?})").chars().take(90).collect::<String>());
        let struck = state.troubles.iter_mut().find_map(|standing| standing.take(api, target));
        state.log.push(format!("{method} {target}{}", harm.unwrap_or_default()));
        struck
    }

    fn note(&self, text: &str) {
        self.lock().log.push(format!("  {text}"));
    }

    fn resets(&self) -> bool {
        self.lock().troubles.iter().any(|standing| matches!(standing.trouble.harm, Harm::Reset))
    }
}

impl Standing {
    fn fits(&self, api: bool, target: &str) -> bool {
        let traffic = match self.trouble.traffic {
            Traffic::Git => !api,
            Traffic::Api => api,
            Traffic::Both => true,
        };
        traffic && self.trouble.path.as_deref().is_none_or(|path| target.contains(path))
    }

    fn strikes(&self, api: bool, target: &str) -> Option<Harm> {
        let left = self.struck < self.trouble.times;
        (self.fits(api, target) && self.trouble.skip == 0 && left).then(|| self.trouble.harm.clone())
    }

    /// As [`Self::strikes`], and counts it.
    fn take(&mut self, api: bool, target: &str) -> Option<Harm> {
        let struck = self.strikes(api, target);
        if struck.is_some() {
            self.struck += 1;
        } else if self.fits(api, target) {
            self.trouble.skip = self.trouble.skip.saturating_sub(1);
        }
        struck
    }
}

fn serve(inner: &Inner, client: TcpStream) -> Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    let result = loop {
        // What is closed with bytes unread is reset (RFC 9293, 3.10.4): so the request must not be read, and
        // the connection not be shut in order.
        if client.buffer().is_empty() && inner.resets() && reset(inner, &mut client)? {
            return Ok(());
        }
        match exchange(inner, &mut client) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => {
                inner.note(&format!("{error:#}"));
                break Err(error);
            }
        }
    };
    let _ = client.get_ref().shutdown(Shutdown::Both);
    result
}

/// Half an answer to a request that stays unread, if that is what is to happen to it.
fn reset(inner: &Inner, client: &mut BufReader<TcpStream>) -> Result<bool> {
    let Some(first) = peek(client.get_ref())? else { return Ok(true) };
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let api = target.starts_with("/api/");
    let next = inner.lock().troubles.iter().find_map(|standing| standing.strikes(api, target));
    if !matches!(next, Some(Harm::Reset)) {
        return Ok(false);
    }
    inner.arrive(method, target);
    client.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n001e# service")?;
    // Another handle would keep the connection open.
    inner.lock().sockets.clear();
    Ok(true)
}

/// One request and its answer; `false` when the connection is over.
fn exchange(inner: &Inner, client: &mut BufReader<TcpStream>) -> Result<bool> {
    let Some(mut head) = Head::read(client)? else { return Ok(false) };
    let body = http::body(head.request_framing(), client)?;
    let (method, target) = head.request();
    let (method, target) = (method.to_owned(), target.to_owned());
    let harm = inner.arrive(&method, &target);
    if head.get("authorization").is_some() {
        inner.note(&format!("with credentials, to {}", head.get("host").unwrap_or_default()));
    }
    match &harm {
        Some(Harm::Answer { status, headers, body }) => {
            let first = format!("HTTP/1.1 {status} Harmed");
            Head { first, headers: headers.clone() }.write(body, client.get_mut())?;
            return Ok(true);
        }
        Some(Harm::NoRefs) => {
            let headers = vec![("Content-Type".into(), "application/x-git-upload-pack-advertisement".into())];
            let zero = "0".repeat(40);
            let refs =
                [line(&format!("{zero} capabilities^{{}}\0agent=git/2.39")), b"0000".to_vec()].concat();
            let body = [line("# service=git-upload-pack\n"), b"0000".to_vec(), refs].concat();
            Head { first: "HTTP/1.1 200 OK".into(), headers }.write(&body, client.get_mut())?;
            return Ok(true);
        }
        Some(Harm::Garbage) => {
            client.get_mut().write_all(&[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46])?;
            return Ok(false);
        }
        Some(Harm::Hang(time)) => {
            hold(inner, *time);
            return Ok(false);
        }
        Some(Harm::Slow(time)) => std::thread::sleep(*time),
        Some(Harm::Stale) => {
            let known = inner.lock().answered.get(&target).cloned();
            let (answer, body) = known.with_context(|| format!("{target} was never answered"))?;
            answer.write(&body, client.get_mut())?;
            return Ok(true);
        }
        Some(Harm::Instead(from, to)) => head.first = head.first.replacen(from, to, 1),
        _ => {}
    }
    let (mut answer, mut bytes) = ask(inner, head, &body)?;
    inner.note(&format!("{} of {} bytes", answer.status(), bytes.len()));
    if harm.is_none() && method == "GET" {
        inner.lock().answered.insert(target, (answer.clone(), bytes.clone()));
    }
    match harm {
        Some(Harm::CutInLine) => bytes = cut(&bytes, true)?,
        Some(Harm::CutAfterLine) => bytes = cut(&bytes, false)?,
        Some(Harm::WithoutRefs(names)) => bytes = without(&bytes, &names)?,
        Some(Harm::Half) => bytes.truncate(bytes.len() / 2),
        Some(Harm::Close) => {
            answer.set("Content-Length", &bytes.len().to_string());
            let half = [answer.bytes(), bytes[..bytes.len() / 2].to_vec()].concat();
            client.get_mut().write_all(&half)?;
            return Ok(false);
        }
        Some(Harm::Edit(fields)) => {
            let mut value: Value = serde_json::from_slice(&bytes).context("there is no JSON to edit")?;
            for (pointer, to) in fields {
                *value.pointer_mut(&pointer).with_context(|| format!("no {pointer} to edit"))? = to;
            }
            bytes = value.to_string().into_bytes();
        }
        _ => {}
    }
    answer.write(&bytes, client.get_mut())?;
    Ok(true)
}

/// Until the time is over or nobody listens any more.
fn hold(inner: &Inner, time: Duration) {
    let deadline = Instant::now() + time;
    while Instant::now() < deadline && inner.lock().listening {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The first line of a request that stays unread; `None` at the end of the stream.
fn peek(client: &TcpStream) -> io::Result<Option<String>> {
    let mut bytes = [0; 4096];
    loop {
        let count = client.peek(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if count == 0 {
            return Ok(None);
        }
        if let Some((first, _)) = text.split_once("\r\n") {
            return Ok(Some(first.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The forge's own answer. A forge that does not answer at all is a gateway's 502.
fn ask(inner: &Inner, mut head: Head, body: &[u8]) -> Result<(Head, Vec<u8>)> {
    let upstream = inner.lock().upstream.clone();
    head.set("Host", &upstream);
    head.set("Connection", "close");
    // What is cut or edited has to be readable.
    head.unset("Accept-Encoding");
    let asked = || -> Result<(Head, Vec<u8>)> {
        let mut server = BufReader::new(TcpStream::connect(&upstream)?);
        head.write(body, server.get_mut())?;
        let answer = Head::read(&mut server)?.context("the forge closed the connection")?;
        let bytes = http::body(answer.answer_framing(), &mut server)?;
        Ok((answer, bytes))
    };
    match asked() {
        Ok((mut answer, bytes)) => {
            answer.unset("Connection");
            Ok((answer, bytes))
        }
        Err(error) => {
            inner.note(&format!("{error:#}"));
            let headers = vec![("Content-Type".into(), "text/html".into())];
            let head = Head { first: "HTTP/1.1 502 Bad Gateway".into(), headers };
            Ok((head, b"<html><h1>502 Bad Gateway</h1></html>".to_vec()))
        }
    }
}

/// A line of git's pack protocol.
fn line(text: &str) -> Vec<u8> {
    format!("{:04x}{text}", text.len() + 4).into_bytes()
}

/// The lines of a list of refs, with their lengths; a flush is an empty one.
fn lines(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let digits = rest.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
        let length = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let length = length.context("this is no list of refs")?.max(4);
        let (one, more) = rest.split_at_checked(length).context("a line of the list is cut")?;
        found.push(one.to_vec());
        rest = more;
    }
    Ok(found)
}

/// The list without its flush and without its last line, or with a part of that.
fn cut(bytes: &[u8], inside: bool) -> Result<Vec<u8>> {
    let mut lines = lines(bytes)?;
    lines.pop().context("an empty list")?;
    let last = lines.pop().context("a list without a line")?;
    let mut kept = lines.concat();
    if inside {
        kept.extend_from_slice(&last[..last.len() / 2]);
    }
    Ok(kept)
}

/// The list without these refs. What the server can do stands behind the first ref, whichever that is.
fn without(bytes: &[u8], names: &[String]) -> Result<Vec<u8>> {
    let all = lines(bytes)?;
    let is_ref = |line: &[u8]| line.len() > 45 && !line.starts_with(b"001e# ");
    let first = all.iter().find(|line| is_ref(line)).context("a list without refs")?;
    let able = first.iter().position(|byte| *byte == 0).map(|at| first[at..].to_vec());
    let able = able.context("the first ref has no capabilities")?;
    let (mut kept, mut dropped, mut begun) = (Vec::new(), Vec::new(), false);
    for one in all {
        if !is_ref(&one) {
            kept.extend_from_slice(&one);
            continue;
        }
        let text = String::from_utf8_lossy(&one[4..]).into_owned();
        let text = text.split(['\0', '\n']).next().unwrap_or_default().to_owned();
        let name = text.split_once(' ').map(|(_, name)| name.to_owned()).unwrap_or_default();
        let wanted = |known: &String| name == *known || name == format!("refs/heads/{known}");
        if names.iter().any(wanted) {
            dropped.push(name);
            continue;
        }
        let text = match std::mem::replace(&mut begun, true) {
            false => format!("{text}{}", String::from_utf8_lossy(&able)),
            true => format!("{text}\n"),
        };
        kept.extend_from_slice(&line(&text));
    }
    if dropped.is_empty() {
        bail!("the list has none of {names:?}");
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<u8> {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        [
            line("# service=git-upload-pack\n"),
            b"0000".to_vec(),
            line(&format!("{a} HEAD\0agent=x\n")),
            line(&format!("{a} refs/heads/main\n")),
            line(&format!("{b} refs/heads/two\n")),
            b"0000".to_vec(),
        ]
        .concat()
    }

    #[test]
    fn a_list_is_cut_where_it_says() {
        let whole = list();
        let after = cut(&whole, false).unwrap();
        assert!(whole.starts_with(&after) && after.ends_with(b"refs/heads/main\n"));
        let inside = cut(&whole, true).unwrap();
        assert!(whole.starts_with(&inside) && lines(&inside).is_err());
    }

    #[test]
    fn a_list_without_a_ref_is_complete_in_form() {
        let left = without(&list(), &["HEAD".to_owned(), "two".to_owned()]).unwrap();
        let text = String::from_utf8_lossy(&left).into_owned();
        assert!(lines(&left).unwrap().last().unwrap() == b"0000", "{text}");
        assert!(text.contains("refs/heads/main\0agent=x\n") && !text.contains("two"), "{text}");
        assert!(without(&list(), &["three".to_owned()]).is_err());
    }

    #[test]
    fn a_relay_that_is_closed_refuses_and_opens_again() {
        let relay = ForgeRelay::start("127.0.0.1:1").unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", relay.port()));
        assert!(connect().is_ok());
        relay.close();
        assert!(connect().is_err());
        relay.heal().unwrap();
        assert!(connect().is_ok());
    }

    #[test]
    fn a_trouble_strikes_as_often_as_it_says_and_is_missed() {
        let relay = ForgeRelay::start("127.0.0.1:1").unwrap();
        let answer = |status| Harm::Answer { status, headers: Vec::new(), body: Vec::new() };
        let trouble = |path: &str, skip, status| Trouble {
            traffic: Traffic::Both,
            path: Some(path.to_owned()),
            skip,
            times: 1,
            harm: answer(status),
            maybe: false,
        };
        relay.trouble(trouble("/x", 1, 418));
        relay.trouble(trouble("/never", 0, 500));
        let get = || {
            let mut client = BufReader::new(TcpStream::connect(("127.0.0.1", relay.port())).unwrap());
            client.get_mut().write_all(b"GET /x HTTP/1.1\r\n\r\n").unwrap();
            Head::read(&mut client).unwrap().unwrap().status()
        };
        assert_eq!([get(), get(), get()], [502, 418, 502]);
        let missed = relay.heal().unwrap_err().to_string();
        assert!(missed.contains("/never") && !missed.contains("/x"), "{missed}");
    }
}
