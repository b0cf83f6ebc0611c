//! The order links of a leader: `control::links` over `redis::OrderLink`. What goes over the wire is the real
//! requests, and the answers are read by the real reader.

mod answers;

use std::collections::{BTreeMap, VecDeque};

use cfgserver::failover::{LinkFault, Order, OrderFault, Read, still_stands};
use cfgserver::model::{Address, Facts, GroupId, Instant, RunId, Term};
use cfgserver::redis::request;

use crate::core::Core;
use crate::event::{Event, Job, Reached};
use crate::fact::Fact;
use crate::redis::{Index, Owner};

use super::Node;

const OPEN_LIMIT_MS: u64 = 1_000;
const READ_LIMIT_MS: u64 = 500;
const ORDER_LIMIT_MS: u64 = 2_000;

pub(super) type Place = (GroupId, Address);

struct Wire {
    server: Index,
    conn: u64,
    starts: u32,
    facts: Option<Facts>,
}

struct Slot {
    serial: u64,
    wire: Option<Wire>,
    /// What is on its way.
    job: Option<Job>,
    /// Raised with each job: an older limit means nothing.
    step: u32,
    queue: VecDeque<Job>,
    used_at: Instant,
    orders: u32,
    /// The connection is closed; that is found out with its next use.
    broken: bool,
    limit_at: u64,
}

/// All links of a leader.
#[derive(Default)]
pub(super) struct Links {
    slots: BTreeMap<Place, Slot>,
}

enum News {
    Opened(Result<Facts, LinkFault>),
    Read(Result<Facts, LinkFault>),
    Answered(Result<Option<Facts>, OrderFault>),
}

/// Tries to connect: what comes of it, and when. `leader`: the term that the link is named after.
pub(super) fn reach(
    core: &mut Core,
    owner: Owner,
    address: Address,
    limit_ms: u64,
    leader: Option<Term>,
) -> (Reached, u64) {
    let ms = core.delay() + core.delay();
    let Some(server) = core.server_at(address) else {
        return (Reached::TimedOut, limit_ms);
    };
    if !core.goes_to(owner.node, server) || !core.comes_from(owner.node, server) || ms > limit_ms {
        return (Reached::TimedOut, limit_ms);
    }
    if !core.fleet.servers[server].running {
        return (Reached::Refused, ms);
    }
    let conn = core.connect(server, owner, leader);
    (Reached::Open { server, conn }, ms)
}

impl Links {
    pub(super) fn no_orders(&self) -> bool {
        self.slots.values().all(|slot| slot.orders == 0)
    }

    /// The leadership ended: everything is dropped. What was sent is sent.
    pub(super) fn close_all(mut self, core: &mut Core) {
        self.close_everything(core);
    }

    pub(super) fn close_everything(&mut self, core: &mut Core) {
        for slot in std::mem::take(&mut self.slots).into_values() {
            close(core, slot);
        }
    }

    pub(super) fn retain(
        &mut self,
        core: &mut Core,
        group: GroupId,
        keep: impl Fn(Address, Instant) -> bool,
    ) -> Vec<Address> {
        let closing: Vec<Place> = self
            .slots
            .iter()
            .filter(|((id, address), slot)| *id == group && slot.orders == 0 && !keep(*address, slot.used_at))
            .map(|(place, _)| *place)
            .collect();
        for place in &closing {
            if let Some(slot) = self.slots.remove(place) {
                close(core, slot);
            }
        }
        closing.into_iter().map(|(_, address)| address).collect()
    }

    pub(super) fn oldest_use(&self, group: GroupId) -> Option<Instant> {
        let own = self.slots.iter().filter(|((id, _), _)| *id == group);
        own.map(|(_, slot)| slot.used_at).min()
    }
}

/// Closes a link from this side. An order that is still on its way may land all the same.
fn close(core: &mut Core, slot: Slot) {
    let Some(wire) = slot.wire else { return };
    if !matches!(slot.job, Some(Job::Order { .. })) {
        core.fleet.servers[wire.server].conns.remove(&wire.conn);
    }
}

impl Node {
    fn slot(&mut self, place: Place, serial: u64) -> Option<&mut Slot> {
        let leader = self.leader.as_mut()?;
        leader.links.slots.get_mut(&place).filter(|slot| slot.serial == serial)
    }

