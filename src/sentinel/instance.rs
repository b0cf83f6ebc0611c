//! The maps of MASTER(S), REPLICAS and SENTINELS: one field per line, in Sentinel's order, every value a bulk
//! string. Some consumers read them by position: own fields come after the last of Sentinel's, never between.

use std::fmt::Display;

use crate::model::{
    Address, Age, Fault, Group, GroupConfig, Identity, Instant, Member, Mode, Naming, Node, NodeId, NodeRole, Place,
    Revision, Role, Sighting, Stage, Timestamp, Verdict,
};
use crate::resp::Reply;
use crate::sentinel::{node_flags, primary_flags, replica_flags};

/// The moment at which ages are measured.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Monotonic.
    pub now: Instant,
    /// Wall clock, not behind the time of the state: only replicated times are measured by it.
    pub wall: Timestamp,
}

/// What holds an automatic failover back.
#[derive(Debug)]
pub struct Held {
    /// The reason.
    pub why: String,
    /// For how much longer, where that is known.
    pub left_ms: Option<Age>,
}

/// A group as MASTER shows it.
#[derive(Debug)]
pub struct PrimaryEntry<'a> {
    /// The group.
    pub group: &'a Group,
    /// How it is told where it is.
    pub naming: Naming,
    /// What this node sees of its primary.
    pub sighting: Option<&'a Sighting>,
    /// How many other nodes there are.
    pub other_nodes: usize,
    /// How many nodes judge.
    pub electorate: usize,
    /// Revision of the state that this is read from.
    pub revision: Revision,
    /// Where Sentinels listen that are not ours and watch the group.
    pub foreign: Vec<Address>,
    /// What would hold an automatic failover back.
    pub held: Option<Held>,
    /// When.
    pub moment: Moment,
}

impl PrimaryEntry<'_> {
    /// Renders the map.
    pub fn render(&self) -> Reply {
        let Self { group, sighting, .. } = *self;
        let mut fields = Fields::default();
        fields.put("name", &group.name);
        fields.place(&group.told_primary(self.naming));
        fields.put("runid", run_id(sighting, group.primary_member()));
        fields.put("flags", primary_flags(group, sighting));
        fields.link(sighting);
        if let Some(failover) = &group.failover {
            let state = match failover.stage {
                Stage::Promote => "wait_promotion",
                Stage::Undo { .. } => "none",
                Stage::Reconfigure { .. } => "reconf_slaves",
            };
            fields.put("failover-state", state);
        }
        fields.silence(sighting, self.moment.now);
        if let Some(outage) = &group.outage {
            fields.put("o-down-time", self.moment.wall.0.saturating_sub(outage.since.0));
        }
        fields.put("down-after-milliseconds", group.config.down_after_ms);
        fields.reported(sighting, Role::Primary, self.moment.now);
        fields.put("config-epoch", group.config_epoch);
        fields.put("num-slaves", group.replicas().count());
        fields.put("num-other-sentinels", self.other_nodes);
        fields.put("quorum", group.config.quorum);
        fields.put("failover-timeout", group.config.failover_timeout_ms);
        fields.put("parallel-syncs", group.config.parallel_syncs);
        fields.put_unless_empty("notification-script", &group.config.notification_script);
        fields.put_unless_empty("client-reconfig-script", &group.config.client_reconfig_script);
        self.own_fields(&mut fields);
        fields.into_reply()
    }

    fn own_fields(&self, fields: &mut Fields) {
        let config = &self.group.config;
        fields.put("group-version", self.group.version);
        fields.put("revision", self.revision);
        fields.put("mode", mode_name(config.mode));
        fields.put("identity", identity_name(config.identity));
        fields.put("refused-after-milliseconds", config.refused_after_ms);
        fields.put("master-reboot-down-after-period", config.reboot_down_after_ms);
        fields.put("last-abort", self.last_abort());
        fields.put("last-error", self.sighting.map_or("", |sighting| &sighting.error));
        fields.put("warning", self.warning());
        fields.put("auth-user", &config.auth_user);
        fields.put("rename-command", renamed(config));
        fields.put("foreign-sentinels", self.foreign_sentinels());
        fields.host_name(self.group, self.group.primary);
        fields.put("automatic-failover", config.automatic.at(self.moment.wall));
        fields.put("failover-held", self.held.as_ref().map_or("", |held| &held.why));
        fields.put("failover-held-ms", self.held_ms());
    }

    /// 0 when nothing holds it, -1 when nobody knows for how long.
    fn held_ms(&self) -> i64 {
        let Some(held) = &self.held else { return 0 };
        held.left_ms
            .map_or(-1, |left_ms| i64::try_from(left_ms).unwrap_or(i64::MAX))
    }

    fn last_abort(&self) -> String {
        let Some(abort) = &self.group.abort else {
            return String::new();
        };
        match &abort.fault {
            Fault::NoGoodReplica if abort.replicas.is_empty() => "no-good-replica".to_owned(),
            Fault::NoGoodReplica => {
                let why = abort.replicas.iter().map(|(address, why)| format!("{address} {why}"));
                format!("no-good-replica: {}", why.collect::<Vec<_>>().join("; "))
            }
            Fault::Candidate(reason) => format!("candidate: {reason}"),
            Fault::PrimaryBack => "primary-back".to_owned(),
            Fault::Timeout => "timeout".to_owned(),
            Fault::Primary(reason) => format!("primary: {reason}"),
        }
    }

    /// `ip:port`, joined by commas; of a Sentinel that was only seen to connect, `ip`.
    fn foreign_sentinels(&self) -> String {
        let place = |address: &Address| match address.port {
            0 => address.ip.to_string(),
            _ => address.to_string(),
        };
        let addresses: Vec<_> = self.foreign.iter().map(place).collect();
        addresses.join(",")
    }

    fn warning(&self) -> String {
        let quorum = self.group.config.quorum;
        if quorum as usize > self.electorate {
            let nodes = self.electorate;
            return format!("quorum {quorum} exceeds the number of nodes that judge ({nodes}): no automatic failover");
        }
        String::new()
    }
}

