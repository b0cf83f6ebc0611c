//! RESP2 as a client speaks it.

use bytes::{BufMut, Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_bytes_mut;
use redis_protocol::resp2::types::BytesFrame;

use crate::resp::Reply;

pub(super) fn encode_request(command: &[Bytes], out: &mut BytesMut) {
    out.put_slice(format!("*{}\r\n", command.len()).as_bytes());
    for part in command {
        out.put_slice(format!("${}\r\n", part.len()).as_bytes());
        out.put_slice(part);
        out.put_slice(b"\r\n");
    }
}

#[derive(Debug, Default)]
pub(super) struct AnswerDecoder;

impl AnswerDecoder {
    pub(super) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Reply>, String> {
        let frame = decode_bytes_mut(input).map_err(|error| error.to_string())?;
        Ok(frame.map(|(frame, _, _)| reply(frame)))
    }
}

fn reply(frame: BytesFrame) -> Reply {
    match frame {
        BytesFrame::SimpleString(text) => Reply::Simple(String::from_utf8_lossy(&text).into_owned().into()),
        BytesFrame::Error(text) => Reply::Error(text.to_string().into()),
        BytesFrame::Integer(number) => Reply::Integer(number),
        BytesFrame::BulkString(bytes) => Reply::Bulk(bytes),
        BytesFrame::Array(frames) => Reply::Array(frames.into_iter().map(reply).collect()),
        BytesFrame::Null => Reply::Null,
    }
}