    pub(super) fn link_open(&mut self, core: &mut Core, place: Place) {
        let serial = core.serial();
        let Some(leader) = self.leader.as_mut() else { return };
        let slot = Slot {
            serial,
            wire: None,
            job: None,
            step: 0,
            queue: VecDeque::new(),
            used_at: Instant(core.now),
            orders: 0,
            broken: false,
            limit_at: core.now + OPEN_LIMIT_MS,
        };
        if let Some(before) = leader.links.slots.insert(place, slot) {
            // What waited is not given any more; what was written is of unknown effect.
            if before.orders > 0
                && let Some(memory) = leader.memories.get_mut(&place.0)
            {
                memory.answered(place.1, Err(OrderFault::Unknown), Instant(core.now));
                core.coverage.mark("order: its link was replaced");
            }
            close(core, before);
        }
        self.link_establish(core, place, serial, Job::Establish, OPEN_LIMIT_MS);
    }

    /// Connects, then tells who it is, looks for others, and reads INFO.
    fn link_establish(&mut self, core: &mut Core, place: Place, serial: u64, job: Job, limit_ms: u64) {
        let owner = Owner {
            node: self.id,
            life: self.life,
        };
        let term = self.view.term;
        let (reached, ms) = reach(core, owner, place.1, limit_ms, Some(term));
        if let Some(slot) = self.slot(place, serial) {
            slot.job = Some(job);
        }
        let (node, life, (group, address)) = (self.id, self.life, place);
        core.after(
            ms,
            Event::LinkConnected {
                node,
                life,
                term,
                group,
                address,
                serial,
                reached,
            },
        );
    }

    pub(crate) fn link_connected(&mut self, core: &mut Core, place: Place, serial: u64, reached: Reached) {
        let Some(slot) = self.slot(place, serial) else {
            if let Reached::Open { server, conn } = reached {
                core.fleet.servers[server].conns.remove(&conn);
            }
            return;
        };
        match reached {
            Reached::Open { server, conn } => {
                slot.wire = Some(Wire {
                    server,
                    conn,
                    starts: core.fleet.servers[server].starts,
                    facts: None,
                });
                let limit_ms = slot.limit_at.saturating_sub(core.now);
                self.link_send(core, place, serial, limit_ms, 0);
            }
            Reached::Refused => self.link_failed(core, place, serial, true),
            Reached::TimedOut => self.link_failed(core, place, serial, false),
        }
    }

    /// Writes the job's requests; they arrive, or wait for the network to heal.
    fn link_send(&mut self, core: &mut Core, place: Place, serial: u64, limit_ms: u64, late_ms: u64) {
        let (node, life, term, (group, address)) = (self.id, self.life, self.view.term, place);
        let Some(slot) = self.slot(place, serial) else { return };
        let (Some(wire), Some(job)) = (&slot.wire, &slot.job) else {
            return;
        };
        slot.step += 1;
        let step = slot.step;
        let event = Event::LinkAt {
            server: wire.server,
            conn: wire.conn,
            starts: wire.starts,
            node,
            life,
            term,
            group,
            serial,
            job: Box::new(job.clone()),
        };
        let server = wire.server;
        core.after(
            limit_ms,
            Event::LinkTimeout {
                node,
                life,
                term,
                group,
                address,
                serial,
                step,
            },
        );
        if core.goes_to(node, server) {
            let ms = core.delay() + late_ms;
            core.after(ms, event);
        } else if matches!(event, Event::LinkAt { ref job, .. } if matches!(**job, Job::Order { .. })) {
            core.hold(event);
        }
    }

    pub(super) fn link_read(&mut self, core: &mut Core, place: Place) {
        self.link_enqueue(core, place, Job::Read);
    }

    pub(super) fn link_order(&mut self, core: &mut Core, place: Place, run_id: RunId, order: Order) -> bool {
        let Some(leader) = self.leader.as_mut() else {
            return false;
        };
        let Some(slot) = leader.links.slots.get_mut(&place) else {
            return false;
        };
        slot.orders += 1;
        let job = Job::Order {
            run_id,
            order,
            form: 0,
            failing_over: None,
            again: false,
        };
        self.link_enqueue(core, place, job);
        true
    }

    fn link_enqueue(&mut self, core: &mut Core, place: Place, job: Job) {
        let Some(leader) = self.leader.as_mut() else { return };
        if let Some(slot) = leader.links.slots.get_mut(&place) {
            slot.queue.push_back(job);
            let serial = slot.serial;
            self.link_go_on(core, place, serial);
        }
    }

    fn link_go_on(&mut self, core: &mut Core, place: Place, serial: u64) {
        let Some(slot) = self.slot(place, serial) else { return };
        if slot.job.is_some() || slot.wire.is_none() {
            return;
        }
        let Some(job) = slot.queue.pop_front() else { return };
        let broken = slot.broken;
        slot.job = Some(job.clone());
        match job {
            Job::Order { run_id, order, .. } => {
                slot.limit_at = core.now + ORDER_LIMIT_MS;
                self.link_give(core, place, serial, &run_id, &order);
            }
            _ if broken => self.link_failed(core, place, serial, false),
            _ => {
                slot.limit_at = core.now + READ_LIMIT_MS;
                self.link_send(core, place, serial, READ_LIMIT_MS, 0);
            }
        }
    }

