//! The first words of a peer connection.
//!
//! ```text
//! caller: RAFT.HELLO <protocol> {cluster, from, to, incarnation, expected incarnation, nonce}
//! callee: {id, incarnation, nonce, proof}            or -REFUSED <reason>
//! caller: RAFT.PROOF <proof>
//! callee: +OK                                        or -REFUSED <reason>
//! ```
//!
//! A proof is an HMAC-SHA256 under the cluster secret over everything that both sides said, with the side's role
//! in front, so that no proof of one side, connection or cluster serves for another.

use std::io;

use bytes::{Bytes, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::codec::{Answers, Requests, put};
use super::{Local, PROTOCOL};
use crate::chance;
use crate::machine::read_whole;
use crate::model::{ClusterId, NodeId};
use crate::net::TcpStream;
use crate::resp::{Reply, encode_request};

pub(super) const HELLO: &[u8] = b"RAFT.HELLO";
pub(super) const PROOF: &[u8] = b"RAFT.PROOF";
pub(super) const REFUSED: &str = "REFUSED ";

/// Why a peer connection was refused: one line for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another version of the requests between nodes.
    #[error("protocol: node {id} speaks version {ours}, not {theirs}")]
    Protocol {
        /// Who refused.
        id: NodeId,
        /// Its version.
        ours: u32,
        /// The caller's version.
        theirs: u32,
    },
    /// The address belongs to another node.
    #[error("node: this is node {id}, not node {asked}")]
    Node {
        /// Who answered.
        id: NodeId,
        /// Who was meant.
        asked: NodeId,
    },
    /// The other side does not know the cluster secret.
    #[error("secret: wrong cluster secret")]
    Secret,
    /// No secret is set, and the peer is not on this machine.
    #[error("secret: without a cluster secret only loopback peers are accepted")]
    NotLoopback,
    /// A node of another cluster.
    #[error("cluster: node {id} belongs to another cluster, {cluster}")]
    Cluster {
        /// Who refused.
        id: NodeId,
        /// Its cluster.
        cluster: ClusterId,
    },
    /// Another data directory under a known node id.
    #[error("incarnation: node id {id} is known with another data directory; a new node needs a new id")]
    Incarnation {
        /// The id.
        id: NodeId,
    },
    /// The node was removed from the cluster.
    #[error("removed: node id {id} was removed from the cluster and is never used again")]
    Removed {
        /// The id.
        id: NodeId,
    },
    /// Something else listens there.
    #[error("what listens there is no node of cfgserver")]
    Stranger,
    /// What the other side said, when it refused.
    #[error("{0}")]
    Said(String),
}

impl Refusal {
    /// The caller was told that it is no member any more.
    pub fn says_removed(&self) -> bool {
        matches!(self, Self::Removed { .. }) || matches!(self, Self::Said(text) if text.starts_with("removed: "))
    }
}

/// How a handshake fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) cluster: Option<ClusterId>,
    pub(super) from: NodeId,
    /// `None`: whoever listens there.
    pub(super) to: Option<NodeId>,
    pub(super) incarnation: String,
    /// Incarnation that the callee must have, when it is known.
    pub(super) expected: Option<String>,
    pub(super) nonce: Bytes,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Welcome {
    pub(super) cluster: Option<ClusterId>,
    pub(super) id: NodeId,
    pub(super) incarnation: String,
    pub(super) nonce: Bytes,
    pub(super) proof: Bytes,
}

/// Who called, once it has proved itself.
#[derive(Clone, Debug)]
pub(super) struct Greeted {
    pub(super) from: NodeId,
    pub(super) in_cluster: bool,
}

