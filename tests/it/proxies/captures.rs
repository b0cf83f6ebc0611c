//! Every capture of the real proxies, played again.
//!
//! Two plays. In the first the doubles get the sentinel's bytes, as they were cut, byte by byte, and as much as
//! possible in one piece; they must send, close, abort and move as the real proxies did. In the second our own
//! request handling is the sentinel, with the same groups monitored beside foreign ones.
//!
//! The files of `captures/` hold the bytes and the outcomes, condensed: `script` says how. Which capture went where:
//!
//! ```text
//! what was run                                       file                      played
//! -------------------------------------------------  ------------------------  ------------------------------------
//! BDRP and Sentinel 7.0.15: never subscribed         bdrp-01-sentinel7         both
//! BDRP and Sentinel 2.6.16: switch, cut, again       bdrp-02-sentinel26        both
//! BDRP, scripted sentinel, what INFO may look like   bdrp-10-info              both; bytes made from the case's
//! BDRP, scripted sentinel, ack, errors, messages     bdrp-10-messages          both; description, see there
//! BDRP, four of those cases with bytes, both builds  bdrp-11                   both
//! both, accepted and closed, refused, silent         12-accept-then-close      both
//! BDRP, timers, long host, unnamed server            bdrp-30-misc              both, the connections to the sentinel
//! NetEase's and Sentinel 7.0.15                      163-01-sentinel7          both
//! the same, the instances with a password            163-02-passwords          both
//! NetEase's, the instances' side                     163-03-instances          both, the sentinel's side only
//! NetEase's, scripted sentinel, lookups              163-10-answers            both; bytes made from the case's
//! NetEase's, scripted sentinel, ack, messages        163-10-messages           both; description, see there
//! NetEase's, three of those with bytes, both builds  163-11                    both
//! NetEase's, a port that is the prefix of another    163-12-port-prefix        both
//! NetEase's, list of sentinels, silence, timeouts    163-20-list               both
//! the INFO layout that we serve, both proxies        layout                    both
//! 199 switches under load; 1,000 groups              stress                    both, without the clients
//! BDRP, read and write split over three switches     -                         no bytes with a sentinel were kept
//! BDRP, ejection of read replicas                    -                         bytes with instances only
//! BDRP, sentinel's address without a route           -                         no connection: it ends itself
//! BDRP, slots                                        -                         keys and instances only
//! ```
//!
//! Of `bdrp-30` the rewritten files, signals, statistics and the white list have no bytes with a sentinel.

mod ours;
mod script;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::bdrp::Bdrp;
use super::double::{Action, Double};
use super::netease::Netease;
use super::reply::NO_RESP;
use script::{Case, Kind, Line, Proxy};

/// A proxy of a script.
enum Player {
    Bdrp(Bdrp),
    Netease(Netease),
}

impl Player {
    fn new(proxy: &Proxy) -> Self {
        match proxy.kind {
            Kind::Bdrp { buffer_bytes } => {
                let groups = proxy.groups.iter();
                let servers: Vec<_> = groups
                    .map(|(group, address)| (group.as_str(), address.clone()))
                    .collect();
                Self::Bdrp(Bdrp::new(&servers, proxy.wait_ms).with_buffer(buffer_bytes))
            }
            Kind::Netease { sentinels } => {
                let groups: Vec<_> = proxy.groups.iter().map(|(group, _)| group.as_str()).collect();
                Self::Netease(Netease::new(&groups, sentinels, proxy.wait_ms))
            }
        }
    }

    fn double(&mut self) -> &mut dyn Double {
        match self {
            Self::Bdrp(bdrp) => bdrp,
            Self::Netease(netease) => netease,
        }
    }

    fn unanswered(&mut self) -> Vec<Action> {
        match self {
            Self::Bdrp(_) => panic!("BDRP waits for ever"),
            Self::Netease(netease) => netease.unanswered(),
        }
    }
}

/// How the sentinel's bytes are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    AsSeen,
    Bytes,
    Together,
}

/// One case with one proxy.
struct Play<'a> {
    place: String,
    cut: Cut,
    case: &'a Case,
    player: Option<Player>,
    open: bool,
    /// What the proxy did and the script has not yet said.
    done: VecDeque<Action>,
}

