//! A Redis instance, as small as the planner's scenarios allow.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfgserver::failover::Order;
use cfgserver::model::{Address, Facts, HostName, Lineage, NamedReplica, ReplicaLine, Role, RunId};

/// How long a full copy of the data takes.
const FULL_SYNC_MS: u64 = 300;

#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) address: Address,
    /// Its host name.
    pub(super) host: Option<HostName>,
    /// It announces that to its primary, instead of its address.
    pub(super) announces: bool,
    pub(super) alive: bool,
    pub(super) hung: bool,
    pub(super) starts: u32,
    pub(super) version: String,
    pub(super) follows: Option<Address>,
    /// It was told the name of its primary, not the address.
    pub(super) by_name: bool,
    pub(super) link_up: bool,
    /// Which process of the primary the link goes to.
    linked_to: u32,
    pub(super) link_lost_at: u64,
    pub(super) ever_linked: bool,
    pub(super) syncing_until: Option<u64>,
    /// Does not take part in replication any more.
    pub(super) stuck: bool,
    pub(super) lineage: Lineage,
    pub(super) offset: u64,
    pub(super) keys: u64,
    pub(super) priority: u32,
    pub(super) loading: bool,
    pub(super) paused_until: u64,
    /// FAILOVER: to whom, and until when.
    pub(super) failing_over: Option<(Address, u64)>,
    /// Answers to the next order with this error.
    pub(super) refuses: Option<String>,
    /// Closes the connection under the next order, and does not carry it out.
    pub(super) drops: bool,
}

impl Server {
    pub(super) fn new(name: &str, address: Address) -> Self {
        let mut server = Self {
            name: name.to_owned(),
            address,
            host: None,
            announces: false,
            alive: true,
            hung: false,
            starts: 0,
            version: "7.0.15".to_owned(),
            follows: None,
            by_name: false,
            link_up: false,
            linked_to: 0,
            link_lost_at: 0,
            ever_linked: false,
            syncing_until: None,
            stuck: false,
            lineage: Lineage {
                replid: "".into(),
                replid2: None,
            },
            offset: 0,
            keys: 0,
            priority: 100,
            loading: false,
            paused_until: 0,
            failing_over: None,
            refuses: None,
            drops: false,
        };
        server.fresh_lineage();
        server
    }

    pub(super) fn run_id(&self) -> RunId {
        RunId::new(format!("{}{}", self.name.to_lowercase(), self.starts))
    }

    fn fresh_lineage(&mut self) {
        self.lineage = Lineage {
            replid: format!("data-{}{}", self.name, self.starts).into(),
            replid2: None,
        };
    }

    pub(super) fn answers(&self) -> bool {
        self.alive && !self.hung
    }

    pub(super) fn restart(&mut self, keeps_data: bool) {
        self.alive = true;
        self.hung = false;
        self.starts += 1;
        self.link_up = false;
        self.ever_linked = false;
        self.syncing_until = None;
        self.paused_until = 0;
        if !keeps_data {
            self.keys = 0;
            self.offset = 0;
            self.fresh_lineage();
        }
    }

    /// SLAVEOF NO ONE.
    pub(super) fn become_primary(&mut self) {
        if self.follows.take().is_some() {
            let before = self.lineage.replid.clone();
            let replid: Arc<str> = format!("{before}+{}", self.name).into();
            self.lineage = Lineage {
                replid,
                replid2: Some(before),
            };
        }
        self.link_up = false;
        self.syncing_until = None;
    }

    /// SLAVEOF somebody.
    pub(super) fn become_replica(&mut self, of: Address, now: u64) {
        if self.follows != Some(of) {
            self.link_up = false;
            self.link_lost_at = now;
            self.ever_linked = false;
        }
        self.follows = Some(of);
        self.by_name = false;
    }

    /// Carries an order out; the text of an error otherwise.
    pub(super) fn obey(&mut self, order: &Order, now: u64) -> Result<(), String> {
        if let Some(text) = self.refuses.take() {
            return Err(text);
        }
        match order {
            Order::Promote => {
                self.give_failover_up();
                self.become_primary();
            }
            Order::Follow { primary, .. } => {
                self.give_failover_up();
                self.become_replica(*primary, now);
            }
            Order::Pause { ms } => self.paused_until = now + ms,
            Order::Unpause => self.paused_until = 0,
            Order::StepDown { to } => self.become_replica(*to, now),
            Order::Yield { to, ms, .. } => {
                self.paused_until = now + ms;
                self.failing_over = Some((*to, now + ms));
            }
            Order::TakeBack => {
                self.give_failover_up();
                self.paused_until = 0;
                self.become_primary();
            }
        }
        Ok(())
    }

    /// FAILOVER ABORT: Redis takes no SLAVEOF before.
    fn give_failover_up(&mut self) {
        if self.failing_over.take().is_some() {
            self.become_primary();
        }
    }

