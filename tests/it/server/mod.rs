//! The server over real TCP, with a fake cluster behind it.

mod admission;
mod client;
mod events;
mod faces;
mod hostile;
mod pump;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use cfgserver::board::Board;
use cfgserver::clock::Clock;
use cfgserver::net::{self, TcpStream};
use cfgserver::pubsub::Hub;
use cfgserver::requests::{Face, NodeStatus, Write, WriteError, WriteReply};
use cfgserver::resp::Request;
use cfgserver::server::{Peers, Server, ServerOptions, ServerParts, Writes};
use cfgserver::task::Tasks;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// Nothing here takes long; what takes this long does not come.
const LIMIT: Duration = Duration::from_secs(10);

type Result = std::result::Result<WriteReply, WriteError>;

/// A node without a cluster: the test decides what becomes of a write.
struct World {
    hub: Arc<Hub>,
    server: Server,
    writes: mpsc::UnboundedReceiver<(Write, oneshot::Sender<Result>)>,
    peers: mpsc::UnboundedReceiver<(Request, BytesMut, TcpStream)>,
}

struct FakeWrites(mpsc::UnboundedSender<(Write, oneshot::Sender<Result>)>);

impl Writes for FakeWrites {
    fn write(&self, write: Write) -> BoxFuture<'static, Result> {
        let (sender, receiver) = oneshot::channel();
        self.0.send((write, sender)).unwrap();
        Box::pin(async { receiver.await.unwrap_or(Err(WriteError::Unknown)) })
    }
}

struct FakePeers(mpsc::UnboundedSender<(Request, BytesMut, TcpStream)>);

impl Peers for FakePeers {
    fn is_peer_request(&self, name: &[u8]) -> bool {
        name.starts_with(b"RAFT.")
    }

    fn serve(&self, stream: TcpStream, buffered: BytesMut, first: Request) -> BoxFuture<'static, ()> {
        self.0.send((first, buffered, stream)).unwrap();
        Box::pin(std::future::pending())
    }
}

impl World {
    fn start() -> Self {
        Self::with(ServerOptions::default())
    }

    fn with(options: ServerOptions) -> Self {
        Self::with_queue(options, 1 << 20)
    }

    fn with_queue(options: ServerOptions, queue_bytes_max: usize) -> Self {
        Self::with_faces(options, queue_bytes_max, &[Face::Open])
    }

    fn with_faces(options: ServerOptions, queue_bytes_max: usize, faces: &[Face]) -> Self {
        Self::at("127.0.0.1:0", options, queue_bytes_max, faces)
    }

    /// Listens at `address` for each face.
    fn at(address: &str, options: ServerOptions, queue_bytes_max: usize, faces: &[Face]) -> Self {
        let listener = || net::listen(address.parse().unwrap()).unwrap();
        let status = NodeStatus {
            id: 1,
            ready: true,
            listen: "127.0.0.1:26379".to_owned(),
            ..NodeStatus::default()
        };
        let board = Arc::new(Board::new(status));
        let hub = Arc::new(Hub::with_bound(board.clone(), queue_bytes_max));
        let (write_sender, writes) = mpsc::unbounded_channel();
        let (peer_sender, peers) = mpsc::unbounded_channel();
        let server = Server::start(ServerParts {
            listeners: faces.iter().map(|face| (listener(), *face)).collect(),
            board,
            hub: hub.clone(),
            writes: Arc::new(FakeWrites(write_sender)),
            peers: Arc::new(FakePeers(peer_sender)),
            clock: Clock::start(),
            tasks: Tasks::default(),
            options,
        });
        Self {
            hub,
            server: server.unwrap(),
            writes,
            peers,
        }
    }

    async fn connect(&self) -> Client {
        self.connect_to(0).await
    }

    /// A connection to one of the listeners.
    async fn connect_to(&self, listener: usize) -> Client {
        let address = self.server.addresses()[listener].to_string();
        Client(net::connect(&address, LIMIT).await.unwrap())
    }

    /// A connection that is seated: it was answered.
    async fn connect_seated(&self) -> Client {
        let mut client = self.connect().await;
        client.ask("PING\r\n", "+PONG\r\n").await;
        client
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = tokio::time::timeout(LIMIT, self.0.write_all(bytes.as_ref())).await;
        sent.expect("the server takes what is sent").unwrap();
    }

    /// Reads as many bytes as `expected` has, which they must be.
    async fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut got = vec![0; expected.len()];
        let mut filled = 0;
        while filled < got.len() {
            let read = tokio::time::timeout(LIMIT, self.0.read(&mut got[filled..])).await;
            let count = read.unwrap_or(Ok(0)).unwrap();
            if count == 0 {
                break;
            }
            filled += count;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(text(&got[..filled]), text(expected));
    }

    async fn ask(&mut self, request: impl AsRef<[u8]>, reply: impl AsRef<[u8]>) {
        self.send(request).await;
        self.expect(reply).await;
    }

    /// Nothing more comes, and the end is orderly: a reset may swallow what was said before.
    async fn expect_end(&mut self) {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(LIMIT, self.0.read_to_end(&mut rest)).await;
        read.expect("the connection is closed").expect("without a reset");
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }

    /// Nothing more comes; how it ends does not matter.
    async fn expect_gone(&mut self) {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(LIMIT, self.0.read_to_end(&mut rest)).await;
        // An error here is a reset.
        let _ = read.expect("the connection is closed");
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }

    /// Everything up to the next line end, without it.
    async fn line(&mut self) -> String {
        self.try_line().await.expect("the connection is open")
    }

    async fn try_line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let byte = tokio::time::timeout(LIMIT, self.0.read_u8()).await;
            line.push(byte.expect("a line comes").ok()?);
        }
        line.truncate(line.len() - 2);
        Some(String::from_utf8(line).unwrap())
    }

    /// A reply as text: its lines, those of arrays and bulk strings joined by spaces.
    async fn reply(&mut self) -> String {
        self.try_reply().await.expect("the connection is open")
    }

    /// A reply as text; `None` when the connection is closed in it or before it.
    async fn try_reply(&mut self) -> Option<String> {
        let line = self.try_line().await?;
        let count = || line[1..].parse::<i64>().unwrap();
        Some(match line.as_bytes()[0] {
            b'$' if count() >= 0 => {
                let mut bytes = vec![0; count() as usize + 2];
                let read = tokio::time::timeout(LIMIT, self.0.read_exact(&mut bytes)).await;
                read.expect("the rest comes").ok()?;
                String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned()
            }
            kind @ (b'*' | b'>' | b'%') => {
                let count = if kind == b'%' { count() * 2 } else { count() };
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(Box::pin(self.try_reply()).await?);
                }
                items.join(" ")
            }
            _ => line,
        })
    }
}

/// Waits until `condition` holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, holds).await.is_ok(), "in vain: {what}");
}
