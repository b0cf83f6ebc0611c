//! Answers of an instance or a peer from bytes. redis-protocol decodes what the boundary guard has let through.

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_bytes;
use redis_protocol::resp2::types::BytesFrame;

use super::boundary::{AnswerError, AnswerLimits, Boundary};
use super::reply::Reply;

/// From this size on a bulk string keeps its place in the read buffer; smaller ones are copied out.
const COPY_BELOW: usize = 16 << 10;

/// A resumable decoder of RESP2 answers; one per connection.
#[derive(Debug)]
pub struct AnswerDecoder {
    limits: AnswerLimits,
    boundary: Boundary,
    failed: Option<AnswerError>,
}

impl AnswerDecoder {
    /// A decoder at the start of a stream.
    pub fn new(limits: AnswerLimits) -> Self {
        Self {
            limits,
            boundary: Boundary::new(limits),
            failed: None,
        }
    }

    /// Takes the next answer out of `buffer`; `None` when more bytes are needed. Only this decoder may take
    /// bytes from the buffer, others may append. An error is final. Both nulls of RESP2 are [`Reply::Null`].
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Reply>, AnswerError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let answer = self.take(buffer);
        if let Err(error) = &answer {
            self.failed = Some(error.clone());
        }
        answer
    }

    fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Reply>, AnswerError> {
        let Some(length) = self.boundary.advance(buffer)? else {
            return Ok(None);
        };
        self.boundary = Boundary::new(self.limits);
        let bytes = buffer.split_to(length).freeze();
        match decode_bytes(&bytes) {
            Ok(Some((frame, used))) if used == length => Ok(Some(reply(frame))),
            Ok(_) => Err(AnswerError::Malformed(
                "its end is not where its lengths say".to_owned(),
            )),
            Err(error) => Err(AnswerError::Malformed(error.to_string())),
        }
    }
}

/// Recursion is safe here: the guard has bounded the depth.
fn reply(frame: BytesFrame) -> Reply {
    match frame {
        BytesFrame::SimpleString(text) => Reply::Simple(String::from_utf8_lossy(&text).into_owned().into()),
        BytesFrame::Error(text) => Reply::Error(text.to_string().into()),
        BytesFrame::Integer(number) => Reply::Integer(number),
        BytesFrame::BulkString(bytes) => Reply::Bulk(owned(bytes)),
        BytesFrame::Array(items) => Reply::Array(items.into_iter().map(reply).collect()),
        BytesFrame::Null => Reply::Null,
    }
}

