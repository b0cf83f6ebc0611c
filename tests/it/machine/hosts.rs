//! Members that have host names: who they are, and where.

use cfgserver::model::{HostName, Naming, ReconfStep};

use super::*;

fn host(text: &str) -> HostName {
    HostName::new(text).unwrap()
}

/// Instance `number` at port 1, so that it can move: names are found at other IP addresses, not at other ports.
fn away(number: u8) -> Address {
    Address::parse(&format!("10.0.0.{number}"), "1").unwrap()
}

fn monitor_named(group: &str, primary: Address, host_name: &str) -> Command {
    Command::Monitor {
        name: name(group),
        primary,
        host: Some(host(host_name)),
        quorum: 2,
        settings: Vec::new(),
    }
}

impl World {
    /// Group `g`, monitored by the name `a` at 1, with synced replicas `b` at 2, and 3 without a name.
    fn with_names() -> Self {
        let mut world = Self::default();
        world.done(monitor_named("g", away(1), "a"));
        let (group, on) = world.version();
        let members = [1, 2, 3].map(|number| (away(number), member(u16::from(number)))).into();
        world.done(Command::Learn { group, on, members });
        world.done(world.name(2, "b"));
        world
    }

    fn version(&self) -> (cfgserver::model::GroupId, u64) {
        let group = self.group("g");
        (group.id, group.version)
    }

    fn name(&self, number: u8, text: &str) -> Command {
        let (group, on) = self.version();
        let hosts = BTreeMap::from([(away(number), host(text))]);
        Command::Name { group, on, hosts }
    }

    fn readdress(&self, from: u8, to: u8) -> Command {
        let (group, on) = self.version();
        let (from, to) = (away(from), away(to));
        Command::Readdress { group, on, from, to }
    }
}

#[test]
fn a_repeated_monitor_is_the_same_by_its_name_wherever_that_is() {
    let mut world = World::with_names();
    let before = world.group("g");
    world.done(monitor_named("g", away(9), "a"));
    world.done(monitor_named("g", away(1), "other"));
    assert_eq!(
        world.refused(monitor_named("g", away(9), "other")),
        Rejection::DuplicateName
    );
    assert_eq!(world.group("g"), before);
    let configure = |address, host_name| Command::Configure {
        name: name("g"),
        primary: address,
        host: Some(host(host_name)),
        quorum: 2,
        settings: Vec::new(),
    };
    world.done(configure(away(9), "a"));
    assert_eq!(world.refused(configure(away(9), "other")), Rejection::DuplicateName);
}

#[test]
fn a_name_makes_a_member_of_who_is_none() {
    let mut world = World::with_names();
    let events = world.done(world.name(4, "d"));
    assert_eq!(kinds(&events), ["Replica"]);
    assert_eq!(world.group("g").member_named(&host("d"), 1), Some(away(4)));
    let events = world.done(world.name(3, "c"));
    assert!(events.is_empty(), "a member already");
    assert_eq!(world.group("g").hosts.len(), 4);
    // A name that a member has stays with it, and an instance of another group with that.
    world.done(world.name(5, "c"));
    world.done(monitor_named("other", away(6), "e"));
    world.done(world.name(6, "f"));
    assert_eq!(world.group("g").hosts.len(), 4);
    assert_eq!(world.group("g").members.len(), 4);
}

#[test]
fn a_replica_that_moved_keeps_what_is_on_record() {
    let mut world = World::with_names();
    let events = world.done(world.readdress(2, 8));
    assert_eq!(kinds(&events), ["Replica"]);
    let group = world.group("g");
    assert_eq!(group.members.get(&away(8)), Some(&member(2)));
    assert_eq!(group.hosts.get(&away(8)), Some(&host("b")));
    assert!(!group.members.contains_key(&away(2)) && group.switches.is_empty());
    assert_eq!(group.primary, away(1));
}

#[test]
fn a_primary_that_moved_is_a_switch_of_its_address_and_of_nothing_else() {
    let mut world = World::with_names();
    let before = world.state.revision();
    let events = world.done(world.readdress(1, 9));
    assert_eq!(kinds(&events), ["NewEpoch", "Switch", "Replica", "Replica"]);
    let group = world.group("g");
    assert_eq!((group.primary, group.epoch, group.config_epoch), (away(9), 1, 1));
    assert!(!group.switches[0].automatic);
    let told = |revision, naming| group.told_primary_at(revision, naming).unwrap().to_string();
    assert_eq!(told(before, Naming::Addresses), "10.0.0.1:1");
    assert_eq!(told(world.state.revision(), Naming::Addresses), "10.0.0.9:1");
    assert_eq!(
        [told(before, Naming::Names), told(world.state.revision(), Naming::Names)],
        ["a:1", "a:1"]
    );
    assert!(
        world.state.group_at(away(1)).is_none(),
        "anybody may have the old address"
    );
}

#[test]
fn a_member_moves_only_to_where_nobody_else_is() {
    let mut world = World::with_names();
    world.done(monitor_named("other", away(6), "e"));
    assert_eq!(
        world.refused(world.readdress(2, 6)),
        Rejection::AddressTaken(name("other"))
    );
    assert_eq!(
        world.refused(world.readdress(2, 1)),
        Rejection::Invalid,
        "the primary's"
    );
    assert_eq!(
        world.refused(world.readdress(1, 2)),
        Rejection::Invalid,
        "another name's"
    );
    assert_eq!(world.refused(world.readdress(1, 3)), Rejection::Invalid, "a replica's");
    assert_eq!(
        world.refused(world.readdress(3, 9)),
        Rejection::Invalid,
        "it has no name"
    );
    // Discovered by its address before the name was looked at: the same instance.
    world.done(world.readdress(2, 3));
    assert_eq!(world.group("g").members.len(), 2);
    assert_eq!(world.group("g").members.get(&away(3)), Some(&member(3)));
}

#[test]
fn nobody_moves_in_the_middle_of_a_failover() {
    let mut world = World::with_names();
    let (group, on) = world.version();
    world.done(Command::OpenFailover {
        group,
        on,
        kind: FailoverKind::Automatic,
        votes: 2,
        candidate: away(2),
        run_id: run_id(2),
    });
    assert_eq!(world.refused(world.readdress(1, 9)), Rejection::InProgress);
    world.done(world.complete(2));
    let group = world.group("g");
    assert!(
        matches!(&group.failover.as_ref().unwrap().stage, Stage::Reconfigure { steps } if steps[&away(1)] == ReconfStep::Waiting)
    );
    assert_eq!(group.switches[0].from_host, Some(host("a")));
    assert_eq!(world.refused(world.readdress(1, 9)), Rejection::InProgress);
}

#[test]
fn who_is_forgotten_has_no_name_left() {
    let mut world = World::with_names();
    let (group, on) = world.version();
    let forget = BTreeSet::from([away(2), away(3)]);
    world.done(Command::Reset {
        groups: vec![ResetGroup { group, on, forget }],
    });
    assert_eq!(world.group("g").hosts.keys().copied().collect::<Vec<_>>(), [away(1)]);
}
