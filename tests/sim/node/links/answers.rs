//! What comes back over order links, and what it means.

use std::collections::VecDeque;

use cfgserver::detect::parse_info;
use cfgserver::failover::{LinkFault, OrderFault};
use cfgserver::model::{Facts, Instant};
use cfgserver::redis::{Answer, LeaderName, Reading, links_of_the_past};

use super::{News, Place};
use crate::core::Core;
use crate::event::{Event, Job};
use crate::node::{Node, my_id};
use crate::redis::Index;

impl Node {
    /// The instance closed a connection: the link that it was learns of it when it is in use.
    pub(in crate::node) fn link_ended(&mut self, core: &mut Core, server: Index, conn: u64) {
        let Some(leader) = self.leader.as_mut() else { return };
        let found = leader.links.slots.iter_mut().find(|(_, slot)| {
            slot.wire
                .as_ref()
                .is_some_and(|wire| wire.server == server && wire.conn == conn)
        });
        let Some((place, slot)) = found else { return };
        let (place, serial) = (*place, slot.serial);
        slot.broken = true;
        match &slot.job {
            None => {}
            Some(Job::Order { again: false, .. }) => self.link_look_again(core, place, serial),
            Some(_) => self.link_failed(core, place, serial, false),
        }
    }

    pub(crate) fn link_timeout(&mut self, core: &mut Core, place: Place, serial: u64, step: u32) {
        if self
            .slot(place, serial)
            .is_some_and(|slot| slot.job.is_some() && slot.step == step)
        {
            self.link_failed(core, place, serial, false);
        }
    }

    /// What goes over the link has failed; the link is of no use any more.
    pub(super) fn link_failed(&mut self, core: &mut Core, place: Place, serial: u64, refused: bool) {
        let Some(slot) = self.slot(place, serial) else { return };
        let fault = if refused { LinkFault::Refused } else { LinkFault::Failed };
        let news = match &slot.job {
            Some(Job::Order { .. }) => News::Answered(Err(if refused {
                OrderFault::Unreachable
            } else {
                OrderFault::Unknown
            })),
            Some(Job::Read) => News::Read(Err(fault)),
            _ => News::Opened(Err(fault)),
        };
        self.link_done(core, place, serial, news, false);
    }

    pub(crate) fn link_answered(&mut self, core: &mut Core, place: Place, serial: u64, mut answers: VecDeque<Answer>) {
        let name = LeaderName {
            node: my_id(self.id),
            term: self.view.term,
            instance: place.1,
        };
        let Some(slot) = self.slot(place, serial) else { return };
        let Some(job) = slot.job.clone() else { return };
        let facts = match answers.pop_back() {
            Some(Answer::Bulk(text)) => parse_info(&text).ok(),
            _ => None,
        };
        if let (Some(wire), Some(facts)) = (&mut slot.wire, &facts) {
            wire.facts = Some(facts.clone());
        }
        match job {
            Job::Establish | Job::Order { again: true, .. } if answers.len() == 2 => {
                // CLIENT LIST was asked: links of the past are closed first.
                let stale = answers
                    .pop_back()
                    .map_or_else(Vec::new, |list| links_of_the_past(&list, &name));
                if stale.is_empty() {
                    self.link_established(core, place, serial, facts);
                } else {
                    core.coverage.mark("order link: closes those of the past");
                    let limit_ms = slot.limit_at.saturating_sub(core.now);
                    self.link_kill(core, place, serial, stale, limit_ms);
                }
            }
            Job::Establish | Job::Kill(_) | Job::Order { again: true, .. } => {
                self.link_established(core, place, serial, facts)
            }
            Job::Read => {
                let news = News::Read(facts.ok_or(LinkFault::Failed));
                self.link_done(core, place, serial, news, true);
            }
            Job::Order {
                order,
                form,
                failing_over,
                ..
            } => {
                let given = order.forms(failing_over).swap_remove(form);
                let reading = given.read(answers.make_contiguous());
                self.link_order_answered(core, place, serial, facts, reading);
            }
        }
    }

