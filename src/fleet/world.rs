//! All pretend instances: who follows whom, who has which data, and what a deed does to them.
//!
//! Pure: time and identities come in.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fleet::instance::{Data, Instance, Life, Upstream};
use crate::fleet::layout::Layout;
use crate::model::{Address, Instant};

/// Where new run ids and replication ids come from.
pub(super) type Identities = dyn FnMut() -> Arc<str> + Send;

/// All pretend instances, group after group.
pub(super) struct World {
    pub(super) layout: Layout,
    pub(super) instances: Vec<Instance>,
    places: BTreeMap<Address, usize>,
    identities: Box<Identities>,
}

/// What is to be done to instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The processes end.
    Kill,
    /// They stop answering.
    Hang,
    /// They go on, or start again with what they had.
    Revive,
    /// The same, without data.
    ReviveEmpty,
}

/// Whom a deed concerns, within the groups that are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Those who say that they are primaries.
    Primaries,
    /// Those who say that they are replicas.
    Replicas,
    /// Both.
    All,
}

/// How a fleet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) up: usize,
    pub(super) hung: usize,
    pub(super) killed: usize,
    /// Groups in which exactly one instance that answers says that it is a primary.
    pub(super) one_primary: usize,
    /// Those of them in which everyone else who answers follows that one and is in sync.
    pub(super) well: usize,
}

impl World {
    pub(super) fn new(layout: Layout, mut identities: Box<Identities>, now: Instant) -> Self {
        let mut instances = Vec::with_capacity(layout.instances());
        for number in layout.numbers() {
            let data = Data::filled(identities());
            let primary = layout.address(number, 0);
            for member in 0..layout.members() {
                instances.push(Instance {
                    address: layout.address(number, member),
                    life: Life::Up,
                    since: now,
                    run_id: identities(),
                    data: data.clone(),
                    following: (member > 0).then_some(primary),
                    link: Upstream::Up,
                });
            }
        }
        let places = instances.iter().enumerate().map(|(place, one)| (one.address, place));
        Self {
            places: places.collect(),
            layout,
            instances,
            identities,
        }
    }

    /// The replicas that are connected to `address`.
    pub(super) fn replicas_of(&self, place: usize) -> impl Iterator<Item = &Instance> {
        let address = self.instances[place].address;
        let in_sync =
            move |one: &&Instance| one.life == Life::Up && one.following == Some(address) && one.link == Upstream::Up;
        self.group_of(place).filter(in_sync)
    }

    fn group_of(&self, place: usize) -> impl Iterator<Item = &Instance> {
        let members = self.layout.members();
        let first = place / members * members;
        self.instances[first..first + members].iter()
    }

    /// SLAVEOF: `None` is NO ONE.
    pub(super) fn follow(&mut self, place: usize, whom: Option<Address>, now: Instant) {
        let instance = &mut self.instances[place];
        if instance.following == whom {
            return;
        }
        instance.following = whom;
        match whom {
            None => {
                let replid = (self.identities)();
                instance.data.branch(replid);
                instance.link = Upstream::Up;
            }
            Some(_) => instance.link = Upstream::Down { since: now },
        }
        self.settle(place, now);
    }

    /// Does `deed` to one instance; whether that changed anything.
    pub(super) fn act(&mut self, place: usize, deed: Deed, now: Instant) -> bool {
        let instance = &mut self.instances[place];
        let before = instance.life;
        let after = match deed {
            Deed::Kill => Life::Killed,
            Deed::Hang if before == Life::Killed => Life::Killed,
            Deed::Hang => Life::Hung,
            Deed::Revive | Deed::ReviveEmpty => Life::Up,
        };
        if before == after {
            return false;
        }
        instance.life = after;
        instance.since = now;
        if before == Life::Killed {
            instance.run_id = (self.identities)();
            let replid = (self.identities)();
            match deed {
                Deed::ReviveEmpty => instance.data = Data::empty(replid),
                // A replica asks to go on where it was; a primary begins a history of its own.
                _ if instance.is_primary() => instance.data.branch(replid),
                _ => {}
            }
            if !instance.is_primary() {
                instance.link = Upstream::Down { since: now };
            }
        }
        self.settle(place, now);
        true
    }

    /// The places that `whom` means in the groups `numbers`; numbers that are not of this fleet mean nobody.
    pub(super) fn places(&self, whom: Whom, numbers: std::ops::RangeInclusive<u32>) -> Vec<usize> {
        let members = self.layout.members();
        let first = self.layout.first_group;
        let meant = |place: &usize| {
            let number = first + (place / members) as u32;
            let is_primary = self.instances[*place].is_primary();
            numbers.contains(&number)
                && match whom {
                    Whom::Primaries => is_primary,
                    Whom::Replicas => !is_primary,
                    Whom::All => true,
                }
        };
        (0..self.instances.len()).filter(meant).collect()
    }

    /// Makes and breaks the replication links of a group, from the primary outwards.
    fn settle(&mut self, place: usize, now: Instant) {
        let members = self.layout.members();
        let first = place / members * members;
        for _ in 0..members {
            for one in first..first + members {
                self.settle_link(one, now);
            }
        }
    }