/// What the instances of a group call commands: `command=name`, joined by commas.
pub fn renamed(config: &GroupConfig) -> String {
    let pairs = config.renamed.iter();
    let pairs: Vec<_> = pairs.map(|(command, to)| format!("{command}={to}")).collect();
    pairs.join(",")
}

/// A replica as REPLICAS shows it.
#[derive(Debug)]
pub struct ReplicaEntry<'a> {
    /// Its group.
    pub group: &'a Group,
    /// Where it is.
    pub address: Address,
    /// How that is told.
    pub naming: Naming,
    /// What is recorded about it.
    pub member: &'a Member,
    /// What this node sees of it.
    pub sighting: Option<&'a Sighting>,
    /// When.
    pub moment: Moment,
}

impl ReplicaEntry<'_> {
    /// Whether REPLICAS shows it: a replica can ask not to be announced.
    pub fn announced(&self) -> bool {
        let facts = self.sighting.and_then(|sighting| sighting.facts.as_ref());
        facts.is_none_or(|facts| facts.announced)
    }

    /// Renders the map.
    pub fn render(&self) -> Reply {
        let sighting = self.sighting;
        let mut fields = Fields::default();
        let place = self.group.told(self.address, self.naming);
        fields.put("name", &place);
        fields.place(&place);
        fields.put("runid", run_id(sighting, Some(self.member)));
        fields.put("flags", replica_flags(self.group, self.address, sighting));
        fields.link(sighting);
        fields.silence(sighting, self.moment.now);
        fields.put("down-after-milliseconds", self.group.config.down_after_ms);
        fields.reported(sighting, Role::Replica, self.moment.now);
        self.replication_fields(&mut fields);
        self.own_fields(&mut fields);
        fields.into_reply()
    }

    fn replication_fields(&self, fields: &mut Fields) {
        let facts = self.sighting.and_then(|sighting| sighting.facts.as_ref());
        let up = facts.is_some_and(|facts| facts.primary_link_up);
        let down_ms = match facts {
            // Never connected: Redis says -1 second.
            Some(facts) if !up => facts.primary_link_down_ms.map_or(-1000, |ms| ms as i64),
            _ => 0,
        };
        let host = facts.map_or("", |facts| facts.primary_host.as_str());
        fields.put("master-link-down-time", down_ms);
        fields.put("master-link-status", if up { "ok" } else { "err" });
        fields.put("master-host", if host.is_empty() { "?" } else { host });
        fields.put("master-port", facts.map_or(0, |facts| facts.primary_port));
        fields.put("slave-priority", facts.map_or(100, |facts| facts.priority));
        fields.put("slave-repl-offset", facts.map_or(0, |facts| facts.replica_offset));
        fields.put("replica-announced", u8::from(self.announced()));
    }

    fn own_fields(&self, fields: &mut Fields) {
        let abort = self.group.abort.as_ref();
        let fault = abort.and_then(|abort| abort.replicas.get(&self.address));
        fields.put("synced", u8::from(self.member.synced));
        fields.put("non-empty", u8::from(self.member.non_empty));
        fields.put("quarantine", self.member.quarantine.as_deref().unwrap_or_default());
        fields.put("not-promoted", fault.map_or("", |fault| fault));
        fields.put("last-error", self.sighting.map_or("", |sighting| &sighting.error));
        fields.host_name(self.group, self.address);
    }
}

