//! Connections beyond the limit: their first request is read, and decides.
//!
//! Peers may use the whole reserve and operators on this machine half of it; everyone else is told why and
//! closed. Nobody is closed unread, because old proxies do not survive that. The lobby is bounded as well: one
//! more connection ends the wait of the one that has waited longest. The reserve is not for the port of old
//! proxies: they live beside the node and ask what an operator asks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::model::Age;
use crate::net::TcpStream;
use crate::requests::Face;
use crate::resp::{ProtocolError, Request};

use super::Shared;
use super::connection;
use super::glance::is_operator;
use super::input::{Input, Read};
use super::registry::{Claim, Seat};
use super::socket::{close_with, turn_away};

const REFUSAL: &str = "ERR max number of clients reached";
/// Whoever has said nothing for so long is no proxy that is about to ask, and is told why it is closed.
const SILENT_MS: Age = 100;

enum First {
    Request(Request),
    /// It does not speak the protocol.
    Garbage(ProtocolError),
    /// It has sent nothing for too long.
    Silence,
    /// It is gone.
    Gone,
}

pub(super) async fn wait(stream: TcpStream, face: Face, shared: Arc<Shared>) {
    let entered = shared.clock.now();
    let mut input = Input::new(shared.options.limits);
    let place = shared.registry.enter_lobby();
    let first = first_request(&stream, &mut input, place.evicted(), &shared).await;
    drop(place);
    let refusal = match first {
        First::Gone => return,
        First::Silence if input.is_unheard() && shared.clock.now().since(entered) < SILENT_MS => {
            shared.counters.rejected();
            return turn_away(stream);
        }
        First::Silence => REFUSAL.to_owned(),
        First::Garbage(error) => format!("ERR Protocol error: {error}"),
        First::Request(request) => match claim(&request, &stream, face, &shared) {
            Some(seat) => return connection::serve_from(stream, face, seat, (input, request), shared).await,
            None => REFUSAL.to_owned(),
        },
    };
    shared.counters.rejected();
    close_with(&stream, &refusal, &shared).await;
}

async fn first_request(stream: &TcpStream, input: &mut Input, evicted: &CancellationToken, shared: &Shared) -> First {
    let limit = Duration::from_millis(shared.options.lobby_ms);
    let stopping = shared.tasks.stopping();
    tokio::select! {
        // Who has asked is answered, whatever ends the wait at the same time.
        biased;
        first = read_request(stream, input, shared) => first.unwrap_or(First::Gone),
        () = tokio::time::sleep(limit) => First::Silence,
        () = evicted.cancelled() => First::Silence,
        () = stopping.cancelled() => First::Silence,
    }
}

async fn read_request(stream: &TcpStream, input: &mut Input, shared: &Shared) -> io::Result<First> {
    loop {
        match input.next(shared.clock.now()) {
            Ok(Some(request)) => return Ok(First::Request(request)),
            Ok(None) => {}
            Err(error) => return Ok(First::Garbage(error)),
        }
        stream.readable().await?;
        match input.read(stream)? {
            Read::Bytes(count) => shared.counters.input(count),
            Read::Nothing => {}
            Read::End => return Ok(First::Gone),
        }
    }
}

/// The seat that the first request entitles to.
fn claim(request: &Request, stream: &TcpStream, face: Face, shared: &Shared) -> Option<Seat> {
    let name = request.name();
    let claim = if face == Face::Proxy {
        Claim::Client
    } else if shared.peers.is_peer_request(name) {
        Claim::Peer
    } else if is_operator(request) && is_local(stream) {
        Claim::Operator
    } else {
        Claim::Client
    };
    shared.registry.claim(claim)
}

fn is_local(stream: &TcpStream) -> bool {
    stream
        .peer_addr()
        .is_ok_and(|address| address.ip().to_canonical().is_loopback())
}
