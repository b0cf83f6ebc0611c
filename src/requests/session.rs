//! A client connection as requests see it: protocol, names, subscriptions, and what it was told.
//!
//! What does not live here: the socket, and the queue of events that wait for it.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::model::{Group, GroupName, Instant};
use crate::requests::client::tracking::Tracking;
use crate::requests::spec::Spec;
use crate::requests::told::{Filter, ListKind, Told};
use crate::requests::{Face, View};
use crate::resp::{Protocol, Reply, glob_matches};
use crate::sentinel::{Published, SWITCH_CHANNEL};

/// Subscriptions of one connection. There are some forty channels; a client that wants more is mistaken.
const SUBSCRIPTIONS_MAX: usize = 4096;
/// Bytes of all the names and patterns of one connection.
const SUBSCRIPTION_BYTES_MAX: usize = 1 << 18;

/// A client connection.
#[derive(Debug)]
pub struct Session {
    face: Face,
    pub(super) id: u64,
    peer: String,
    local: String,
    connected: Instant,
    active: Instant,
    pub(super) protocol: Protocol,
    pub(super) name: String,
    pub(super) library_name: String,
    pub(super) library_version: String,
    last_request: &'static str,
    /// The row of that request.
    last_row: Option<&'static Spec>,
    /// Its line of CLIENT LIST may be another one, apart from how long ago the last request was, and which one it was.
    relisted: bool,
    answers: Answers,
    /// CLIENT TRACKING, while it is on.
    pub(super) tracking: Option<Tracking>,
    /// CLIENT NO-EVICT.
    pub(super) no_evict: bool,
    /// It has become a connection of another node.
    is_peer: bool,
    channels: BTreeSet<Bytes>,
    patterns: BTreeSet<Bytes>,
    told: Told,
}

/// Whether requests are answered: CLIENT REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    On,
    Off,
    /// On, but for the next request.
    SkipNext,
    /// On, but for this one.
    Skip,
}

/// The two kinds of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Channel,
    Pattern,
}

/// A connection has as many subscriptions as it may.
#[derive(Debug)]
pub(super) struct TooMany;

impl Session {
    /// A connection that was just accepted; `peer` and `local` are `ip:port`.
    pub fn new(face: Face, id: u64, peer: String, local: String, now: Instant) -> Self {
        Self {
            face,
            id,
            peer,
            local,
            connected: now,
            active: now,
            protocol: Protocol::Resp2,
            name: String::new(),
            library_name: String::new(),
            library_version: String::new(),
            last_request: "NULL",
            last_row: None,
            relisted: false,
            answers: Answers::On,
            tracking: None,
            no_evict: false,
            is_peer: false,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            told: Told::nothing(face),
        }
    }

    /// The connection's number, as CLIENT ID answers.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Who it is: `ip:port`.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// How the port treats it.
    pub fn face(&self) -> Face {
        self.face
    }

    /// The protocol of replies and messages.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether it subscribes to anything.
    pub fn subscribed(&self) -> bool {
        self.subscriptions() > 0
    }

    /// Channels and patterns that it subscribes to.
    pub fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// The channels that it subscribes to.
    pub fn channels(&self) -> &BTreeSet<Bytes> {
        &self.channels
    }

    /// The patterns that it subscribes to.
    pub fn patterns(&self) -> &BTreeSet<Bytes> {
        &self.patterns
    }

    /// The frames of an event for this connection; `None` when it does not concern it or is no news.
    ///
    /// Events must come in the order of their revisions, and before a request is dispatched with a view of the
    /// revision that they caused.
    pub fn deliver(&mut self, event: &Published, view: &View<'_>) -> Option<Reply> {
        let heard = self.hear(event, view);
        match (heard, self.hear_of_name(event, view)) {
            (Some(event), Some(switch)) => Some(Reply::Many(vec![event, switch])),
            (event, switch) => event.or(switch),
        }
    }

    fn hear(&mut self, event: &Published, view: &View<'_>) -> Option<Reply> {
        if !self.hears(event.channel) {
            return None;
        }
        if let Some((_, to)) = &event.switch
            && !self.told.concerns(self.filter(), event.switched_name(), to)
        {
            return None;
        }
        let event = self.told.admit(&view.state, event)?;
        if self.told.keeps_name(&event) {
            return None;
        }
        self.frames(&event)
    }

    /// A switch when a name is monitored again elsewhere than this connection believes. Nobody else would tell it
    /// that the address which it was told is no longer the last one.
    fn hear_of_name(&mut self, event: &Published, view: &View<'_>) -> Option<Reply> {
        let (name, to) = event.monitored.as_ref()?;
        if !self.hears(SWITCH_CHANNEL) || !self.told.hears_of_monitored(self.filter(), name, to) {
            return None;
        }
        // Where it was before is known only to `told`; the proxies that keep a list do not look at it.
        let switch = Published::switch(event.group?, name, event.revision, to.clone(), to.clone());
        let switch = self.told.admit(&view.state, &switch)?;
        self.frames(&switch)
    }

