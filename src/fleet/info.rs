//! INFO and ROLE of a pretend instance: the lines that monitors read, in the shape of Redis 7.0.

use std::fmt::Write as _;

use crate::fleet::instance::{Instance, Upstream};
use crate::fleet::world::World;
use crate::model::{Address, Instant};
use crate::resp::Reply;

const VERSION: &str = "7.0.15";
const NO_REPLID: &str = "0000000000000000000000000000000000000000";

/// The text of INFO. A fleet has thousands of instances: of each section there is what a monitor reads.
pub(super) fn info(world: &mut World, place: usize, clients: usize, now: Instant) -> String {
    world.look(place, now);
    let instance = &world.instances[place];
    let mut text = String::with_capacity(1 << 10);
    let uptime_s = now.since(instance.since) / 1_000;
    // Writing to a string does not fail.
    _ = write!(
        text,
        "# Server\r\nredis_version:{VERSION}\r\nredis_mode:standalone\r\nrun_id:{}\r\ntcp_port:{}\r\n\
         uptime_in_seconds:{uptime_s}\r\n\r\n# Clients\r\nconnected_clients:{clients}\r\n\r\n\
         # Persistence\r\nloading:0\r\n\r\n# Replication\r\n",
        instance.run_id, instance.address.port
    );
    match instance.following {
        None => text.push_str("role:master\r\n"),
        Some(whom) => replica_lines(&mut text, instance, whom, now),
    }
    let replicas: Vec<Address> = world.replicas_of(place).map(|replica| replica.address).collect();
    _ = write!(text, "connected_slaves:{}\r\n", replicas.len());
    for (number, Address { ip, port }) in replicas.iter().enumerate() {
        let offset = instance.data.offset;
        _ = write!(
            text,
            "slave{number}:ip={ip},port={port},state=online,offset={offset},lag=0\r\n"
        );
    }
    let data = &instance.data;
    _ = write!(
        text,
        "master_failover_state:no-failover\r\nmaster_replid:{}\r\nmaster_replid2:{}\r\nmaster_repl_offset:{}\r\n",
        data.replid,
        data.replid2.as_deref().unwrap_or(NO_REPLID),
        data.offset
    );
    if data.keys > 0 {
        _ = write!(text, "\r\n# Keyspace\r\ndb0:keys={},expires=0,avg_ttl=0\r\n", data.keys);
    }
    text
}

fn replica_lines(text: &mut String, instance: &Instance, whom: Address, now: Instant) {
    let status = if instance.link == Upstream::Up { "up" } else { "down" };
    _ = write!(
        text,
        "role:slave\r\nmaster_host:{}\r\nmaster_port:{}\r\nmaster_link_status:{status}\r\n\
         master_last_io_seconds_ago:0\r\nmaster_sync_in_progress:0\r\nslave_read_repl_offset:{offset}\r\n\
         slave_repl_offset:{offset}\r\n",
        whom.ip,
        whom.port,
        offset = instance.data.offset
    );
    if let Upstream::Down { since } = instance.link {
        _ = write!(text, "master_link_down_since_seconds:{}\r\n", now.since(since) / 1_000);
    }
    text.push_str("slave_priority:100\r\nslave_read_only:1\r\nreplica_announced:1\r\n");
}

/// The answer to ROLE.
pub(super) fn role(world: &mut World, place: usize, now: Instant) -> Reply {
    world.look(place, now);
    let instance = &world.instances[place];
    let offset = i64::try_from(instance.data.offset).unwrap_or(i64::MAX);
    let Some(whom) = instance.following else {
        let replica = |one: &Instance| {
            let texts = [
                one.address.ip.to_string(),
                one.address.port.to_string(),
                offset.to_string(),
            ];
            Reply::Array(Reply::bulks(texts))
        };
        let replicas = world.replicas_of(place).map(replica).collect();
        return Reply::Array(vec![
            Reply::bulk("master"),
            Reply::Integer(offset),
            Reply::Array(replicas),
        ]);
    };
    let state = if instance.link == Upstream::Up {
        "connected"
    } else {
        "connect"
    };
    Reply::Array(vec![
        Reply::bulk("slave"),
        Reply::bulk(whom.ip.to_string()),
        Reply::Integer(whom.port.into()),
        Reply::bulk(state),
        Reply::Integer(offset),
    ])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::detect::parse_info;
    use crate::fleet::world::Deed;
    use crate::fleet::world::tests::world;
    use crate::model::Role;

    const NOW: Instant = Instant(1_005_000);

    #[test]
    fn a_monitor_reads_what_the_instance_is() {
        let mut world = world(1, 2);
        let primary = parse_info(info(&mut world, 0, 1, NOW).as_bytes()).unwrap();
        assert_eq!(primary.role, Role::Primary);
        assert_eq!(primary.replicas.len(), 2);
        assert_eq!(
            (primary.keys, primary.primary_offset, primary.uptime_s),
            (1_000, 1_000, 5)
        );
        let replica = parse_info(info(&mut world, 1, 1, NOW).as_bytes()).unwrap();
        assert_eq!(replica.role, Role::Replica);
        assert_eq!(replica.primary, Some(world.instances[0].address));
        assert!(replica.primary_link_up && replica.announced);
        assert_eq!(replica.lineage, primary.lineage);
        assert_eq!(replica.replica_offset, 1_000);
    }

    #[test]
    fn a_replica_tells_since_when_its_primary_is_gone() {
        let mut world = world(1, 1);
        world.act(0, Deed::Kill, NOW);
        let replica = parse_info(info(&mut world, 1, 1, NOW.plus(7_000)).as_bytes()).unwrap();
        assert!(!replica.primary_link_up);
        assert_eq!(replica.primary_link_down_ms, Some(7_000));
        world.act(0, Deed::ReviveEmpty, NOW);
        let emptied = parse_info(info(&mut world, 1, 1, NOW).as_bytes()).unwrap();
        assert_eq!((emptied.keys, emptied.replica_offset), (0, 0));
    }
}
