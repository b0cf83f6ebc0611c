//! What a connection waits for between its turns, and what it makes of that.

use std::io;
use std::time::Duration;

use tracing::info;

use crate::net::{self, TcpStream};
use crate::pubsub::Subscription;
use crate::requests::{WriteError, WriteReply};
use crate::server::Shared;
use crate::server::input::Read;
use crate::server::pause::Pause;

use super::{Connection, Phase, Stage, Writing};

/// How long a connection waits for its end at shutdown.
const DRAIN_PATIENCE: Duration = Duration::from_millis(800);

/// What ended a wait.
pub(super) enum Woken {
    Readable,
    Writable,
    Events,
    Written(Result<WriteReply, WriteError>),
    Resumed,
    HalfFrame,
    Killed,
    Stop,
    Stuck,
}

impl Connection {
    pub(super) async fn wait(&mut self, stream: &TcpStream) -> io::Result<Woken> {
        let open = self.phase == Phase::Open;
        let room = self.has_room();
        let reading = open && room && self.writing.is_none() && !self.has_more();
        let half_since = self.input.half_since().filter(|_| reading);
        let deadline = half_since.map(|since| since.plus(self.shared.options.half_frame_ms));
        let word = self.seat.word();
        let heard = !self.input.is_unheard();
        tokio::select! {
            biased;
            () = word.ended(), if self.phase != Phase::Gone => Ok(Woken::Killed),
            () = word.stopped(), if open && heard => Ok(Woken::Stop),
            ready = net::readable(stream), if reading => ready.map(|()| Woken::Readable),
            // What has arrived counts: who has just asked for the first time is not turned away.
            () = word.stopped(), if open => Ok(Woken::Stop),
            ready = stream.writable(), if !self.output.is_empty() => ready.map(|()| Woken::Writable),
            () = events(&mut self.subscription, room) => Ok(Woken::Events),
            result = written(&mut self.writing) => Ok(Woken::Written(result)),
            () = resumed(self.paused, &self.shared) => Ok(Woken::Resumed),
            () = self.shared.clock.sleep_until(deadline.unwrap_or_default()), if deadline.is_some() => Ok(Woken::HalfFrame),
            () = stuck(&self.shared), if !open => Ok(Woken::Stuck),
        }
    }

    pub(super) fn react(&mut self, woken: Woken, stream: &TcpStream) -> io::Result<()> {
        match woken {
            Woken::Readable => match self.input.read(stream)? {
                Read::Bytes(count) => self.shared.counters.input(count),
                Read::Nothing => {}
                Read::End => self.phase = Phase::Ending(None),
            },
            // The next turn sends and delivers.
            Woken::Writable | Woken::Events | Woken::Resumed => {}
            Woken::Killed => self.phase = Phase::Gone,
            Woken::Written(result) => self.written(result),
            Woken::HalfFrame => {
                info!(target: "cfgserver::server", id = self.seat.id(), "a request stayed incomplete");
                let limit_ms = self.shared.options.half_frame_ms;
                let error = format!("ERR Protocol error: request not complete after {limit_ms} ms");
                self.phase = Phase::Ending(Some(error));
            }
            Woken::Stop if self.input.is_unheard() => self.phase = Phase::TurnedAway,
            Woken::Stop => self.phase = Phase::Ending(None),
            Woken::Stuck => self.phase = Phase::Gone,
        }
        Ok(())
    }

    /// The events that the write led to are in the hub: where they are heard, the next turn puts them in order.
    fn written(&mut self, result: Result<WriteReply, WriteError>) {
        if let Some(writing) = &mut self.writing {
            writing.stage = Stage::Done(result);
        }
        if self.subscription.is_none() {
            self.answer_write();
        }
    }
}

/// Resolves when there is an event and room for it, and in any case when the subscription is closed.
async fn events(subscription: &mut Option<Subscription>, room: bool) {
    match subscription {
        Some(subscription) if room => subscription.ready().await,
        Some(subscription) => subscription.closed().await,
        None => std::future::pending().await,
    }
}

/// Resolves when one step of the end has taken too long: the other side may not read any more.
async fn stuck(shared: &Shared) {
    let patience = if shared.tasks.stopping().is_cancelled() {
        DRAIN_PATIENCE
    } else {
        Duration::from_millis(shared.options.half_frame_ms)
    };
    tokio::time::sleep(patience).await;
}

async fn resumed(paused: Option<Pause>, shared: &Shared) {
    match paused {
        Some(pause) => shared.pauses.over(pause, &shared.clock).await,
        None => std::future::pending().await,
    }
}

async fn written(writing: &mut Option<Writing>) -> Result<WriteReply, WriteError> {
    match writing {
        Some(Writing {
            stage: Stage::Waits(result),
            ..
        }) => result.await,
        _ => std::future::pending().await,
    }
}
