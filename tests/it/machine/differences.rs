//! What a node that was behind tells its subscribers.

use cfgserver::machine::{Command, differences};
use cfgserver::model::{EventKind, Group};

use super::{World, at, monitor, name};

#[test]
fn a_state_that_was_behind_tells_one_difference_per_moved_group() {
    let mut world = World::with_group();
    let before = world.state.clone();
    for promoted in [2, 3] {
        world.done(world.open(promoted));
        world.done(world.complete(promoted));
        let Group {
            id: group,
            version: on,
            epoch,
            ..
        } = world.group("g");
        world.done(Command::EndFailover {
            group,
            on,
            epoch,
            timed_out: false,
        });
    }
    let events = differences(&before, &world.state);
    let expected = EventKind::Switch {
        group: name("g"),
        from: at(1),
        to: at(3),
    };
    assert_eq!(events.iter().map(|event| &event.kind).collect::<Vec<_>>(), [&expected]);
    assert_eq!(world.group("g").primary_at(before.revision()), Some(at(1)));
    assert_eq!(world.group("g").primary_at(events[0].revision.unwrap()), Some(at(3)));
}

#[test]
fn a_name_that_was_monitored_again_elsewhere_meanwhile_is_a_difference() {
    let mut world = World::with_group();
    world.done(monitor("same", 7, 1));
    let before = world.state.clone();
    for (group, member) in [("g", 5), ("same", 7)] {
        world.done(Command::Remove { name: name(group) });
        world.done(monitor(group, member, 1));
    }
    let events = differences(&before, &world.state);
    let expected = EventKind::Switch {
        group: name("g"),
        from: at(1),
        to: at(5),
    };
    assert_eq!(events.iter().map(|event| &event.kind).collect::<Vec<_>>(), [&expected]);
    assert_eq!(events[0].revision, Some(world.group("g").created));
    assert_eq!(events[0].group, Some(world.group("g").id));
}

/// Found by the simulator, seed 3469: a client that knew the name from before it was removed was left with the address
/// of then.
#[test]
fn a_name_that_is_new_is_told_as_monitored() {
    let mut world = World::with_group();
    world.done(Command::Remove { name: name("g") });
    let before = world.state.clone();
    world.done(monitor("g", 5, 1));
    let events = differences(&before, &world.state);
    let [event] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert!(matches!(event.kind, EventKind::Monitor { quorum: 1, .. }), "{event:?}");
    assert_eq!(event.revision, Some(world.group("g").created));
}
