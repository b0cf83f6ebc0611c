//! The incoming half of a connection: bytes, and the requests in them.

use std::io;

use bytes::BytesMut;

use crate::model::Instant;
use crate::net::{self, TcpStream};
use crate::resp::{Decoder, Limits, ProtocolError, Request};

/// An empty buffer that is larger than this is given back.
const KEEP_BYTES: usize = 4 << 10;

/// What was read from a connection and is not answered yet.
pub(super) struct Input {
    decoder: Decoder,
    bytes: BytesMut,
    /// Since when a request has been incomplete.
    half_since: Option<Instant>,
    /// No request can be made of the bytes that are there.
    dry: bool,
    /// Nothing ever came.
    unheard: bool,
}

/// What a read brought.
pub(super) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// The other side has said all that it will say.
    End,
}

impl Input {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            decoder: Decoder::new(limits),
            bytes: BytesMut::new(),
            half_since: None,
            dry: true,
            unheard: true,
        }
    }

    /// Reads what is there, as much as one read takes.
    pub(super) fn read(&mut self, stream: &TcpStream) -> io::Result<Read> {
        Ok(match net::take_arrived(stream, &mut self.bytes)? {
            None => Read::Nothing,
            Some(0) => Read::End,
            Some(count) => {
                self.dry = false;
                self.unheard = false;
                Read::Bytes(count)
            }
        })
    }

    /// The next request; `None` when it is not complete.
    pub(super) fn next(&mut self, now: Instant) -> Result<Option<Request>, ProtocolError> {
        let request = self.decoder.decode(&mut self.bytes)?;
        self.dry = request.is_none();
        if request.is_some() || !self.decoder.is_partial(&self.bytes) {
            self.half_since = None;
        } else if self.half_since.is_none() {
            self.half_since = Some(now);
        }
        if self.bytes.is_empty() && self.bytes.capacity() > KEEP_BYTES {
            self.bytes = BytesMut::new();
        }
        Ok(request)
    }

    /// Since when a request has been incomplete, as far as [`Input::next`] has looked.
    pub(super) fn half_since(&self) -> Option<Instant> {
        self.half_since
    }

    /// Whether the next request needs another read.
    pub(super) fn is_dry(&self) -> bool {
        self.dry
    }

    /// Whether nothing ever came.
    pub(super) fn is_unheard(&self) -> bool {
        self.unheard
    }

    /// The bytes that no request was made of.
    pub(super) fn into_bytes(self) -> BytesMut {
        self.bytes
    }
}