    /// The frames of a switch for each group that this connection was told of and that has moved since. Requests
    /// that subscribe include it; the pump needs it only when it may have missed events. A node that has not caught
    /// up says nothing.
    pub fn catch_up(&mut self, view: &View<'_>) -> Option<Reply> {
        if !view.node.ready || !self.hears(SWITCH_CHANNEL) {
            return None;
        }
        let switches = self.told.moved(&view.state, self.filter());
        let frames: Vec<_> = switches.iter().filter_map(|event| self.frames(event)).collect();
        if frames.is_empty() {
            None
        } else {
            Some(Reply::Many(frames))
        }
    }

    /// Whether it can hear of nothing but changed addresses.
    pub fn hears_only_switches(&self) -> bool {
        let switches = SWITCH_CHANNEL.as_bytes();
        let other = self.channels.iter().chain(&self.patterns).any(|name| name != switches);
        self.face == Face::Proxy || !other
    }

    /// Two groups that an old proxy looked up by name and cannot tell apart, because the name of the second begins
    /// with that of the first. Once, when it subscribes.
    pub fn take_prefix(&mut self) -> Option<(GroupName, GroupName)> {
        if !self.subscribes_as_old_proxy() {
            return None;
        }
        self.told.take_prefix()
    }

    /// This connection's line of CLIENT LIST, with a line feed.
    pub fn list_line(&self, now: Instant) -> String {
        let seconds = |then: Instant| now.since(then) / 1000;
        let protocol = match self.protocol {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        };
        format!(
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={} db=0 sub={} psub={} ssub=0 multi=-1 qbuf=0 \
             qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={} user=default \
             redir={} resp={protocol} lib-name={} lib-ver={}\n",
            self.id,
            self.peer,
            self.local,
            self.name,
            seconds(self.connected),
            seconds(self.active),
            self.list_flags(),
            self.channels.len(),
            self.patterns.len(),
            self.last_request,
            self.tracking.as_ref().map_or(-1, Tracking::redirection),
            self.library_name,
            self.library_version,
        )
    }

    /// When the last request came, and which one it was.
    pub fn last_request(&self) -> (Instant, &'static str) {
        (self.active, self.last_request)
    }

