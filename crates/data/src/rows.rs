//! Reads PostgreSQL's binary COPY format as it passes by: counts rows and digests them, in any order.

use sha2::{Digest as _, Sha256};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the header extension.
const HEADER: usize = SIGNATURE.len() + 4 + 4;

/// What passed by. Two streams with equal tallies carried the same rows, in whatever order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub rows: u64,
    /// Sum of the rows' SHA-256, each cut to 128 bits: the heap gives no order to rely on.
    sum: u128,
}

impl Tally {
    /// The digest as text.
    pub fn digest(&self) -> String {
        format!("{:032x}", self.sum)
    }
}

/// The stream is not binary COPY data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Follows one stream, chunk by chunk; keeps at most one row that is cut by a chunk's end.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    tally: Tally,
    bytes: u64,
    pending: Vec<u8>,
    past_header: bool,
    ended: bool,
}

impl Reader {
    /// Takes the next chunk.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), Malformed> {
        self.bytes += chunk.len() as u64;
        if self.pending.is_empty() {
            let taken = self.take(chunk)?;
            self.pending.extend_from_slice(&chunk[taken..]);
        } else {
            let mut joined = std::mem::take(&mut self.pending);
            joined.extend_from_slice(chunk);
            let taken = self.take(&joined)?;
            joined.drain(..taken);
            self.pending = joined;
        }
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.tally.rows
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The tally of a stream that ended as the format says, nothing cut off.
    pub fn finish(self) -> Result<Tally, Malformed> {
        if self.ended && self.pending.is_empty() { Ok(self.tally) } else { Err(Malformed) }
    }

    /// Takes as many whole pieces as there are; returns how many bytes that was.
    fn take(&mut self, data: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        if !self.past_header {
            let Some(length) = header(data)? else { return Ok(0) };
            at = length;
            self.past_header = true;
        }
        while at < data.len() {
            if self.ended {
                return Err(Malformed);
            }
            match row(&data[at..])? {
                Piece::Cut => break,
                Piece::End => {
                    self.ended = true;
                    at += 2;
                }
                Piece::Row(length) => {
                    self.add(&data[at..at + length]);
                    at += length;
                }
            }
        }
        Ok(at)
    }

    fn add(&mut self, row: &[u8]) {
        let hash = Sha256::digest(row);
        let mut half = [0; 16];
        half.copy_from_slice(&hash[..16]);
        self.tally.sum = self.tally.sum.wrapping_add(u128::from_be_bytes(half));
        self.tally.rows += 1;
    }
}

enum Piece {
    Row(usize),
    End,
    Cut,
}

fn header(data: &[u8]) -> Result<Option<usize>, Malformed> {
    let seen = data.len().min(SIGNATURE.len());
    if data[..seen] != SIGNATURE[..seen] {
        return Err(Malformed);
    }
    let Some(extension) = int32(data, HEADER - 4) else { return Ok(None) };
    let length = HEADER + usize::try_from(extension).map_err(|_| Malformed)?;
    Ok((data.len() >= length).then_some(length))
}

fn row(data: &[u8]) -> Result<Piece, Malformed> {
    let Some(count) = data.first_chunk().map(|two| i16::from_be_bytes(*two)) else {
        return Ok(Piece::Cut);
    };
    if count == -1 {
        return Ok(Piece::End);
    }
    let mut at = 2;
    for _ in 0..u16::try_from(count).map_err(|_| Malformed)? {
        let Some(length) = int32(data, at) else { return Ok(Piece::Cut) };
        at += 4;
        match length {
            -1 => {}
            length => at += usize::try_from(length).map_err(|_| Malformed)?,
        }
    }
    Ok(if at <= data.len() { Piece::Row(at) } else { Piece::Cut })
}

fn int32(data: &[u8], at: usize) -> Option<i32> {
    data.get(at..)?.first_chunk().map(|four| i32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend([0; 8]);
        for row in rows {
            out.extend(i16::try_from(row.len()).unwrap().to_be_bytes());
            for field in *row {
                let length = field.map_or(-1, |f| i32::try_from(f.len()).unwrap());
                out.extend(length.to_be_bytes());
                out.extend(field.unwrap_or_default());
            }
        }
        out.extend((-1_i16).to_be_bytes());
        out
    }

    fn tally(data: &[u8], chunk: usize) -> Result<Tally, Malformed> {
        let mut reader = Reader::default();
        for part in data.chunks(chunk) {
            reader.feed(part)?;
        }
        reader.finish()
    }

    #[test]
    fn chunks_and_order_do_not_matter() {
        let a: &[Option<&[u8]>] = &[Some(b"one"), None];
        let b: &[Option<&[u8]>] = &[Some(b""), Some(b"twotwo")];
        let whole = tally(&stream(&[a, b]), 4096).unwrap();
        assert_eq!(whole.rows, 2);
        for chunk in 1..50 {
            assert_eq!(tally(&stream(&[a, b]), chunk), Ok(whole));
            assert_eq!(tally(&stream(&[b, a]), chunk), Ok(whole));
        }
        assert_ne!(tally(&stream(&[a, a]), 9), Ok(whole));
    }

    #[test]
    fn null_and_empty_differ() {
        assert_ne!(tally(&stream(&[&[None]]), 9), tally(&stream(&[&[Some(b"")]]), 9));
        assert_eq!(tally(&stream(&[]), 3).unwrap(), Tally::default());
    }

    #[test]
    fn a_cut_stream_is_malformed() {
        let data = stream(&[&[Some(b"one")]]);
        for end in 0..data.len() {
            assert_eq!(tally(&data[..end], 7), Err(Malformed), "{end}");
        }
        assert_eq!(tally(b"something else", 4), Err(Malformed));
        assert_eq!(tally(&[data.as_slice(), b"x"].concat(), 99), Err(Malformed));
    }
}