/// Greets the node at the other end of `stream`; `to` is who it should be.
pub(super) async fn call(stream: &mut TcpStream, local: &Local, to: Option<NodeId>) -> Result<(), HandshakeError> {
    check_loopback(stream, local)?;
    let hello = Hello {
        cluster: local.cluster(),
        from: local.id,
        to,
        incarnation: local.incarnation.clone(),
        expected: to.and_then(|id| local.incarnation_of(id)),
        nonce: nonce()?,
    };
    let mut out = BytesMut::new();
    let protocol = PROTOCOL.to_string();
    encode_request(&[HELLO, protocol.as_bytes(), &pack(&hello)], &mut out);
    stream.write_all(&out).await?;
    let (mut buffer, mut answers) = (BytesMut::new(), Answers::unproved());
    let welcome: Welcome = match read_answer(stream, &mut buffer, &mut answers).await {
        Ok(Reply::Bulk(body)) => unpack(&body).map_err(|_| Refusal::Stranger)?,
        Ok(Reply::Error(text)) if text.starts_with("ERR unknown command") => return Err(Refusal::Stranger.into()),
        Ok(other) => return Err(refused(other)),
        // The error of a Redis quotes what it was sent, which is no text.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(Refusal::Stranger.into()),
        Err(error) => return Err(error.into()),
    };
    if !same(&prove(local, "callee", &hello, &welcome), &welcome.proof) {
        return Err(Refusal::Secret.into());
    }
    check_welcome(local, &hello, &welcome)?;
    let mut out = BytesMut::new();
    encode_request(&[PROOF, &prove(local, "caller", &hello, &welcome)], &mut out);
    stream.write_all(&out).await?;
    match read_answer(stream, &mut buffer, &mut answers).await? {
        Reply::Simple(_) => Ok(()),
        other => Err(refused(other)),
    }
}

fn check_welcome(local: &Local, hello: &Hello, welcome: &Welcome) -> Result<(), Refusal> {
    if let Some(asked) = hello.to.filter(|asked| *asked != welcome.id) {
        return Err(Refusal::Node { id: welcome.id, asked });
    }
    let expected = hello.expected.clone().or_else(|| local.incarnation_of(welcome.id));
    if expected.is_some_and(|expected| expected != welcome.incarnation) {
        return Err(Refusal::Incarnation { id: welcome.id });
    }
    check_cluster(welcome.id, welcome.cluster.as_ref(), hello.cluster.as_ref())
}

/// Answers the greeting `first`. `buffer` holds what was read beyond it, and afterwards what follows the handshake.
/// A refusal has been told to the caller when this returns.
pub(super) async fn answer(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    local: &Local,
    first: &[Bytes],
) -> Result<Greeted, HandshakeError> {
    let result = greet(stream, buffer, local, first).await;
    if let Err(HandshakeError::Refused(refusal)) = &result {
        let mut out = BytesMut::new();
        put(&Reply::error(format!("{REFUSED}{refusal}")), &mut out);
        stream.write_all(&out).await?;
    }
    result
}

async fn greet(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    local: &Local,
    first: &[Bytes],
) -> Result<Greeted, HandshakeError> {
    check_loopback(stream, local)?;
    let hello = parse_hello(local, first)?;
    let mut welcome = Welcome {
        cluster: local.cluster(),
        id: local.id,
        incarnation: local.incarnation.clone(),
        nonce: nonce()?,
        proof: Bytes::new(),
    };
    welcome.proof = prove(local, "callee", &hello, &welcome).into();
    let mut out = BytesMut::new();
    put(&Reply::Bulk(pack(&welcome).into()), &mut out);
    stream.write_all(&out).await?;
    let request = read_request(stream, buffer).await?;
    let proof = match request.as_slice() {
        [name, proof] if name.eq_ignore_ascii_case(PROOF) => proof,
        _ => return Err(Refusal::Secret.into()),
    };
    if !same(&prove(local, "caller", &hello, &welcome), proof) {
        return Err(Refusal::Secret.into());
    }
    // What the caller is told about this cluster beyond its id, it is told only after its proof.
    check_hello(local, &hello)?;
    stream.write_all(b"+OK\r\n").await?;
    Ok(Greeted {
        from: hello.from,
        in_cluster: hello.cluster.is_some(),
    })
}

pub(super) fn parse_hello(local: &Local, first: &[Bytes]) -> Result<Hello, HandshakeError> {
    let [_, protocol, body] = first else {
        return Err(Refusal::Said("hello: expected a protocol version and a body".to_owned()).into());
    };
    let protocol = std::str::from_utf8(protocol)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    if protocol != PROTOCOL {
        let refusal = Refusal::Protocol {
            id: local.id,
            ours: PROTOCOL,
            theirs: protocol,
        };
        return Err(refusal.into());
    }
    unpack(body).map_err(|_| Refusal::Said("hello: the body does not decode".to_owned()).into())
}

