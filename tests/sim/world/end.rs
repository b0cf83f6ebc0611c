//! After the faults: is all well again, and if not, why.

use super::World;
use super::scene::Stage;
use crate::event::Event;
use crate::fact::Fact;

/// How long after the faults everything must be well again, but for what `Quiet` counts.
const QUIET_MS: u64 = 60_000;
/// After so many pauses between two writes the primary was written to: some go to other masters.
const WRITES_MAX: u64 = 10;
/// How often that is looked at.
pub(super) const LOOK_MS: u64 = 200;

/// The time after the faults.
#[derive(Default)]
pub(super) struct Quiet {
    pub(super) since: u64,
    /// When the brake on flapping let go of the last group, counted from then. It holds the third failover for half a
    /// minute, and later ones longer.
    held_ms: u64,
    /// For how long a primary had no keys while another member had some.
    unwritten_ms: u64,
}

impl World {
    /// Is all well?
    pub(super) fn look(&mut self) -> Result<(), String> {
        self.excuse();
        let waited = self.core.now - self.quiet.since;
        // An instance that comes back last is a fault of its own: somebody may have to wait out down-after for it.
        let started_at = self.core.fleet.servers.iter().map(|server| server.started_at).max();
        let started_ms = started_at.unwrap_or_default().saturating_sub(self.quiet.since);
        let limit = QUIET_MS + started_ms + self.quiet.held_ms + self.quiet.unwritten_ms;
        let stage = Stage {
            core: &self.core,
            nodes: &self.nodes,
            clients: &self.clients,
        };
        match self.invariants.all_is_well(&stage) {
            Ok(()) => {
                self.invariants.at_the_end(&stage)?;
                self.finished = true;
                self.check_histories()
            }
            Err(_) if waited < limit => {
                self.core.after(LOOK_MS, Event::Look);
                Ok(())
            }
            Err(why) => {
                self.tell_the_end();
                Err(format!("{} s after the last fault: {why}", waited / 1_000))
            }
        }
    }

    /// What the cluster did by itself is part of the history of operators: it is so when the leader knows it.
    pub(super) fn write_history(&mut self, facts: &[Fact]) {
        let now = self.core.now;
        let known = now + self.core.leader_applies_ms();
        for fact in facts {
            if let Fact::Committed {
                command, before, after, ..
            } = fact
            {
                self.clients.histories.committed(command, before, after, (now, known));
            }
        }
    }

    /// What operators asked and heard has an order, and it ends with what there is.
    fn check_histories(&mut self) -> Result<(), String> {
        let (state, now) = (self.core.log.state(), self.core.now);
        let histories = &mut self.clients.histories;
        for name in histories.names() {
            histories.ends_as(&name, state.group_named(&name).map(AsRef::as_ref), now);
        }
        self.core
            .coverage
            .add("operator: operations in an order", histories.length() as u64);
        histories
            .check()
            .map_err(|why| format!("what operators heard has no order: {why}"))
    }

    /// What the story ends with when not all is well.
    fn tell_the_end(&mut self) {
        if !self.core.story.is_kept() {
            return;
        }
        let state = self.core.log.state();
        for group in state.groups() {
            let text = self.core.named(&format!("{group:?}"));
            self.core.tell("end", || text);
        }
        for node in &self.nodes {
            for (id, memory) in node.leader.iter().flat_map(|leader| &leader.memories) {
                let text = self.core.named(&format!("group {id}: {memory:?}"));
                self.core.tell_node(node.id, || text);
            }
        }
        for who in 0..self.core.fleet.servers.len() {
            let server = &self.core.fleet.servers[who];
            let text = format!(
                "follows {:?}, {:?}, running {}, lineage {} {:?}, keys {}, quirks {} {}",
                server.follows,
                server.replica,
                server.running,
                server.lineage,
                server.second_lineage,
                server.keys,
                server.no_config_file,
                server.no_config_command
            );
            let (name, text) = (server.name.clone(), self.core.named(&text));
            self.core.tell(&name, || text);
        }
    }

    /// What may lawfully take longer than `QUIET_MS`, and how long it does in this run.
    fn excuse(&mut self) {
        match self.braked_ms() {
            0 => {}
            left_ms => self.quiet.held_ms = self.core.now - self.quiet.since + left_ms,
        }
        let unwritten_ms_max = WRITES_MAX * self.core.settings.write_every_ms;
        if self.waits_for_writers() && self.quiet.unwritten_ms < unwritten_ms_max {
            self.quiet.unwritten_ms += LOOK_MS;
        }
    }

    /// For how much longer the brake holds a failover, or an operator.
    fn braked_ms(&self) -> u64 {
        let state = self.core.log.state();
        let walls = self.nodes.iter().map(|node| node.wall(&self.core));
        let wall = walls.min().unwrap_or_default();
        let held = state
            .groups()
            .filter_map(|group| cfgserver::failover::held_until(group, wall));
        let off = state.groups().filter_map(|group| group.config.automatic.left_ms(wall));
        held.map(|until| until.0 - wall.0).chain(off).max().unwrap_or_default()
    }

    /// Rule 11: an instance with keys is not sent to copy a primary without any, unless all of its own are known to be
    /// deleted. That lasts until a client writes to the primary, which in some worlds is seldom.
    fn waits_for_writers(&self) -> bool {
        let fleet = &self.core.fleet;
        let has_keys = |address| fleet.at(address).is_some_and(|who| fleet.keys(who) > 0);
        let state = self.core.log.state();
        state.groups().any(|group| {
            let mut replicas = group.replicas().map(|(address, _)| *address);
            !has_keys(group.primary) && replicas.any(has_keys)
        })
    }
}
