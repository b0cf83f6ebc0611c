//! What a rule may look at, given by either simulator: it is the truth about the world, not what a node believes.
//!
//! What one of them does not know has a default that makes no rule fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfgserver::machine::{Entry, State};
use cfgserver::model::{Address, GroupId, NodeId, Sighting, Term};

use crate::redis::{Fleet, Server};

/// The world at one moment.
pub(crate) trait Scene {
    /// Monotonic, milliseconds; never near zero.
    fn now(&self) -> u64;
    /// Every instance there is.
    fn fleet(&self) -> &Fleet;
    /// After the last committed entry.
    fn state(&self) -> Arc<State>;
    /// All committed entries, oldest first; those of Raft itself are left out.
    fn entries(&self) -> Vec<Arc<Entry>>;
    /// The term of the leader, once it has committed in it.
    fn led_term(&self) -> Option<Term>;
    /// Node ids are 1..=nodes.
    fn nodes(&self) -> NodeId;
    fn node(&self, id: NodeId) -> NodeScene;
    /// What a node sees of an instance.
    fn sighting(&self, node: NodeId, group: GroupId, address: Address) -> Option<Sighting>;
    /// When a node last thought that an instance is down; `None` also where that is not recorded.
    fn judged_down_at(&self, node: NodeId, group: GroupId, address: Address) -> Option<u64>;
    /// For how long no message of one node has got to another.
    fn mute_ms(&self, _from: NodeId, _to: NodeId) -> u64 {
        0
    }
    /// Both run and hear each other.
    fn in_contact(&self, one: NodeId, other: NodeId) -> bool;
    /// For how long nothing has changed between the nodes.
    fn settled_ms(&self) -> u64;
    /// Clients that listen for switches.
    fn listeners(&self) -> Vec<Listener>;
    /// A rule has something to judge.
    fn judges(&self, _rule: &'static str) {}
    /// Proxies, and what they believe.
    fn proxies(&self) -> Vec<ProxyScene> {
        Vec::new()
    }

    fn server_at(&self, address: Address) -> Option<&Server> {
        let fleet = self.fleet();
        fleet.at(address).map(|index| &fleet.servers[index])
    }
}

/// A node at one moment.
#[derive(Clone)]
pub(crate) struct NodeScene {
    pub(crate) id: NodeId,
    pub(crate) running: bool,
    /// It belongs to the cluster.
    pub(crate) member: bool,
    pub(crate) started_at: u64,
    /// For how long it stood still in the last minute.
    pub(crate) paused_ms: u64,
    /// How long the stalls were that ended within the last three seconds.
    pub(crate) just_paused_ms: u64,
    /// Its wall clock was moved.
    pub(crate) skewed: bool,
    /// The term in which it believes to lead.
    pub(crate) leads: Option<Term>,
    /// What it has applied and shows.
    pub(crate) state: Arc<State>,
    /// It is about to apply something, and its disk takes its time.
    pub(crate) applying: bool,
    /// It has applied everything that is committed.
    pub(crate) caught_up: bool,
}

/// A client that listens for switches, on the connection that it has now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener {
    pub(crate) client: usize,
    pub(crate) connection: u64,
    /// It is connected and has subscribed.
    pub(crate) listens: bool,
}

/// A proxy at one moment.
#[derive(Clone, Debug)]
pub(crate) struct ProxyScene {
    pub(crate) name: &'static str,
    /// It serves its clients.
    pub(crate) ready: bool,
    pub(crate) groups: Vec<String>,
    /// Where it believes a group to be, as `ip:port`.
    pub(crate) addresses: BTreeMap<String, String>,
}

/// All nodes of a scene.
pub(crate) fn nodes(scene: &dyn Scene) -> impl Iterator<Item = NodeScene> + '_ {
    (1..=scene.nodes()).map(|id| scene.node(id))
}
