//! A replication group of real redis-servers.

use super::{FAILOVER, Redis, SOON, World, wait_until};

/// A group under a name; the first member is the first primary.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) members: Vec<Redis>,
}

impl Group {
    /// Starts a primary and its replicas, and waits until they are in sync.
    pub(crate) fn start(world: &World, name: &str, replicas: usize) -> Self {
        Self::start_with(world, name, replicas, &[])
    }

    /// The same with these lines in the configuration of each member.
    pub(crate) fn start_with(world: &World, name: &str, replicas: usize, options: &[&str]) -> Self {
        let primary = Redis::start(world, options);
        let follow = format!("replicaof 127.0.0.1 {}", primary.port);
        let mut members = vec![primary];
        for _ in 0..replicas {
            members.push(Redis::start(world, &[options, &[follow.as_str()]].concat()));
        }
        let group = Self {
            name: name.to_owned(),
            members,
        };
        let first = group.members[0].port;
        wait_until("the replicas are in sync", SOON, || {
            group.members[1..].iter().all(|one| one.follows(first))
        });
        group.members[0].call(&["SET", "born", name]);
        // What the replicas have received is what makes them eligible.
        wait_until("the replicas have the first key", SOON, || {
            group.members[1..]
                .iter()
                .all(|one| one.call(&["GET", "born"]).text() == name)
        });
        group
    }

    /// The member on a port.
    #[track_caller]
    pub(crate) fn at(&mut self, port: u16) -> &mut Redis {
        let found = self.members.iter_mut().find(|one| one.port == port);
        found.unwrap_or_else(|| panic!("{port} is not in the group"))
    }

    /// Waits until the member on `port` is the primary and all other running members follow it.
    #[track_caller]
    pub(crate) fn wait_all_follow(&mut self, port: u16) {
        wait_until(&format!("everybody follows {port}"), FAILOVER, || {
            self.members.iter_mut().all(|one| {
                let right = if one.port == port {
                    one.info("role") == "master"
                } else {
                    one.follows(port)
                };
                right || !one.is_running()
            })
        });
    }
}
