//! Following one node: a connection that asks and one that listens.
//!
//! Two, because a RESP2 connection that subscribes cannot ask. Both must end at the same process: what is looked up
//! after an event is then never older than the event.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::agent::follow::answer::{self, GroupAnswer, Heard, NodeFacts, REPLICA_EVENTS, SWITCHES};
use crate::agent::follow::{Follower, Left, MEET_LIMIT, Met, Wire, in_contact, read_facts, request};
use crate::model::{Address, Instant};

/// Signs of life are asked for this often.
const TICK_MS: u64 = 500;
/// A node that is silent for this long is left. It may have gone together with the primary that is being replaced:
/// another node costs little, and a switch takes hardly longer than this.
const SILENCE_MS: u64 = 1_500;
const SILENCE: Duration = Duration::from_millis(SILENCE_MS);
/// Groups that are asked about in one write: bounds what is in memory.
const GROUPS_AT_ONCE: usize = 64;
/// How often a node without contact is compared with the others, in ticks.
const COMPARE_TICKS: u64 = 4;

/// What goes on with one node.
pub(super) struct Session<'f> {
    follower: &'f mut Follower,
    place: usize,
    asks: Wire,
    listens: Wire,
    /// Groups to look up.
    due: BTreeSet<String>,
    groups: BTreeSet<String>,
    /// A sign of life was asked for then, and nothing was heard since.
    asked: Option<Instant>,
    refresh: Instant,
    tick: Instant,
    ticks: u64,
}

/// What ended a wait.
enum Woken {
    Event(Heard),
    Groups,
    Tick { subscription: Subscription },
}

/// What was seen of the subscription when it was time for the next question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subscription {
    /// It has nothing to say.
    Idle,
    /// It was not looked at: there was too much else.
    Unread,
}

impl<'f> Session<'f> {
    /// Follows the node until there is a reason to leave it.
    pub(super) async fn run(follower: &'f mut Follower, met: Met) -> Left {
        let mut session = match Self::begin(follower, met).await {
            Ok(session) => session,
            Err(fault) => return Left::Fault(fault),
        };
        loop {
            match session.turn().await {
                Ok(None) => {}
                Ok(Some(met)) => return Left::Better(Box::new(met)),
                Err(fault) => return Left::Fault(fault),
            }
        }
    }

    async fn begin(follower: &'f mut Follower, met: Met) -> Result<Self, String> {
        let Met { place, wire, facts } = met;
        let mut channels = SWITCHES.to_vec();
        if follower.replicas {
            channels.extend(REPLICA_EVENTS);
        }
        let listens = listen(&wire, &facts, &channels).await?;
        let node = follower.nodes[place].to_string();
        let foreign = follower.book.connected(&node, &facts.cluster, in_contact(&facts));
        foreign.map_err(|foreign| foreign.to_string())?;
        let groups = follower.groups.borrow_and_update().clone();
        let now = follower.clock.now();
        Ok(Self {
            place,
            asks: wire,
            listens,
            due: groups.clone(),
            groups,
            asked: None,
            refresh: now.plus(follower.refresh_ms),
            tick: now.plus(TICK_MS),
            ticks: 0,
            follower,
        })
    }

    /// Looks up what is due, then waits for the next thing to happen. Answers a better node when there is one.
    async fn turn(&mut self) -> Result<Option<Met>, String> {
        self.look_up().await?;
        match self.wait().await? {
            Woken::Event(Heard::News(group)) => {
                if self.groups.contains(&group) {
                    self.due.insert(group);
                }
            }
            Woken::Event(_) => {}
            Woken::Groups => {
                self.groups = self.follower.groups.borrow_and_update().clone();
                self.follower.book.concern(&self.groups);
                self.due = self.groups.clone();
            }
            Woken::Tick { subscription } => return self.on_tick(subscription).await,
        }
        Ok(None)
    }

    async fn wait(&mut self) -> Result<Woken, String> {
        let clock = self.follower.clock;
        // A flood of events must not hold up everything else.
        if clock.now() >= self.tick.plus(TICK_MS / 2) {
            let subscription = Subscription::Unread;
            return Ok(Woken::Tick { subscription });
        }
        tokio::select! {
            biased;
            frame = self.listens.next() => {
                self.asked = None;
                let heard = answer::heard(&frame?).map_err(|fault| fault.to_string())?;
                Ok(Woken::Event(heard))
            }
            Ok(()) = self.follower.groups.changed() => Ok(Woken::Groups),
            () = clock.sleep_until(self.tick) => Ok(Woken::Tick { subscription: Subscription::Idle }),
        }
    }

