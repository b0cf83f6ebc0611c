//! The server: one port, one protocol, for clients, people and peers; and, for old proxies, a second one.
//!
//! ```text
//! listener -> admission (seats, reserve, lobby) -> connection: bytes -> requests -> Effect -> bytes, one write per batch
//!                                                    | Write -> Writes (Raft)     ^ events <- pubsub::Subscription
//!                                                    | RAFT.* -> Peers (the whole connection)
//! ```
//!
//! A connection is one task. It is never closed for being idle, nor because something changed in the cluster. A
//! refusal is an answer to a request that was read; who is turned away before that is reset, as if nobody had been
//! here.
//! What does not live here: what a request means (`requests`), and which events a session wants.

mod cluster;
mod connection;
mod counters;
mod glance;
mod input;
mod listener;
mod lobby;
mod local;
mod output;
mod pause;
mod prefixes;
mod registry;
mod socket;
mod topics;
mod word;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::board::Board;
use crate::clock::Clock;
use crate::net::{TcpListener, TcpStream};
use crate::pubsub::Hub;
use crate::requests::{Face, Write, WriteError, WriteReply};
use crate::resp::{Limits, Request};
use crate::task::Tasks;

use counters::Counters;
use pause::Pauses;
use prefixes::Prefixes;
use registry::Registry;

/// How long connections have at shutdown to get what they were promised.
const DRAIN: Duration = Duration::from_millis(1000);

/// Carries out what only the cluster can do. The Raft handle in a node, a fake in tests.
pub trait Writes: Send + Sync {
    /// Resolves when it is applied on this node, refused, or its outcome is unknown.
    fn write(&self, write: Write) -> BoxFuture<'static, Result<WriteReply, WriteError>>;
}

/// Takes over the connections of other nodes.
pub trait Peers: Send + Sync {
    /// Whether a request of this name begins a node-to-node conversation.
    fn is_peer_request(&self, name: &[u8]) -> bool;

    /// Talks on `stream` until it is over. `first` was read from it, and then `buffered`.
    fn serve(&self, stream: TcpStream, buffered: BytesMut, first: Request) -> BoxFuture<'static, ()>;
}

/// A node that talks to no other: node-to-node requests are unknown commands.
pub struct NoPeers;

impl Peers for NoPeers {
    fn is_peer_request(&self, _name: &[u8]) -> bool {
        false
    }

    fn serve(&self, _stream: TcpStream, _buffered: BytesMut, _first: Request) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What a server is made of.
pub struct ServerParts {
    /// Where it accepts, and how whoever connects there is treated. All of them share every bound.
    pub listeners: Vec<(TcpListener, Face)>,
    /// What it answers from.
    pub board: Arc<Board>,
    /// Where its events come from.
    pub hub: Arc<Hub>,
    /// Carries out writes.
    pub writes: Arc<dyn Writes>,
    /// Takes over the connections of other nodes.
    pub peers: Arc<dyn Peers>,
    /// Time.
    pub clock: Clock,
    /// The node's tasks; the server stops with them, or alone by [`Server::drain`].
    pub tasks: Tasks,
    /// Bounds.
    pub options: ServerOptions,
}

/// The bounds of a server. How much may wait for one subscriber is the hub's.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// Connections, peers included.
    pub connections_max: usize,
    /// How many of them are kept for peers and operators; operators get at most half of these.
    pub reserve: usize,
    /// Connections beyond the limit whose first request is awaited; one more ends the oldest wait.
    pub lobby_max: usize,
    /// How long such a connection may take to send its first request, in milliseconds.
    pub lobby_ms: u64,
    /// How long a request may be incomplete, in milliseconds.
    pub half_frame_ms: u64,
    /// Unsent bytes of replies from which on a connection is not read and its events wait in the hub.
    pub output_bytes_high: usize,
    /// Bounds of a request.
    pub limits: Limits,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            reserve: 64,
            lobby_max: 256,
            lobby_ms: 5_000,
            half_frame_ms: 60_000,
            output_bytes_high: 256 << 10,
            limits: Limits::CLIENT,
        }
    }
}

/// What all connections share.
struct Shared {
    board: Arc<Board>,
    hub: Arc<Hub>,
    writes: Arc<dyn Writes>,
    peers: Arc<dyn Peers>,
    clock: Clock,
    /// Of the server: ends with a drain.
    tasks: Tasks,
    /// Of the node: peers talk on while clients are drained.
    node_tasks: Tasks,
    options: ServerOptions,
    counters: Counters,
    registry: Arc<Registry>,
    prefixes: Prefixes,
    pauses: Pauses,
    /// Cancelled when a client wants the node to end.
    stop_asked: CancellationToken,
}

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// Starts to accept.
    pub fn start(parts: ServerParts) -> io::Result<Self> {
        let addresses = parts.listeners.iter().map(|(listener, _)| listener.local_addr());
        let addresses = addresses.collect::<io::Result<_>>()?;
        let shared = Arc::new(Shared {
            board: parts.board,
            hub: parts.hub,
            writes: parts.writes,
            peers: parts.peers,
            clock: parts.clock,
            tasks: parts.tasks.child(),
            node_tasks: parts.tasks,
            options: parts.options,
            counters: Counters::default(),
            registry: Arc::new(Registry::new(parts.clock, parts.options)),
            prefixes: Prefixes::default(),
            pauses: Pauses::default(),
            stop_asked: CancellationToken::new(),
        });
        let tasks = shared.tasks.clone();
        for (listener, face) in parts.listeners {
            tasks.spawn("listener", listener::accept(listener, face, shared.clone()));
        }
        tasks.spawn("counters", counters::sample(shared.clone()));
        let (stopping, registry) = (tasks.stopping(), shared.registry.clone());
        tasks.spawn("server-stop", async move {
            stopping.cancelled().await;
            registry.stop();
        });
        Ok(Self { shared, addresses })
    }

    /// Where it accepts, in the order of its listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Resolves when a client has asked that the node ends: SHUTDOWN.
    pub async fn asked_to_stop(&self) {
        self.shared.stop_asked.cancelled().await;
    }

    /// Stops to accept, answers the requests that were read, closes the connections of clients. Takes a second
    /// at most. Connections of peers stay.
    pub async fn drain(&self) {
        self.shared.tasks.shut_down(DRAIN).await;
    }
}
