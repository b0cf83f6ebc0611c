//! The sockets of the pretend instances: one listener each, and their connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::clock::Clock;
use crate::fleet::answer::{Session, answer};
use crate::fleet::client::Floor;
use crate::fleet::instance::Life;
use crate::net::{self, TcpListener, TcpStream};
use crate::resp::{Decoder, Limits, Protocol, encode};
use crate::task::Tasks;

/// Room for a usual request; there may be tens of thousands of connections.
const READ_BYTES: usize = 512;

/// Everything that the tasks of a fleet share.
#[derive(Clone)]
pub(super) struct Shared {
    floor: Arc<Mutex<Floor>>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
}

impl Shared {
    pub(super) fn new(floor: Floor, clock: Clock, tasks: Tasks) -> Self {
        Self {
            floor: Arc::new(Mutex::new(floor)),
            clock,
            tasks,
        }
    }

    /// Nothing waits while it is held.
    pub(super) fn floor(&self) -> MutexGuard<'_, Floor> {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens for one instance as long as the fleet runs. `listener` is its first one.
pub(super) async fn instance(shared: Shared, place: usize, address: SocketAddr, listener: TcpListener) {
    let mut life = shared.floor().lives[place].subscribe();
    let stop = shared.tasks.stopping();
    let mut listener = Some(listener);
    loop {
        let now = *life.borrow_and_update();
        match now {
            // A closed port refuses; the kernel answers for a process that hangs.
            Life::Killed => listener = None,
            Life::Up if listener.is_none() => match net::listen(address) {
                Ok(again) => listener = Some(again),
                Err(fault) => {
                    warn!(target: "cfgserver::fleet", %address, %fault, "cannot listen again: stays killed");
                    return;
                }
            },
            Life::Up | Life::Hung => {}
        }
        let accepting = listener.as_ref().filter(|_| now == Life::Up);
        tokio::select! {
            () = stop.cancelled() => return,
            changed = life.changed() => if changed.is_err() { return },
            accepted = accept(accepting) => match accepted {
                Ok((stream, peer)) => {
                    let connection = connection(shared.clone(), place, stream, peer);
                    shared.tasks.spawn("fleet-connection", connection);
                }
                // No descriptors: whoever waits goes on waiting until some are free.
                Err(fault) => {
                    warn!(target: "cfgserver::fleet", %address, %fault, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn connection(shared: Shared, place: usize, stream: TcpStream, peer: SocketAddr) {
    let (id, outbox, life) = {
        let mut floor = shared.floor();
        let (id, outbox) = floor.enter(place, peer.to_string(), shared.clock.now());
        (id, outbox, floor.lives[place].subscribe())
    };
    let stop = shared.tasks.stopping();
    tokio::select! {
        () = stop.cancelled() => {}
        () = talk(&shared, Session::new(place, id), stream, outbox, life) => {}
    }
    shared.floor().leave(place, id);
}

/// Answers until one side ends it, or the process is killed.
async fn talk(
    shared: &Shared,
    mut session: Session,
    mut stream: TcpStream,
    mut outbox: mpsc::Receiver<Bytes>,
    mut life: watch::Receiver<Life>,
) {
    if net::prepare(&stream).is_err() {
        return;
    }
    let mut decoder = Decoder::new(Limits::CLIENT);
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let mut output = BytesMut::new();
    loop {
        if life.wait_for(|life| *life != Life::Hung).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            message = outbox.recv() => match message {
                Some(bytes) => output.extend_from_slice(&bytes),
                // Killed, by CLIENT KILL or with its instance.
                None => {
                    _ = net::reset(&stream);
                    return;
                }
            },
            changed = life.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
            read = stream.read_buf(&mut input) => {
                if !matches!(read, Ok(1..)) || !answer_all(shared, &mut session, &mut decoder, &mut input, &mut output) {
                    return;
                }
            }
        }
        if !output.is_empty() && stream.write_all_buf(&mut output).await.is_err() {
            return;
        }
    }
}

/// Answers what has arrived; whether the connection may go on.
fn answer_all(
    shared: &Shared,
    session: &mut Session,
    decoder: &mut Decoder,
    input: &mut BytesMut,
    output: &mut BytesMut,
) -> bool {
    let now = shared.clock.now();
    let mut floor = shared.floor();
    loop {
        match decoder.decode(input) {
            Ok(Some(request)) => {
                let reply = answer(&mut floor, session, request, now);
                encode(&reply, Protocol::Resp2, output);
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}
