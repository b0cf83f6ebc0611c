//! Applied entries, and when a starting node tells them: `raft::feed`.

use std::sync::Arc;

use cfgserver::machine::{State, differences};
use cfgserver::model;
use cfgserver::requests::WriteReply;

use crate::core::Core;
use crate::event::Event;

use super::Node;

/// How long a starting node waits for a word of a leader.
const GRACE_MS: u64 = 5_000;
const TICK_MS: u64 = 500;

/// Whether the node collects what it applies.
#[derive(Debug, Default)]
pub(super) struct Feed {
    collecting: Option<Collecting>,
}

#[derive(Debug)]
struct Collecting {
    before: Arc<State>,
    target: Option<usize>,
    heard: u64,
}

impl Feed {
    pub(super) fn ready(&self) -> bool {
        self.collecting.is_none()
    }
}

impl Node {
    pub(super) fn feed_start(&mut self, core: &mut Core) {
        let before = core.log.state_at(self.applied);
        self.feed.collecting = Some(Collecting {
            before: before.clone(),
            target: None,
            heard: core.now,
        });
        self.publish(core, before, Vec::new());
        self.feed_tick(core);
    }

    /// A word of a leader, or none for too long.
    pub(crate) fn feed_tick(&mut self, core: &mut Core) {
        let Some(collecting) = &mut self.feed.collecting else {
            return;
        };
        let leader = core
            .log
            .leader
            .filter(|leader| core.net.in_contact(*leader, self.id) && core.log.is_member(self.id));
        if leader.is_some() {
            collecting.heard = core.now;
            if core.log.led {
                collecting.target = collecting.target.or(Some(core.log.entries.len()));
            }
        }
        let reached = collecting.target.is_some_and(|target| self.applied >= target);
        let alone = self.applied > 0 && core.now - collecting.heard >= GRACE_MS;
        if reached || alone {
            if alone {
                core.coverage.mark("node: ready without a word of a leader");
            }
            return self.feed_open(core);
        }
        let (node, life) = (self.id, self.life);
        core.after(TICK_MS, Event::FeedTick { node, life });
    }

    fn feed_open(&mut self, core: &mut Core) {
        if let Some(collecting) = self.feed.collecting.take() {
            let after = core.log.state_at(self.applied);
            let events = differences(&collecting.before, &after);
            self.status.ready = true;
            self.publish(core, after, events);
            self.note_leadership(core);
        }
    }

    /// Applies what is committed, as far as it has arrived.
    pub(crate) fn apply(&mut self, core: &mut Core) {
        core.log.applying.insert(self.id, false);
        let leader = core.log.leader;
        let hears = leader.is_some_and(|leader| leader == self.id || core.net.in_contact(leader, self.id))
            && core.log.is_member(self.id);
        let goal = core.log.entries.len();
        if !hears || self.applied >= goal {
            return;
        }
        let first = self.applied;
        // A node that is far behind gets a snapshot: one difference instead of every event.
        let snapshot = goal - first > 8 && core.chance.permille(300);
        self.applied = goal;
        core.log.applied.insert(self.id, goal);
        if self.feed.ready() {
            let after = core.log.state_at(goal);
            let events: Vec<model::Event> = if snapshot {
                core.coverage.mark("node: snapshot");
                differences(&self.state, &after)
            } else {
                let new = core.log.entries[first..goal].iter();
                new.flat_map(|entry| entry.events.iter().cloned()).collect()
            };
            self.publish(core, after, events);
        } else if self
            .feed
            .collecting
            .as_ref()
            .is_some_and(|collecting| collecting.target.is_some_and(|target| goal >= target))
        {
            self.feed_open(core);
        }
        self.answer_proposals(core, first, goal);
        self.note_leadership(core);
    }

    fn answer_proposals(&mut self, core: &mut Core, first: usize, goal: usize) {
        let mut answers = Vec::new();
        for entry in &core.log.entries[first..goal] {
            let (Some(origin), Some(outcome)) = (entry.origin, &entry.outcome) else {
                continue;
            };
            if (origin.node, origin.life) == (self.id, self.life) && self.waiting.contains_key(&origin.proposal) {
                let reply = WriteReply::Outcome {
                    outcome: outcome.clone(),
                    revision: entry.state.revision(),
                };
                answers.push((origin.proposal, reply));
            }
        }
        for (proposal, reply) in answers {
            let (node, life) = (self.id, self.life);
            let ms = core.chance.within(0, 1);
            core.after(
                ms,
                Event::Proposed {
                    node,
                    life,
                    proposal,
                    result: Ok(reply),
                },
            );
        }
    }

    /// `pubsub::Hub::publish`: events first, then the state, then whoever watches it.
    fn publish(&mut self, core: &mut Core, state: Arc<State>, events: Vec<model::Event>) {
        core.publishing |= !events.is_empty();
        self.published.extend(events);
        self.state = state;
        self.follow_state(core);
        self.leader_log_moved(core);
    }
}
