//! Frames between nodes: requests are arrays of bulk strings, an answer is `[number, body]` or `[number, error]`.
//!
//! What does not live here: RESP itself (`resp`), and what the frames mean.

use std::io;

use bytes::{Bytes, BytesMut};

use crate::resp::{AnswerDecoder, AnswerLimits, Decoder, Limits, Protocol, Reply, Request, encode};

/// Limits of what is read before the other side has proved itself.
const GREETING: Limits = Limits {
    bulk_bytes_max: 8 << 10,
    elements_max: 4,
    line_bytes_max: 1 << 10,
    request_bytes_max: 16 << 10,
};
const GREETING_ANSWER: AnswerLimits = AnswerLimits {
    depth_max: 1,
    elements_max: 1,
    line_bytes_max: 8 << 10,
    bulk_bytes_max: 8 << 10,
    answer_bytes_max: 16 << 10,
};

/// Requests of a peer.
pub(super) struct Requests(Decoder);

impl Requests {
    /// Of a peer that has yet to prove itself.
    pub(super) fn unproved() -> Self {
        Self(Decoder::new(GREETING))
    }

    /// Of a peer that has proved itself.
    pub(super) fn proved() -> Self {
        Self(Decoder::new(Limits::PEER))
    }

    /// Takes the next request out of `buffer`; `None` when more bytes are needed.
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Vec<Bytes>>> {
        let request = self.0.decode(buffer).map_err(invalid)?;
        Ok(request.map(|Request(parts)| parts))
    }
}

/// Answers of a peer.
pub(super) struct Answers(AnswerDecoder);

impl Answers {
    /// Of a peer that has yet to prove itself.
    pub(super) fn unproved() -> Self {
        Self(AnswerDecoder::new(GREETING_ANSWER))
    }

    /// Of a peer that has proved itself.
    pub(super) fn proved() -> Self {
        Self(AnswerDecoder::new(AnswerLimits::PEER))
    }

    /// Takes the next answer out of `buffer`; `None` when more bytes are needed.
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Reply>> {
        self.0.decode(buffer).map_err(invalid)
    }
}

/// Appends the answer to the request of that number.
pub(super) fn put_answer(number: u64, answer: Result<Vec<u8>, String>, out: &mut BytesMut) {
    let answer = match answer {
        Ok(body) => Reply::Bulk(body.into()),
        Err(text) => Reply::error(text),
    };
    // Numbers count requests of one connection: they stay far below the sign bit.
    put(&Reply::Array(vec![Reply::Integer(number as i64), answer]), out);
}

/// Appends a reply.
pub(super) fn put(reply: &Reply, out: &mut BytesMut) {
    encode(reply, Protocol::Resp2, out);
}

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
