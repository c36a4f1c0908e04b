//! Reads a capture, which is a stranger's file: no more memory is taken than bytes have come, and what is wrong is told with its
//! place in the file.

use super::{
    ANSWER, BODY_LEFT_OUT, CLOSED, DROPPED, FULL, HEADER, LONGEST, OPENED, OVER_TLS, REQUEST, Record, What,
};
use crate::wire::{ApiKey, Str};
use bytes::{Buf, Bytes};
use std::fmt;
use std::io::{self, Read};
use std::net::IpAddr;

/// Records of a file, in its order. After an error there are no more.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    /// Of the next record.
    offset: u64,
    ended: bool,
}

/// What is wrong with a capture, and where.
#[derive(Debug)]
pub struct Problem {
    /// Of the record it is found in, from the file's beginning.
    pub offset: u64,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.what)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn new(mut source: R) -> Result<Self, Problem> {
        let problem = |what: String| Problem { offset: 0, what };
        let header = taken(&mut source, HEADER.len()).map_err(|e| problem(e.to_string()))?;
        if header != HEADER {
            return Err(problem(
                "this is no capture of `tollgate serve --capture`, or one of another version".into(),
            ));
        }
        Ok(Self { source, offset: HEADER.len() as u64, ended: false })
    }

    fn read(&mut self) -> Result<Option<Record>, String> {
        let head = taken(&mut self.source, 8).map_err(|e| e.to_string())?;
        if head.is_empty() {
            return Ok(None);
        }
        let Some((length, checksum)) = numbers(&head) else {
            return Err("the file ends in the middle of a record's head".to_owned());
        };
        let length = length as usize;
        if length > LONGEST {
            return Err(format!("a record of {length} bytes cannot be"));
        }
        let content = taken(&mut self.source, length).map_err(|e| e.to_string())?;
        if content.len() < length {
            return Err(format!(
                "the file ends in the middle of a record: {} of {length} bytes are there",
                content.len()
            ));
        }
        if crc32c::crc32c(&content) != checksum {
            return Err("a record is damaged: its checksum does not hold".to_owned());
        }
        self.offset += 8 + length as u64;
        record(Bytes::from(content)).map(Some).ok_or_else(|| "a record is not what its kind is".to_owned())
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let offset = self.offset;
        let read = self.read();
        self.ended = !matches!(&read, Ok(Some(record)) if record.what != What::Full);
        read.map_err(|what| Problem { offset, what }).transpose()
    }
}

/// At most so many bytes: fewer where the source ends. Memory grows with what comes.
fn taken(source: &mut impl Read, bytes: usize) -> io::Result<Vec<u8>> {
    let mut taken = Vec::new();
    source.take(bytes as u64).read_to_end(&mut taken)?;
    Ok(taken)
}

fn numbers(head: &[u8]) -> Option<(u32, u32)> {
    let (first, rest) = head.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*first), u32::from_be_bytes(*rest.first_chunk::<4>()?)))
}

fn record(mut content: Bytes) -> Option<Record> {
    let kind = content.try_get_u8().ok()?;
    let time = content.try_get_u64().ok()?;
    let session = content.try_get_u64().ok()?;
    let what = match kind {
        OPENED => {
            let (listener, peer) = (text(&mut content)?, address(&mut content)?);
            let tls = !content.is_empty();
            if tls && content.try_get_u8() != Ok(OVER_TLS) {
                return None;
            }
            What::Opened { listener, peer, tls }
        }
        REQUEST => {
            let flags = content.try_get_u8().ok().filter(|flags| flags & !BODY_LEFT_OUT == 0)?;
            What::Request {
                principal: text(&mut content)?,
                listener: text(&mut content)?,
                peer: address(&mut content)?,
                frame: std::mem::take(&mut content),
                body_left_out: flags & BODY_LEFT_OUT != 0,
            }
        }
        ANSWER => What::Answer {
            api: ApiKey(content.try_get_i16().ok()?),
            version: content.try_get_i16().ok()?,
            frame: std::mem::take(&mut content),
        },
        CLOSED => What::Closed,
        DROPPED => What::Dropped(content.try_get_u64().ok()?),
        FULL => What::Full,
        _ => return None,
    };
    content.is_empty().then_some(Record { time, session, what })
}

fn text(content: &mut Bytes) -> Option<Str> {
    let length = usize::from(content.try_get_u16().ok()?);
    let text = (length <= content.len()).then(|| content.split_to(length))?;
    Some(Str::from(std::str::from_utf8(&text).ok()?))
}

fn address(content: &mut Bytes) -> Option<IpAddr> {
    match content.try_get_u8().ok()? {
        4 => Some(IpAddr::from(content.try_get_u32().ok()?.to_be_bytes())),
        16 => Some(IpAddr::from(content.try_get_u128().ok()?.to_be_bytes())),
        _ => None,
    }
}
