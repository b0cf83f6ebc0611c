//! Sockets of the kernel.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::Interest;
use tokio::sync::Semaphore;

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

/// Takes a connection off its runtime.
pub fn detach(stream: TcpStream) -> io::Result<DetachedStream> {
    stream.into_std()
}

/// Puts a connection on the current runtime.
pub fn attach(stream: DetachedStream) -> io::Result<TcpStream> {
    let stream = TcpStream::from_std(stream)?;
    prepare(&stream)?;
    Ok(stream)
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

/// Names that are resolved at the same time. Each takes a thread for as long as the system's resolver likes, which is
/// half a minute when nobody answers it; the rest wait, and give up at their limit.
const LOOKUPS_MAX: usize = 16;
static LOOKUPS: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// The IP addresses of `host` as the system's resolver has them, within `limit`.
pub async fn resolve(host: String, limit: Duration) -> io::Result<Vec<IpAddr>> {
    const ANY_PORT: u16 = 0;
    let looking = async {
        let turn = LOOKUPS.acquire().await.map_err(io::Error::other)?;
        let lookup = tokio::task::spawn_blocking(move || {
            // Held until the resolver is done with it, whoever still waits.
            let _turn = turn;
            let found = (host.as_str(), ANY_PORT).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        });
        lookup.await.map_err(io::Error::other)?
    };
    let timed_out = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer of the resolver in time");
    tokio::time::timeout(limit, looking).await.map_err(timed_out)?
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

/// Reads what has arrived. When that was less than fits, it was all, and `poll_readable` waits for more instead of having
/// the next read find nothing: the kernel tells of every arrival behind an empty buffer, and of an end. What arrives
/// during the read is not forgotten, since the state of the socket is noted before.
pub fn read_arrived(stream: &TcpStream, chunk: &mut [u8]) -> io::Result<usize> {
    let mut read = None;
    let tried = stream.try_io(Interest::READABLE, || {
        let count = (&*SockRef::from(stream)).read(chunk)?;
        read = Some(count);
        let was_all = (1..chunk.len()).contains(&count);
        if was_all {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(())
        }
    });
    match read {
        Some(count) => Ok(count),
        None => tried.map(|()| 0),
    }
}

/// Whether there is something to read.
pub fn poll_readable(stream: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
    stream.poll_read_ready(context)
}

/// Has the connection reset when it is dropped, instead of ended: the other side learns that nobody was there.
pub fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Says that nothing more will be sent; reading goes on.
pub fn finish(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(std::net::Shutdown::Write)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connected = connect(&address, Duration::from_secs(10)).await.unwrap();
        (connected, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_prepared_connection_sends_small_writes_at_once() {
        let (connected, accepted) = pair().await;
        assert!(connected.nodelay().unwrap() && !accepted.nodelay().unwrap());
        prepare(&accepted).unwrap();
        assert!(accepted.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_name_that_is_this_machine_is_found_and_one_that_cannot_be_is_not() {
        let limit = Duration::from_secs(10);
        let found = resolve("localhost".to_owned(), limit).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        // RFC 6761: this name is never anybody's.
        assert!(resolve("redis.invalid".to_owned(), limit).await.is_err());
    }

    #[tokio::test]
    async fn a_reset_is_told_from_an_end() {
        let (mut connected, accepted) = pair().await;
        drop(accepted);
        assert_eq!(connected.read(&mut [0]).await.unwrap(), 0);
        let (mut connected, accepted) = pair().await;
        reset(&accepted).unwrap();
        drop(accepted);
        let error = connected.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
