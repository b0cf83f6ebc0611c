//! After the faults: is all well again, and if not, why.

use super::World;
use super::scene::Stage;
use crate::event::Event;
use crate::fact::Fact;

/// How long after the faults everything must be well again. The brake on flapping may hold the third failover for a
/// minute, and later ones longer: see `quiet_limit`.
const QUIET_MS: u64 = 60_000;
/// How often that is looked at.
pub(super) const LOOK_MS: u64 = 200;

impl World {
    /// Is all well?
    pub(super) fn look(&mut self) -> Result<(), String> {
        let waited = self.core.now - self.quiet_since;
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
            Err(_) if waited < self.quiet_limit() => {
                self.core.after(LOOK_MS, Event::Look);
                Ok(())
            }
            Err(why) => {
                self.tell_the_end();
                Err(format!("{} s after the last fault: {why}", waited / 1_000))
            }
        }
    }

    /// What the cluster did by itself is part of the history of operators.
    pub(super) fn write_history(&mut self, facts: &[Fact]) {
        let now = self.core.now;
        for fact in facts {
            if let Fact::Committed {
                command, before, after, ..
            } = fact
            {
                self.clients.histories.committed(command, before, after, (now, now));
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

    /// The brake may hold a failover: its own wait is added.
    fn quiet_limit(&self) -> u64 {
        let state = self.core.log.state();
        let wall = self
            .nodes
            .iter()
            .map(|node| node.wall(&self.core))
            .min()
            .unwrap_or_default();
        let held = state
            .groups()
            .filter_map(|group| cfgserver::failover::held_until(group, wall));
        let longest = held.map(|until| until.0 - wall.0).max().unwrap_or_default();
        // Nobody is sent to copy a primary without data before a client has written to it.
        let written_ms = 3 * self.core.settings.write_every_ms;
        QUIET_MS + longest.min(3_600_000) + written_ms
    }
}
