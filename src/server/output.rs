//! The outgoing half of a connection: encoded replies that the socket has not taken yet.
//!
//! Small replies are written behind each other. A large one that is shared with other connections (the list of all
//! groups is a megabyte) stays where it is: it is sent from there, and never copied.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf, Bytes, BytesMut};

use crate::net::TcpStream;
use crate::resp::{Protocol, Reply, encode};

use super::Shared;
use super::socket::write;

/// An encoded reply from this size on is not copied.
const SHARED_FROM: usize = 16 << 10;
/// An empty buffer that was larger than this is given back.
const KEEP_BYTES: usize = 16 << 10;

/// What is to be sent.
#[derive(Default)]
pub(super) struct Output {
    /// What is sent first, none of it empty.
    ahead: VecDeque<Bytes>,
    /// How many bytes that is.
    ahead_bytes: usize,
    /// What comes behind it.
    tail: BytesMut,
    /// The largest that the tail has been since it was empty.
    tail_peak: usize,
}

impl Output {
    /// Puts a reply behind the others.
    pub(super) fn put(&mut self, reply: &Reply, protocol: Protocol) {
        match reply {
            Reply::Raw(encoded) if encoded.len() >= SHARED_FROM => {
                if !self.tail.is_empty() {
                    let tail = self.tail.split().freeze();
                    self.push_ahead(tail);
                }
                self.push_ahead(encoded.clone());
            }
            _ => {
                encode(reply, protocol, &mut self.tail);
                self.tail_peak = self.tail_peak.max(self.tail.len());
            }
        }
    }

    fn push_ahead(&mut self, bytes: Bytes) {
        self.ahead_bytes += bytes.len();
        self.ahead.push_back(bytes);
    }

    /// Unsent bytes.
    pub(super) fn len(&self) -> usize {
        self.ahead_bytes + self.tail.len()
    }

    /// Whether all is sent.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends what the socket takes.
    pub(super) fn send(&mut self, stream: &TcpStream, shared: &Shared) -> io::Result<()> {
        while let Some(first) = self.ahead.front_mut() {
            let before = first.len();
            write(stream, first, shared)?;
            self.ahead_bytes -= before - first.len();
            if first.has_remaining() {
                return Ok(());
            }
            self.ahead.pop_front();
        }
        write(stream, &mut self.tail, shared)?;
        if self.tail.is_empty() && self.tail_peak > KEEP_BYTES {
            // An idle connection holds no large buffer.
            self.tail = BytesMut::new();
            self.tail_peak = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_and_shared_is_not_copied_and_keeps_its_place() {
        let mut output = Output::default();
        let large = Bytes::from(vec![b'x'; SHARED_FROM]);
        let replies = [
            Reply::OK,
            Reply::Raw(large.clone()),
            Reply::Null,
            Reply::Raw("+a\r\n".into()),
        ];
        replies.iter().for_each(|reply| output.put(reply, Protocol::Resp2));
        assert_eq!(output.ahead, [Bytes::from("+OK\r\n"), large.clone()]);
        assert_eq!(output.ahead[1].as_ptr(), large.as_ptr());
        assert_eq!(output.tail, "$-1\r\n+a\r\n");
        assert_eq!(output.len(), 5 + SHARED_FROM + 9);
    }
}
