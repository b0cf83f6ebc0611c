//! A connection to a peer: opened when it is needed, closed when it stalls, opened again.
//!
//! Requests go out in the order they were given and are numbered; answers come as they are ready. A request that
//! could not be sent says so ([`CallError::Unreachable`]); one that was sent and not answered says that too.
//! What does not live here: retries. The caller decides.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::codec::Answers;
use super::handshake::{self, HandshakeError, Refusal};
use super::{Call, Local};
use crate::clock::Clock;
use crate::model::{ClusterId, Instant, NodeId};
use crate::net::{self, TcpStream};
use crate::resp::{Reply, encode_request};
use crate::task::Tasks;

/// Connecting and greeting: a machine that does not answer costs this long, once per [`PAUSE_MS`].
const CONNECT_LIMIT: Duration = Duration::from_millis(1_000);
/// After a failed attempt requests fail at once for this long.
const PAUSE_MS: u64 = 50;
/// Requests of one connection without an answer. Further ones wait for a place.
const WINDOW: usize = 64;
/// Requests that wait for a place or for the connection. Full: the caller waits.
const QUEUE: usize = 64;
/// Requests that wait to be written, in bytes. Beyond that, further ones wait.
const OUT_BYTES_MAX: usize = 8 << 20;
/// How often a connection is looked at for answers that are overdue.
const STALL_TICK: Duration = Duration::from_millis(100);

/// What a connection is for. Each purpose has its own, so that none waits behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Log entries.
    Append,
    /// Heartbeats.
    Heartbeat,
    /// Snapshots.
    Snapshot,
    /// Elections and signs of life.
    Election,
    /// Forwarded writes.
    Forward,
    /// Forwarded changes of the cluster: they take longer than any write.
    Admin,
    /// Verdicts.
    Votes,
    /// Questions to a node that is not in the cluster yet.
    Contact,
}

impl Purpose {
    /// An answer that is overdue by this much means that the connection is dead.
    fn stall_ms(self) -> u64 {
        match self {
            Self::Append | Self::Heartbeat | Self::Election | Self::Votes => 1_000,
            Self::Contact | Self::Forward => 6_000,
            Self::Snapshot => 20_000,
            Self::Admin => 120_000,
        }
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The peer cannot be reached; nothing was sent.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The peer, or this node, refused the connection; nothing was sent.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// Sent, but the connection broke, or the time was over, before the answer.
    #[error("no answer: {0}")]
    Lost(String),
    /// The peer answered with an error.
    #[error("{0}")]
    Failed(String),
}

impl CallError {
    /// Nothing was sent.
    pub fn not_sent(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Refused(_))
    }
}

/// The answer to a call, when it comes.
pub type Pending = oneshot::Receiver<Result<Bytes, CallError>>;

struct Job {
    call: Call,
    body: Vec<u8>,
    answer: oneshot::Sender<Result<Bytes, CallError>>,
}

/// A connection to one peer. Clones share it; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Link {
    address: Arc<str>,
    jobs: mpsc::Sender<Job>,
}

impl Link {
    /// A link to the node at `address`; `to` is who it must be, `None` for whoever listens there. Connects at the
    /// first call.
    pub fn open(parts: &LinkParts, to: Option<NodeId>, address: &str, purpose: Purpose) -> Self {
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let address: Arc<str> = address.into();
        let wire = Wire {
            local: parts.local.clone(),
            clock: parts.clock,
            to,
            address: address.clone(),
            purpose,
            next_number: 0,
            told: None,
        };
        let stopping = parts.tasks.stopping();
        parts.tasks.spawn_on("peer-link", &parts.runtime, async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = wire.run(inbox) => {}
            }
        });
        Self { address, jobs }
    }

    /// Gives a request to the connection, after those given before; the answer comes later.
    pub async fn start(&self, call: Call, body: Vec<u8>) -> Pending {
        let (answer, pending) = oneshot::channel();
        // A link that has ended drops the job, and with it the sender: the caller sees that.
        _ = self.jobs.send(Job { call, body, answer }).await;
        pending
    }

    /// One call and its answer, within `limit`.
    pub async fn call(&self, call: Call, body: Vec<u8>, limit: Duration) -> Result<Bytes, CallError> {
        let answer = async { self.start(call, body).await.await };
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(CallError::Lost("the node stops".to_owned())),
            Err(_) => Err(CallError::Lost("timed out".to_owned())),
        }
    }
}