    /// Identity and fence right before the write.
    fn link_give(&mut self, core: &mut Core, place: Place, serial: u64, run_id: &RunId, order: &Order) {
        let none = BTreeMap::new();
        let sightings = self.seen.0.get(&place.0).unwrap_or(&none);
        let wall = self.state.time(self.wall(core));
        let wanted = self.state.group(place.0);
        let slot = self.leader.as_ref().and_then(|leader| leader.links.slots.get(&place));
        let read = slot.and_then(|slot| slot.wire.as_ref()?.facts.as_ref());
        let says = read.and_then(|facts| facts.failing_over);
        let stands = wanted.zip(read).is_some_and(|(group, facts)| {
            let read = Read { facts, wall };
            still_stands(group, sightings, place.1, read, run_id, order)
        });
        if !stands {
            core.coverage.mark("order: the group moved on");
        }
        let fence = stands && self.holds_lease(core);
        let (node, term, applied) = (self.id, self.view.term, self.state.clone());
        let Some(slot) = self.slot(place, serial) else { return };
        let found = slot
            .wire
            .as_ref()
            .and_then(|wire| wire.facts.as_ref())
            .map(|facts| facts.run_id.clone());
        let (broken, repeated) = (slot.broken, matches!(slot.job, Some(Job::Order { form: 1.., .. })));
        let limit_ms = slot.limit_at.saturating_sub(core.now);
        if found.as_ref() != Some(run_id) {
            return self.link_done(
                core,
                place,
                serial,
                News::Answered(Err(OrderFault::OtherProcess)),
                false,
            );
        }
        if !fence {
            core.coverage.mark("order: lease lost");
            return self.link_done(core, place, serial, News::Answered(Err(OrderFault::LeaseLost)), true);
        }
        core.coverage.mark(order_name(order));
        core.tell_node(node, || format!("orders {}: {order}", place.1));
        core.fact(Fact::OrderSent {
            node,
            term,
            group: place.0,
            address: place.1,
            run_id: run_id.clone(),
            order: order.clone(),
            repeated,
            applied,
        });
        if broken {
            return self.link_look_again(core, place, serial);
        }
        if let Some(slot) = self.slot(place, serial)
            && let Some(Job::Order {
                form: 0, failing_over, ..
            }) = &mut slot.job
        {
            *failing_over = says;
        }
        let mut late_ms = 0;
        if !core.quiet && core.chance.permille(core.settings.late_order_permille) {
            late_ms = core.chance.within(200, 6_000);
            core.coverage.mark("fault: order delivered late");
        }
        self.link_send(core, place, serial, limit_ms, late_ms);
    }

    /// The connection ended under an order: INFO over a new one must tell.
    fn link_look_again(&mut self, core: &mut Core, place: Place, serial: u64) {
        core.coverage.mark("order: connection closed under it");
        let Some(slot) = self.slot(place, serial) else { return };
        let Some(Job::Order { run_id, order, .. }) = slot.job.clone() else {
            return;
        };
        slot.wire = None;
        slot.broken = false;
        let limit_ms = slot.limit_at.saturating_sub(core.now);
        let again = Job::Order {
            run_id,
            order,
            form: 0,
            failing_over: None,
            again: true,
        };
        self.link_establish(core, place, serial, again, limit_ms);
    }
}

/// The requests of a job.
pub(crate) fn requests(job: &Job) -> Vec<Vec<bytes::Bytes>> {
    match job {
        Job::Establish | Job::Order { again: true, .. } => {
            vec![
                request(["CLIENT", "SETNAME", "leader"]),
                request(["CLIENT", "LIST"]),
                request(["INFO"]),
            ]
        }
        Job::Kill(ids) => {
            let kill = |id: &u64| request(["CLIENT", "KILL", "ID", &id.to_string()]);
            ids.iter().map(kill).chain([request(["INFO"])]).collect()
        }
        Job::Read => vec![request(["INFO"])],
        Job::Order {
            order,
            form,
            failing_over,
            ..
        } => order.forms(*failing_over).swap_remove(*form).requests,
    }
}

fn order_name(order: &Order) -> &'static str {
    match order {
        Order::Promote => "order: promote",
        Order::Follow {
            disconnect_clients: true,
            ..
        } => "order: follow, disconnect clients",
        Order::Follow { .. } => "order: follow",
        Order::Pause { .. } => "order: pause",
        Order::Unpause => "order: unpause",
        Order::StepDown { .. } => "order: step down",
        Order::Yield { .. } => "order: fail over",
        Order::TakeBack => "order: take back",
    }
}