    /// The row of the last request.
    pub(super) fn last_row(&self) -> Option<&'static Spec> {
        self.last_row
    }

    /// Whether more of its line than that may have changed since this was asked before.
    pub fn take_relisted(&mut self) -> bool {
        std::mem::take(&mut self.relisted)
    }

    fn list_flags(&self) -> String {
        let flags = [
            (self.is_peer, 'S'),
            (self.subscribed(), 'P'),
            (self.tracking.is_some(), 't'),
            (self.no_evict, 'e'),
        ];
        let set: String = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect();
        if set.is_empty() { "N".to_owned() } else { set }
    }

    /// From now on another node talks here.
    pub fn becomes_peer(&mut self) {
        self.is_peer = true;
    }

    /// The next request begins. Says whether it is answered, as far as CLIENT REPLY was asked for before it.
    pub(super) fn begin_request(&mut self) -> bool {
        self.answers = match self.answers {
            Answers::SkipNext => Answers::Skip,
            Answers::Skip => Answers::On,
            other => other,
        };
        self.answers_now()
    }

    /// Whether requests are answered.
    pub(super) fn answers_now(&self) -> bool {
        self.answers == Answers::On
    }

    /// CLIENT REPLY ON.
    pub(super) fn answer_all(&mut self) {
        self.answers = Answers::On;
    }

    /// CLIENT REPLY OFF.
    pub(super) fn answer_none(&mut self) {
        self.answers = Answers::Off;
    }

    /// CLIENT REPLY SKIP.
    pub(super) fn skip_next_answer(&mut self) {
        if self.answers != Answers::Off {
            self.answers = Answers::SkipNext;
        }
    }

    /// A request arrived.
    pub(super) fn note(&mut self, request: &'static Spec, now: Instant) {
        self.last_request = request.name;
        self.last_row = Some(request);
        self.active = now;
        self.relisted |= !request.leaves_session();
        if let Some(tracking) = &mut self.tracking
            && !request.name.starts_with("client|")
        {
            tracking.next_request_passed();
        }
    }

    /// As on a new connection: RESET.
    pub(super) fn reset(&mut self) {
        self.protocol = Protocol::Resp2;
        self.name.clear();
        self.answers = Answers::On;
        self.tracking = None;
        self.no_evict = false;
        self.channels.clear();
        self.patterns.clear();
        self.told = Told::nothing(self.face);
    }

    /// The client is told the primary of a group that it asked for.
    pub(super) fn looked_up(&mut self, view: &View<'_>, group: &Group) {
        self.told.looked_up(&view.state, group);
    }

    /// The client asked for the primary of a group that there is not.
    pub(super) fn looked_up_in_vain(&mut self, view: &View<'_>, name: &[u8]) {
        self.told.looked_up_in_vain(&view.state, name);
    }

    /// The client asked for the primaries of all groups, and may be refused yet.
    pub(super) fn asked_for_list(&mut self, kind: ListKind) {
        self.told.asked_for_list(kind);
    }

    /// The client is told the primaries of all groups.
    pub(super) fn listed(&mut self, view: &View<'_>) {
        self.told.listed(&view.state);
    }

    /// Adds a subscription; having it already is fine.
    pub(super) fn subscribe(&mut self, kind: Kind, name: &Bytes) -> Result<(), TooMany> {
        if self.names(kind).contains(name) {
            return Ok(());
        }
        let bytes: usize = self.channels.iter().chain(&self.patterns).map(Bytes::len).sum();
        if self.subscriptions() >= SUBSCRIPTIONS_MAX || bytes + name.len() > SUBSCRIPTION_BYTES_MAX {
            return Err(TooMany);
        }
        // A copy: the name must not keep the read buffer alive.
        self.names_mut(kind).insert(Bytes::copy_from_slice(name));
        self.told.subscriptions_changed();
        Ok(())
    }

    /// Takes a subscription away; not having it is fine.
    pub(super) fn unsubscribe(&mut self, kind: Kind, name: &Bytes) {
        if self.names_mut(kind).remove(name) {
            self.told.subscriptions_changed();
        }
    }

    /// The subscriptions of one kind.
    pub(super) fn names(&self, kind: Kind) -> &BTreeSet<Bytes> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
        }
    }

    fn names_mut(&mut self, kind: Kind) -> &mut BTreeSet<Bytes> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    fn hears(&self, channel: &str) -> bool {
        if self.face == Face::Proxy && channel != SWITCH_CHANNEL {
            return false;
        }
        let channel = channel.as_bytes();
        self.channels.contains(channel) || self.patterns.iter().any(|pattern| glob_matches(pattern, channel))
    }

    /// Which switches it is spared. Old proxies close the connection on a message that they do not expect, so they
    /// get only what they know.
    fn filter(&self) -> Filter {
        match self.face {
            Face::Open if self.subscribes_as_old_proxy() => Filter::BySignature,
            Face::Open | Face::Strict => Filter::Nothing,
            Face::Proxy => Filter::Always,
        }
    }

    /// The signature of the proxies: one subscription, to this very pattern.
    fn subscribes_as_old_proxy(&self) -> bool {
        self.subscriptions() == 1 && self.patterns.contains(SWITCH_CHANNEL.as_bytes())
    }

    /// One frame per subscription that matches.
    fn frames(&self, event: &Published) -> Option<Reply> {
        let channel = event.channel.as_bytes();
        // Nothing is copied: an event goes to thousands.
        let bulk = |text: &'static str| Reply::Bulk(Bytes::from_static(text.as_bytes()));
        let mut frames = Vec::new();
        if self.channels.contains(channel) {
            frames.push(Reply::Push(vec![
                bulk("message"),
                bulk(event.channel),
                Reply::Bulk(event.payload.clone()),
            ]));
        }
        for pattern in self.patterns.iter().filter(|pattern| glob_matches(pattern, channel)) {
            frames.push(Reply::Push(vec![
                bulk("pmessage"),
                Reply::Bulk(pattern.clone()),
                bulk(event.channel),
                Reply::Bulk(event.payload.clone()),
            ]));
        }
        match frames.len() {
            0 => None,
            1 => frames.pop(),
            _ => Some(Reply::Many(frames)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new(Face::Open, 1, String::new(), String::new(), Instant(0))
    }

    #[test]
    fn the_number_of_subscriptions_is_bounded_and_repeating_one_is_free() {
        let mut session = session();
        for number in 0..SUBSCRIPTIONS_MAX {
            session
                .subscribe(Kind::Channel, &Bytes::from(number.to_string()))
                .unwrap();
        }
        assert!(session.subscribe(Kind::Pattern, &Bytes::from("one-more")).is_err());
        session.subscribe(Kind::Channel, &Bytes::from("0")).unwrap();
        assert_eq!(session.subscriptions(), SUBSCRIPTIONS_MAX);
    }

    #[test]
    fn the_bytes_of_subscriptions_are_bounded() {
        let mut session = session();
        session
            .subscribe(Kind::Pattern, &Bytes::from(vec![b'a'; SUBSCRIPTION_BYTES_MAX]))
            .unwrap();
        assert!(session.subscribe(Kind::Channel, &Bytes::from("b")).is_err());
    }
}