fn owned(bytes: Bytes) -> Bytes {
    if bytes.len() < COPY_BELOW {
        return Bytes::copy_from_slice(&bytes);
    }
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;
    use redis_protocol::resp2::decode::decode;

    use super::*;

    const SMALL: AnswerLimits = AnswerLimits {
        depth_max: 4,
        elements_max: 100,
        line_bytes_max: 64,
        bulk_bytes_max: 1000,
        answer_bytes_max: 2000,
    };

    fn all(limits: AnswerLimits, pieces: &[&[u8]]) -> (Vec<Reply>, Option<AnswerError>, usize) {
        let mut decoder = AnswerDecoder::new(limits);
        let mut buffer = BytesMut::new();
        let mut replies = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer) {
                    Ok(Some(reply)) => replies.push(reply),
                    Ok(None) => break,
                    Err(error) => return (replies, Some(error), 0),
                }
            }
        }
        (replies, None, buffer.len())
    }

    fn fails(input: &[u8]) -> AnswerError {
        all(SMALL, &[input]).1.expect("an error")
    }

    #[test]
    fn every_kind_is_read() {
        let input = b"+OK\r\n-ERR x\r\n:-5\r\n$2\r\na\n\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n$0\r\n\r\n*1\r\n:1\r\n";
        let expected = vec![
            Reply::OK,
            Reply::error("ERR x"),
            Reply::Integer(-5),
            Reply::bulk("a\n"),
            Reply::Null,
            Reply::Null,
            Reply::Array(vec![]),
            Reply::Array(vec![Reply::bulk(""), Reply::Array(vec![Reply::Integer(1)])]),
        ];
        assert_eq!(all(SMALL, &[input]), (expected.clone(), None, 0));
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(all(SMALL, &bytes), (expected, None, 0));
    }

    #[test]
    fn deep_nesting_is_refused_without_recursion() {
        assert_eq!(fails(&b"*1\r\n".repeat(100_000)), AnswerError::TooDeep);
        assert_eq!(
            all(AnswerLimits::PEER, &[&b"*1\r\n".repeat(100_000)]).1,
            Some(AnswerError::TooDeep)
        );
        let (replies, error, _) = all(SMALL, &[&[&b"*1\r\n".repeat(4)[..], b":1\r\n"].concat()]);
        assert_eq!((replies.len(), error), (1, None));
    }

    #[test]
    fn promises_beyond_the_limits_are_refused_at_the_header() {
        assert_eq!(fails(b"*1000000000\r\n"), AnswerError::TooManyElements);
        assert_eq!(fails(b"*60\r\n*60\r\n"), AnswerError::TooManyElements);
        assert_eq!(fails(b"$1001\r\n"), AnswerError::TooBig);
        assert_eq!(fails(b"$9223372036854775807\r\n"), AnswerError::TooBig);
        assert_eq!(fails(&[b'+'; 100]), AnswerError::LineTooLong);
        let large = [
            &b"*3\r\n"[..],
            &[&b"$900\r\n"[..], &[b'x'; 900], b"\r\n"].concat().repeat(3),
        ]
        .concat();
        assert_eq!(fails(&large), AnswerError::TooBig);
    }

    #[test]
    fn what_is_no_resp2_is_refused() {
        assert_eq!(fails(b"%1\r\n"), AnswerError::Type(b'%'));
        assert_eq!(fails(b"$+4\r\nPING\r\n"), AnswerError::Length);
        assert_eq!(fails(b"*0001\r\n:1\r\n"), AnswerError::Length);
        assert_eq!(fails(b"$-2\r\n"), AnswerError::Length);
        assert_eq!(fails(b"$1\r\nabc"), AnswerError::BulkEnd);
        assert!(matches!(fails(b":x\r\n"), AnswerError::Malformed(_)));
    }

    #[test]
    fn an_error_is_final() {
        let mut decoder = AnswerDecoder::new(SMALL);
        let mut buffer = BytesMut::from(&b"!\r\n"[..]);
        assert!(decoder.decode(&mut buffer).is_err());
        buffer.clear();
        buffer.extend_from_slice(b"+OK\r\n");
        assert!(decoder.decode(&mut buffer).is_err());
    }

    /// Bytes of a well-formed frame.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let line = "[a-z \n]{0,6}(\r[a-z]{1,6})?";
        let leaf = prop_oneof![
            line.prop_map(|text| format!("+{text}\r\n").into_bytes()),
            line.prop_map(|text| format!("-{text}\r\n").into_bytes()),
            any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
            Just(b"$-1\r\n".to_vec()),
            Just(b"*-1\r\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| {
                let mut frame = format!("${}\r\n", bytes.len()).into_bytes();
                frame.extend_from_slice(&bytes);
                frame.extend_from_slice(b"\r\n");
                frame
            }),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop::collection::vec(inner, 0..5).prop_map(|items| {
                let mut frame = format!("*{}\r\n", items.len()).into_bytes();
                frame.extend(items.concat());
                frame
            })
        })
    }

    proptest! {
        #[test]
        fn the_guard_agrees_with_decoding_the_whole(frames in prop::collection::vec(frame(), 1..6), size in 1usize..40) {
            let input = frames.concat();
            let mut expected = Vec::new();
            let mut rest = &input[..];
            while let Some((_, used)) = decode(rest).unwrap() {
                expected.push(reply(decode_bytes(&Bytes::copy_from_slice(&rest[..used])).unwrap().unwrap().0));
                rest = &rest[used..];
            }
            let pieces: Vec<&[u8]> = input.chunks(size).collect();
            prop_assert_eq!(all(AnswerLimits::PEER, &pieces), (expected, None, rest.len()));
        }

        #[test]
        fn random_bytes_do_no_harm(input in prop::collection::vec(prop_oneof![
            prop::sample::select(b"*$+-:\r\n0123".to_vec()), any::<u8>(),
        ], 0..200), size in 1usize..40) {
            let pieces: Vec<&[u8]> = input.chunks(size).collect();
            let whole = all(SMALL, &[&input[..]]);
            prop_assert_eq!(all(SMALL, &pieces), whole);
        }
    }
}