/// What links are made of.
#[derive(Clone, Debug)]
pub struct LinkParts {
    /// This node.
    pub local: Arc<Local>,
    /// Its clock.
    pub clock: Clock,
    /// Its tasks.
    pub tasks: Tasks,
    /// The runtime on which connections live.
    pub runtime: runtime::Handle,
}

/// The links of a node, one per peer and purpose.
#[derive(Clone, Debug)]
pub struct Links {
    parts: LinkParts,
    open: Arc<Mutex<BTreeMap<(NodeId, Purpose), Link>>>,
}

impl Links {
    /// No links yet.
    pub fn new(parts: LinkParts) -> Self {
        Self {
            parts,
            open: Arc::default(),
        }
    }

    /// The link to a peer.
    pub fn get(&self, id: NodeId, address: &str, purpose: Purpose) -> Link {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get(&(id, purpose)) {
            Some(link) if *link.address == *address => link.clone(),
            _ => {
                let link = Link::open(&self.parts, Some(id), address, purpose);
                open.insert((id, purpose), link.clone());
                link
            }
        }
    }

    /// A link to whoever listens at `address`.
    pub fn contact(&self, to: Option<NodeId>, address: &str) -> Link {
        Link::open(&self.parts, to, address, Purpose::Contact)
    }

    /// The cluster of this node.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.parts.local.cluster()
    }

    /// Forgets the links to nodes that are not in the cluster.
    pub fn keep(&self, is_member: impl Fn(NodeId) -> bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(id, _), _| is_member(*id));
    }
}

/// The task behind a link.
struct Wire {
    local: Arc<Local>,
    clock: Clock,
    to: Option<NodeId>,
    address: Arc<str>,
    purpose: Purpose,
    next_number: u64,
    /// The last refusal that was logged: once is enough.
    told: Option<Refusal>,
}

