//! The RESP decoders: how a stream is cut changes nothing, limits hold, and what is encoded is what is read.

use bytes::BytesMut;
use cfgserver::resp::{
    AnswerDecoder, AnswerError, AnswerLimits, Decoder, Limits, Protocol, ProtocolError, Reply, Request, encode,
    encode_request,
};

const REQUESTS: [Limits; 2] = [
    Limits {
        bulk_bytes_max: 100,
        elements_max: 10,
        line_bytes_max: 64,
        request_bytes_max: 600,
    },
    Limits::CLIENT,
];
const ANSWERS: [AnswerLimits; 2] = [
    AnswerLimits {
        depth_max: 4,
        elements_max: 100,
        line_bytes_max: 64,
        bulk_bytes_max: 1_000,
        answer_bytes_max: 2_000,
    },
    AnswerLimits::INSTANCE,
];

/// What a stream says: the frames, why it ended, and what is left unread.
type Said<T, E> = (Vec<T>, Option<E>, Vec<u8>);

fn requests(limits: Limits, pieces: &[&[u8]]) -> Said<Request, ProtocolError> {
    let (mut decoder, mut buffer, mut read) = (Decoder::new(limits), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(request)) => read.push(request),
                Ok(None) => break,
                Err(error) => return (read, Some(error), Vec::new()),
            }
        }
        let held_max = limits.line_bytes_max.max(limits.bulk_bytes_max) + 2;
        assert!(buffer.len() <= held_max, "{} bytes wait", buffer.len());
        assert!(!buffer.is_empty() <= decoder.is_partial(&buffer));
    }
    (read, None, buffer.to_vec())
}

/// The first two bytes choose limits and where the stream is cut.
fn cut(bytes: &[u8]) -> (usize, Vec<&[u8]>, &[u8]) {
    let [limits, size, stream @ ..] = bytes else {
        return (0, Vec::new(), &[]);
    };
    let size = usize::from(*size % 32) + 1;
    (usize::from(*limits % 2), stream.chunks(size).collect(), stream)
}

/// Requests of a client.
pub(super) fn request(bytes: &[u8]) {
    let (limits, pieces, stream) = cut(bytes);
    let limits = REQUESTS[limits];
    let said = requests(limits, &[stream]);
    assert_eq!(requests(limits, &pieces), said);
    let mut again = BytesMut::new();
    for Request(arguments) in &said.0 {
        assert!(!arguments.is_empty());
        let counted: usize = arguments.iter().map(|argument| argument.len()).sum();
        assert!(counted <= limits.request_bytes_max.max(limits.line_bytes_max));
        encode_request(arguments, &mut again);
    }
    let unlimited = Limits {
        elements_max: usize::MAX,
        bulk_bytes_max: usize::MAX / 4,
        request_bytes_max: usize::MAX / 2,
        ..Limits::CLIENT
    };
    assert_eq!(requests(unlimited, &[&again]), (said.0, None, Vec::new()));
}

fn answers(limits: AnswerLimits, pieces: &[&[u8]]) -> Said<Reply, AnswerError> {
    let (mut decoder, mut buffer, mut read) = (AnswerDecoder::new(limits), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(reply)) => read.push(reply),
                Ok(None) => break,
                Err(error) => return (read, Some(error), Vec::new()),
            }
        }
        assert!(buffer.len() <= limits.answer_bytes_max + limits.line_bytes_max + 2);
    }
    (read, None, buffer.to_vec())
}

fn encoded(replies: &[Reply], protocol: Protocol) -> BytesMut {
    let mut out = BytesMut::new();
    for reply in replies {
        encode(reply, protocol, &mut out);
    }
    out
}

/// Answers of an instance.
pub(super) fn answer(bytes: &[u8]) {
    let (limits, pieces, stream) = cut(bytes);
    let limits = ANSWERS[limits];
    let said = answers(limits, &[stream]);
    assert_eq!(answers(limits, &pieces), said);
    // A line may lose its line ends when it is written, and invalid text grows: after that it stays.
    let written = encoded(&said.0, Protocol::Resp2);
    let (read, error, rest) = answers(AnswerLimits::PEER, &[&written]);
    let too_long = matches!(error, Some(AnswerError::LineTooLong));
    assert!(too_long || (error.is_none() && rest.is_empty()), "{error:?}");
    if !too_long {
        assert_eq!(encoded(&read, Protocol::Resp2), written);
    }
    encoded(&said.0, Protocol::Resp3);
}