    /// Replication has nothing to do.
    fn settled(&self, others: &BTreeMap<Address, Self>) -> bool {
        if self.failing_over.is_some() {
            return false;
        }
        let Some(primary) = self.follows.and_then(|address| others.get(&address)) else {
            return !self.link_up && self.syncing_until.is_none();
        };
        if !self.answers() {
            return true;
        }
        if !primary.answers() || primary.loading || self.stuck {
            return !self.link_up && self.syncing_until.is_none();
        }
        let same = self.offset == primary.offset && self.keys == primary.keys && self.lineage == primary.lineage;
        self.link_up && same && self.linked_to == primary.starts
    }

    pub(super) fn facts(&self, others: &BTreeMap<Address, Self>, now: u64) -> Facts {
        let replica = self.follows.is_some();
        let attached = |other: &&Self| {
            let attached = other.link_up || other.syncing_until.is_some();
            other.follows == Some(self.address) && other.answers() && attached
        };
        let lines = || others.values().filter(attached);
        let followed = self.follows.and_then(|address| others.get(&address));
        let followed_name = followed.and_then(|other| other.host.as_ref()).filter(|_| self.by_name);
        let primary_host = match followed_name {
            Some(host) => host.to_string(),
            None => self.follows.map(|address| address.ip.to_string()).unwrap_or_default(),
        };
        Facts {
            run_id: self.run_id(),
            version: self.version.clone(),
            role: if replica { Role::Replica } else { Role::Primary },
            lineage: Some(self.lineage.clone()),
            primary_offset: self.offset,
            replica_offset: if replica { self.offset } else { 0 },
            primary: self.follows.filter(|_| !self.by_name),
            primary_host,
            primary_port: self.follows.map_or(0, |address| address.port),
            primary_link_up: self.link_up,
            primary_link_down_ms: if self.link_up {
                Some(0)
            } else {
                self.ever_linked.then(|| now - self.link_lost_at)
            },
            sync_in_progress: self.syncing_until.is_some(),
            priority: self.priority,
            announced: true,
            loading: self.loading,
            keys: self.keys,
            uptime_s: 1,
            failing_over: (!self.version.starts_with('5')).then_some(self.failing_over.is_some()),
            replicas: lines()
                .filter(|other| !other.announces)
                .map(|other| ReplicaLine {
                    address: other.address,
                    online: other.link_up,
                    offset: other.offset,
                })
                .collect(),
            named_replicas: lines()
                .filter(|other| other.announces)
                .filter_map(|other| {
                    Some(NamedReplica {
                        host: other.host.clone()?,
                        port: other.address.port,
                        online: other.link_up,
                        offset: other.offset,
                    })
                })
                .collect(),
        }
    }
}

/// One millisecond of replication.
pub(super) fn replicate(servers: &mut BTreeMap<Address, Server>, now: u64) {
    if servers.values().all(|server| server.settled(servers)) {
        return;
    }
    fail_over(servers, now);
    let before = servers.clone();
    for server in servers.values_mut() {
        let Some(primary) = server.follows.and_then(|address| before.get(&address)) else {
            lose_link(server, now);
            continue;
        };
        if !server.answers() {
            continue;
        }
        if !primary.answers() || primary.loading || server.stuck {
            lose_link(server, now);
            continue;
        }
        if server.linked_to != primary.starts {
            server.linked_to = primary.starts;
            lose_link(server, now);
        }
        if !server.link_up && server.syncing_until.is_none() {
            let related = server.lineage.related(&primary.lineage) && server.offset <= primary.offset;
            let wait_ms = if related { 1 } else { FULL_SYNC_MS };
            server.syncing_until = Some(now + wait_ms);
        }
        if server.syncing_until.is_some_and(|until| until <= now) {
            server.syncing_until = None;
            server.link_up = true;
            server.ever_linked = true;
        }
        if server.link_up {
            server.lineage = primary.lineage.clone();
            server.offset = primary.offset;
            server.keys = primary.keys;
        }
    }
}

/// FAILOVER: the replica tells once a second how far it is; then the roles change.
fn fail_over(servers: &mut BTreeMap<Address, Server>, now: u64) {
    let before = servers.clone();
    for server in before.values() {
        let Some((to, until)) = server.failing_over else {
            continue;
        };
        let target = &before[&to];
        let equal = target.link_up && target.follows == Some(server.address) && target.offset == server.offset;
        let over = now >= until || (equal && now.is_multiple_of(100));
        if !over {
            continue;
        }
        if equal {
            servers.get_mut(&to).unwrap().become_primary();
            servers.get_mut(&server.address).unwrap().become_replica(to, now);
        }
        servers.get_mut(&server.address).unwrap().failing_over = None;
    }
}

fn lose_link(server: &mut Server, now: u64) {
    if server.link_up {
        server.link_up = false;
        server.link_lost_at = now;
    }
    server.syncing_until = None;
}