impl Wire {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut failed: Option<(Instant, CallError)> = None;
        while let Some(job) = jobs.recv().await {
            if let Some((at, error)) = &failed
                && self.clock.now().since(*at) < PAUSE_MS
            {
                _ = job.answer.send(Err(error.clone()));
                continue;
            }
            match self.connect().await {
                Ok(stream) => {
                    failed = None;
                    let error = self.pump(stream, job, &mut jobs).await;
                    debug!(target: "cfgserver::peer", peer = self.to, address = %self.address, purpose = ?self.purpose,
                        %error, "connection to a peer ended");
                }
                Err(error) => {
                    _ = job.answer.send(Err(error.clone()));
                    failed = Some((self.clock.now(), error));
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<TcpStream, CallError> {
        match tokio::time::timeout(CONNECT_LIMIT, self.greet()).await {
            Ok(Ok(stream)) => {
                self.told = None;
                Ok(stream)
            }
            Ok(Err(HandshakeError::Io(error))) => Err(CallError::Unreachable(error.to_string())),
            Ok(Err(HandshakeError::Refused(refusal))) => {
                // Whoever makes a contact tells what came of it; a link is used by many.
                if self.purpose != Purpose::Contact && self.told.as_ref() != Some(&refusal) {
                    warn!(target: "cfgserver::peer", peer = self.to, address = %self.address, %refusal,
                        "connection to a peer refused");
                    self.told = Some(refusal.clone());
                }
                Err(CallError::Refused(refusal))
            }
            Err(_) => Err(CallError::Unreachable("connect timed out".to_owned())),
        }
    }

    async fn greet(&self) -> Result<TcpStream, HandshakeError> {
        let mut stream = net::connect(&self.address, CONNECT_LIMIT).await?;
        handshake::call(&mut stream, &self.local, self.to).await?;
        Ok(stream)
    }

    /// Carries requests and answers until the connection breaks; tells those that wait.
    async fn pump(&mut self, mut stream: TcpStream, first: Job, jobs: &mut mpsc::Receiver<Job>) -> io::Error {
        let mut flight = Flight::default();
        self.launch(first, &mut flight);
        let error = match self.carry(&mut stream, &mut flight, jobs).await {
            Ok(()) => io::Error::other("no longer needed"),
            Err(error) => error,
        };
        // What the kernel has not delivered yet must not be delivered after its caller was told that it is lost.
        _ = net::reset(&stream);
        for (_, (_, answer)) in flight.waiting {
            _ = answer.send(Err(CallError::Lost(error.to_string())));
        }
        error
    }

    fn launch(&mut self, job: Job, flight: &mut Flight) {
        // Nobody waits any more: it is late, and late requests are worse than none.
        if job.answer.is_closed() {
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        let (name, digits) = (job.call.name().as_bytes(), number.to_string());
        encode_request(&[name, digits.as_bytes(), &job.body], &mut flight.out);
        flight.waiting.insert(number, (self.clock.now(), job.answer));
    }

    async fn carry(
        &mut self,
        stream: &mut TcpStream,
        flight: &mut Flight,
        jobs: &mut mpsc::Receiver<Job>,
    ) -> io::Result<()> {
        let (mut reader, mut writer) = stream.split();
        let (mut input, mut answers) = (BytesMut::new(), Answers::proved());
        loop {
            let room = flight.waiting.len() < WINDOW && flight.out.len() < OUT_BYTES_MAX;
            tokio::select! {
                biased;
                read = reader.read_buf(&mut input) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    while let Some(reply) = answers.decode(&mut input)? {
                        flight.land(reply)?;
                    }
                }
                job = jobs.recv(), if room => match job {
                    Some(job) => self.launch(job, flight),
                    None => return Ok(()),
                },
                written = writer.write_buf(&mut flight.out), if !flight.out.is_empty() => { written?; }
                () = tokio::time::sleep(STALL_TICK), if !flight.waiting.is_empty() => {
                    let oldest = flight.waiting.first_key_value().map(|(_, (sent, _))| *sent);
                    let overdue = |sent| self.clock.now().since(sent) > self.purpose.stall_ms();
                    if oldest.is_some_and(overdue) {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer"));
                    }
                }
            }
        }
    }
}

/// What is on its way on one connection.
#[derive(Default)]
struct Flight {
    out: BytesMut,
    waiting: BTreeMap<u64, (Instant, oneshot::Sender<Result<Bytes, CallError>>)>,
}

impl Flight {
    fn land(&mut self, reply: Reply) -> io::Result<()> {
        let unexpected = || io::Error::new(io::ErrorKind::InvalidData, "unexpected answer");
        let Reply::Array(parts) = reply else {
            return Err(unexpected());
        };
        let Ok([Reply::Integer(number), answer]) = <[Reply; 2]>::try_from(parts) else {
            return Err(unexpected());
        };
        let number = u64::try_from(number).map_err(|_| unexpected())?;
        let Some((_, waiting)) = self.waiting.remove(&number) else {
            return Err(unexpected());
        };
        // A caller that no longer waits has dropped its end.
        _ = waiting.send(match answer {
            Reply::Bulk(body) => Ok(body),
            Reply::Error(text) => Err(CallError::Failed(text.into_owned())),
            _ => return Err(unexpected()),
        });
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn node(id: u64) -> Arc<Local> {
        Arc::new(Local::new(id, format!("incarnation of {id}"), None, None))
    }

    #[tokio::test]
    async fn what_was_given_up_is_not_delivered_later() {
        let listener = net::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let parts = LinkParts {
            local: node(1),
            clock: Clock::start(),
            tasks: Tasks::default(),
            runtime: runtime::Handle::current(),
        };
        let link = Link::open(&parts, Some(2), &address, Purpose::Votes);
        let call = link.call(Call::Votes, vec![0; 1 << 20], Duration::from_secs(30));
        let deaf = async {
            let mut stream = listener.accept().await.unwrap().0;
            let mut input = BytesMut::new();
            let hello = handshake::read_request(&mut stream, &mut input).await.unwrap();
            handshake::answer(&mut stream, &mut input, &node(2), &hello)
                .await
                .unwrap();
            stream
        };
        let (answer, mut stream) = tokio::join!(call, deaf);
        assert!(matches!(answer, Err(CallError::Lost(_))), "{answer:?}");
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest).await;
        assert_eq!(end.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset));
        assert!(rest.len() < 1 << 20, "all of it was delivered");
    }
}
