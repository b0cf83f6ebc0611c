//! INFO of old, new, odd and hostile instances.

use proptest::prelude::*;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

fn info(lines: &str) -> Facts {
    parse_info(format!("# Server\r\nrun_id:{ID}\r\n{}", lines.replace('\n', "\r\n")).as_bytes()).unwrap()
}

#[test]
fn a_primary_with_replicas_is_read() {
    let facts = info(
        "redis_version:7.0.15\nuptime_in_seconds:77\nloading:0\nrole:master\nconnected_slaves:2\n\
         slave0:ip=10.0.0.2,port=6379,state=online,offset=1400,lag=0\n\
         slave1:ip=fd00::3,port=6380,state=wait_bgsave,offset=0,lag=0\n\
         master_replid:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n\
         master_replid2:0000000000000000000000000000000000000000\n\
         master_repl_offset:1414\ndb0:keys=5,expires=0,avg_ttl=0\ndb11:keys=2,expires=2,avg_ttl=9\n",
    );
    assert_eq!(facts.run_id.as_str(), ID);
    assert_eq!(
        (facts.version.as_str(), facts.role, facts.uptime_s),
        ("7.0.15", Role::Primary, 77)
    );
    assert_eq!((facts.primary_offset, facts.keys, facts.loading), (1_414, 7, false));
    let lineage = facts.lineage.unwrap();
    assert_eq!(
        (lineage.replid.as_ref(), lineage.replid2),
        ("a".repeat(40).as_str(), None)
    );
    let replicas: Vec<_> = facts
        .replicas
        .iter()
        .map(|line| (line.address.to_string(), line.online, line.offset))
        .collect();
    let expected = [
        ("10.0.0.2:6379".to_owned(), true, 1_400),
        ("[fd00::3]:6380".to_owned(), false, 0),
    ];
    assert_eq!(replicas, expected);
    assert_eq!(
        (facts.primary, facts.primary_host.as_str(), facts.primary_port),
        (None, "", 0)
    );
    assert_eq!(facts.primary_link_down_ms, Some(0));
}

#[test]
fn a_replica_is_read() {
    let facts = info(
        "role:slave\nmaster_host:10.0.0.1\nmaster_port:6379\nmaster_link_status:down\n\
         master_sync_in_progress:1\nslave_repl_offset:99\nmaster_link_down_since_seconds:12\nslave_priority:0\n\
         replica_announced:0\nmaster_replid2:bb\nloading:1\n",
    );
    assert_eq!(facts.role, Role::Replica);
    assert_eq!(facts.primary, Some("10.0.0.1:6379".parse().unwrap()));
    assert_eq!(
        (facts.primary_link_up, facts.primary_link_down_ms),
        (false, Some(12_000))
    );
    assert_eq!(
        (facts.sync_in_progress, facts.loading, facts.announced),
        (true, true, false)
    );
    assert_eq!((facts.replica_offset, facts.priority), (99, 0));
    assert_eq!(facts.lineage, None, "a second replication id alone is none");
}

#[test]
fn a_link_that_was_never_up_has_no_age() {
    let facts = info("role:slave\nmaster_link_status:down\nmaster_link_down_since_seconds:-1\n");
    assert_eq!(facts.primary_link_down_ms, None);
    let facts = info("role:slave\nmaster_link_status:up\n");
    assert_eq!((facts.primary_link_up, facts.primary_link_down_ms), (true, Some(0)));
}

#[test]
fn what_is_missing_has_its_default() {
    let facts = info("role:slave\n");
    assert_eq!(
        (facts.priority, facts.announced, facts.keys, facts.replica_offset),
        (100, true, 0, 0)
    );
    assert_eq!((facts.lineage, facts.version.as_str(), facts.primary), (None, "", None));
}

#[test]
fn replica_lines_of_old_servers_are_read() {
    let facts =
        info("role:master\nslave0:10.0.0.2,6379,online\nslave1:10.0.0.3,6379,send_bulk\nslave2:10.0.0.4,6379\n");
    let lines: Vec<_> = facts
        .replicas
        .iter()
        .map(|line| (line.address.port, line.online, line.offset))
        .collect();
    assert_eq!(lines, [(6379, true, 0), (6379, false, 0), (6379, true, 0)]);
}

#[test]
fn a_connection_that_only_carries_the_data_set_is_not_online() {
    let facts = info("role:master\nslave0:ip=10.0.0.2,port=6379,state=online,offset=5,lag=0,type=rdb-channel\n");
    assert!(!facts.replicas[0].online);
    let facts = info("role:master\nslave0:ip=10.0.0.2,port=6379,state=online,offset=5,lag=0,type=replica\n");
    assert!(facts.replicas[0].online);
}

