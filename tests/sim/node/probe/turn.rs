//! The node's side of its probes: which one, and what follows from its turn.

use cfgserver::detect::{Cause, Duty, Pace, Watch};
use cfgserver::model::{Address, GroupId, Instant, NodeId, Sighting, Verdict};

use super::{Probe, Slot, Turn};
use crate::core::Core;
use crate::event::{Event, ProbeAnswer, Reached};
use crate::fact::Fact;
use crate::node::Node;
use crate::node::stalls::Stalls;
use crate::redis::{Index, Owner};

/// The node's side: which probe, and what follows from its turn.
impl Node {
    pub(in crate::node) fn start_probe(&mut self, core: &mut Core, id: GroupId, address: Address, begin: u64) {
        let Some(watched) = self.roster.get_mut(&id) else {
            return;
        };
        let now = Instant(begin);
        let probe = Probe {
            serial: core.serial(),
            owner: Owner {
                node: self.id,
                life: self.life,
            },
            id,
            address,
            group: watched.brief.group.clone(),
            watch: Watch::new(Probe::rules(&watched.brief, address, Pace::Calm), now),
            sighting: Sighting {
                watched_since: now,
                ok_reply_at: now,
                reply_at: now,
                role_since: now,
                ..Sighting::default()
            },
            shown: None,
            main: Slot::Empty,
            second: Slot::Empty,
            pause_ms: 0,
            connect_at: begin,
            second_at: begin,
            ping_at: begin,
            info_at: begin,
            info_asked_at: begin,
            info_wishes: watched.brief.info_wishes,
            attempted_at: begin,
            stalls_seen: self.stalls.count(),
            down_at: 0,
            scheduled: Some(begin),
        };
        let serial = probe.serial;
        watched.probes.insert(address, probe);
        let (node, life) = (self.id, self.life);
        core.push(
            begin,
            Event::ProbeWake {
                node,
                life,
                group: id,
                address,
                serial,
            },
        );
    }

    pub(crate) fn probe_wake(&mut self, core: &mut Core, id: GroupId, address: Address, serial: u64) {
        let now = core.now;
        let due = self
            .probe(id, address)
            .filter(|probe| probe.serial == serial)
            .is_some_and(|probe| {
                let due = probe.scheduled.is_some_and(|at| at <= now);
                if due {
                    probe.scheduled = None;
                }
                due
            });
        if due {
            self.advance(core, id, address);
        }
    }

    pub(crate) fn probe_connected(
        &mut self,
        core: &mut Core,
        id: GroupId,
        address: Address,
        attempt: u64,
        reached: Reached,
    ) {
        if let Some(probe) = self.probe(id, address) {
            probe.connected(core, attempt, reached);
            self.advance(core, id, address);
        } else if let Reached::Open { server, conn } = reached {
            core.fleet.servers[server].conns.remove(&conn);
        }
    }

    pub(crate) fn probe_answered(
        &mut self,
        core: &mut Core,
        id: GroupId,
        address: Address,
        attempt: u64,
        answer: ProbeAnswer,
    ) {
        if let Some(probe) = self.probe(id, address) {
            probe.answered(core, attempt, answer);
            self.advance(core, id, address);
        }
    }

    /// A connection of this node was closed by an instance: whoever has it learns that.
    pub(crate) fn conn_ended(&mut self, core: &mut Core, server: Index, conn: u64) {
        let found = self.roster.iter().find_map(|(id, watched)| {
            let mut probes = watched.probes.iter();
            probes.find_map(|(address, probe)| probe.has_conn(server, conn).map(|attempt| (*id, *address, attempt)))
        });
        if let Some((id, address, attempt)) = found {
            self.probe_answered(core, id, address, attempt, ProbeAnswer::Ended { refused: true });
        } else {
            self.link_ended(core, server, conn);
        }
    }

    pub(super) fn probe(&mut self, id: GroupId, address: Address) -> Option<&mut Probe> {
        self.roster.get_mut(&id)?.probes.get_mut(&address)
    }

