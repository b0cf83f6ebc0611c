//! CFG EXPLAIN on the leader: what it knows of a group, looked at as the next plan would.

use crate::control::desk::Ask;
use crate::control::leader::Leader;
use crate::failover::{Memory, Scene, explain};
use crate::model::Group;
use crate::requests::{WriteError, WriteReply};

impl Leader {
    pub(super) fn explain(&self, group: &Group, ask: Ask<()>) {
        if !self.shared.proposals.holds_lease() {
            return ask.answer(Err(WriteError::NoLeader));
        }
        let (now, key) = (self.shared.now(), group.vote_key());
        let (state, sightings) = (self.shared.board.state(), self.shared.board.sightings(group.id));
        let scene = Scene {
            group,
            sightings: &sightings,
            tally: &self.shared.book.tally(self.term, &key, state.electorate(), now),
            elsewhere: state.as_ref(),
            node: self.shared.node,
            wall: state.time(self.shared.clock.wall()),
        };
        let known = self.memories.get(&group.id).cloned();
        let mut memory = known.unwrap_or_else(|| Memory::new(self.since));
        memory.observe(&scene, now);
        let voices = self.shared.book.voices(self.term, &key, state.electorate(), now);
        let told = explain(&scene, &memory, Some(&voices), now);
        ask.answer(Ok(WriteReply::Told(told)));
    }
}
