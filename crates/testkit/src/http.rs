//! HTTP/1.1 framing, as much of it as stands between kube's client and an API server.

use std::io::{self, BufRead, Read, Write};

/// The first line and the headers of a request or an answer.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub first: String,
    pub headers: Vec<(String, String)>,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    Length(usize),
    Chunked,
    /// Until the other side closes.
    Close,
}

impl Head {
    /// Reads a head; `None` when the other side closed before it began one.
    pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(first) = line(from)? else { return Ok(None) };
        let mut headers = Vec::new();
        loop {
            let text = line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if text.is_empty() {
                return Ok(Some(Self { first, headers }));
            }
            let (name, value) = text.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Sets a header, whatever it was before.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// Method and target of a request.
    pub(crate) fn request(&self) -> (&str, &str) {
        let mut words = self.first.split(' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    /// Status of an answer.
    pub(crate) fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn request_framing(&self) -> Framing {
        self.stated_framing().unwrap_or(Framing::Empty)
    }

    pub(crate) fn answer_framing(&self) -> Framing {
        match self.status() {
            100..200 | 204 | 304 => Framing::Empty,
            _ => self.stated_framing().unwrap_or(Framing::Close),
        }
    }

    fn stated_framing(&self) -> Option<Framing> {
        if self.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Some(Framing::Chunked);
        }
        let length = self.get("content-length")?.parse().ok()?;
        Some(if length == 0 { Framing::Empty } else { Framing::Length(length) })
    }

    /// Writes the head and its body in one piece, with the body's length stated.
    pub(crate) fn write(&self, body: &[u8], to: &mut impl Write) -> io::Result<()> {
        let mut head = self.clone();
        head.unset("transfer-encoding");
        if !body.is_empty() || head.get("content-length").is_none() {
            head.set("Content-Length", &body.len().to_string());
        }
        let mut bytes = head.bytes();
        bytes.extend_from_slice(body);
        to.write_all(&bytes)?;
        to.flush()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

/// Hands a body on piece by piece, without its framing.
pub(crate) fn each_piece(
    framing: Framing,
    from: &mut impl BufRead,
    piece: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    match framing {
        Framing::Empty => Ok(()),
        Framing::Length(length) => {
            let mut body = vec![0; length];
            from.read_exact(&mut body)?;
            piece(&body)
        }
        Framing::Close => {
            let mut body = Vec::new();
            from.read_to_end(&mut body)?;
            piece(&body)
        }
        Framing::Chunked => loop {
            let size = line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if size == 0 {
                while line(from)?.is_some_and(|trailer| !trailer.is_empty()) {}
                return Ok(());
            }
            let mut chunk = vec![0; size];
            from.read_exact(&mut chunk)?;
            line(from)?;
            piece(&chunk)?;
        },
    }
}

/// Reads a whole body.
pub(crate) fn body(framing: Framing, from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut whole = Vec::new();
    each_piece(framing, from, &mut |piece| {
        whole.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(whole)
}

/// One line without its end; `None` at the end of the stream.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    // A head longer than this is no head.
    from.by_ref().take(64 * 1024).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    String::from_utf8(bytes).map(Some).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_answer_is_read_to_its_end_and_no_further() {
        let mut stream: &[u8] =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\nHTTP/1.1 404 N\r\n\r\n";
        let head = Head::read(&mut stream).unwrap().unwrap();
        assert_eq!(body(head.answer_framing(), &mut stream).unwrap(), b"hello!");
        assert_eq!(Head::read(&mut stream).unwrap().unwrap().status(), 404);
        assert!(Head::read(&mut stream).unwrap().is_none());
    }

    #[test]
    fn a_body_that_was_taken_apart_is_sent_with_its_length() {
        let head = Head {
            first: "HTTP/1.1 200 OK".into(),
            headers: vec![("Transfer-Encoding".into(), "chunked".into())],
        };
        let mut sent = Vec::new();
        head.write(b"abc", &mut sent).unwrap();
        assert_eq!(sent, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error() {
        let mut stream: &[u8] = b"3\r\nab";
        assert!(body(Framing::Chunked, &mut stream).is_err());
    }
}
