//! One connection: what came in is answered in order, events go out between the answers.
//!
//! It takes turns. A turn loads the board's state once, hands the events up to that state's revision to the
//! session, then answers requests from the same state, so that a connection sees one order of things. Then
//! everything is written at once.
//!
//! Full: while more than `output_bytes_high` of output is unsent, nothing is read, answered or taken from the
//! hub. A client that only asks is slowed down; a subscriber's queue in the hub fills, and then it is closed.

mod events;
mod waiting;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tracing::{debug, trace, warn};

use crate::model::{GroupName, Instant};
use crate::net::TcpStream;
use crate::pubsub::Subscription;
use crate::requests::{Effect, Face, Render, Session, Stats, View, WriteError, WriteReply, dispatch};
use crate::resp::{Reply, Request};
use crate::sentinel::Published;

use super::Shared;
use super::glance::{asks_for_counters, asks_for_events, is_foreign};
use super::input::Input;
use super::local::Disk;
use super::output::Output;
use super::pause::Pause;
use super::registry::Seat;
use super::socket::{linger, turn_away};
use super::topics::Topics;

/// Requests that are taken from the input at once: a bound on what one connection does before others get on.
const TURN_REQUESTS_MAX: usize = 128;

/// Serves a new connection.
pub(super) async fn serve(stream: TcpStream, face: Face, seat: Seat, shared: Arc<Shared>) {
    let input = Input::new(shared.options.limits);
    Connection::new(&stream, face, seat, input, shared).run(stream).await;
}

/// Serves a connection whose first request was read already.
pub(super) async fn serve_from(
    stream: TcpStream,
    face: Face,
    seat: Seat,
    (input, first): (Input, Request),
    shared: Arc<Shared>,
) {
    let mut connection = Connection::new(&stream, face, seat, input, shared);
    connection.requests.push_back(first);
    connection.run(stream).await;
}

struct Connection {
    shared: Arc<Shared>,
    seat: Seat,
    session: Session,
    input: Input,
    /// Taken from the input, not answered.
    requests: VecDeque<Request>,
    output: Output,
    subscription: Option<Subscription>,
    /// What the registry knows that it subscribes to.
    topics: Topics,
    /// Something was answered that the registry does not know of.
    unshown: bool,
    writing: Option<Writing>,
    /// The next request waits for the end of this.
    paused: Option<Pause>,
    phase: Phase,
}

/// A write that the cluster is carrying out. Later requests wait for it, events do not.
struct Writing {
    stage: Stage,
    render: Option<Render>,
    /// The `+monitor` of this group comes after the answer.
    monitors: Option<GroupName>,
    /// That `+monitor`, and nothing behind it, while it waits for the answer.
    held: Option<Arc<Published>>,
}

impl Writing {
    fn holds(&self, event: &Published) -> bool {
        let monitored = event.monitored.as_ref().map(|(name, _)| name);
        monitored.is_some() && monitored == self.monitors.as_ref()
    }
}

