//! What a connection is told about an address is one chain: hunted with random lookups, switches, subscriptions,
//! snapshots and delays between the state and the queue of events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use cfgserver::machine::{Command, Entry, Outcome, State, SwitchProof, apply, differences};
use cfgserver::model::{Address, GroupId, GroupName, Instant, Member, RunId, Sighting, Timestamp};
use cfgserver::requests::{Clients, Effect, Face, NoFiles, NodeStatus, Session, Sightings, Stats, View, dispatch};
use cfgserver::resp::{Reply, Request};
use cfgserver::sentinel::{Published, publish};
use proptest::prelude::*;

const GROUPS: usize = 3;
const MEMBERS: u16 = 40;
/// Every address is new: a client that hears an older one than it knows was sent back.
const ONWARD: u16 = MEMBERS;

#[derive(Clone, Debug)]
enum Step {
    Lookup(usize),
    Info,
    Masters,
    Subscribe(&'static str),
    Unsubscribe,
    /// The switch is in the state; its event waits in the queue.
    Switch(usize, u16),
    /// So many switches come as one snapshot.
    Snapshot(Vec<(usize, u16)>),
    /// The name is given to a new group, at another address.
    Again(usize, u16),
    /// So many events are handed over.
    Deliver(usize),
}

/// Of a client that asks by name only. Lists cost one revision, which says nothing of a group that is gone.
fn step_by_name() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..GROUPS).prop_map(Step::Lookup),
        3 => prop_oneof![Just("+switch-master"), Just("+sdown")].prop_map(Step::Subscribe),
        1 => Just(Step::Unsubscribe),
        4 => (0..GROUPS, 0..=3u16).prop_map(|(group, to)| Step::Switch(group, to)),
        2 => (0..GROUPS, 0..=3u16).prop_map(|(group, at)| Step::Again(group, at)),
        4 => (1..4usize).prop_map(Step::Deliver),
    ]
}

/// With switches among `members` addresses, or always onward.
fn step(members: std::ops::RangeInclusive<u16>) -> impl Strategy<Value = Step> {
    let switch = move || (0..GROUPS, members.clone());
    prop_oneof![
        3 => (0..GROUPS).prop_map(Step::Lookup),
        1 => Just(Step::Info),
        1 => Just(Step::Masters),
        3 => prop_oneof![Just("+switch-master"), Just("+sdown")].prop_map(Step::Subscribe),
        1 => Just(Step::Unsubscribe),
        6 => switch().prop_map(|(group, to)| Step::Switch(group, to)),
        1 => prop::collection::vec(switch(), 1..5).prop_map(Step::Snapshot),
        4 => (1..4usize).prop_map(Step::Deliver),
    ]
}

struct Nothing;

impl Sightings for Nothing {
    fn sighting(&self, _: GroupId, _: Address) -> Option<Sighting> {
        None
    }
}

impl Clients for Nothing {
    fn list(&self) -> String {
        String::new()
    }
    fn count(&self) -> u64 {
        0
    }
    fn subscribers(&self) -> u64 {
        0
    }
}

fn name(group: usize) -> String {
    format!("pool-{group}")
}

fn address(group: usize, member: u16) -> Address {
    Address::parse("10.0.0.1", &(1000 * (group as u16 + 1) + member).to_string()).unwrap()
}

fn member(address: Address) -> u16 {
    address.port % 1000
}

/// A client that believes what it is told, and what it is connected to.
struct World {
    state: State,
    session: Session,
    queue: VecDeque<Published>,
    known: BTreeMap<String, String>,
    onward: bool,
}

impl World {
    fn new(onward: bool) -> Self {
        let session = Session::new(Face::Open, 1, String::new(), String::new(), Instant(0));
        let mut world = Self {
            state: State::default(),
            session,
            queue: VecDeque::new(),
            known: BTreeMap::new(),
            onward,
        };
        for group in 0..GROUPS {
            world.monitor(group, 0);
        }
        world.queue.clear();
        world.request(&["HELLO", "3"]);
        world
    }

    fn monitor(&mut self, group: usize, at: u16) {
        let primary = address(group, at);
        self.apply(Command::Monitor {
            host: None,
            name: GroupName::new(name(group)).unwrap(),
            primary,
            quorum: 1,
            settings: Vec::new(),
        });
        let known = self.state.group_at(primary).unwrap().clone();
        let facts = |number| Member {
            run_id: Some(RunId::new(format!("{group}{number}"))),
            synced: true,
            ..Member::default()
        };
        self.apply(Command::Learn {
            group: known.id,
            on: known.version,
            members: (0..MEMBERS)
                .map(|number| (address(group, number), facts(number)))
                .collect(),
        });
    }

    fn apply(&mut self, command: Command) {
        let entry = Entry {
            command,
            at: Timestamp(1),
        };
        let applied = apply(&mut self.state, &entry);
        assert!(
            !matches!(applied.outcome, Outcome::Rejected(_)),
            "{:?}",
            applied.outcome
        );
        self.queue.extend(applied.events.iter().map(publish));
    }

