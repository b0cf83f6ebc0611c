//! What is still to come, in the order of its moments, and of one moment in the order in which it was put in.
//!
//! The near future is a ring of milliseconds, each a list through one slab: nothing is compared or moved, and nothing is
//! allocated once the slab has its size. What is further away waits beside it.

use std::collections::BTreeMap;

use crate::event::Event;

/// Milliseconds that the ring holds; most of what is planned is nearer.
const NEAR_MS: u64 = 2_048;
const WORD_BITS: u64 = 64;
const NONE: u32 = u32::MAX;

struct Slot {
    event: Option<Event>,
    next: u32,
}

/// First and last of a millisecond.
#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

pub(crate) struct Queue {
    /// Everything before this is over.
    now: u64,
    slots: Vec<Slot>,
    free: u32,
    ring: Vec<List>,
    /// Which milliseconds of the ring hold something.
    filled: Vec<u64>,
    later: BTreeMap<u64, Vec<Event>>,
    /// When the first of those is due.
    later_at: u64,
}

impl Queue {
    pub(crate) fn new(now: u64) -> Self {
        let empty = List {
            first: NONE,
            last: NONE,
        };
        Self {
            now,
            slots: Vec::with_capacity(256),
            free: NONE,
            ring: vec![empty; NEAR_MS as usize],
            filled: vec![0; (NEAR_MS / WORD_BITS) as usize],
            later: BTreeMap::new(),
            later_at: u64::MAX,
        }
    }

    /// What is overdue comes next.
    pub(crate) fn push(&mut self, at: u64, event: Event) {
        let at = at.max(self.now);
        if at - self.now < NEAR_MS {
            return self.put(at, event);
        }
        self.later.entry(at).or_default().push(event);
        self.later_at = self.later_at.min(at);
    }

    /// The next event and its moment.
    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        let at = match self.next_filled() {
            Some(at) => at,
            None if self.later_at == u64::MAX => return None,
            None => self.later_at,
        };
        self.now = at;
        // Before anything is put there directly: it was planned earlier.
        while self.later_at < at + NEAR_MS {
            if let Some((due, events)) = self.later.pop_first() {
                events.into_iter().for_each(|event| self.put(due, event));
            }
            self.later_at = self.later.first_key_value().map_or(u64::MAX, |(due, _)| *due);
        }
        self.take(at).map(|event| (at, event))
    }

    fn put(&mut self, at: u64, event: Event) {
        let slot = Slot {
            event: Some(event),
            next: NONE,
        };
        let index = if self.free == NONE {
            self.slots.push(slot);
            (self.slots.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = self.slots[index as usize].next;
            self.slots[index as usize] = slot;
            index
        };
        let place = at % NEAR_MS;
        let list = &mut self.ring[place as usize];
        if list.last == NONE {
            list.first = index;
            self.filled[(place / WORD_BITS) as usize] |= 1 << (place % WORD_BITS);
        } else {
            self.slots[list.last as usize].next = index;
        }
        list.last = index;
    }

    fn take(&mut self, at: u64) -> Option<Event> {
        let place = at % NEAR_MS;
        let list = &mut self.ring[place as usize];
        let index = list.first;
        let slot = self.slots.get_mut(index as usize)?;
        let event = slot.event.take();
        list.first = slot.next;
        slot.next = self.free;
        self.free = index;
        if list.first == NONE {
            list.last = NONE;
            self.filled[(place / WORD_BITS) as usize] &= !(1 << (place % WORD_BITS));
        }
        event
    }

    /// The first millisecond of the ring that holds something.
    fn next_filled(&self) -> Option<u64> {
        let start = self.now % NEAR_MS;
        let words = NEAR_MS / WORD_BITS;
        // The word of the start comes twice: its upper bits first, its lower ones last.
        for step in 0..=words {
            let word = (start / WORD_BITS + step) % words;
            let mut bits = self.filled[word as usize];
            if step == 0 {
                bits &= u64::MAX << (start % WORD_BITS);
            }
            if bits != 0 {
                let place = word * WORD_BITS + u64::from(bits.trailing_zeros());
                return Some(self.now + (place + NEAR_MS - start) % NEAR_MS);
            }
        }
        None
    }
}