/// Another node as SENTINELS shows it.
#[derive(Debug)]
pub struct NodeEntry<'a> {
    /// Its number.
    pub id: NodeId,
    /// The node.
    pub node: &'a Node,
    /// Where clients are told that it is: host and port.
    pub told: (String, String),
    /// This node takes it for down.
    pub down: bool,
    /// Milliseconds since it was last heard from, where this node knows.
    pub contact_ms: Option<Age>,
    /// It leads.
    pub leads: bool,
    /// The group's down-after.
    pub down_after_ms: u64,
}

impl NodeEntry<'_> {
    /// Renders the map.
    pub fn render(&self) -> Reply {
        let silence = self.contact_ms.unwrap_or(0);
        let mut fields = Fields::default();
        fields.put("name", &self.node.my_id);
        fields.put("ip", &self.told.0);
        fields.put("port", &self.told.1);
        fields.put("runid", &self.node.my_id);
        fields.put("flags", node_flags(self.down));
        fields.put("link-pending-commands", 0);
        fields.put("link-refcount", 1);
        fields.put("last-ping-sent", 0);
        fields.put("last-ok-ping-reply", silence);
        fields.put("last-ping-reply", silence);
        if self.down {
            fields.put("s-down-time", silence);
        }
        fields.put("down-after-milliseconds", self.down_after_ms);
        fields.put("last-hello-message", silence);
        fields.put("voted-leader", "?");
        fields.put("voted-leader-epoch", 0);
        fields.put("node-id", self.id);
        fields.put("node-role", node_role_name(self.node.role));
        fields.put("node-leads", u8::from(self.leads));
        fields.into_reply()
    }
}

/// `manage` or `observe`.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Manage => "manage",
        Mode::Observe => "observe",
    }
}

/// `open` or `strict`.
pub fn identity_name(identity: Identity) -> &'static str {
    match identity {
        Identity::Open => "open",
        Identity::Strict => "strict",
    }
}

/// `voter` or `learner`.
pub fn node_role_name(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Voter => "voter",
        NodeRole::Learner => "learner",
    }
}

/// The run id of INFO, else the recorded one, else nothing.
fn run_id(sighting: Option<&Sighting>, member: Option<&Member>) -> String {
    let seen = sighting
        .and_then(|sighting| sighting.facts.as_ref())
        .map(|facts| &facts.run_id);
    let recorded = member.and_then(|member| member.run_id.as_ref());
    seen.or(recorded).map(ToString::to_string).unwrap_or_default()
}

/// Fields in the order in which they are put.
#[derive(Debug, Default)]
struct Fields(Vec<(Reply, Reply)>);

impl Fields {
    fn put(&mut self, name: &'static str, value: impl Display) {
        self.0.push((Reply::bulk(name), Reply::bulk(value.to_string())));
    }

    fn put_unless_empty(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.put(name, value);
        }
    }

    fn place(&mut self, place: &Place) {
        self.put("ip", place.host());
        self.put("port", place.address.port);
    }

    /// Both of what is told and what is not: an instance that has a host name has an address as well.
    fn host_name(&mut self, group: &Group, address: Address) {
        if let Some(host) = group.hosts.get(&address) {
            self.put("host-name", host);
            self.put("address", address.ip);
        }
    }

    fn link(&mut self, sighting: Option<&Sighting>) {
        self.put("link-pending-commands", sighting.map_or(0, |sighting| sighting.pending));
        self.put("link-refcount", 1);
    }

    fn silence(&mut self, sighting: Option<&Sighting>, now: Instant) {
        let age = |then: Option<Instant>| then.map_or(0, |then| now.since(then));
        self.put(
            "last-ping-sent",
            age(sighting.and_then(|sighting| sighting.ping_sent_at)),
        );
        self.put("last-ok-ping-reply", age(sighting.map(|sighting| sighting.ok_reply_at)));
        self.put("last-ping-reply", age(sighting.map(|sighting| sighting.reply_at)));
        if let Some(since) = sighting.and_then(down_since) {
            self.put("s-down-time", now.since(since));
        }
    }

    fn reported(&mut self, sighting: Option<&Sighting>, expected: Role, now: Instant) {
        let age = |then: Option<Instant>| then.map_or(0, |then| now.since(then));
        let facts = sighting.and_then(|sighting| sighting.facts.as_ref());
        let role = match facts.map_or(expected, |facts| facts.role) {
            Role::Primary => "master",
            Role::Replica => "slave",
        };
        self.put("info-refresh", age(sighting.and_then(|sighting| sighting.facts_at)));
        self.put("role-reported", role);
        self.put("role-reported-time", age(sighting.map(|sighting| sighting.role_since)));
    }

    fn into_reply(self) -> Reply {
        Reply::Map(self.0)
    }
}

fn down_since(sighting: &Sighting) -> Option<Instant> {
    match sighting.verdict {
        Verdict::Down { since } => Some(since),
        Verdict::Up | Verdict::Unknown => None,
    }
}
