//! Accepts connections, and goes on accepting when the process is out of file descriptors.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::net::{self, TcpListener, TcpStream};
use crate::requests::Face;

use super::{Shared, connection, lobby};

/// After a failed accept: time for others to close something.
const PAUSE: Duration = Duration::from_millis(100);
/// A failure that stays is logged once in so many times: every ten seconds.
const LOG_EVERY: u64 = 100;

pub(super) async fn accept(listener: TcpListener, face: Face, shared: Arc<Shared>) {
    let stopping = shared.tasks.stopping();
    let mut failures = 0_u64;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                failures = 0;
                admit(stream, face, &shared);
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                if failures.is_multiple_of(LOG_EVERY) {
                    warn!(target: "cfgserver::server", %error, failures, "cannot accept connections, trying again");
                }
                failures += 1;
                tokio::select! {
                    biased;
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
}

/// The connection was gone before it was accepted; the next one may be well.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

fn admit(stream: TcpStream, face: Face, shared: &Arc<Shared>) {
    shared.counters.connection();
    if let Err(error) = net::prepare(&stream) {
        // It is gone already; the first read will say so.
        info!(target: "cfgserver::server", %error, "cannot prepare a connection");
    }
    match shared.registry.seat() {
        Some(seat) => shared
            .tasks
            .spawn("connection", connection::serve(stream, face, seat, shared.clone())),
        None => shared.tasks.spawn("lobby", lobby::wait(stream, face, shared.clone())),
    }
}
