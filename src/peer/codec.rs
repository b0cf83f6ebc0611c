//! Frames between nodes: requests are arrays of bulk strings, answers are replies.
//!
//! What does not live here: what the frames mean.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_bytes_mut;
use redis_protocol::resp2::types::BytesFrame;

use crate::resp::Reply;

/// A frame of a peer that has proved who it is may be this large: a piece of a snapshot is far smaller.
pub(super) const FRAME_BYTES_MAX: usize = 64 << 20;

/// Appends a request.
pub(super) fn encode_request(out: &mut BytesMut, parts: &[&[u8]]) {
    out.put_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        put_bulk(out, part);
    }
}

/// Appends the answer to the request of that number.
pub(super) fn encode_answer(out: &mut BytesMut, number: u64, answer: &Result<Vec<u8>, String>) {
    out.put_slice(format!("*2\r\n:{number}\r\n").as_bytes());
    match answer {
        Ok(body) => put_bulk(out, body),
        Err(text) => put_error(out, text),
    }
}

/// Appends a bulk string.
pub(super) fn put_bulk(out: &mut BytesMut, bytes: &[u8]) {
    out.put_slice(format!("${}\r\n", bytes.len()).as_bytes());
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

/// Appends an error.
pub(super) fn put_error(out: &mut BytesMut, text: &str) {
    let clean = text.replace(['\r', '\n'], " ");
    out.put_slice(format!("-{clean}\r\n").as_bytes());
}

/// Takes the next request out of `buffer`; `None` when more bytes are needed.
pub(super) fn decode_request(buffer: &mut BytesMut) -> io::Result<Option<Vec<Bytes>>> {
    let Some(BytesFrame::Array(frames)) = decode_frame(buffer)? else {
        return Ok(None);
    };
    let bulk = |frame| match frame {
        BytesFrame::BulkString(bytes) => Ok(bytes),
        _ => Err(invalid("a request is an array of bulk strings")),
    };
    frames.into_iter().map(bulk).collect::<io::Result<_>>().map(Some)
}

/// Takes the next answer out of `buffer`; `None` when more bytes are needed.
pub(super) fn decode_answer(buffer: &mut BytesMut) -> io::Result<Option<Reply>> {
    Ok(decode_frame(buffer)?.map(reply))
}

fn reply(frame: BytesFrame) -> Reply {
    match frame {
        BytesFrame::SimpleString(bytes) => Reply::Simple(String::from_utf8_lossy(&bytes).into_owned().into()),
        BytesFrame::Error(text) => Reply::Error(text.to_string().into()),
        BytesFrame::Integer(number) => Reply::Integer(number),
        BytesFrame::BulkString(bytes) => Reply::Bulk(bytes),
        BytesFrame::Array(frames) => Reply::Array(frames.into_iter().map(reply).collect()),
        BytesFrame::Null => Reply::Null,
    }
}

fn decode_frame(buffer: &mut BytesMut) -> io::Result<Option<BytesFrame>> {
    if buffer.is_empty() {
        return Ok(None);
    }
    match decode_bytes_mut(buffer) {
        Ok(Some((frame, _, _))) => Ok(Some(frame)),
        Ok(None) if buffer.len() > FRAME_BYTES_MAX => Err(invalid("frame too large")),
        Ok(None) => Ok(None),
        Err(error) => Err(invalid(&error.to_string())),
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