    fn switch(&mut self, number: usize, to: u16) {
        let group = self.state.group_named(&name(number)).unwrap().clone();
        let to = if to == ONWARD { member(group.primary) + 1 } else { to };
        if group.primary == address(number, to) || to >= MEMBERS {
            return;
        }
        let run_id = RunId::new(format!("{number}{to}"));
        self.apply(Command::Adopt {
            group: group.id,
            on: group.version,
            primary: address(number, to),
            proof: SwitchProof { run_id, lineage: None },
        });
    }

    fn with_view<T>(&mut self, act: impl FnOnce(&mut Session, &View<'_>) -> T) -> T {
        let node = NodeStatus {
            ready: true,
            ..NodeStatus::default()
        };
        let view = View {
            state: Arc::new(self.state.clone()),
            sightings: &Nothing,
            node: &node,
            clients: &Nothing,
            dials: Arc::default(),
            scripts: Arc::default(),
            files: &NoFiles,
            stats: &Stats::default(),
            now: Instant(0),
            wall: Timestamp(0),
        };
        act(&mut self.session, &view)
    }

    fn request(&mut self, words: &[&str]) {
        let request = Request(
            words
                .iter()
                .map(|word| Bytes::copy_from_slice(word.as_bytes()))
                .collect(),
        );
        let Effect::Reply(reply) = self.with_view(|session, view| dispatch(session, view, &request)) else {
            panic!("not a reply");
        };
        match words {
            [_, "GET-MASTER-ADDR-BY-NAME", name] => {
                let address = match &reply {
                    Reply::Endpoint(place) => format!("{} {}", place.ip(), place.port()),
                    Reply::Array(parts) => format!("{} {}", text(&parts[0]), text(&parts[1])),
                    other => panic!("{other:?}"),
                };
                self.known.insert((*name).to_owned(), address);
            }
            ["INFO", _] | [_, "MASTERS"] => {
                for group in self.state.groups() {
                    let address = format!("{} {}", group.primary.ip, group.primary.port);
                    self.known.insert(group.name.to_string(), address);
                }
            }
            _ => self.hear(&reply),
        }
    }

    /// Believes the switches in a reply, after comparing them with what it knew.
    fn hear(&mut self, reply: &Reply) {
        match reply {
            Reply::Many(replies) => replies.iter().for_each(|reply| self.hear(reply)),
            Reply::Push(parts) if text(&parts[0]) == "message" && text(&parts[1]) == "+switch-master" => {
                let payload = text(&parts[2]);
                let words: Vec<_> = payload.split(' ').collect();
                let [name, from, to] = [words[0].to_owned(), words[1..3].join(" "), words[3..].join(" ")];
                assert_ne!(from, to, "a switch to where it was: {payload}");
                assert!(!self.onward || port(&to) > port(&from), "a return: {payload}");
                if let Some(known) = self.known.insert(name, to) {
                    assert_eq!(known, from, "a gap: {payload}");
                }
            }
            _ => {}
        }
    }

    fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            let Some(event) = self.queue.pop_front() else {
                return;
            };
            if let Some(frames) = self.with_view(|session, view| session.deliver(&event, view)) {
                self.hear(&frames);
            }
        }
    }

    fn act(&mut self, step: &Step) {
        match step {
            Step::Lookup(group) => self.request(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &name(*group)]),
            Step::Info => self.request(&["INFO", "sentinel"]),
            Step::Masters => self.request(&["SENTINEL", "MASTERS"]),
            Step::Subscribe(channel) => self.request(&["SUBSCRIBE", channel]),
            Step::Unsubscribe => self.request(&["UNSUBSCRIBE", "+switch-master"]),
            Step::Switch(group, to) => self.switch(*group, *to),
            Step::Snapshot(switches) => {
                let (before, queued) = (self.state.clone(), self.queue.len());
                for (group, to) in switches {
                    self.switch(*group, *to);
                }
                self.queue.truncate(queued);
                self.queue.extend(differences(&before, &self.state).iter().map(publish));
            }
            Step::Again(group, at) => {
                let name = GroupName::new(name(*group)).unwrap();
                self.apply(Command::Remove { name });
                self.monitor(*group, *at);
            }
            Step::Deliver(count) => self.deliver(*count),
        }
    }
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("not a bulk string: {other:?}"),
    }
}

fn port(address: &str) -> u16 {
    address.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Does the steps, listens to the end, and compares what the client believes with the state.
fn run(mut world: World, steps: &[Step]) {
    for step in steps {
        world.act(step);
    }
    world.deliver(usize::MAX);
    world.request(&["SUBSCRIBE", "+switch-master"]);
    for (name, known) in &world.known {
        let primary = world.state.group_named(name).unwrap().primary;
        assert_eq!(known, &format!("{} {}", primary.ip, primary.port), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_connection_hears_one_chain_per_group_and_ends_at_the_truth(
        steps in prop::collection::vec(step(0..=2), 1..40)
    ) {
        run(World::new(false), &steps);
    }

    #[test]
    fn a_name_that_moves_to_another_group_goes_on_in_its_chain(
        steps in prop::collection::vec(step_by_name(), 1..40)
    ) {
        run(World::new(false), &steps);
    }

    #[test]
    fn a_connection_is_never_sent_back(steps in prop::collection::vec(step(ONWARD..=ONWARD), 1..40)) {
        run(World::new(true), &steps);
    }
}
