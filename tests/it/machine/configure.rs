//! A group and its settings in one entry.

use cfgserver::model::Mode;

use super::*;

fn configure(group: &str, port: u16, quorum: u32, settings: Vec<Setting>) -> Command {
    Command::Configure {
        host: None,
        name: name(group),
        primary: at(port),
        quorum,
        settings,
    }
}

#[test]
fn a_new_group_is_never_there_without_its_settings() {
    let mut world = World::default();
    let settings = vec![Setting::Mode(Mode::Observe), Setting::DownAfterMs(7)];
    let events = world.done(configure("g", 1, 2, settings));
    assert_eq!(kinds(&events), ["Monitor", "Set", "Set"]);
    let group = world.group("g");
    assert_eq!((group.config.mode, group.config.down_after_ms), (Mode::Observe, 7));
    assert_eq!((group.version, group.config.quorum), (group.created, 2));
}

#[test]
fn the_same_again_changes_nothing_and_tells_nothing() {
    let mut world = World::default();
    let again = || {
        configure(
            "g",
            1,
            2,
            vec![Setting::AuthPass("p".to_owned().into()), Setting::Mode(Mode::Observe)],
        )
    };
    world.done(again());
    let before = (world.state.revision(), world.group("g"));
    assert!(world.done(again()).is_empty());
    assert_eq!((world.state.revision(), world.group("g")), before);
}

#[test]
fn a_group_that_is_there_gets_what_differs_wherever_it_has_moved() {
    let mut world = World::with_group();
    let events = world.done(configure(
        "g",
        1,
        3,
        vec![Setting::ParallelSyncs(1), Setting::FailoverTimeoutMs(9)],
    ));
    assert_eq!(kinds(&events), ["Set", "Set"], "the quorum and the timeout");
    assert_eq!(
        (
            world.group("g").config.quorum,
            world.group("g").config.failover_timeout_ms
        ),
        (3, 9)
    );
    world.done(world.open(2));
    world.done(world.complete(2));
    let elsewhere = configure("g", 1, 3, Vec::new());
    assert_eq!(
        world.refused(elsewhere),
        Rejection::DuplicateName,
        "its primary is at 2 now"
    );
    assert!(world.done(configure("g", 2, 3, Vec::new())).is_empty());
}

#[test]
fn a_setting_that_is_wrong_makes_no_group() {
    let mut world = World::default();
    let wrong = configure("g", 1, 2, vec![Setting::Mode(Mode::Observe), Setting::DownAfterMs(0)]);
    assert_eq!(world.refused(wrong), Rejection::Invalid);
    assert!(world.state.group_named("g").is_none());
    assert_eq!(world.refused(configure("g", 1, 0, Vec::new())), Rejection::Invalid);
    world.done(configure("g", 1, 1, Vec::new()));
    assert_eq!(
        world.refused(configure("h", 1, 1, Vec::new())),
        Rejection::AddressTaken(name("g"))
    );
}