#[test]
fn a_replica_that_announces_a_host_name_is_told_from_one_with_an_address() {
    let facts = info(
        "role:master\nslave0:ip=Redis-2.example,port=6379,state=wait_bgsave,offset=7,lag=0\n\
         slave1:ip=10.0.0.2,port=6379,state=online,offset=1,lag=0\n",
    );
    let line = &facts.named_replicas[0];
    assert_eq!(
        (line.host.as_str(), line.online, line.offset),
        ("redis-2.example", false, 7)
    );
    assert_eq!((facts.named_replicas.len(), facts.replicas.len()), (1, 1));
}

#[test]
fn odd_replica_lines_are_skipped() {
    let facts = info(
        "role:master\nslave0:ip=redis-2.example,port=6379,state=online,offset=1,lag=0\nslave6:ip=a b,port=1\n\
         slave7:ip=redis-2.example,port=0\nslave1:\nslave2:ip=,port=\n\
         slave3:ip=10.0.0.2,port=0\nslave4:ip=10.0.0.2,port=99999\nslave:ip=10.0.0.2,port=1\nslaves:x\nslave5:,,,\n\
         slavex1:ip=10.0.0.2,port=1\nslave_priority:7\n",
    );
    assert_eq!(facts.replicas, []);
    let named: Vec<_> = facts
        .named_replicas
        .iter()
        .map(|line| (line.host.as_str(), line.port))
        .collect();
    assert_eq!(named, [("redis-2.example", 6379)]);
    assert_eq!(facts.priority, 7);
}

#[test]
fn a_primary_by_name_has_a_host_and_no_address() {
    let facts = info("role:slave\nmaster_host:redis-1.example\nmaster_port:6379\n");
    assert_eq!(facts.primary, None);
    assert_eq!(
        (facts.primary_host.as_str(), facts.primary_port),
        ("redis-1.example", 6379)
    );
}

#[test]
fn odd_numbers_are_as_good_as_missing() {
    let facts = info(
        "role:master\nmaster_repl_offset:-5\nslave_priority:many\nuptime_in_seconds:99999999999999999999\n\
         db0:keys=18446744073709551615,expires=0\ndb1:keys=9\ndbx:keys=1\n",
    );
    assert_eq!(
        (facts.primary_offset, facts.priority, facts.uptime_s, facts.keys),
        (0, 100, 0, u64::MAX)
    );
}

#[test]
fn something_that_is_no_data_instance_is_refused() {
    assert_eq!(parse_info(b""), Err(InfoError::NoRunId));
    assert_eq!(parse_info(b"role:master"), Err(InfoError::NoRunId));
    assert_eq!(parse_info(b"run_id:\nrole:master"), Err(InfoError::NoRunId));
    assert_eq!(parse_info(b"run_id:a b\nrole:master"), Err(InfoError::NoRunId));
    assert_eq!(parse_info(b"run_id:abc"), Err(InfoError::NoRole));
    assert_eq!(parse_info(b"run_id:abc\nrole:sentinel"), Err(InfoError::NoRole));
    assert_eq!(parse_info(&vec![b'x'; INFO_BYTES_MAX + 1]), Err(InfoError::TooLong));
}

#[test]
fn a_megabyte_of_replicas_is_cut() {
    let mut text = format!("run_id:{ID}\nrole:master\n");
    let mut number = 0;
    while text.len() < INFO_BYTES_MAX - 100 {
        text.push_str(&format!(
            "slave{number}:ip=10.0.0.1,port=6379,state=online,offset=1,lag=0\n"
        ));
        number += 1;
    }
    assert!(number > REPLICA_LINES_MAX);
    assert_eq!(parse_info(text.as_bytes()).unwrap().replicas.len(), REPLICA_LINES_MAX);
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let facts = info(&format!(
        "role:slave\nmaster_host:{}\nredis_version:{}\n",
        "ü".repeat(300),
        "9".repeat(300)
    ));
    assert_eq!((facts.primary_host.chars().count(), facts.version.len()), (127, 255));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = parse_info(&bytes);
        let mut text = format!("run_id:{ID}\r\nrole:slave\r\n").into_bytes();
        text.extend(bytes.iter().filter(|byte| **byte != b'r'));
        prop_assert!(parse_info(&text).is_ok());
    }

    #[test]
    fn any_values_are_read(values in proptest::collection::vec("[ -~]{0,40}", 12)) {
        let keys = ["slave0", "db0", "master_port", "master_repl_offset", "slave_priority", "master_replid",
            "master_replid2", "master_link_down_since_seconds", "loading", "slave1", "master_host", "uptime_in_seconds"];
        let lines: String = keys.iter().zip(&values).map(|(key, value)| format!("{key}:{value}\n")).collect();
        let facts = info(&format!("role:master\n{lines}"));
        prop_assert!(facts.replicas.len() <= 2);
    }
}
