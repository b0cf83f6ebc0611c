//! Another group's instance at a member's address: reported, and left alone with its data.

use std::fs;
use std::time::Duration;

use super::{explained, replica, scene};
use crate::world::{FAILOVER, Group, World, holds_for, wait_until};

/// Longer than a replica of a wrong primary is left in peace.
const WHILE: Duration = Duration::from_secs(12);

#[test]
fn an_address_that_another_group_got_is_quarantined_and_its_data_stays() {
    let Some(world) = World::open() else { return };
    let (mut cluster, mut group, subscribers) = scene(&world, 2, 1_000);
    let other = Group::start(&world, "beta", 1);
    cluster.monitor(&other, 1_000);
    let (ours, theirs) = (group.members[0].port, other.members[0].port);
    let reused = group.members[2].port;
    // The replica is gone, and a new replica of the other group has its address.
    group.at(reused).kill();
    let file = world.folder().join(format!("redis-{reused}/redis.conf"));
    let text = fs::read_to_string(&file).unwrap();
    let (from, to) = (
        format!("replicaof 127.0.0.1 {ours}"),
        format!("replicaof 127.0.0.1 {theirs}"),
    );
    assert!(text.contains(&from), "{text}");
    fs::write(&file, text.replace(&from, &to)).unwrap();
    group.at(reused).restart_empty();
    wait_until("it is quarantined", FAILOVER, || {
        let entry = replica(&cluster, "alpha", reused);
        entry.field("quarantine").is_some_and(|why| why.contains("'beta'"))
    });
    holds_for("it is left alone", WHILE, || group.at(reused).follows(theirs));
    assert_eq!(group.at(reused).call(&["GET", "born"]).text(), "beta");
    let told = explained(&cluster, "alpha");
    let line = told
        .iter()
        .find(|line| line.starts_with(&format!("replica 127.0.0.1:{reused}: ")));
    assert!(line.is_some_and(|line| line.contains("quarantined: ")), "{told:#?}");
    // Nor is it ever promoted.
    group.at(ours).kill();
    let new = group.members[1].port;
    for one in &subscribers {
        one.wait(
            "+switch-master",
            &format!("alpha 127.0.0.1 {ours} 127.0.0.1 {new}"),
            FAILOVER,
        );
    }
    holds_for("it is left alone", Duration::from_secs(3), || {
        group.at(reused).follows(theirs)
    });
}
