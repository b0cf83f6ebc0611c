//! Peer connections that the server's listener hands over.
//!
//! They move to the Raft thread at once, so that clients cannot starve them. Requests are started in the order they
//! came and answered as they finish.
//! What does not live here: what a call does.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::codec::{Requests, put_answer};
use super::handshake::{self, HELLO, HandshakeError};
use super::{Call, Local};
use crate::model::NodeId;
use crate::net::{self, DetachedStream, TcpStream};
use crate::resp::Request;
use crate::task::Tasks;

/// A greeting that takes longer is given up.
const GREETING_LIMIT: Duration = Duration::from_secs(2);
/// Requests of one connection that are worked on at a time; beyond that it is not read.
const WINDOW: usize = 128;
/// Answers that wait to be written, in bytes; beyond that the connection is not read.
const OUT_BYTES_MAX: usize = 8 << 20;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its number, as proved.
    pub id: NodeId,
    /// It belongs to this node's cluster; otherwise it has none yet.
    pub in_cluster: bool,
}

/// An answer that is on its way.
pub type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

/// What answers calls. `call` itself must not block; what it returns is polled once at once, in the order of the
/// requests.
pub trait Service: Send + Sync {
    /// Answers one call.
    fn call(&self, caller: Caller, call: Call, body: Bytes) -> Answer;
}

/// Takes peer connections over.
#[derive(Clone)]
pub struct Acceptor {
    local: Arc<Local>,
    service: Arc<dyn Service>,
    runtime: runtime::Handle,
    tasks: Tasks,
}

impl Acceptor {
    /// An acceptor whose connections live on `runtime`.
    pub fn new(local: Arc<Local>, service: Arc<dyn Service>, runtime: runtime::Handle, tasks: Tasks) -> Self {
        Self {
            local,
            service,
            runtime,
            tasks,
        }
    }

    /// A request of that name comes from a peer.
    pub fn is_peer_request(name: &[u8]) -> bool {
        name.get(..5)
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"RAFT."))
    }

    /// Serves a connection whose first request, `first`, is a peer's; `buffered` is what was read beyond it.
    /// Resolves when the connection has ended.
    pub async fn serve(&self, stream: TcpStream, buffered: BytesMut, first: Request) {
        let (ended, end) = oneshot::channel::<()>();
        let peer = match net::detach(stream) {
            Ok(stream) => Peer {
                local: self.local.clone(),
                service: self.service.clone(),
                input: buffered,
                stream,
            },
            Err(error) => return debug!(target: "cfgserver::peer", %error, "peer connection lost"),
        };
        let stopping = self.tasks.stopping();
        self.tasks.spawn_on("peer-connection", &self.runtime, async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = peer.run(first.0) => {}
            }
            drop(ended);
        });
        _ = end.await;
    }
}

/// One connection of a peer.
struct Peer {
    local: Arc<Local>,
    service: Arc<dyn Service>,
    input: BytesMut,
    stream: DetachedStream,
}

impl Peer {
    async fn run(self, first: Vec<Bytes>) {
        if let Err(error) = self.converse(first).await {
            debug!(target: "cfgserver::peer", %error, "peer connection ended");
        }
    }

    async fn converse(mut self, first: Vec<Bytes>) -> io::Result<()> {
        let mut stream = net::attach(self.stream)?;
        if !first.first().is_some_and(|name| name.eq_ignore_ascii_case(HELLO)) {
            return stream
                .write_all(b"-ERR RAFT requests need a RAFT.HELLO first\r\n")
                .await;
        }
        let greeting = handshake::answer(&mut stream, &mut self.input, &self.local, &first);
        let greeted = match tokio::time::timeout(GREETING_LIMIT, greeting).await {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(HandshakeError::Refused(refusal))) => {
                let from = stream.peer_addr()?;
                warn!(target: "cfgserver::peer", %from, %refusal, "peer refused");
                return Ok(());
            }
            Ok(Err(HandshakeError::Io(error))) => return Err(error),
            Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "no greeting")),
        };
        let caller = Caller {
            id: greeted.from,
            in_cluster: greeted.in_cluster,
        };
        pump(&mut stream, self.input, self.service.as_ref(), caller).await
    }
}

type Working = FuturesUnordered<Pin<Box<dyn Future<Output = (u64, Result<Vec<u8>, String>)> + Send>>>;

async fn pump(stream: &mut TcpStream, mut input: BytesMut, service: &dyn Service, caller: Caller) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let mut working = Working::new();
    let (mut requests, mut out) = (Requests::proved(), BytesMut::new());
    loop {
        let room = working.len() < WINDOW && out.len() < OUT_BYTES_MAX;
        if room && let Some(request) = requests.decode(&mut input)? {
            begin(service, caller, request, &mut working, &mut out).await?;
            continue;
        }
        tokio::select! {
            biased;
            Some((number, answer)) = working.next() => put_answer(number, answer, &mut out),
            written = writer.write_buf(&mut out), if !out.is_empty() => { written?; }
            read = reader.read_buf(&mut input), if room => {
                if read? == 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// Starts a request: its first step is done when this returns, so that requests begin in their order.
async fn begin(
    service: &dyn Service,
    caller: Caller,
    request: Vec<Bytes>,
    working: &mut Working,
    out: &mut BytesMut,
) -> io::Result<()> {
    let invalid = |text| io::Error::new(io::ErrorKind::InvalidData, text);
    let Ok([name, number, body]) = <[Bytes; 3]>::try_from(request) else {
        return Err(invalid("a peer request has a name, a number and a body"));
    };
    let number = std::str::from_utf8(&number)
        .ok()
        .and_then(|digits| digits.parse::<u64>().ok());
    let number = number.ok_or_else(|| invalid("a peer request has a number"))?;
    let Some(call) = Call::parse(&name) else {
        put_answer(number, Err("ERR unknown peer request".to_owned()), out);
        return Ok(());
    };
    let mut answer = service.call(caller, call, body);
    // Without tokio's budget: a request that is put off here would be overtaken by the next.
    let first = std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context)));
    match tokio::task::unconstrained(first).await {
        Poll::Ready(answer) => put_answer(number, answer, out),
        Poll::Pending => working.push(Box::pin(async move { (number, answer.await) })),
    }
    Ok(())
}
