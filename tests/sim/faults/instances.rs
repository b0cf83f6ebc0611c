//! What goes wrong with instances.

use cfgserver::model::NodeId;

use super::Fault;
use crate::event::Event;
use crate::redis::Index;
use crate::world::World;

impl World {
    pub(super) fn crash_server(&mut self, who: Index, keeps_data: bool) {
        if !self.core.fleet.servers[who].running {
            return;
        }
        let name = self.name(who);
        self.says(format!("{name} crashes"));
        let now = self.core.now;
        self.core.fleet.stop(who, now);
        let ms = *self.core.chance.pick(&[100, 500, 2_000, 6_000, 15_000]);
        let ms = self.core.chance.within(ms / 2, ms * 2);
        self.core.after(ms, Event::Fault(Fault::ServerUp { who, keeps_data }));
    }

    pub(super) fn empty(&mut self, who: Index) {
        if !self.core.fleet.servers[who].running {
            return;
        }
        let name = self.name(who);
        self.says(format!("{name} is restarted without its data"));
        let now = self.core.now;
        self.core.fleet.stop(who, now);
        let ms = self.core.chance.within(1, 600);
        self.core
            .after(ms, Event::Fault(Fault::ServerUp { who, keeps_data: false }));
    }

    pub(super) fn start_server(&mut self, who: Index, keeps_data: bool) {
        if self.core.fleet.servers[who].running {
            return;
        }
        let name = self.name(who);
        self.says(format!("{name} starts, with its data: {keeps_data}"));
        let load_ms = self.core.settings.load_ms;
        let load_ms = self.core.chance.within(1, load_ms + 1);
        let now = self.core.now;
        self.core.fleet.start(who, keeps_data, load_ms, now);
    }

    /// Everything is deleted, and what is written again does not come to the replicas.
    pub(super) fn flush(&mut self, who: Index) {
        let (name, now) = (self.name(who), self.core.now);
        if !self.core.fleet.flush(who, now) {
            return;
        }
        self.says(format!("all keys of {name} are deleted"));
        if self.core.chance.permille(700) {
            let ms = self
                .core
                .chance
                .within(self.core.settings.lag_ms, self.core.settings.lag_ms + 20);
            self.core.after(ms, Event::Fault(Fault::CutFromReplicas { who }));
        }
    }

    pub(super) fn cut_from_replicas(&mut self, who: Index) {
        self.cut_server_from_servers(who);
        let ms = self.core.chance.within(500, 8_000);
        self.core.after(ms, Event::Fault(Fault::PrimaryCrash));
    }

    /// Its process is another one, and answers LOADING for long.
    pub(super) fn slow_loading(&mut self, who: Index) {
        if !self.core.fleet.servers[who].running {
            return;
        }
        let (name, now) = (self.name(who), self.core.now);
        let ms = self.core.chance.within(2_000, 20_000);
        self.says(format!("{name} is restarted and loads for {ms} ms"));
        self.core.fleet.stop(who, now);
        self.core.fleet.start(who, true, ms, now);
    }

    pub(super) fn crash_all(&mut self, group: usize) {
        let own: Vec<Index> = (0..self.core.fleet.servers.len())
            .filter(|who| self.core.fleet.servers[*who].home == Some(group))
            .collect();
        for who in own {
            self.crash_server(who, true);
        }
    }

    pub(super) fn hang(&mut self, who: Index) {
        let ms = self.core.chance.within(100, 9_000);
        let name = self.name(who);
        self.says(format!("{name} hangs for {ms} ms"));
        self.core.fleet.servers[who].hung_until = self.core.now + ms;
        self.streams();
        self.core.after(ms + 1, Event::Fault(Fault::ServerWakes));
    }

    pub(super) fn flap(&mut self, who: Index) {
        let name = self.name(who);
        self.says(format!("{name} flaps"));
        let now = self.core.now;
        self.core.fleet.stop(who, now);
        let ms = self.core.chance.within(1, 1_500);
        self.core
            .after(ms, Event::Fault(Fault::ServerUp { who, keeps_data: true }));
        let again = ms + self.core.chance.within(10, 3_000);
        self.core.after(again, Event::Fault(Fault::PrimaryCrash));
    }

    pub(super) fn host_down(&mut self, who: Index) {
        let name = self.name(who);
        self.says(format!("the host of {name} is down"));
        self.core.fleet.servers[who].host_up = false;
        self.streams();
        let ms = self.core.chance.within(500, 12_000);
        self.core.after(ms, Event::Fault(Fault::HostUp { who }));
    }

    pub(super) fn host_up(&mut self, who: Index) {
        if self.core.fleet.servers[who].host_up {
            return;
        }
        let name = self.name(who);
        self.says(format!("the host of {name} is back"));
        let now = self.core.now;
        // It was down, not only away: its process is gone.
        self.core.fleet.stop(who, now);
        self.core.fleet.servers[who].host_up = true;
        self.core.fleet.ended.clear();
        self.start_server(who, true);
    }

    pub(super) fn clock_jump(&mut self, id: NodeId) {
        let by = self.core.chance.within(0, 4_000_000) as i64 - 2_000_000;
        self.says(format!("the wall clock of node {id} jumps by {by} ms"));
        self.nodes[id as usize - 1].skew_ms += by;
    }

    /// An operator moves a group with a client of Redis.
    pub(super) fn by_hand(&mut self, group: usize) {
        let (who, now) = (self.member_of(group), self.core.now);
        let Some(primary) = self.primary_of(group).filter(|primary| *primary != who) else {
            return;
        };
        if self.core.fleet.servers[who].loading(now) || !self.core.fleet.servers[who].alive() {
            return;
        }
        let (name, old) = (self.name(who), self.name(primary));
        let whole = self.core.chance.permille(500);
        self.says(format!(
            "somebody makes {name} a primary by hand, and turns {old}: {whole}"
        ));
        self.core.fleet.become_primary(who, now);
        let address = self.core.fleet.servers[who].address;
        if whole && self.core.fleet.servers[primary].alive() {
            self.core.fleet.become_replica(primary, address, false, now);
        }
    }

    /// Another process, with other data, takes the address of a member.
    pub(super) fn foreign(&mut self, who: Index) {
        let name = self.name(who);
        self.says(format!("a stranger takes the address of {name}"));
        let now = self.core.now;
        self.core.fleet.stop(who, now);
        let (lineage, home, follows) = self.stranger(who);
        let server = &mut self.core.fleet.servers[who];
        server.home = home;
        server.lineage = lineage;
        server.second_lineage = None;
        server.offset = 500_000;
        server.keys = 77;
        server.saved_follows = follows;
        let ms = self.core.chance.within(100, 5_000);
        self.core
            .after(ms, Event::Fault(Fault::ServerUp { who, keeps_data: true }));
    }

    /// An instance of another group, or of nobody here: what it has, whose it is, whom it follows.
    pub(super) fn stranger(&mut self, who: Index) -> (u32, Option<usize>, Option<cfgserver::model::Address>) {
        let groups = self.core.settings.groups.len();
        let other = self.core.chance.index(groups);
        let own = self.core.fleet.servers[who].home;
        match self.primary_of(other).filter(|_| own != Some(other)) {
            Some(primary) => {
                let primary = &self.core.fleet.servers[primary];
                let follows = self.core.chance.permille(500).then_some(primary.address);
                (primary.lineage, Some(other), follows)
            }
            None => (self.core.fleet.lineages.fresh(), None, None),
        }
    }
}