pub(super) fn check_hello(local: &Local, hello: &Hello) -> Result<(), Refusal> {
    if let Some(asked) = hello.to.filter(|asked| *asked != local.id) {
        return Err(Refusal::Node { id: local.id, asked });
    }
    if local.is_removed(hello.from) {
        return Err(Refusal::Removed { id: hello.from });
    }
    let known = local.incarnation_of(hello.from);
    if known.is_some_and(|known| known != hello.incarnation) || hello.from == local.id {
        return Err(Refusal::Incarnation { id: hello.from });
    }
    if hello
        .expected
        .as_ref()
        .is_some_and(|expected| *expected != local.incarnation)
    {
        return Err(Refusal::Incarnation { id: local.id });
    }
    check_cluster(local.id, local.cluster().as_ref(), hello.cluster.as_ref())
}

/// Two nodes with clusters must be of the same one. A node without one may meet any.
fn check_cluster(id: NodeId, theirs: Option<&ClusterId>, ours: Option<&ClusterId>) -> Result<(), Refusal> {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if theirs != ours => Err(Refusal::Cluster {
            id,
            cluster: theirs.clone(),
        }),
        _ => Ok(()),
    }
}

fn check_loopback(stream: &TcpStream, local: &Local) -> Result<(), HandshakeError> {
    if local.secret.is_none() && !stream.peer_addr()?.ip().to_canonical().is_loopback() {
        return Err(Refusal::NotLoopback.into());
    }
    Ok(())
}

fn refused(reply: Reply) -> HandshakeError {
    let text = match reply {
        Reply::Error(text) => text.strip_prefix(REFUSED).unwrap_or(&text).to_owned(),
        _ => "unexpected answer to a greeting".to_owned(),
    };
    Refusal::Said(text).into()
}

/// The proof of one side. Every part has its length in front, so that no two transcripts are the same bytes.
#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
pub(super) fn prove(local: &Local, role: &str, hello: &Hello, welcome: &Welcome) -> Vec<u8> {
    let key = local.secret.as_ref().map_or(&[][..], |secret| secret.bytes());
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    let text = |cluster: &Option<ClusterId>| cluster.as_ref().map_or(String::new(), ToString::to_string);
    let (ours, theirs) = (text(&hello.cluster), text(&welcome.cluster));
    let parts: [&[u8]; 11] = [
        role.as_bytes(),
        &PROTOCOL.to_be_bytes(),
        ours.as_bytes(),
        &hello.from.to_be_bytes(),
        &hello.to.unwrap_or(0).to_be_bytes(),
        hello.incarnation.as_bytes(),
        &hello.nonce,
        theirs.as_bytes(),
        &welcome.id.to_be_bytes(),
        welcome.incarnation.as_bytes(),
        &welcome.nonce,
    ];
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn same(proof: &[u8], other: &[u8]) -> bool {
    proof.ct_eq(other).into()
}

fn nonce() -> io::Result<Bytes> {
    Ok(Bytes::copy_from_slice(&chance::bytes::<32>()?))
}

#[expect(clippy::expect_used, reason = "plain data written to memory has no way to fail")]
pub(super) fn pack<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("a greeting is plain data, which always encodes")
}

pub(super) fn unpack<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> io::Result<T> {
    read_whole(bytes).map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut BytesMut, answers: &mut Answers) -> io::Result<Reply> {
    loop {
        if let Some(reply) = answers.decode(buffer)? {
            return Ok(reply);
        }
        read_more(stream, buffer).await?;
    }
}

pub(super) async fn read_request(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Vec<Bytes>> {
    let mut requests = Requests::unproved();
    loop {
        if let Some(request) = requests.decode(buffer)? {
            return Ok(request);
        }
        read_more(stream, buffer).await?;
    }
}

async fn read_more(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<()> {
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
