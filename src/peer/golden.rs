//! The bytes of the first words between nodes, and of the frames after them.

use bytes::{Bytes, BytesMut};

use super::codec::{put, put_answer};
use super::handshake::{HELLO, Hello, PROOF, REFUSED, Refusal, Welcome, pack, prove, unpack};
use super::{Call, Local, PROTOCOL, Secret};
use crate::golden::Book;
use crate::model::ClusterId;
use crate::resp::{Reply, encode_request};

fn cluster() -> ClusterId {
    ClusterId("00112233445566778899aabbccddeeff".into())
}

fn hello() -> Hello {
    Hello {
        cluster: Some(cluster()),
        from: 1,
        to: Some(2),
        incarnation: "ab01".to_owned(),
        expected: Some("ab02".to_owned()),
        nonce: Bytes::from_static(&[1; 32]),
    }
}

fn welcome(local: &Local) -> Welcome {
    let mut welcome = Welcome {
        cluster: Some(cluster()),
        id: 2,
        incarnation: "ab02".to_owned(),
        nonce: Bytes::from_static(&[2; 32]),
        proof: Bytes::new(),
    };
    welcome.proof = prove(local, "callee", &hello(), &welcome).into();
    welcome
}

fn request(parts: &[&[u8]]) -> BytesMut {
    let mut out = BytesMut::new();
    encode_request(parts, &mut out);
    out
}

fn reply(reply: &Reply) -> BytesMut {
    let mut out = BytesMut::new();
    put(reply, &mut out);
    out
}

#[test]
fn the_handshake_keeps_its_bytes() {
    let mut book = Book::new(
        "handshake.txt",
        "The first words of a peer connection: RESP, with MessagePack in it. The secret is `secret`.",
    );
    let local = Local::new(2, "ab02".to_owned(), Some(Secret::new("secret")), Some(cluster()));
    let (hello, welcome) = (hello(), welcome(&local));
    let protocol = PROTOCOL.to_string();
    book.bytes("hello, framed", &request(&[HELLO, protocol.as_bytes(), &pack(&hello)]));
    book.record("hello", 0, &pack(&hello), |bytes| Ok(pack(&unpack::<Hello>(bytes)?)));
    let stranger = Hello {
        cluster: None,
        to: None,
        expected: None,
        ..hello.clone()
    };
    book.record("hello of a node without a cluster", 0, &pack(&stranger), |bytes| {
        Ok(pack(&unpack::<Hello>(bytes)?))
    });
    book.bytes("welcome, framed", &reply(&Reply::Bulk(pack(&welcome).into())));
    book.record("welcome", 0, &pack(&welcome), |bytes| {
        Ok(pack(&unpack::<Welcome>(bytes)?))
    });
    book.bytes(
        "proof of the caller, framed",
        &request(&[PROOF, &prove(&local, "caller", &hello, &welcome)]),
    );
    let refusals = [
        Refusal::Protocol {
            id: 2,
            ours: 1,
            theirs: 2,
        },
        Refusal::Node { id: 2, asked: 3 },
        Refusal::Secret,
        Refusal::NotLoopback,
        Refusal::Cluster {
            id: 2,
            cluster: cluster(),
        },
        Refusal::Incarnation { id: 1 },
        Refusal::Removed { id: 1 },
    ];
    for refusal in refusals {
        let name = format!("{refusal:?}");
        let name = name.split(' ').next().unwrap_or_default();
        book.bytes(
            &format!("refusal, {name}"),
            &reply(&Reply::error(format!("{REFUSED}{refusal}"))),
        );
    }
    book.close();
}

#[test]
fn frames_keep_their_bytes() {
    let mut book = Book::new(
        "frames.txt",
        "Requests and answers of a peer connection after the handshake: RESP. Bodies are in other files.",
    );
    for (call, name) in Call::ALL {
        let frame = request(&[call.name().as_bytes(), b"70000", b"\x01body"]);
        assert_eq!(Call::parse(name.as_bytes()), Some(call));
        book.bytes(&format!("{call:?}"), &frame);
    }
    let mut out = BytesMut::new();
    put_answer(70_000, Ok(b"\x01body".to_vec()), &mut out);
    book.bytes("answer", &out.split());
    put_answer(70_000, Err("ERR not now".to_owned()), &mut out);
    book.bytes("answer that is an error", &out);
    book.close();
}
