//! What happens to instances.

use std::net::IpAddr;

use super::super::faults::Undo;
use super::World;

impl World {
    pub(in crate::full) fn instance_addresses(&self) -> Vec<IpAddr> {
        self.instances
            .look(|fleet| fleet.servers.iter().map(|server| server.address.ip).collect())
    }

    /// The primary of a group, as the cluster has it.
    pub(in crate::full) fn primary_of(&self, group: usize) -> Option<usize> {
        let state = self.ledger.state();
        let name = crate::world::group_name(group);
        let primary = state.group_named(name.as_str())?.primary;
        self.instances.look(|fleet| fleet.at(primary))
    }

    pub(in crate::full) fn any_instance(&mut self) -> usize {
        let count = self.instances.look(|fleet| fleet.servers.len());
        self.chance.index(count)
    }

    pub(in crate::full) fn crash_instance(&mut self, who: usize, keeps_data: bool, lasts: u64) -> bool {
        if !self.instances.look(|fleet| fleet.servers[who].running) {
            return false;
        }
        self.instances.crash(who);
        self.later(lasts, Undo::InstanceUp { who, keeps_data });
        true
    }

    pub(in crate::full) fn instance_up(&mut self, who: usize, keeps_data: bool) {
        self.instances.restart(who, keeps_data, self.settings.load_ms);
    }

    pub(in crate::full) fn hang_instance(&mut self, who: usize, lasts: u64) -> bool {
        self.instances.hang(who, lasts);
        true
    }

    pub(in crate::full) fn instance_host_down(&mut self, who: usize, lasts: u64) -> bool {
        if !self.instances.look(|fleet| fleet.servers[who].host_up) {
            return false;
        }
        self.instances.host_down(who);
        self.later(lasts, Undo::InstanceHost { who });
        true
    }

    pub(in crate::full) fn instance_host_up(&mut self, who: usize) {
        self.instances.host_up(who, self.settings.load_ms);
    }

    /// Somebody promotes another member with a client of Redis, and turns the primary, or forgets that.
    pub(in crate::full) fn moved_by_hand(&mut self, primary: usize) -> bool {
        let who = self.any_instance();
        let able = self.instances.look(|fleet| {
            let server = &fleet.servers[who];
            server.home == fleet.servers[primary].home && server.alive() && !server.is_primary()
        });
        if able {
            self.instances.promote_by_hand(who);
            let address = self.instances.look(|fleet| fleet.servers[who].address);
            if self.chance.permille(500) {
                self.instances.turn_by_hand(primary, address);
            }
        }
        able
    }

    /// Another process, with data of another group or of nobody here, takes the address of a member.
    pub(in crate::full) fn stranger(&mut self, who: usize, lasts: u64) -> bool {
        let other = self.chance.index(self.settings.groups.len());
        let theirs = self.primary_of(other).and_then(|primary| {
            self.instances.look(|fleet| {
                let (server, own) = (&fleet.servers[primary], fleet.servers[who].home);
                (own != Some(other)).then_some((server.lineage, server.address))
            })
        });
        let follows = self.chance.permille(500);
        match theirs {
            Some((lineage, address)) => {
                let follows = follows.then_some(address);
                self.instances
                    .becomes_stranger(who, Some(lineage), Some(other), follows);
            }
            None => self.instances.becomes_stranger(who, None, None, None),
        }
        self.later(lasts, Undo::InstanceUp { who, keeps_data: true });
        true
    }

    pub(in crate::full) fn cut_replication(&mut self, who: usize, lasts: u64) -> bool {
        let count = self.instances.look(|fleet| fleet.servers.len());
        for other in (0..count).filter(|other| *other != who) {
            self.instances.cut_replication(who, other);
        }
        self.tell("world", "a primary is cut from its replicas");
        self.later(lasts, Undo::Replication);
        true
    }

    pub(in crate::full) fn mend_replication(&mut self) {
        self.instances.mend_all();
    }

    /// Clients of Redis write to the primaries that they were told.
    pub(super) fn writers_turn(&mut self) {
        let now = self.now();
        if now < self.written_at + self.settings.write_every_ms {
            return;
        }
        self.written_at = now;
        for group in 0..self.settings.groups.len() {
            if let Some(primary) = self.primary_of(group) {
                let bytes = self.chance.within(1, 200);
                self.instances.write(primary, bytes);
            }
        }
    }
}