    pub(super) fn link_kill(&mut self, core: &mut Core, place: Place, serial: u64, ids: Vec<u64>, limit_ms: u64) {
        let (node, life, term, (group, _)) = (self.id, self.life, self.view.term, place);
        let Some(slot) = self.slot(place, serial) else { return };
        let Some(wire) = &slot.wire else { return };
        slot.step += 1;
        let event = Event::LinkAt {
            server: wire.server,
            conn: wire.conn,
            starts: wire.starts,
            node,
            life,
            term,
            group,
            serial,
            job: Box::new(Job::Kill(ids)),
        };
        let (server, step, address) = (wire.server, slot.step, place.1);
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
            let ms = core.delay();
            core.after(ms, event);
        }
    }

    pub(super) fn link_established(&mut self, core: &mut Core, place: Place, serial: u64, facts: Option<Facts>) {
        let Some(slot) = self.slot(place, serial) else { return };
        match (slot.job.clone(), facts) {
            (Some(Job::Order { run_id, order, .. }), Some(facts)) => {
                if facts.run_id == run_id && !order.shows_in(&facts) {
                    return self.link_failed(core, place, serial, false);
                }
                self.link_done(core, place, serial, News::Answered(Ok(Some(facts))), true);
            }
            (_, Some(facts)) => self.link_done(core, place, serial, News::Opened(Ok(facts)), true),
            (_, None) => self.link_failed(core, place, serial, false),
        }
    }

    pub(super) fn link_order_answered(
        &mut self,
        core: &mut Core,
        place: Place,
        serial: u64,
        facts: Option<Facts>,
        reading: Reading,
    ) {
        match reading {
            Reading::Done => {
                let keep = facts.is_some();
                self.link_done(core, place, serial, News::Answered(Ok(facts)), keep);
            }
            Reading::Refused(text) => {
                core.coverage.mark("order: refused");
                self.link_done(
                    core,
                    place,
                    serial,
                    News::Answered(Err(OrderFault::Refused(text.into()))),
                    true,
                );
            }
            Reading::NothingDone => {
                let Some(slot) = self.slot(place, serial) else { return };
                let Some(Job::Order {
                    run_id,
                    order,
                    form,
                    failing_over,
                    ..
                }) = slot.job.clone()
                else {
                    return;
                };
                if form + 1 >= order.forms(failing_over).len() {
                    let text = "transaction aborted".into();
                    return self.link_done(
                        core,
                        place,
                        serial,
                        News::Answered(Err(OrderFault::Refused(text))),
                        true,
                    );
                }
                core.coverage.mark("order: bare form");
                slot.job = Some(Job::Order {
                    run_id: run_id.clone(),
                    order: order.clone(),
                    form: form + 1,
                    failing_over,
                    again: false,
                });
                self.link_give(core, place, serial, &run_id, &order);
            }
        }
    }

    /// A piece of work is done: the leader remembers it, and what waited behind it goes on or fails.
    pub(super) fn link_done(&mut self, core: &mut Core, place: Place, serial: u64, news: News, keep: bool) {
        let now = Instant(core.now);
        let Some(slot) = self.slot(place, serial) else { return };
        slot.job = None;
        slot.step += 1;
        slot.used_at = now;
        if matches!(news, News::Answered(_)) {
            slot.orders = slot.orders.saturating_sub(1);
        }
        let mut all = vec![news];
        if !keep {
            let Some(leader) = self.leader.as_mut() else { return };
            if let Some(slot) = leader.links.slots.remove(&place) {
                all.extend(slot.queue.iter().map(|job| match job {
                    Job::Order { .. } => News::Answered(Err(OrderFault::Unknown)),
                    _ => News::Read(Err(LinkFault::Failed)),
                }));
                // It may have been a limit: what was written may still arrive.
                if let Some(wire) = slot
                    .wire
                    .filter(|_| !matches!(all[0], News::Answered(Err(OrderFault::Unknown))))
                {
                    core.fleet.servers[wire.server].conns.remove(&wire.conn);
                }
            }
        }
        let (group, address) = place;
        let Some(leader) = self.leader.as_mut() else { return };
        match leader.memories.get_mut(&group) {
            Some(memory) => {
                for news in all {
                    match news {
                        News::Opened(result) => memory.link_opened(address, result, now),
                        News::Read(result) => memory.info_read(address, result, now),
                        News::Answered(result) => memory.answered(address, result, now),
                    }
                }
                leader.dirty.insert(group);
            }
            None => _ = leader.links.retain(core, group, |_, _| false),
        }
        self.link_go_on(core, place, serial);
        self.leader_wake_now(core);
    }
}