    /// Asks both connections for a sign of life, and about what is still open.
    async fn on_tick(&mut self, subscription: Subscription) -> Result<Option<Met>, String> {
        let now = self.follower.clock.now();
        self.tick = now.plus(TICK_MS);
        self.ticks += 1;
        let asked = *self.asked.get_or_insert(now);
        if subscription == Subscription::Idle && now.since(asked) >= SILENCE_MS {
            return Err(format!("its subscription is silent for {SILENCE_MS} ms"));
        }
        let ping = [request(&["PING"])];
        let sent = tokio::time::timeout(SILENCE, self.listens.send(&ping)).await;
        sent.map_err(|_| "its subscription takes no PING".to_owned())??;
        let replies = self.asks.call(&[request(&["INFO", "raft"])], SILENCE).await?;
        let facts = read_facts(&replies)?;
        self.check(&facts)?;
        self.follower.book.heard(in_contact(&facts));
        if now >= self.refresh {
            self.refresh = now.plus(self.follower.refresh_ms);
            self.due = self.groups.clone();
        }
        self.due.extend(self.follower.book.behind());
        // What could not be kept on disk is tried again.
        self.follower.book.commit();
        if in_contact(&facts) || !self.ticks.is_multiple_of(COMPARE_TICKS) {
            return Ok(None);
        }
        let other = self.follower.choose(Some(self.place)).await;
        Ok(other.filter(|other| in_contact(&other.facts)))
    }

    /// Whether the node is still one that may be followed.
    fn check(&self, facts: &NodeFacts) -> Result<(), String> {
        if !facts.ready {
            return Err("it is not ready any more".to_owned());
        }
        let foreign = self.follower.book.may_follow(&facts.cluster);
        foreign.map_err(|foreign| foreign.to_string())
    }

    async fn look_up(&mut self) -> Result<(), String> {
        if self.due.is_empty() && !self.groups.is_empty() {
            return Ok(());
        }
        let whole = self.due.len() >= self.groups.len();
        let due: Vec<String> = std::mem::take(&mut self.due).into_iter().collect();
        for groups in due.chunks(GROUPS_AT_ONCE) {
            self.look_up_some(groups).await?;
        }
        self.follower.book.commit();
        if whole {
            self.follower.book.complete();
        }
        Ok(())
    }

    async fn look_up_some(&mut self, groups: &[String]) -> Result<(), String> {
        let per_group = if self.follower.replicas { 2 } else { 1 };
        let ask = |group: &String| {
            let both = [
                request(&["SENTINEL", "MASTER", group]),
                request(&["SENTINEL", "REPLICAS", group]),
            ];
            both.into_iter().take(per_group)
        };
        let requests: Vec<Vec<Bytes>> = groups.iter().flat_map(ask).collect();
        let replies = self.asks.call(&requests, SILENCE).await?;
        for (group, replies) in groups.iter().zip(replies.chunks(per_group)) {
            let said = answer::group(group, &replies[0]).map_err(|fault| fault.to_string())?;
            match said {
                GroupAnswer::Missing => self.follower.book.missing(group),
                GroupAnswer::Found(mut route) => {
                    if let Some(replicas) = replies.get(1) {
                        let primary: Address = route.primary;
                        let healthy = answer::healthy_replicas(primary, replicas);
                        route.replicas = healthy.map_err(|fault| fault.to_string())?;
                    }
                    self.follower.book.found(group, route);
                }
            }
        }
        Ok(())
    }
}

/// A second connection to the same process that hears these channels.
async fn listen(wire: &Wire, facts: &NodeFacts, channels: &[&str]) -> Result<Wire, String> {
    let mut listens = Wire::connect(&wire.peer()?.to_string(), MEET_LIMIT).await?;
    let replies = listens.call(&[request(&["INFO", "raft"])], MEET_LIMIT).await?;
    let same = read_facts(&replies)?;
    if (same.id, &same.cluster) != (facts.id, &facts.cluster) {
        return Err("its address leads to more than one node".to_owned());
    }
    let words: Vec<&str> = std::iter::once("SUBSCRIBE").chain(channels.iter().copied()).collect();
    let subscribing = async {
        listens.send(&[request(&words)]).await?;
        let mut confirmed = 0;
        while confirmed < channels.len() {
            let frame = listens.next().await?;
            // An event may come between two confirmations: everything is looked up afterwards anyway.
            if answer::heard(&frame).map_err(|fault| fault.to_string())? == Heard::Confirmed {
                confirmed += 1;
            }
        }
        Ok(())
    };
    match tokio::time::timeout(MEET_LIMIT, subscribing).await {
        Ok(Ok(())) => Ok(listens),
        Ok(Err(fault)) => Err(fault),
        Err(_) => Err(format!("no subscription within {} ms", MEET_LIMIT.as_millis())),
    }
}
