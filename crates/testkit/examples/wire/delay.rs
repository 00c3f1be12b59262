//! A wire that is longer than it is: TCP, byte by byte as it came, so that a client and a server speak TLS and
//! HTTP with each other as they would without it.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// A piece that was read, and when it has to arrive.
type Piece = (Instant, Vec<u8>);

/// Accepts connections until standard input ends; every piece takes `micros` longer, in each direction.
pub fn run(listen: &str, server: &str, micros: u64) -> Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    let (server, wait) = (server.to_owned(), Duration::from_micros(micros));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = server.clone();
            thread::spawn(move || {
                // A connection that breaks off is its client's business.
                let _ = connect(client, &server, wait);
            });
        }
    });
    crate::until_told()
}

/// The handshake of TCP goes to and fro once, too.
fn connect(client: TcpStream, server: &str, wait: Duration) -> Result<()> {
    let accepted = Instant::now();
    let server = TcpStream::connect(server)?;
    for side in [&client, &server] {
        side.set_nodelay(true)?;
    }
    let late = accepted + 2 * wait;
    let back = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || hand_on(back.0, back.1, accepted, wait));
    hand_on(client, server, late, wait);
    Ok(())
}

/// Hands on what `from` says; nothing arrives before `opened` and the way after it.
fn hand_on(mut from: TcpStream, mut to: TcpStream, opened: Instant, wait: Duration) {
    let (send, receive) = mpsc::channel::<Piece>();
    let writer = thread::spawn(move || {
        for (due, piece) in receive {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let due = Instant::now().max(opened) + wait;
        if send.send((due, buffer[..length].to_vec())).is_err() {
            break;
        }
    }
    drop(send);
    let _ = writer.join();
}
