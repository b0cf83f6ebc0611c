//! A connection of the probe, and what was asked on it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::model::{Age, Instant};
use crate::redis::{Answer, Link, LinkError, Target, request};
use crate::requests::SENTINELS_CHANNEL;

static PING: [Bytes; 1] = [Bytes::from_static(b"PING")];

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// PING, sent at this moment.
    Ping(Instant),
    /// INFO
    Info,
    /// CLIENT SETNAME: for people; the answer is of no interest.
    Name,
    /// PUBSUB NUMSUB: how many Sentinels listen there.
    Sentinels,
    /// CLIENT LIST: which ones.
    SentinelList,
    /// SCRIPT KILL; only what PING says next is of interest.
    ScriptKill,
}

/// An open connection.
pub(super) struct Line {
    link: Box<Link>,
    asks: VecDeque<Ask>,
    /// When it was opened.
    pub(super) opened_at: Instant,
    /// It has answered something.
    pub(super) heard: bool,
    /// It does not say who listens.
    pub(super) hides_sentinels: bool,
}

/// A place for a connection.
#[derive(Default)]
pub(super) enum Slot {
    /// None.
    #[default]
    Empty,
    /// On its way.
    Connecting(BoxFuture<'static, Result<Box<Link>, LinkError>>),
    /// Usable, as far as one knows.
    Open(Line),
}

/// What happened in a slot.
pub(super) enum Happening {
    /// An attempt to connect ended.
    Connected(Result<Box<Link>, LinkError>),
    /// An answer came.
    Answered(Ask, Answer),
    /// The connection ended.
    Ended(LinkError),
}

impl Line {
    /// A fresh connection: INFO first, so that nothing is thought of the wrong process.
    pub(super) fn open(link: Box<Link>, name: &str, now: Instant) -> Self {
        let mut line = Self {
            link,
            asks: VecDeque::new(),
            opened_at: now,
            heard: false,
            hides_sentinels: false,
        };
        line.ask_info();
        line.ask_ping(now);
        line.asks.push_back(Ask::Name);
        line.link.queue(&request(["CLIENT", "SETNAME", name]));
        line
    }

    /// The instance calls commands something else from now on.
    pub(super) fn follow_names(&mut self, target: &Target) {
        self.link.follow_names(target);
        self.hides_sentinels = false;
    }

    pub(super) fn ask_info(&mut self) {
        self.asks.push_back(Ask::Info);
        self.link.queue(&request(["INFO"]));
    }

    /// PING, unless one is still unanswered: the bytes that wait in a hung instance stay bounded.
    pub(super) fn ask_ping(&mut self, now: Instant) {
        if self.ping_sent_at().is_none() {
            self.asks.push_back(Ask::Ping(now));
            self.link.queue(&PING);
        }
    }

    /// Asks how many Sentinels listen there, unless that is known to lead nowhere or was not answered yet.
    pub(super) fn ask_sentinels(&mut self) {
        if !self.hides_sentinels && !self.asks.contains(&Ask::Sentinels) {
            self.asks.push_back(Ask::Sentinels);
            self.link.queue(&request(["PUBSUB", "NUMSUB", SENTINELS_CHANNEL]));
        }
    }

    /// Asks which ones. Few clients of an instance subscribe: the list is short.
    pub(super) fn ask_sentinel_list(&mut self) {
        self.asks.push_back(Ask::SentinelList);
        self.link.queue(&request(["CLIENT", "LIST", "TYPE", "pubsub"]));
    }

    /// Tells a script that keeps it from answering to end. One that has written goes on: Redis sees to that.
    pub(super) fn kill_script(&mut self) {
        self.asks.push_back(Ask::ScriptKill);
        self.link.queue(&request(["SCRIPT", "KILL"]));
    }

    /// When the unanswered PING was sent.
    pub(super) fn ping_sent_at(&self) -> Option<Instant> {
        self.asks.iter().find_map(|ask| match ask {
            Ask::Ping(at) => Some(*at),
            _ => None,
        })
    }

    /// INFOs that were not answered yet.
    pub(super) fn infos_pending(&self) -> usize {
        self.asks.iter().filter(|ask| **ask == Ask::Info).count()
    }

    /// Requests that were not answered yet.
    pub(super) fn pending(&self) -> u32 {
        u32::try_from(self.asks.len()).unwrap_or(u32::MAX)
    }

    async fn happening(&mut self) -> Happening {
        let answer = match self.link.answer().await {
            Ok(answer) => answer,
            Err(error) => return Happening::Ended(error),
        };
        self.heard = true;
        match self.asks.pop_front() {
            Some(ask) => Happening::Answered(ask, answer),
            None => Happening::Ended(LinkError::Protocol("an answer that nobody asked for".to_owned())),
        }
    }
}

impl Slot {
    /// Begins to connect.
    pub(super) fn connect(&mut self, target: Target, limit_ms: Age) {
        let limit = Duration::from_millis(limit_ms);
        *self = Self::Connecting(Box::pin(
            async move { Link::connect(&target, limit).await.map(Box::new) },
        ));
    }

    /// Waits for what happens next; for ever in an empty slot. Can be dropped while it waits.
    pub(super) async fn happening(&mut self) -> Happening {
        match self {
            Self::Empty => std::future::pending().await,
            Self::Connecting(attempt) => Happening::Connected(attempt.await),
            Self::Open(line) => line.happening().await,
        }
    }

    pub(super) fn line(&mut self) -> Option<&mut Line> {
        match self {
            Self::Open(line) => Some(line),
            _ => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}
