//! A node without sockets: a state that commands are applied to, sightings that a test sets, one connection.

mod failovers;
mod named;
mod scripts;
mod seen;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::BytesMut;
use cfgserver::machine::{Command, Entry, Outcome, ReplicaFault, SharedSetting, State, apply};
use cfgserver::model::{
    Address, Fault, GroupId, GroupName, Instant, Lineage, Member, MyId, Node, NodeId, NodeRole, RunId, Setting,
    Timestamp,
};
use cfgserver::requests::{
    Clients, Dials, Effect, Face, Files, Local, NodeStatus, PeerStatus, RaftRole, Session, Stats, View, Write,
    WriteError, WriteReply, dispatch,
};
use cfgserver::resp::{Reply, Request, encode};
use cfgserver::sentinel::{Around, Published, publish_around};

use scripts::Scripts;
use seen::Seen;

const WALL_START: Timestamp = Timestamp(1_700_000_000_000);

/// Programs lie in /bin.
struct BinOnly;

impl Files for BinOnly {
    fn is_executable(&self, path: &str) -> bool {
        path.starts_with("/bin/")
    }
}

struct OneClient(String);

impl Clients for OneClient {
    fn list(&self) -> String {
        self.0.clone()
    }
    fn count(&self) -> u64 {
        1
    }
    fn subscribers(&self) -> u64 {
        0
    }
}