    fn settle_link(&mut self, place: usize, now: Instant) {
        let instance = &self.instances[place];
        let Some(whom) = instance.following else { return };
        let source = self.places.get(&whom).map(|source| &self.instances[*source]);
        let source = source.filter(|source| source.address != instance.address);
        let held = source.is_some_and(|source| source.holds_replicas(now));
        let reachable = source.is_some_and(|source| source.life == Life::Up && source.link == Upstream::Up);
        let link = match instance.link {
            Upstream::Up if held => Upstream::Up,
            Upstream::Up => Upstream::Down { since: now },
            Upstream::Down { .. } if reachable && instance.life == Life::Up => Upstream::Up,
            down @ Upstream::Down { .. } => down,
        };
        // Whoever is in sync has what its source has, also when that has become nothing.
        let data = source
            .filter(|_| link == Upstream::Up && reachable)
            .map(|source| source.data.clone());
        let instance = &mut self.instances[place];
        instance.link = link;
        if let Some(data) = data {
            instance.data = data;
        }
    }

    /// Looks at a link again that may have been given up meanwhile.
    pub(super) fn look(&mut self, place: usize, now: Instant) -> &Instance {
        self.settle_link(place, now);
        &self.instances[place]
    }

    /// How the fleet is.
    pub(super) fn count(&self) -> Count {
        let mut count = Count::default();
        for instance in &self.instances {
            match instance.life {
                Life::Up => count.up += 1,
                Life::Hung => count.hung += 1,
                Life::Killed => count.killed += 1,
            }
        }
        for group in self.instances.chunks(self.layout.members()) {
            let answering = || group.iter().filter(|one| one.life == Life::Up);
            let mut primaries = answering().filter(|one| one.is_primary());
            let (Some(primary), None) = (primaries.next(), primaries.next()) else {
                continue;
            };
            count.one_primary += 1;
            let in_sync = |one: &Instance| one.following == Some(primary.address) && one.link == Upstream::Up;
            count.well += usize::from(answering().all(|one| one.is_primary() || in_sync(one)));
        }
        count
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
pub(super) mod tests {
    use super::*;
    use crate::fleet::layout::tests::layout;

    const START: Instant = Instant(1_000_000);

    pub(in crate::fleet) fn world(groups: u32, replicas: u32) -> World {
        let mut next = 0_u64;
        let identities = Box::new(move || {
            next += 1;
            Arc::from(format!("{next:040x}"))
        });
        World::new(layout(groups, replicas), identities, START)
    }

    fn well(world: &World) -> (usize, usize) {
        let count = world.count();
        (count.one_primary, count.well)
    }

    #[test]
    fn a_fleet_begins_well() {
        let world = world(3, 2);
        assert_eq!(well(&world), (3, 3));
        assert_eq!(world.count().up, 9);
        assert_eq!(world.replicas_of(0).count(), 2);
        assert_eq!(world.replicas_of(1).count(), 0);
    }

    #[test]
    fn a_promotion_keeps_the_data_and_begins_a_history() {
        let mut world = world(1, 1);
        let before = world.instances[1].data.clone();
        assert!(world.act(0, Deed::Kill, START));
        assert!(!world.act(0, Deed::Kill, START));
        assert_eq!(world.instances[1].link, Upstream::Down { since: START });
        world.follow(1, None, START);
        let after = &world.instances[1].data;
        assert_eq!((after.offset, after.keys), (before.offset, before.keys));
        assert_eq!(after.replid2.as_ref(), Some(&before.replid));
        // The old primary comes back as one, as another process, and is turned.
        let run_id = world.instances[0].run_id.clone();
        world.act(0, Deed::Revive, START);
        assert_ne!(world.instances[0].run_id, run_id);
        assert_eq!(well(&world), (0, 0));
        let new = world.instances[1].address;
        world.follow(0, Some(new), START);
        assert_eq!(well(&world), (1, 1));
        assert_eq!(world.instances[0].data, world.instances[1].data);
    }

    #[test]
    fn replicas_of_an_emptied_primary_are_emptied() {
        let mut world = world(1, 1);
        world.act(0, Deed::Kill, START);
        assert_eq!(world.instances[1].data.keys, Data::filled("x".into()).keys);
        world.act(0, Deed::ReviveEmpty, START);
        assert_eq!((world.instances[0].data.keys, world.instances[1].data.keys), (0, 0));
    }

    #[test]
    fn a_hung_primary_keeps_its_replicas_for_a_while() {
        let mut world = world(1, 1);
        world.act(0, Deed::Hang, START);
        assert_eq!(world.look(1, START.plus(59_000)).link, Upstream::Up);
        let given_up = START.plus(60_000);
        assert_eq!(world.look(1, given_up).link, Upstream::Down { since: given_up });
        let run_id = world.instances[0].run_id.clone();
        world.act(0, Deed::Revive, given_up);
        assert_eq!(world.instances[0].run_id, run_id);
        assert_eq!(well(&world), (1, 1));
    }

    #[test]
    fn deeds_concern_those_that_are_named() {
        let world = world(10, 2);
        assert_eq!(world.places(Whom::Primaries, 2..=4), [6, 9, 12]);
        assert_eq!(world.places(Whom::Replicas, 0..=0), [1, 2]);
        assert_eq!(world.places(Whom::All, 9..=99).len(), 3);
        assert_eq!(world.places(Whom::All, 10..=99), Vec::<usize>::new());
    }

    #[test]
    fn nobody_is_in_sync_with_itself_or_with_a_stranger() {
        let mut world = world(1, 1);
        let own = world.instances[1].address;
        for whom in [own, "127.9.9.9:1".parse().unwrap()] {
            world.follow(1, Some(whom), START);
            assert_eq!(world.instances[1].link, Upstream::Down { since: START });
        }
    }
}
