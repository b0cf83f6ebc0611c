//! One connection, shared by its process and the kernel, which sends later what a cut holds back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::weather;
use crate::task;

/// Bytes that one connection holds back at most. Then its writer waits.
const HELD_MAX: usize = 1 << 20;

/// What the process and the kernel share of a connection.
#[derive(Debug)]
pub(super) struct Socket {
    number: u64,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    stream: Option<turmoil::net::TcpStream>,
    /// Written while the way was cut.
    held: BytesMut,
    /// Nothing more will be written.
    finished: bool,
    /// The kernel waits to send what is held.
    sending: bool,
    /// The other side is not there any more.
    dead: bool,
    /// The process on the other side ended while nothing was heard of its machine.
    orphaned: bool,
    /// Waits for bytes.
    reader: Option<Waker>,
    /// Waits for room.
    writer: Option<Waker>,
}

impl Socket {
    /// Takes over a connection.
    pub(super) fn open(stream: turmoil::net::TcpStream) -> Arc<Self> {
        let unknown = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0);
        let local = stream.local_addr().unwrap_or(unknown);
        let peer = stream.peer_addr().unwrap_or(unknown);
        let inner = Inner {
            stream: Some(stream),
            held: BytesMut::new(),
            finished: false,
            sending: false,
            dead: false,
            orphaned: false,
            reader: None,
            writer: None,
        };
        OPEN.with_borrow_mut(|open| {
            open.next += 1;
            let socket = Arc::new(Self {
                number: open.next,
                local,
                peer,
                inner: Mutex::new(inner),
            });
            open.sockets.insert(open.next, Arc::downgrade(&socket));
            socket
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn way(&self) -> weather::Way {
        (self.local.ip(), self.peer.ip())
    }

    fn way_back(&self) -> weather::Way {
        (self.peer.ip(), self.local.ip())
    }

    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut inner = self.inner();
        inner.reader = Some(context.waker().clone());
        if inner.found_dead(self.way_back(), context) {
            return Poll::Ready(Ok(()));
        }
        match &mut inner.stream {
            Some(stream) => stream.poll_peek(context, &mut buffer).map_ok(|_| ()),
            None => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        if inner.holds(self.way()) {
            return inner.room(context);
        }
        match &inner.stream {
            Some(stream) => std::pin::pin!(stream.writable()).poll(context),
            None => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn poll_read(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        if inner.found_dead(self.way_back(), context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        // A look in between must not replace who waits.
        if !context.waker().will_wake(Waker::noop()) {
            inner.reader = Some(context.waker().clone());
        }
        match &mut inner.stream {
            Some(stream) => Pin::new(stream).poll_read(context, buffer),
            None => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn poll_write(self: &Arc<Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.inner();
        if inner.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if inner.holds(self.way()) {
            return inner.room(context).map_ok(|()| {
                inner.held.extend_from_slice(bytes);
                self.send_later(&mut inner);
                bytes.len()
            });
        }
        match &mut inner.stream {
            Some(stream) => Pin::new(stream).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Ends the writing half, behind what is held back.
    pub(super) fn finish(self: &Arc<Self>) {
        let mut inner = self.inner();
        if std::mem::replace(&mut inner.finished, true) {
            return;
        }
        if inner.holds(self.way()) {
            return self.send_later(&mut inner);
        }
        inner.end();
    }

    /// Has the kernel send what is held when the way is open.
    fn send_later(self: &Arc<Self>, inner: &mut Inner) {
        if inner.sending {
            return;
        }
        inner.sending = true;
        let kept = Kept(self.clone());
        task::spawn_in_kernel(async move {
            let socket = &kept.0;
            weather::open(socket.way()).await;
            _ = poll_fn(|context| socket.inner().poll_send(context)).await;
            let mut inner = socket.inner();
            inner.sending = false;
            inner.held.clear();
            if inner.finished {
                inner.end();
            }
            if let Some(writer) = inner.writer.take() {
                writer.wake();
            }
        });
    }
}

/// A connection that only the kernel keeps: it ends with its machine, in its turn.
struct Kept(Arc<Socket>);

impl Drop for Kept {
    fn drop(&mut self) {
        if turmoil::sim_elapsed().is_some() && weather::is_dying(self.0.local.ip()) {
            end_all(self.0.local.ip());
        }
    }
}

impl Inner {
    /// Bytes must wait: the way is cut, or others wait already.
    fn holds(&self, way: weather::Way) -> bool {
        self.sending || !weather::is_open(way)
    }

    /// Its other side is not there any more, and that can be known.
    fn found_dead(&mut self, way_back: weather::Way, context: &mut Context<'_>) -> bool {
        self.dead |= self.orphaned && weather::poll_open(way_back, context).is_ready();
        self.dead
    }

    fn room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.len() < HELD_MAX {
            return Poll::Ready(Ok(()));
        }
        self.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(stream) = self.stream.as_mut().filter(|_| !self.held.is_empty()) {
            match Pin::new(stream).poll_write(context, &self.held) {
                Poll::Ready(Ok(count)) => self.held.advance(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn end(&mut self) {
        // What is left when a simulation is dropped has nobody to tell.
        if let Some(stream) = self.stream.as_mut().filter(|_| turmoil::in_simulation()) {
            let mut context = Context::from_waker(Waker::noop());
            // Where that fails the connection has ended already.
            _ = Pin::new(stream).poll_shutdown(&mut context);
        }
    }
}

/// All connections, the oldest first.
#[derive(Default)]
struct Open {
    next: u64,
    /// Those of a machine are being ended.
    ending: bool,
    sockets: BTreeMap<u64, Weak<Socket>>,
}

thread_local! {
    static OPEN: RefCell<Open> = RefCell::default();
}

/// A machine has lost its power and is back: what others had open to it is found to be dead, as keepalive finds it.
pub fn forget(machine: IpAddr) {
    change_those_to(machine, |_, inner| inner.dead = true);
}

/// The process of a machine has ended, and some others hear nothing of that machine. Its kernel says so again and again:
/// what they had open to it is found to be dead when they hear of it.
pub fn orphan(machine: IpAddr, deaf: &[IpAddr]) {
    change_those_to(machine, |local, inner| inner.orphaned |= deaf.contains(&local));
}

fn change_those_to(machine: IpAddr, change: impl Fn(IpAddr, &mut Inner)) {
    let all: Vec<Arc<Socket>> = OPEN.with_borrow(|open| open.sockets.values().filter_map(Weak::upgrade).collect());
    for socket in all.iter().filter(|socket| socket.peer.ip() == machine) {
        let reader = {
            let mut inner = socket.inner();
            change(socket.local.ip(), &mut inner);
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Ends all connections of a machine.
pub(super) fn end_all(machine: IpAddr) {
    if OPEN.with_borrow_mut(|open| std::mem::replace(&mut open.ending, true)) {
        return;
    }
    let all: Vec<Arc<Socket>> = OPEN.with_borrow(|open| open.sockets.values().filter_map(Weak::upgrade).collect());
    for socket in all.iter().filter(|socket| socket.local.ip() == machine) {
        socket.finish();
        let stream = socket.inner().stream.take();
        drop(stream);
    }
    OPEN.with_borrow_mut(|open| open.ending = false);
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Not there any more when the thread ends.
        _ = OPEN.try_with(|open| open.borrow_mut().sockets.remove(&self.number));
    }
}