/// The world of one transcript.
pub(crate) struct World {
    state: State,
    /// The state that the connection sees; behind `state` while events are held.
    sightings: Seen,
    node: NodeStatus,
    dials: Dials,
    scripts: Scripts,
    /// Lines of CLIENT LIST about others.
    others: String,
    face: Face,
    session: Session,
    queue: VecDeque<Published>,
    held: bool,
    next_write: Option<WriteError>,
    now: Instant,
    wall: Timestamp,
    output: BytesMut,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Instant(3_600_000);
        let node = NodeStatus {
            id: 1,
            my_id: my_id(1),
            run_id: "f".repeat(40),
            process_id: 4711,
            listen: "127.0.0.1:26379".to_owned(),
            role: RaftRole::Leader,
            leader: Some(1),
            term: 3,
            last_applied: 12,
            last_log: 12,
            contact_ms: Some(40),
            ready: true,
            denies_scripts: true,
            executable: "/usr/bin/cfgserver".to_owned(),
            started: now,
            connections_max: 10_000,
            ..NodeStatus::default()
        };
        Self {
            state: State::default(),
            sightings: Seen::default(),
            node,
            dials: Dials::default(),
            scripts: Scripts::default(),
            others: String::new(),
            face: Face::Open,
            session: Session::new(Face::Open, 7, "127.0.0.1:50000".into(), "127.0.0.1:26379".into(), now),
            queue: VecDeque::new(),
            held: false,
            next_write: None,
            now,
            wall: WALL_START,
            output: BytesMut::new(),
        }
    }

    pub(crate) fn take_output(&mut self) -> BytesMut {
        self.output.split()
    }

    /// Events first, then the request, then the events that it led to.
    pub(crate) fn request(&mut self, request: &Request) {
        self.deliver();
        let effect = self.with_view(|session, view| dispatch(session, view, request));
        self.take_effect(effect);
        self.deliver();
    }

    fn take_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(reply) => self.put(&reply),
            Effect::Local { act, then } => {
                self.act(act);
                self.take_effect(*then);
            }
            Effect::Close(reply) => {
                self.put(&reply);
                self.output.extend_from_slice(b"(closed)");
            }
            Effect::Drop => self.output.extend_from_slice(b"(closed)"),
            Effect::Write { write, render } => {
                let answer_first = write.monitors().is_some();
                let result = self.write(write);
                if !answer_first {
                    self.deliver();
                }
                self.put(&render(result));
            }
        }
    }

    /// What cannot be seen in replies is written between them.
    fn act(&mut self, act: Local) {
        match act {
            Local::Turn(dials) => dials.into_iter().for_each(|dial| self.dials.turn(dial)),
            Local::Hello(hello) => {
                let is_new = self
                    .sightings
                    .foreigners
                    .note(hello, &self.state, &self.dials, self.now);
                if is_new {
                    self.output.extend_from_slice(b"(warning)");
                }
            }
            Local::Disconnect(ids) => self.output.extend_from_slice(format!("(closes {ids:?})").as_bytes()),
            Local::Pause { until, held } => {
                let ms = until.since(self.now);
                self.output
                    .extend_from_slice(format!("(holds {held:?} for {ms})").as_bytes());
            }
            Local::Unpause => self.output.extend_from_slice(b"(holds nothing)"),
            Local::ShutDown => self.output.extend_from_slice(b"(ends)"),
        }
    }

    fn write(&mut self, write: Write) -> Result<WriteReply, WriteError> {
        if let Some(error) = self.next_write.take() {
            return Err(error);
        }
        match write {
            Write::Command(command) => {
                let outcome = self.apply(command);
                let revision = self.state.revision();
                Ok(WriteReply::Outcome { outcome, revision })
            }
            Write::Failover { name } | Write::FailoverWith { name, .. }
                if self.state.group_named(name.as_str()).is_none() =>
            {
                Err(WriteError::NoSuchGroup)
            }
            Write::FailoverWith {
                coordinated,
                to: Some(to),
                ..
            } => Err(WriteError::Refused(format!(
                "asked for {to}, coordinated: {coordinated}"
            ))),
            Write::Failover { .. } | Write::FailoverWith { .. } => Err(WriteError::NoGoodReplica(Vec::new())),
            Write::Reset { .. } => Ok(WriteReply::Outcome {
                outcome: Outcome::Count(0),
                revision: self.state.revision(),
            }),
            Write::Monitor(wanted) => self.monitor_named(wanted),
            Write::Admin(_) => Ok(WriteReply::Accepted),
            Write::Explain { name } => Ok(WriteReply::Told(vec![format!("the leader explains {name}")])),
        }
    }

    fn apply(&mut self, command: Command) -> Outcome {
        let before = self.state.clone();
        let applied = apply(&mut self.state, &Entry { command, at: self.wall });
        let around = Around {
            before: &before,
            after: &self.state,
        };
        let events = applied.events.iter().map(|event| publish_around(event, around));
        self.queue.extend(events);
        applied.outcome
    }

    fn done(&mut self, command: Command) {
        let outcome = self.apply(command);
        assert!(!matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
        self.deliver();
    }

    fn deliver(&mut self) {
        if self.held {
            return;
        }
        while let Some(event) = self.queue.pop_front() {
            if let Some(frames) = self.with_view(|session, view| session.deliver(&event, view)) {
                self.put(&frames);
            }
        }
    }

    fn put(&mut self, reply: &Reply) {
        encode(reply, self.session.protocol(), &mut self.output);
    }

    fn with_view<T>(&mut self, act: impl FnOnce(&mut Session, &View<'_>) -> T) -> T {
        let clients = OneClient(self.session.list_line(self.now) + &self.others);
        let view = View {
            state: Arc::new(self.state.clone()),
            sightings: &self.sightings,
            node: &self.node,
            clients: &clients,
            dials: Arc::new(self.dials.clone()),
            scripts: Arc::new(self.scripts.pending()),
            files: &BinOnly,
            stats: &Stats::default(),
            now: self.now,
            wall: self.wall,
        };
        act(&mut self.session, &view)
    }

    /// What a `!` line says:
    ///
    /// ```text
    /// monitor NAME IP PORT QUORUM     remove NAME
    /// replica NAME IP:PORT            quarantine NAME IP:PORT REASON
    /// name NAME IP:PORT HOST          readdress NAME IP:PORT IP:PORT
    /// open NAME IP:PORT               complete NAME       reconf NAME IP:PORT STEP    end NAME
    /// switch NAME IP:PORT             the four in one
    /// outage NAME VOTES               no-good-replica NAME IP:PORT REASON     abort NAME
    /// up NAME IP:PORT                 down NAME IP:PORT   unannounced NAME IP:PORT
    /// nodes COUNT                     peer-down ID        follower LEADER     candidate
    /// advance MS                      reconnect           face open|strict|proxy: reconnect there
    /// ready|not-ready|stalled                             allow-scripts       script add|starts|fails ...
    /// client ID IP:PORT FLAGS         somebody else is connected
    /// announce NODE HOST PORT         set-rename NAME COMMAND TO      said to another node
    /// hold                            keep events in the queue; release: hand them over
    /// write no-leader|unknown|in-progress|no-good-replica   how the next write ends
    /// ```
    pub(crate) fn change(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["monitor", name, ip, port, quorum] => {
                let primary = Address::parse(ip, port).unwrap();
                self.done(Command::Monitor {
                    host: None,
                    name: GroupName::new(name).unwrap(),
                    primary,
                    quorum: quorum.parse().unwrap(),
                    settings: Vec::new(),
                });
                let primary = primary.to_string();
                self.learn(name, &primary, member(&primary));
            }
            ["remove", name] => self.done(Command::Remove {
                name: GroupName::new(name).unwrap(),
            }),
            ["replica", name, address] => self.learn(name, address, member(address)),
            ["name", name, address, host] => self.name_member(name, address, host),
            ["readdress", name, from, to] => self.readdress(name, from, to),
            ["quarantine", name, address, reason @ ..] => {
                let mut member = member(address);
                member.quarantine = Some(reason.join(" ").into());
                self.learn(name, address, member);
            }
            ["switch", name, address] => {
                self.open(name, address);
                self.complete(name);
                self.end(name);
            }
            ["open", name, address] => self.open(name, address),
            ["complete", name] => self.complete(name),
            ["reconf", name, address, step] => self.reconf(name, address, step),
            ["end", name] => self.end(name),
            ["abort", name] => {
                let (group, on, epoch) = self.planned(name);
                let fault = Fault::Candidate("it said READONLY".into());
                self.done(Command::AbortFailover {
                    group,
                    on,
                    epoch,
                    fault,
                });
            }
            ["outage", name, votes] => self.outage(name, votes.parse().unwrap(), BTreeMap::new()),
            ["no-good-replica", name, address, reason @ ..] => {
                let reason = ReplicaFault::from(reason.join(" "));
                self.outage(name, 1, BTreeMap::from([(address.parse().unwrap(), reason)]));
            }
            ["up" | "unannounced", name, address] => self.see_up(name, address, words[0] == "up"),
            ["down", name, address] => self.see_down(name, address),
            ["nodes", count] => self.nodes(count.parse().unwrap()),
            ["peer-down", id] => {
                let id: NodeId = id.parse().unwrap();
                let peer = self.node.peers.iter_mut().find(|peer| peer.id == id).unwrap();
                (peer.down, peer.contact_ms) = (true, Some(5000));
            }
            ["follower", leader] => {
                (self.node.role, self.node.leader) = (RaftRole::Follower, Some(leader.parse().unwrap()));
            }
            ["candidate"] => (self.node.role, self.node.leader) = (RaftRole::Candidate, None),
            ["advance", ms] => {
                let ms: u64 = ms.parse().unwrap();
                self.now = self.now.plus(ms);
                self.wall.0 += ms;
            }
            ["client", id, address, flags] => {
                let line = format!("id={id} addr={address} laddr=127.0.0.1:26379 flags={flags}\n");
                self.others.push_str(&line);
            }
            ["announce", node, host, port] => {
                let (node, host) = (node.parse().unwrap(), (*host).to_owned());
                let port = port.parse().unwrap();
                self.done(Command::Share {
                    settings: vec![
                        SharedSetting::AnnounceHost { node, host },
                        SharedSetting::AnnouncePort { node, port },
                    ],
                });
            }
            ["set-rename", name, command, to] => self.done(Command::Set {
                name: GroupName::new(name).unwrap(),
                settings: vec![Setting::RenameCommand {
                    command: (*command).to_owned(),
                    to: (*to).to_owned(),
                }],
            }),
            ["allow-scripts"] => self.node.denies_scripts = false,
            ["reconnect"] => self.reconnect(),
            ["face", face] => {
                self.face = match *face {
                    "open" => Face::Open,
                    "strict" => Face::Strict,
                    "proxy" => Face::Proxy,
                    other => panic!("no such face: {other}"),
                };
                self.reconnect();
            }
            ["ready"] => self.node.ready = true,
            ["not-ready"] => self.node.ready = false,
            ["script", words @ ..] => self.scripts.change(words, self.now),
            ["stalled"] => self.node.stalled_since = Some(self.now),
            ["hold"] => self.held = true,
            ["release"] => {
                self.held = false;
                self.deliver();
            }
            ["write", how] => {
                self.next_write = Some(match *how {
                    "no-leader" => WriteError::NoLeader,
                    "unknown" => WriteError::Unknown,
                    "in-progress" => WriteError::InProgress,
                    "old-primary" => WriteError::NoGoodPrimary(String::new()),
                    "no-good-primary" => WriteError::NoGoodPrimary("not seen up".into()),
                    "refused" => WriteError::Refused("node 2 is known".into()),
                    "no-good-replica" => WriteError::NoGoodReplica(vec![("10.0.0.2:6379".into(), "is down".into())]),
                    other => panic!("no such end of a write: {other}"),
                });
            }
            _ => panic!("no such change of the world: {line}"),
        }
    }

    fn reconnect(&mut self) {
        let (peer, local) = ("127.0.0.1:50001".into(), "127.0.0.1:26379".into());
        self.session = Session::new(self.face, 8, peer, local, self.now);
    }

    fn planned(&self, name: &str) -> (GroupId, u64, u64) {
        let group = self.state.group_named(name).unwrap();
        (group.id, group.version, group.epoch)
    }

    fn learn(&mut self, name: &str, address: &str, member: Member) {
        let (group, on, _) = self.planned(name);
        let members = BTreeMap::from([(address.parse().unwrap(), member)]);
        self.done(Command::Learn { group, on, members });
    }

    fn outage(&mut self, name: &str, votes: u32, replicas: BTreeMap<Address, ReplicaFault>) {
        let (group, on, _) = self.planned(name);
        self.done(Command::Outage {
            group,
            on,
            votes,
            replicas,
        });
    }

    fn nodes(&mut self, count: NodeId) {
        let node = |id: NodeId| Node {
            address: format!("10.0.9.{id}:26379"),
            incarnation: format!("incarnation{id}"),
            my_id: my_id(id),
            role: NodeRole::Voter,
            labels: BTreeMap::new(),
        };
        let peer = |id: NodeId| PeerStatus {
            id,
            matched: Some(12),
            contact_ms: Some(30),
            down: false,
        };
        self.node.peers = (2..=count).map(peer).collect();
        self.done(Command::Nodes {
            nodes: (1..=count).map(|id| (id, node(id))).collect(),
        });
    }
}

fn member(address: &str) -> Member {
    Member {
        run_id: Some(run_id(address)),
        lineage: Some(lineage()),
        synced: true,
        non_empty: true,
        quarantine: None,
    }
}

fn lineage() -> Lineage {
    Lineage {
        replid: "aaaa".into(),
        replid2: None,
    }
}

fn run_id(address: &str) -> RunId {
    let port = address.rsplit(':').next().unwrap();
    RunId::new(format!("{port:0>40}"))
}

fn my_id(id: NodeId) -> MyId {
    MyId(format!("{id:040x}").into())
}
