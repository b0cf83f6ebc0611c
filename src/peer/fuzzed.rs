//! What peers say before they have proved anything, for fuzzing: any bytes are a request, a refusal, or wait for more.

use bytes::{Bytes, BytesMut};

use super::codec::{Answers, Requests, put_answer};
use super::handshake::{Welcome, check_hello, pack, parse_hello, unpack};
use super::{Call, Local, Secret};
use crate::model::ClusterId;
use crate::resp::Reply;

/// More than any greeting may wait for.
const WAITING_MAX: usize = 16 << 10;

fn local() -> Local {
    let local = Local::new(
        1,
        "aa".to_owned(),
        Some(Secret::new("secret")),
        Some(ClusterId("c".into())),
    );
    local.set_nodes([(2, "bb".to_owned())].into(), [9].into());
    local
}

/// The first byte says how the stream is cut; the rest comes from a stranger.
pub fn greeting(bytes: &[u8]) {
    let Some((size, stream)) = bytes.split_first() else {
        return;
    };
    let size = usize::from(size % 32) + 1;
    let whole = requests(&[stream]);
    assert_eq!(requests(&stream.chunks(size).collect::<Vec<_>>()), whole);
    for request in &whole.0 {
        said(request);
    }
    answers(stream);
    // A body without its frame.
    said(&[Bytes::new(), Bytes::from_static(b"1"), Bytes::copy_from_slice(stream)]);
    if let Ok(welcome) = unpack::<Welcome>(stream) {
        let packed = pack(&welcome);
        let again = unpack::<Welcome>(&packed).map(|welcome| pack(&welcome)).ok();
        assert_eq!(again, Some(packed));
    }
}

fn requests(pieces: &[&[u8]]) -> (Vec<Vec<Bytes>>, bool) {
    let (mut requests, mut buffer, mut read) = (Requests::unproved(), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match requests.decode(&mut buffer) {
                Ok(Some(request)) => read.push(request),
                Ok(None) => break,
                Err(_) => return (read, false),
            }
        }
        assert!(buffer.len() <= WAITING_MAX);
    }
    (read, true)
}

fn said(request: &[Bytes]) {
    if let Some(call) = request.first().and_then(|name| Call::parse(name)) {
        assert_eq!(Call::parse(call.name().as_bytes()), Some(call));
    }
    let local = local();
    let Ok(hello) = parse_hello(&local, request) else {
        return;
    };
    let packed = pack(&hello);
    let parts = [request[0].clone(), request[1].clone(), Bytes::from(packed.clone())];
    let again = parse_hello(&local, &parts).map(|hello| pack(&hello)).ok();
    assert_eq!(again, Some(packed));
    if let Err(refusal) = check_hello(&local, &hello) {
        assert!(!refusal.to_string().is_empty());
    } else {
        assert!(hello.from != local.id && !local.is_removed(hello.from));
    }
}

fn answers(stream: &[u8]) {
    let (mut answers, mut buffer) = (Answers::unproved(), BytesMut::from(stream));
    while let Ok(Some(reply)) = answers.decode(&mut buffer) {
        let Reply::Array(parts) = reply else { continue };
        if let [Reply::Integer(number), Reply::Bulk(body)] = parts.as_slice() {
            let mut out = BytesMut::new();
            put_answer(*number as u64, Ok(body.to_vec()), &mut out);
            let read = Answers::proved().decode(&mut out).ok().flatten();
            assert_eq!(read, Some(Reply::Array(parts)));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::peer::handshake::Hello;
    use crate::resp::encode_request;

    #[test]
    fn the_corpus_breaks_no_rule() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/peer-greeting");
        let mut accepted = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            greeting(&bytes);
            let (requests, _) = requests(&[bytes.get(1..).unwrap_or_default()]);
            let known = |request: &&Vec<Bytes>| {
                parse_hello(&local(), request).is_ok_and(|hello| check_hello(&local(), &hello).is_ok())
            };
            accepted += requests.iter().filter(known).count();
        }
        assert!(accepted > 0, "no greeting of the corpus is a good one");
    }

    fn hello() -> impl Strategy<Value = Vec<u8>> {
        let body = prop::collection::vec(any::<u8>(), 0..60);
        let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
        let whole =
            (0..4_u64, prop::option::of(0..3_u64), "(aa|bb|c)?", damage).prop_map(|(from, to, incarnation, damage)| {
                let mut body = pack(&Hello {
                    cluster: Some(ClusterId("c".into())),
                    from,
                    to,
                    incarnation,
                    expected: None,
                    nonce: Bytes::from_static(&[7; 32]),
                });
                for (at, byte) in damage {
                    let at = at.index(body.len());
                    body[at] = byte;
                }
                body
            });
        (prop_oneof![whole, body], "[12]?", any::<u8>()).prop_map(|(body, protocol, size)| {
            let mut out = BytesMut::from(&[size][..]);
            encode_request(&[&b"raft.hello"[..], protocol.as_bytes(), &body], &mut out);
            out.to_vec()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn any_greeting_is_read_or_refused(hello in hello(), noise in prop::collection::vec(any::<u8>(), 0..200)) {
            greeting(&hello);
            greeting(&noise);
        }
    }
}