    /// A turn of one probe; when it changes what the others of its group go by, they have theirs.
    pub(super) fn advance(&mut self, core: &mut Core, id: GroupId, address: Address) {
        if self.turn(core, id, address).brief_changed {
            self.advance_all(core, id);
        }
    }

    pub(in crate::node) fn advance_all(&mut self, core: &mut Core, id: GroupId) {
        let Some(watched) = self.roster.get(&id) else { return };
        let addresses: Vec<Address> = watched.probes.keys().copied().collect();
        // The primary's probe may change the brief once more: twice is enough for all to know.
        for _ in 0..2 {
            let mut again = false;
            for address in &addresses {
                again |= self.turn(core, id, *address).brief_changed;
            }
            if !again {
                break;
            }
        }
    }

    pub(super) fn turn(&mut self, core: &mut Core, id: GroupId, address: Address) -> Turn {
        let Some(watched) = self.roster.get_mut(&id) else {
            return Turn::default();
        };
        let Some(probe) = watched.probes.get_mut(&address) else {
            return Turn::default();
        };
        if probe.watch_begins_later(core.now) {
            return Turn::default();
        }
        let leader = if self.leader.is_some() {
            Some(self.id)
        } else {
            core.log.leader
        };
        let electorate: Vec<NodeId> = self.state.electorate().collect();
        let duty = Duty::of(
            core.settings.probing,
            self.id,
            leader,
            &electorate,
            (id, watched.brief.group.config.quorum),
        );
        let turn = probe.advance(core, &mut self.stalls, &mut watched.brief, duty);
        let wake_at = probe.wake_at(core.now);
        if probe.scheduled.is_none_or(|at| wake_at < at) {
            probe.scheduled = Some(wake_at);
            let (node, life, serial) = (self.id, self.life, probe.serial);
            core.push(
                wake_at,
                Event::ProbeWake {
                    node,
                    life,
                    group: id,
                    address,
                    serial,
                },
            );
        }
        let seen = self.seen.0.entry(id).or_default();
        match seen.get_mut(&address) {
            Some(seen) => seen.clone_from(&probe.sighting),
            None => _ = seen.insert(address, probe.sighting.clone()),
        }
        if probe.sighting.verdict.is_down() {
            self.judged_down.insert((id, address), core.now);
        }
        if turn.news {
            self.leader_dirty(core, id);
        }
        if turn.verdict {
            self.voter_mark(core, id);
        }
        turn
    }
}

impl Probe {
    /// Another verdict was reached.
    pub(super) fn told(&self, core: &mut Core, verdict: Verdict, stalls: &Stalls) {
        let (address, cause) = (self.address, self.watch.cause(Instant(core.now)));
        if matches!(verdict, Verdict::Down { .. }) && cause == Some(Cause::Silence) {
            let heard_at = self.watch.ok_at().unwrap_or(self.sighting.watched_since).0;
            core.fact(Fact::Silent {
                node: self.owner.node,
                address,
                heard_at,
                down_after_ms: self.watch.rules().down_after_ms,
                // A verdict that stands is not excused, and under other settings its silence counts on.
                stalled_ms: stalls.since(heard_at.max(self.down_at)),
            });
        }
        core.coverage.mark(match (verdict, cause) {
            (Verdict::Down { .. }, Some(Cause::Silence)) => "verdict: down, silence",
            (Verdict::Down { .. }, Some(Cause::Refused)) => "verdict: down, refused",
            (Verdict::Down { .. }, Some(Cause::Reboot)) => "verdict: down, reboot",
            (Verdict::Down { .. }, _) => "verdict: down, wrong role",
            _ => "verdict: up",
        });
        core.tell_node(self.owner.node, || match verdict {
            Verdict::Down { .. } => format!("sees {address} down: {cause:?}"),
            Verdict::Up => format!("sees {address} up"),
            Verdict::Unknown => format!("knows nothing of {address}"),
        });
    }
}