enum Stage {
    /// Under way.
    Waits(BoxFuture<'static, Result<WriteReply, WriteError>>),
    /// Came back; what is to be told before its answer may not be told yet.
    Done(Result<WriteReply, WriteError>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing more is read. What was read is answered; then this error is said, if there is one.
    Ending(Option<String>),
    /// Nothing more is answered. What is in the output is sent.
    Closing,
    /// Closed without another word.
    Gone,
    /// As if nobody had been here.
    TurnedAway,
}

/// What a turn leads to.
enum Next {
    /// Wait for something to happen.
    Wait,
    /// There is more to do.
    Again,
    /// The connection is a peer's.
    HandOver(Request),
    /// All is said and sent.
    Finished,
}

impl Connection {
    fn new(stream: &TcpStream, face: Face, seat: Seat, input: Input, shared: Arc<Shared>) -> Self {
        let name = |address: io::Result<std::net::SocketAddr>| address.map_or_else(|_| "?:0".into(), canonical);
        let (peer, local) = (name(stream.peer_addr()), name(stream.local_addr()));
        trace!(target: "cfgserver::server", id = seat.id(), peer, "connected");
        let session = Session::new(face, seat.id(), peer, local, shared.clock.now());
        Self {
            shared,
            seat,
            session,
            input,
            requests: VecDeque::new(),
            output: Output::default(),
            subscription: None,
            topics: Topics::default(),
            unshown: false,
            writing: None,
            paused: None,
            phase: Phase::Open,
        }
    }

    async fn run(mut self, stream: TcpStream) {
        self.show();
        let shared = self.shared.clone();
        loop {
            match self.turn(&stream, &shared) {
                Ok(Next::Wait) => {}
                Ok(Next::Again) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Ok(Next::HandOver(request)) => return self.hand_over(stream, request).await,
                Ok(Next::Finished) => break,
                Err(error) => return self.lost(&error),
            }
            let woken = self.wait(&stream).await;
            if let Err(error) = woken.and_then(|woken| self.react(woken, &stream)) {
                return self.lost(&error);
            }
        }
        let drained = self.shared.tasks.stopping().is_cancelled();
        if self.phase == Phase::TurnedAway {
            turn_away(stream);
        } else if self.phase == Phase::Closing && !drained {
            linger(&stream).await;
        }
        trace!(target: "cfgserver::server", id = self.seat.id(), "closed");
    }

    /// Answers what there is to answer, and sends what can be sent.
    fn turn(&mut self, stream: &TcpStream, shared: &Shared) -> io::Result<Next> {
        let now = self.shared.clock.now();
        self.take_requests(now);
        if let Some(request) = self.answer(now, shared) {
            return Ok(Next::HandOver(request));
        }
        self.end();
        if std::mem::take(&mut self.unshown) {
            self.show();
            self.show_topics();
        }
        self.output.send(stream, shared)?;
        Ok(self.next())
    }

    /// Moves complete requests from the input into the queue.
    fn take_requests(&mut self, now: Instant) {
        while self.requests.len() < TURN_REQUESTS_MAX && self.reads_requests() {
            if self.requests.back().is_some_and(|last| self.is_from_peer(last)) {
                // What is behind it is for the peers, and follows their rules.
                return;
            }
            match self.input.next(now) {
                Ok(Some(request)) => self.requests.push_back(request),
                Ok(None) => return,
                Err(error) => {
                    debug!(target: "cfgserver::server", id = self.seat.id(), %error, "protocol error");
                    self.phase = Phase::Ending(Some(format!("ERR Protocol error: {error}")));
                }
            }
        }
    }

    /// Whether a peer begins to talk with it. On the port of old proxies there are none.
    fn is_from_peer(&self, request: &Request) -> bool {
        self.session.face() != Face::Proxy && self.shared.peers.is_peer_request(request.name())
    }

    /// Whether requests may still come out of the input. After the other side's end they may: they were sent.
    fn reads_requests(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Ending(None))
    }

    /// One state for the events and for the requests behind them. Gives back the request of a peer.
    fn answer(&mut self, now: Instant, shared: &Shared) -> Option<Request> {
        if matches!(self.phase, Phase::Closing | Phase::Gone | Phase::TurnedAway) {
            self.subscription = None;
            return None;
        }
        self.keep_subscription();
        if self.subscription.is_none() && self.told_before_answer().is_some() {
            self.answer_write();
        }
        if self.requests.is_empty() && self.subscription.is_none() {
            return None;
        }
        // Events come before the state that they led to: whoever holds the state has them in the queue.
        let (state, node) = (shared.board.state(), shared.board.status());
        // Events and lookups come by the thousand, and need no counters.
        let stats = if self.requests.iter().any(asks_for_counters) {
            shared.stats(state.revision())
        } else {
            Stats::default()
        };
        let view = View {
            state,
            sightings: &*shared.board,
            node: &node,
            clients: &*shared.registry,
            dials: shared.board.dials(),
            scripts: shared.board.scripts(),
            files: &Disk,
            stats: &stats,
            now,
            wall: shared.clock.wall(),
        };
        self.deliver(&view);
        self.paused = None;
        while self.answers() {
            let request = self.requests.pop_front()?;
            if self.is_from_peer(&request) && !self.session.subscribed() {
                return Some(request);
            }
            self.paused = self.pause_of(&request, now);
            if self.paused.is_some() {
                self.requests.push_front(request);
                return None;
            }
            self.carry_out(&request, &view);
        }
        None
    }

    /// What holds the request. At the end of the node nothing does any more.
    fn pause_of(&self, request: &Request, now: Instant) -> Option<Pause> {
        let pause = self.shared.pauses.of(request, now)?;
        (!self.shared.tasks.stopping().is_cancelled()).then_some(pause)
    }

    fn answers(&self) -> bool {
        let open = matches!(self.phase, Phase::Open | Phase::Ending(_));
        open && self.writing.is_none() && self.paused.is_none() && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.output.len() < self.shared.options.output_bytes_high
    }

    fn carry_out(&mut self, request: &Request, view: &View<'_>) {
        self.shared.counters.command();
        if request.name().eq_ignore_ascii_case(b"CLIENT") {
            // It may look at itself.
            self.show();
        }
        if is_foreign(request) {
            warn!(target: "cfgserver::server", id = self.seat.id(), "a browser was sent here, closing the connection");
            self.phase = Phase::Gone;
            return;
        }
        let effect = dispatch(&mut self.session, view, request);
        self.seat.show_request(self.session.last_request());
        self.unshown |= self.session.take_relisted();
        self.take_effect(effect);
        if asks_for_events(request)
            && let Some((short, long)) = self.session.take_prefix()
        {
            self.shared.prefixes.warn(self.session.peer(), &short, &long);
        }
    }

    fn take_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(reply) => self.put(&reply),
            Effect::Local { act, then } => {
                self.shared.act(act, self.session.peer());
                self.take_effect(*then);
            }
            Effect::Write { write, render } => {
                self.writing = Some(Writing {
                    monitors: write.monitors().cloned(),
                    held: None,
                    stage: Stage::Waits(self.shared.writes.write(write)),
                    render: Some(render),
                });
            }
            Effect::Close(reply) => {
                self.put(&reply);
                self.phase = Phase::Closing;
            }
            Effect::Drop => self.phase = Phase::Closing,
        }
    }

    fn put(&mut self, reply: &Reply) {
        if matches!(reply, Reply::Error(_)) {
            self.shared.counters.error_reply();
        }
        self.output.put(reply, self.session.protocol());
    }

    /// An ending connection closes when all that was read is answered.
    fn end(&mut self) {
        let answered = self.requests.is_empty() && self.writing.is_none();
        match &mut self.phase {
            Phase::Ending(None) if answered && self.input.is_dry() => self.phase = Phase::Closing,
            Phase::Ending(Some(error)) if answered => {
                let error = Reply::error(std::mem::take(error));
                self.phase = Phase::Closing;
                self.put(&error);
            }
            _ => {}
        }
    }

    fn next(&self) -> Next {
        match self.phase {
            Phase::Gone | Phase::TurnedAway => Next::Finished,
            Phase::Closing if self.output.is_empty() => Next::Finished,
            Phase::Closing => Next::Wait,
            _ if self.answers() && self.has_more() => Next::Again,
            _ => Next::Wait,
        }
    }

    fn has_more(&self) -> bool {
        !self.requests.is_empty() || (self.reads_requests() && !self.input.is_dry())
    }

    fn show(&self) {
        self.seat.show(self.session.list_line(self.shared.clock.now()));
    }

    /// Tells the registry when what it subscribes to has changed.
    fn show_topics(&mut self) {
        let (channels, patterns) = (self.session.channels(), self.session.patterns());
        if *channels != self.topics.channels || *patterns != self.topics.patterns {
            self.topics = Topics {
                channels: channels.clone(),
                patterns: patterns.clone(),
            };
            self.seat.show_topics(self.topics.clone());
        }
    }

    /// Sends what is owed and leaves the connection to the peers. It keeps its seat.
    async fn hand_over(mut self, stream: TcpStream, request: Request) {
        while !self.output.is_empty() {
            let sent = match stream.writable().await {
                Ok(()) => self.output.send(&stream, &self.shared),
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                return self.lost(&error);
            }
        }
        self.session.becomes_peer();
        self.show();
        let Self {
            shared, seat, input, ..
        } = self;
        let talk = shared.peers.serve(stream, input.into_bytes(), request);
        shared.node_tasks.spawn("peer connection", async move {
            tokio::select! {
                () = talk => {}
                () = seat.word().ended() => {}
            }
            drop(seat);
        });
    }

    fn lost(&self, error: &io::Error) {
        debug!(target: "cfgserver::server", id = self.seat.id(), %error, "connection lost");
    }
}

fn canonical(address: std::net::SocketAddr) -> String {
    std::net::SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}
