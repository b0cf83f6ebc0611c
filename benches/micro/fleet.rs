//! A fleet as the pure parts of a node see it: the replicated state, and sightings of all instances.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use cfgserver::detect::{Tally, parse_info};
use cfgserver::failover::{Action, Memory, Scene, plan};
use cfgserver::machine::{Command, Entry, State, apply};
use cfgserver::model::{
    Address, Group, GroupId, GroupName, Instant, LinkState, MyId, Node, NodeId, Sighting, Timestamp, Verdict,
};
use cfgserver::requests::{Clients, Sightings};

/// The moment of all benchmarks.
pub(crate) const NOW: Instant = Instant(1_000_000);
/// The same on the wall.
pub(crate) const WALL: Timestamp = Timestamp(1_700_000_000_000);
/// Replicas of each group.
const REPLICAS: u32 = 1;

/// A state and what is seen of its instances.
pub(crate) struct Fleet {
    pub(crate) state: Arc<State>,
    pub(crate) sightings: BTreeMap<GroupId, BTreeMap<Address, Sighting>>,
}

/// Member `member` of group `number`; the primary is member 0.
pub(crate) fn address(number: u32, member: u32) -> Address {
    let [net, host] = [number / 250, number % 250 + 1];
    format!("10.{member}.{net}.{host}:6379").parse().unwrap()
}

fn run_id(number: u32, member: u32) -> String {
    format!("{number:032x}{member:08x}")
}

/// What a primary says about replication.
fn info_of_primary(number: u32) -> String {
    let mut text = format!(
        "# Server\r\nredis_version:7.0.15\r\nrun_id:{}\r\nuptime_in_seconds:1000\r\n# Replication\r\nrole:master\r\n\
         connected_slaves:{REPLICAS}\r\n",
        run_id(number, 0)
    );
    for member in 1..=REPLICAS {
        let Address { ip, port } = address(number, member);
        let place = member - 1;
        writeln!(
            text,
            "slave{place}:ip={ip},port={port},state=online,offset=5000,lag=0\r"
        )
        .unwrap();
    }
    write!(
        text,
        "master_replid:{:040x}\r\nmaster_replid2:{:040}\r\nmaster_repl_offset:5000\r\n# Keyspace\r\ndb0:keys=1,expires=0\r\n",
        number + 1,
        0
    )
    .unwrap();
    text
}

/// What the first replica of group `number` says, as long as a real one's.
pub(crate) fn info_of_replica(primary: &str, number: u32) -> String {
    let mut text = format!(
        "# Server\r\nredis_version:7.0.15\r\nrun_id:{}\r\nuptime_in_seconds:1000\r\n",
        run_id(number, 1)
    );
    for line in 0..150 {
        writeln!(text, "some_counter_of_no_interest_{line}:1234567\r").unwrap();
    }
    write!(
        text,
        "# Replication\r\nrole:slave\r\nmaster_host:{primary}\r\nmaster_port:6379\r\nmaster_link_status:up\r\n\
         master_sync_in_progress:0\r\nslave_repl_offset:5000\r\nslave_priority:100\r\nslave_read_only:1\r\n\
         master_replid:{:040x}\r\nmaster_replid2:{:040}\r\nmaster_repl_offset:5000\r\n# Keyspace\r\ndb0:keys=1,expires=0\r\n",
        number + 1,
        0
    )
    .unwrap();
    text
}

impl Fleet {
    /// So many groups that are well: what the planner wants to learn of them is learnt.
    pub(crate) fn well(groups: u32) -> Self {
        let mut state = empty();
        let mut seen = BTreeMap::new();
        for number in 0..groups {
            apply(&mut state, &monitor(number));
            let group = state.group_named(&name(number)).unwrap().clone();
            seen.insert(group.id, sightings(&group, number));
            let mut memory = Memory::new(NOW);
            while let Some(command) = proposal(&state, group.id, &seen[&group.id], &mut memory) {
                assert!(matches!(command, Command::Learn { .. }), "{command:?}");
                apply(&mut state, &at(command));
            }
        }
        Self {
            state: Arc::new(state),
            sightings: seen,
        }
    }
}

/// What the planner proposes for a group.
fn proposal(
    state: &State,
    id: GroupId,
    sightings: &BTreeMap<Address, Sighting>,
    memory: &mut Memory,
) -> Option<Command> {
    let scene = Scene {
        group: state.group(id)?,
        sightings,
        tally: &Tally::default(),
        elsewhere: state,
        node: 1,
        wall: WALL,
    };
    memory.observe(&scene, NOW);
    let actions = plan(&scene, memory, NOW).actions;
    actions.into_iter().find_map(|action| match action {
        Action::Propose(command) => Some(command),
        _ => None,
    })
}

fn empty() -> State {
    let node = |id: NodeId| Node {
        address: format!("10.9.9.{id}:26379"),
        my_id: MyId(format!("{id:040x}").into()),
        ..Node::default()
    };
    let nodes = (1..=3).map(|id| (id, node(id))).collect();
    let mut state = State::default();
    apply(&mut state, &at(Command::Nodes { nodes }));
    state
}

/// The name of group `number`.
pub(crate) fn name(number: u32) -> String {
    format!("fleet-{number:05}")
}

/// An entry of the log.
pub(crate) fn at(command: Command) -> Entry {
    Entry { at: WALL, command }
}

/// The entry that makes group `number`.
pub(crate) fn monitor(number: u32) -> Entry {
    at(Command::Monitor {
        name: GroupName::new(name(number)).unwrap(),
        primary: address(number, 0),
        host: None,
        quorum: 2,
        settings: Vec::new(),
    })
}

fn sightings(group: &Group, number: u32) -> BTreeMap<Address, Sighting> {
    let primary = info_of_primary(number);
    let replica = info_of_replica(&group.primary.ip.to_string(), number);
    let seen = |text: &str| Sighting {
        verdict: Verdict::Up,
        link: LinkState::Connected,
        facts: Some(Arc::new(parse_info(text.as_bytes()).unwrap())),
        facts_at: Some(NOW),
        info: Some(text.as_bytes().into()),
        ok_reply_at: NOW,
        reply_at: NOW,
        ..Sighting::default()
    };
    BTreeMap::from([
        (address(number, 0), seen(&primary)),
        (address(number, 1), seen(&replica)),
    ])
}

impl Sightings for Fleet {
    fn sighting(&self, group: GroupId, address: Address) -> Option<Sighting> {
        self.sightings.get(&group)?.get(&address).cloned()
    }
}

impl Clients for Fleet {
    fn list(&self) -> String {
        String::new()
    }

    fn count(&self) -> u64 {
        1
    }

    fn subscribers(&self) -> u64 {
        0
    }
}
