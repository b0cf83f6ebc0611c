//! What goes wrong with instances.

use cfgserver::model::Address;

use super::Instances;
use crate::redis::Index;

impl Instances {
    /// Its process ends; whoever connects is refused.
    pub(crate) fn crash(&self, who: Index) {
        let mut stage = self.stage();
        let now = stage.clock();
        if stage.fleet.servers[who].running {
            stage.tell(who, "crashes");
            stage.fleet.stop(who, now);
            stage.turned(who);
        }
    }

    /// A new process, which loads its data for `load_ms`, or has none.
    pub(crate) fn restart(&self, who: Index, keeps_data: bool, load_ms: u64) {
        let mut stage = self.stage();
        let now = stage.clock();
        let server = &stage.fleet.servers[who];
        if !server.running && server.host_up {
            stage.tell(who, format!("starts, with its data: {keeps_data}"));
            stage.fleet.start(who, keeps_data, load_ms, now);
            stage.turned(who);
        }
    }

    /// It takes connections and answers nothing; what it was told meanwhile it does afterwards.
    pub(crate) fn hang(&self, who: Index, ms: u64) {
        let mut stage = self.stage();
        let now = stage.clock();
        if stage.fleet.servers[who].running {
            stage.tell(who, format!("hangs for {ms} ms"));
            stage.fleet.servers[who].hung_until = now + ms;
            stage.fleet.look_at_streams(now);
            stage.drain();
        }
    }

    /// Nothing comes back from its address, not even a refusal.
    pub(crate) fn host_down(&self, who: Index) {
        let mut stage = self.stage();
        let now = stage.clock();
        stage.tell(who, "its host is down");
        stage.fleet.servers[who].host_up = false;
        stage.fleet.look_at_streams(now);
        stage.turned(who);
    }

    /// The host is back. It was down, not only away: its process is a new one.
    pub(crate) fn host_up(&self, who: Index, load_ms: u64) {
        {
            let mut stage = self.stage();
            let now = stage.clock();
            if stage.fleet.servers[who].host_up {
                return;
            }
            stage.tell(who, "its host is back");
            stage.fleet.stop(who, now);
            stage.fleet.servers[who].host_up = true;
            stage.turned(who);
        }
        self.restart(who, true, load_ms);
    }

    /// Two instances do not reach each other, or do again.
    pub(crate) fn cut_replication(&self, one: Index, other: Index) {
        let mut stage = self.stage();
        let now = stage.clock();
        stage.fleet.cut.push((one.min(other), one.max(other)));
        stage.fleet.look_at_streams(now);
        stage.drain();
    }

    /// Every instance reaches every other.
    pub(crate) fn mend_all(&self) {
        let mut stage = self.stage();
        let now = stage.clock();
        stage.fleet.cut.clear();
        stage.fleet.look_at_streams(now);
        stage.drain();
    }

    /// Somebody makes it a primary with a client of Redis.
    pub(crate) fn promote_by_hand(&self, who: Index) {
        let mut stage = self.stage();
        let now = stage.clock();
        stage.tell(who, "is made a primary by hand");
        stage.fleet.become_primary(who, now);
        stage.drain();
    }

    /// Somebody turns it with a client of Redis.
    pub(crate) fn turn_by_hand(&self, who: Index, primary: Address) {
        let mut stage = self.stage();
        let now = stage.clock();
        stage.tell(who, format!("is sent to {primary} by hand"));
        stage.fleet.become_replica(who, primary, false, now);
        stage.drain();
    }

    /// Its process ends, and another, with other data, will start at its address. `lineage`: of that data, or new.
    pub(crate) fn becomes_stranger(
        &self,
        who: Index,
        lineage: Option<u32>,
        home: Option<usize>,
        follows: Option<Address>,
    ) {
        self.crash(who);
        let mut stage = self.stage();
        stage.tell(who, "a stranger takes its address");
        let lineage = lineage.unwrap_or_else(|| stage.fleet.lineages.fresh());
        let server = &mut stage.fleet.servers[who];
        server.home = home;
        server.lineage = lineage;
        server.second_lineage = None;
        server.offset = 500_000;
        server.keys = 77;
        server.saved_follows = follows;
    }
}
