//! Several cfgserver nodes that form one cluster.

use super::{Client, Group, Node, NodeOptions, SOON, Subscriber, Value, World, wait_for, wait_until};

/// The nodes of a cluster, in the order of their ids from 1.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
}

impl Cluster {
    /// Founds a cluster and waits until every node answers and knows the leader.
    pub(crate) fn start(world: &World, count: usize) -> Self {
        let mut cluster = Self::prepare(world, count);
        cluster.start_all();
        cluster
    }

    /// The nodes of a cluster, none of them started.
    pub(crate) fn prepare(world: &World, count: usize) -> Self {
        let ports: Vec<u16> = (0..count).map(|_| world.port()).collect();
        let peers: Vec<String> = (1..)
            .zip(&ports)
            .map(|(id, port)| format!("{id}=127.0.0.1:{port}"))
            .collect();
        let peers = peers.join(",");
        let nodes = (1..)
            .zip(&ports)
            .map(|(id, port)| {
                let options = NodeOptions {
                    id,
                    port: *port,
                    words: vec!["--peers".to_owned(), peers.clone()],
                };
                Node::new(world, options)
            })
            .collect();
        Self { nodes }
    }

    pub(crate) fn start_all(&mut self) {
        for node in &mut self.nodes {
            node.start();
        }
        for node in &mut self.nodes {
            node.wait_ready();
        }
        self.leader();
    }

    /// Waits until all running nodes agree on a running leader; answers its place in `nodes`.
    #[track_caller]
    pub(crate) fn leader(&mut self) -> usize {
        wait_for("all running nodes agree on the leader", SOON, || {
            let running: Vec<usize> = (0..self.nodes.len())
                .filter(|at| self.nodes[*at].is_running())
                .collect();
            let leaders: Vec<String> = running.iter().map(|at| self.nodes[*at].info("raft_leader")).collect();
            let first = leaders.first()?.parse::<u64>().ok()?;
            let agreed = leaders.iter().all(|leader| *leader == first.to_string());
            running.into_iter().find(|at| agreed && self.nodes[*at].id == first)
        })
    }

    /// The places of the nodes that do not lead.
    #[track_caller]
    pub(crate) fn followers(&mut self) -> Vec<usize> {
        let leader = self.leader();
        (0..self.nodes.len()).filter(|at| *at != leader).collect()
    }

    /// Monitors a group, with quorum 2 of three nodes and a short down-after, and waits until every running node
    /// sees it healthy.
    #[track_caller]
    pub(crate) fn monitor(&mut self, group: &Group, down_after_ms: u64) {
        let port = group.members[0].port.to_string();
        let quorum = (self.nodes.len() / 2 + 1).to_string();
        let at = self.leader();
        let mut client = self.nodes[at].client();
        let answer = client.call(&["SENTINEL", "MONITOR", &group.name, "127.0.0.1", &port, &quorum]);
        assert!(answer.is_ok(), "{answer}");
        set(&mut client, &group.name, "down-after-milliseconds", down_after_ms);
        self.wait_healthy(group);
    }

    /// Waits until every running node sees the running members of the group, all healthy.
    #[track_caller]
    pub(crate) fn wait_healthy(&mut self, group: &Group) {
        let replicas = group.members.len() - 1;
        for node in self
            .nodes
            .iter_mut()
            .filter_map(|node| node.is_running().then_some(node))
        {
            wait_until(&format!("node {} sees {} healthy", node.id, group.name), SOON, || {
                let flags = |answer: &Value| answer.field("flags").unwrap_or_default().to_owned();
                let primary = node.try_call(&["SENTINEL", "MASTER", &group.name]);
                let listed = node.try_call(&["SENTINEL", "REPLICAS", &group.name]);
                let listed = listed.unwrap_or(Value::Null);
                // On record as in sync: what was only seen is lost with the nodes.
                let healthy = |one: &&Value| {
                    let fact = |name: &str, value: &str| one.field(name) == Some(value);
                    flags(one) == "slave" && fact("master-link-status", "ok") && fact("synced", "1")
                };
                primary.is_some_and(|answer| flags(&answer) == "master")
                    && listed.items().len() == replicas
                    && listed.items().iter().filter(healthy).count() == replicas
            });
        }
    }

    /// A subscriber on each running node, in the order of `nodes`.
    pub(crate) fn subscribe(&mut self) -> Vec<Subscriber> {
        let running = self
            .nodes
            .iter_mut()
            .filter_map(|node| node.is_running().then_some(node.port));
        running.map(Subscriber::everything).collect()
    }

    /// Waits until every running node tells this port as the primary of the group.
    #[track_caller]
    pub(crate) fn wait_primary(&mut self, group: &str, port: u16) {
        for node in self
            .nodes
            .iter_mut()
            .filter_map(|node| node.is_running().then_some(node))
        {
            let what = format!("node {} tells {port} as primary of {group}", node.id);
            wait_until(&what, SOON, || node.primary_of(group) == port);
        }
    }
}

/// Sets one setting of a group.
#[track_caller]
pub(crate) fn set(client: &mut Client, group: &str, option: &str, value: u64) {
    let answer = client.call(&["SENTINEL", "SET", group, option, &value.to_string()]);
    assert!(answer.is_ok(), "{option}: {answer}");
}
