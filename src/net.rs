//! The one place that opens sockets.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

/// A connection on its way from one runtime to another.
pub use std::net::TcpStream as DetachedStream;
/// What a connection is in this build.
pub use tokio::net::{TcpListener, TcpStream};

/// Pending connections that the kernel may hold for a listener: a fleet of proxies reconnects at once.
const BACKLOG: i32 = 4096;
/// A silent connection is probed after this long, and given up after four probes.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// An address that is ours, and at which nobody is served yet: connections are refused, they do not wait.
pub struct Bound(Socket);

/// Takes `address`, reusing one in TIME_WAIT.
pub fn bind(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(Bound(socket))
}

impl Bound {
    /// Begins to listen.
    pub fn listen(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)?;
        TcpListener::from_std(self.0.into())
    }
}

/// Listens on `address` at once.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address)?.listen()
}

/// Connects to `host:port` within `limit` and prepares the connection.
pub async fn connect(host_port: &str, limit: Duration) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(limit, TcpStream::connect(host_port))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "connect timed out"))??;
    prepare(&stream)?;
    Ok(stream)
}

/// Sends small writes at once, and notices a peer that vanished.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE / 4)
        .with_retries(4);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Has the connection reset when it is dropped, instead of ended: the other side learns that nobody was there.
pub fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Says that nothing more will be sent; reading goes on.
pub fn finish(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(std::net::Shutdown::Write)
}
