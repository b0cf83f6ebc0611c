//! Sockets of a simulated network (turmoil's), which behave as a kernel's where turmoil's do not.
//!
//! - A way that is cut holds bytes back instead of losing them ([`super::weather`]).
//! - A connection across a cut way times out instead of being refused.
//! - Connections are accepted for a process that stands still.
//!
//! Who waits for a cut to end is the kernel of the machine: a task that no stop of the process reaches.

mod socket;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use socket::Socket;
pub use socket::{forget, orphan};

use super::weather;
use crate::task;

/// A connection on its way from one runtime to another: here there is one per machine.
pub type DetachedStream = TcpStream;

/// Connections that a process has not yet accepted.
const BACKLOG: usize = 1024;

/// An address that is ours, and at which nobody is served yet: connections are refused.
pub struct Bound(SocketAddr);

/// Takes the port of `address`.
pub fn bind(address: SocketAddr) -> io::Result<Bound> {
    Ok(Bound(address))
}

impl Bound {
    /// Begins to listen, on all addresses of the machine.
    pub fn listen(self) -> io::Result<TcpListener> {
        let any = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), self.0.port());
        let unready = || io::Error::other("a simulated port is bound at once");
        let listener = turmoil::net::TcpListener::bind(any)
            .now_or_never()
            .ok_or_else(unready)??;
        let address = listener.local_addr()?;
        let (backlog, accepted) = mpsc::channel(BACKLOG);
        task::spawn_in_kernel(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let stream = TcpStream::new(stream);
                if backlog.send((stream, peer)).await.is_err() {
                    return;
                }
            }
        });
        Ok(TcpListener {
            address,
            accepted: tokio::sync::Mutex::new(accepted),
        })
    }
}

/// Listens on `address` at once.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address)?.listen()
}

/// Accepts connections.
pub struct TcpListener {
    address: SocketAddr,
    accepted: tokio::sync::Mutex<mpsc::Receiver<(TcpStream, SocketAddr)>>,
}

impl TcpListener {
    /// The next connection, and who it is from.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = self.accepted.lock().await.recv().await;
        accepted.ok_or_else(|| io::ErrorKind::ConnectionAborted.into())
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Connects to `host:port` within `limit`.
pub async fn connect(host_port: &str, limit: Duration) -> io::Result<TcpStream> {
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, "only addresses are known here");
    let peer: SocketAddr = host_port.parse().map_err(invalid)?;
    let connected = tokio::time::timeout(limit, connect_to(peer)).await;
    connected.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "connect timed out"))?
}

/// There are no host names here.
pub async fn resolve(host: String, _limit: Duration) -> io::Result<Vec<IpAddr>> {
    let ip = host.parse();
    ip.map(|ip| vec![ip])
        .map_err(|_| io::Error::new(io::ErrorKind::NotFound, "only addresses are known here"))
}

async fn connect_to(peer: SocketAddr) -> io::Result<TcpStream> {
    if let Some(own) = own_address() {
        weather::open((own, peer.ip())).await;
        weather::open((peer.ip(), own)).await;
    }
    if weather::refuses(peer.ip()) {
        // The refusal takes its way back, too.
        tokio::time::sleep(Duration::from_millis(1)).await;
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(TcpStream::new(turmoil::net::TcpStream::connect(peer).await?))
}

fn own_address() -> Option<IpAddr> {
    Some(crate::host::Host::current()?.address())
}

/// Nothing to do: segments are sent at once, and what is lost is said by `weather`.
pub fn prepare(_stream: &TcpStream) -> io::Result<()> {
    Ok(())
}

/// Reads what has arrived.
pub fn read_arrived(stream: &TcpStream, chunk: &mut [u8]) -> io::Result<usize> {
    stream.try_read(chunk)
}

/// Whether there is something to read.
pub fn poll_readable(stream: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
    stream.0.poll_readable(context)
}

/// Nothing to do: whoever sent something is reset by turmoil when it is not read.
pub fn reset(_stream: &TcpStream) -> io::Result<()> {
    Ok(())
}

/// Says that nothing more will be sent; reading goes on.
pub fn finish(stream: &TcpStream) -> io::Result<()> {
    stream.0.finish();
    Ok(())
}

/// Takes a connection off this runtime.
pub fn detach(stream: TcpStream) -> io::Result<DetachedStream> {
    Ok(stream)
}

/// Puts a connection on this runtime.
pub fn attach(stream: DetachedStream) -> io::Result<TcpStream> {
    Ok(stream)
}
/// A connection.
#[derive(Debug)]
pub struct TcpStream(Arc<Socket>);

impl TcpStream {
    fn new(stream: turmoil::net::TcpStream) -> Self {
        Self(Socket::open(stream))
    }

    /// The own address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.local)
    }

    /// The other side's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.peer)
    }

    /// Resolves when there is something to read, an end or an error included.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.0.poll_readable(context)).await
    }

    /// Resolves when something can be written.
    pub async fn writable(&self) -> io::Result<()> {
        poll_fn(|context| self.0.poll_writable(context)).await
    }

    /// Reads what is there.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let mut context = Context::from_waker(Waker::noop());
        match self.0.poll_read(&mut context, &mut buffer) {
            Poll::Ready(result) => result.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes what can be written.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut context = Context::from_waker(Waker::noop());
        match self.0.poll_write(&mut context, bytes) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Both directions, to be used side by side.
    pub fn split(&mut self) -> (&Self, &Self) {
        (self, self)
    }
}

impl Drop for TcpStream {
    /// The end travels behind what is held back.
    fn drop(&mut self) {
        // When the whole simulation is dropped there is no network left.
        if turmoil::sim_elapsed().is_none() {
            return;
        }
        if weather::is_dying(self.0.local.ip()) {
            return socket::end_all(self.0.local.ip());
        }
        self.0.finish();
    }
}
impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(context, buffer)
    }
}

impl AsyncRead for &TcpStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(context, buffer)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.finish();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for &TcpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.finish();
        Poll::Ready(Ok(()))
    }
}