impl Play<'_> {
    fn double(&mut self) -> &mut dyn Double {
        self.player.as_mut().expect("a case begins with a proxy").double()
    }

    fn did(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Warn(_) => continue,
                Action::Close(_) | Action::Abort(_) => self.open = false,
                Action::Send(_) | Action::AskRoles | Action::Moved { .. } => {}
            }
            self.done.push_back(action);
        }
    }

    fn expect(&mut self, wanted: &str, matches: impl FnOnce(&Action) -> bool) {
        let next = self.done.pop_front();
        let place = &self.place;
        assert!(
            next.as_ref().is_some_and(matches),
            "{place}: {wanted}, but it did {next:?}"
        );
    }

    fn receive(&mut self, bytes: &[u8], whole: bool) {
        if !self.open {
            return;
        }
        if self.cut != Cut::Bytes || whole {
            let actions = self.double().received(bytes);
            self.did(actions);
            return;
        }
        for byte in bytes {
            let actions = self.double().received(&[*byte]);
            self.did(actions);
            if !self.open {
                return;
            }
        }
    }

    fn run(&mut self) {
        let mut steps = self.case.steps.iter().peekable();
        let mut receiving = false;
        while let Some(step) = steps.next() {
            self.place = format!("{} ({:?})", step.place, self.cut);
            // What comes in several pieces is followed by all that it led to.
            let more = std::mem::replace(&mut receiving, matches!(step.line, Line::Received { .. }));
            if step.line.is_stimulus() && !(more && receiving) {
                assert_eq!(self.done, [], "{}: something else came first", self.place);
            }
            match &step.line {
                Line::Received { bytes, whole } => {
                    assert!(self.open || more, "{}: there is no connection", self.place);
                    let mut bytes = bytes.clone();
                    while self.cut == Cut::Together
                        && let Some(Line::Received { bytes: more, .. }) = steps.peek().map(|step| &step.line)
                    {
                        bytes.extend_from_slice(more);
                        steps.next();
                    }
                    self.receive(&bytes, *whole);
                }
                line => self.step(line),
            }
        }
        assert_eq!(self.done, [], "{}: the case ends here", self.place);
    }

    fn step(&mut self, line: &'_ Line) {
        match line {
            Line::Proxy(_) | Line::Connect | Line::Roles(_) | Line::Timer => self.drive(line),
            Line::Lost | Line::ClosedAtOnce | Line::Unanswered => self.drive(line),
            Line::Received { .. } => unreachable!("handed over before"),
            Line::Sends(bytes) => self.expect("it sends", |action| *action == Action::Send(bytes.clone())),
            Line::AsksRoles => self.expect("it asks ROLE", |action| *action == Action::AskRoles),
            Line::Closed { garbage } => self.expect("it closes", |action| {
                let Action::Close(why) = action else {
                    return false;
                };
                (why == NO_RESP) == *garbage
            }),
            Line::Aborted => self.expect("it aborts", |action| matches!(action, Action::Abort(_))),
            Line::Moved { group, from, to } => {
                let (group, from, to) = (group.clone(), from.clone(), to.clone());
                let wanted = Action::Moved { group, from, to };
                self.expect("it moves", |action| *action == wanted);
            }
            Line::Kept => assert!(self.open, "{}: the connection is kept", self.place),
            Line::Ready(wanted) => {
                let ready = self.double().ready();
                assert_eq!(ready, *wanted, "{}: clients are served", self.place);
            }
            Line::Sentinel(wanted) => {
                let sentinel = self.double().sentinel();
                assert_eq!(sentinel, *wanted, "{}: the next sentinel", self.place);
            }
            Line::Retry(wanted) => {
                let retry_ms = self.double().retry_ms();
                assert_eq!(retry_ms, *wanted, "{}: the wait", self.place);
            }
            Line::At { group, address } => {
                let addresses = self.double().addresses();
                assert_eq!(addresses.get(group), Some(address), "{}: {group}", self.place);
            }
        }
    }

    fn drive(&mut self, line: &Line) {
        let actions = match line {
            Line::Proxy(proxy) => {
                self.player = Some(Player::new(proxy));
                self.open = false;
                Vec::new()
            }
            Line::Connect => {
                assert!(!self.open, "{}: it is connected", self.place);
                self.open = true;
                self.double().connected()
            }
            Line::Roles(others) => {
                let groups: BTreeSet<_> = self.double().addresses().into_keys().collect();
                let masters: BTreeMap<_, _> = groups
                    .into_iter()
                    .map(|group| (group.clone(), !others.contains(&group)))
                    .collect();
                self.double().roles(&masters)
            }
            Line::Timer => self.double().timer(),
            Line::Lost | Line::ClosedAtOnce => {
                self.open = false;
                match line {
                    Line::Lost => self.double().disconnected(),
                    _ => self.double().closed_at_once(),
                }
            }
            Line::Unanswered => self.player.as_mut().expect("a proxy").unanswered(),
            other => panic!("{}: no stimulus: {other:?}", self.place),
        };
        self.did(actions);
    }
}

fn play_all(cut: Cut) {
    for script in script::all() {
        for case in &script.cases {
            let place = script.name.clone();
            let mut play = Play {
                place,
                cut,
                case,
                player: None,
                open: false,
                done: VecDeque::new(),
            };
            play.run();
        }
    }
}

#[test]
fn the_doubles_do_what_the_proxies_did() {
    play_all(Cut::AsSeen);
}

#[test]
fn the_doubles_do_it_with_bytes_that_come_one_by_one() {
    play_all(Cut::Bytes);
}

#[test]
fn the_doubles_do_it_with_replies_that_come_together() {
    play_all(Cut::Together);
}
